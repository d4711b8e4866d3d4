"""What the jobs that check optimizers share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import bluefog.torch as bf
import torch
from torch import nn

STYLES = (bf.DistributedAdaptWithCombineOptimizer, bf.DistributedAdaptThenCombineOptimizer)
AWC, ATC = STYLES


def seeded(model: nn.Module, seed: int) -> nn.Module:
    """Fills all parameters with normal numbers that depend on the seed only."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 4)
    return model


def two_layers(seed: int) -> nn.Sequential:
    return seeded(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), seed)


def inputs(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape or (5, 4), generator=torch.Generator().manual_seed(seed))


def sgd(model: nn.Module, lr: float = 0.1, **arguments: Any) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr, **arguments)


def wrapped(make: Callable[..., Any], base: torch.optim.Optimizer, model: Any, **arguments: Any) -> Any:
    """make(base, model), where it is on purpose that ranks start from different parameters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the parameters differ between ranks")
        return make(base, model, **arguments)


def train_step(model: nn.Module, optimizer: Any, x: torch.Tensor) -> None:
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()


def vector(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).clone()


def of_all_ranks(tensor: torch.Tensor) -> torch.Tensor:
    """Stacked over ranks."""
    return bf.allgather(tensor.detach().clone().contiguous().unsqueeze(0))


def mean_over_ranks(tensor: torch.Tensor) -> torch.Tensor:
    return of_all_ranks(tensor).mean(0)


def spread(model: nn.Module) -> float:
    """Largest difference between any rank's parameters and their mean."""
    every = of_all_ranks(vector(model))
    return float((every - every.mean(0)).abs().max())


def assert_close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(
        actual.detach(), expected.detach(), rtol=tolerance, atol=tolerance, check_stride=False
    )


@contextmanager
def recorded_warnings() -> Iterator[list[str]]:
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield messages
    messages += [f"{w.category.__name__}: {w.message}" for w in caught]
