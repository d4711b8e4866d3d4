"""Loops of training, the same with torch alone, and models for them.

A training loop is a generator that says where it is. Wrapped optimizers run that of their rank; beside that,
each rank runs those of all ranks with plain optimizers, and averages where a distributed one does: gradients
after backward, or parameters before the step, or after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import bluefog.torch as bf
import torch
from optimizer_checks import (
    ATC,
    AWC,
    assert_close,
    inputs,
    recorded_warnings,
    seeded,
    sgd,
    two_layers,
    vector,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

GRADIENTS = bf.DistributedGradientAllreduceOptimizer
MAKERS = (AWC, ATC, GRADIENTS)
STEPS = 5
#: Places in a loop: gradients are there; the step comes next; it is done.
BACKWARD, NEXT_STEP, STEPPED = "backward", "next step", "stepped"
#: Of a model, its optimizer and the rank whose data it takes.
Loop = Callable[[nn.Module, Any, int], Iterator[str]]
Base = Callable[[nn.Module], torch.optim.Optimizer]


def loss_of(model: nn.Module, rank: int, t: int) -> torch.Tensor:
    return model(inputs(10 * t + rank)).square().mean()


def plain_loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
    for t in range(STEPS):
        optimizer.zero_grad()
        loss_of(model, rank, t).backward()
        yield BACKWARD
        yield NEXT_STEP
        optimizer.step()
        yield STEPPED


def run_all(make: Any, loop: Loop, models: list[nn.Module], optimizers: list[Any]) -> None:
    """The loops of all ranks side by side, with what `make` does between them."""
    loops = [loop(m, o, rank) for rank, (m, o) in enumerate(zip(models, optimizers))]
    place = {AWC: NEXT_STEP, ATC: STEPPED, GRADIENTS: BACKWARD}[make]
    for places in zip_longest(*loops):
        if places[0] != place:
            continue
        for parameters in zip(*(model.parameters() for model in models)):
            if make is not GRADIENTS:
                become_mean(parameters)
            elif any(p.grad is not None for p in parameters):
                for p in parameters:
                    p.grad = torch.zeros_like(p) if p.grad is None else p.grad
                become_mean([p.grad for p in parameters])


@torch.no_grad()
def become_mean(tensors: Sequence[torch.Tensor]) -> None:
    torch._foreach_copy_(list(tensors), [torch.stack(list(tensors)).mean(0)] * len(tensors))


def distributed(make: Any, base: torch.optim.Optimizer, model: nn.Module, local_steps: int = 1) -> Any:
    kind = {} if make is GRADIENTS else {"communication_type": bf.CommunicationType.allreduce}
    return make(base, model, num_steps_per_communication=local_steps, **kind)


#: The second where Python's headers are not in the system's folders.
TORCHS_OWN_WARNINGS = ("DeprecationWarning", "UserWarning: Can't find Python.h")


def expect_as_by_torch(
    loop: Loop,
    base: Base = sgd,
    *,
    torch_loop: Loop | None = None,
    model: Callable[[], nn.Module] = lambda: two_layers(1),
    local_steps: int = 1,
    tolerance: float = 1e-6,
    makers: tuple[Any, ...] = MAKERS,
) -> None:
    for make in makers:
        own = model()
        with recorded_warnings() as messages:
            optimizer = distributed(make, base(own), own, local_steps)
            list(loop(own, optimizer, bf.rank()))
        assert not [m for m in messages if not m.startswith(TORCHS_OWN_WARNINGS)], messages
        every = [model() for _ in range(bf.size())]
        run_all(make, torch_loop or loop, every, [base(each) for each in every])
        assert_close(vector(own), vector(every[bf.rank()]), tolerance)
        assert not torch.equal(vector(own), vector(model())), "nothing was learned"


def clipping_loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
    for t in range(STEPS):
        loss_of(model, rank, t).backward()
        yield BACKWARD
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        assert norm > 0.01
        yield NEXT_STEP
        optimizer.step()
        yield STEPPED
        optimizer.zero_grad()


def accumulating(parts: int, evaluates: bool = False) -> Loop:
    def loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        for t in range(STEPS):
            optimizer.zero_grad()
            for part in range(parts):
                (loss_of(model, rank, 100 * part + t) / parts).backward()
                if evaluates:
                    evaluate(model)
            yield BACKWARD
            yield NEXT_STEP
            optimizer.step()
            yield STEPPED

    return loop


def evaluate(model: nn.Module) -> None:
    model.eval()
    with torch.no_grad():
        model(inputs(1))
    with torch.inference_mode():
        model(inputs(2))
    model.train()


def two_dimensional() -> nn.Module:
    return seeded(nn.Sequential(nn.Linear(4, 8, bias=False), nn.Tanh(), nn.Linear(8, 2, bias=False)), 1)


class Branches(nn.Module):
    """Some layers are used by some ranks in some steps, one by nobody, and one is frozen at first."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.even, self.first = (nn.Linear(4, 4) for _ in range(3))
        self.idle, self.frozen = nn.Linear(4, 4), nn.Linear(4, 4)
        seeded(self, 1)
        self.frozen.requires_grad_(False)

    def forward(self, x: torch.Tensor, rank: int, t: int) -> torch.Tensor:
        x = self.frozen(self.both(x))
        x = self.even(x) if t % 2 == 0 else x
        return self.first(x) if rank == 0 else x


class Odd(nn.Module):
    """Of several dtypes and layouts, with a weight that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 2).to(memory_format=torch.channels_last)
        self.turned = nn.Parameter(torch.empty(4, 9).t())
        self.tied = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.tied[1].weight = self.tied[0].weight
        self.head = nn.Linear(4, 2).double()
        self.phase = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
        seeded(self, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x.reshape(5, 1, 2, 2).repeat(1, 1, 2, 2)).flatten(1)[:, :9] @ self.turned
        for layer in self.tied:
            x = torch.tanh(layer(x))
        return self.head(x.double()) * (1 + self.phase.abs() + self.phase.imag)


class Checkpointed(nn.Module):
    """Every layer computes its forward again in backward."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.layers = two_layers(1)
        self.reentrant = reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.requires_grad_()
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=self.reentrant)
        return x
