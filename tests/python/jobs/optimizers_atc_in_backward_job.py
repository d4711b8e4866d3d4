"""Adapt then combine that begins inside backward: the results of the ordinary one, and what it refuses. For 4
ranks.
"""

from __future__ import annotations

from typing import Any

import bluefog.torch as bf
import torch
from job import raises
from optimizer_checks import (
    ATC,
    inputs,
    mean_over_ranks,
    seeded,
    sgd,
    spread,
    train_step,
    two_layers,
    vector,
    wrapped,
)
from torch import nn


def wide(seed: int) -> nn.Sequential:
    """Of several buckets, with a parameter that is used twice and one that gets no gradient."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(40, 40))
            self.unused = nn.Parameter(torch.empty(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x @ self.weight) @ self.weight

    return seeded(nn.Sequential(nn.Linear(4, 40), Tied(), nn.Linear(40, 40), Tied(), nn.Linear(40, 2)), seed)


def in_backward(base: torch.optim.Optimizer, model: nn.Module, **arguments: Any) -> Any:
    return wrapped(ATC, base, model, step_in_backward=True, **arguments)


def check_same_bits_as_the_ordinary_one() -> None:
    schedule = bf.one_peer_exponential(bf.size())
    bases = (
        lambda model: sgd(model, momentum=0.9, weight_decay=0.01),
        lambda model: torch.optim.AdamW(model.parameters(), lr=0.01),
    )
    for base in bases:
        models = [wide(bf.rank()), wide(bf.rank())]
        optimizers = [
            make(base(model), model, schedule=schedule)
            for make, model in zip((in_backward, lambda *a, **k: wrapped(ATC, *a, **k)), models)
        ]
        assert len(optimizers[0]._mixer.buckets) > 3
        for step in range(4):
            for model, optimizer in zip(models, optimizers):
                train_step(model, optimizer, inputs(10 * step + bf.rank()))
            assert torch.equal(vector(models[0]), vector(models[1])), f"step {step}"


def check_mixing_is_under_way_when_backward_ends() -> None:
    model = wide(bf.rank())
    optimizer = in_backward(sgd(model), model)
    before = vector(model)
    model(inputs(1)).square().sum().backward()
    # All but those with a parameter that gets no gradient.
    assert 2 < len(optimizer._style._flight.operations) < len(optimizer._mixer.buckets)
    assert torch.equal(vector(model), before), "the parameters changed before step()"
    optimizer.step()
    assert not torch.equal(vector(model), before)


def check_detached_weights_get_the_right_gradient() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = in_backward(sgd(model), model)
    x = torch.ones(1, 1, requires_grad=True)
    ((x @ model.weight.detach()) @ model.weight).sum().backward()
    assert model.weight.grad.item() == 2
    assert x.grad.item() == 4
    optimizer.step()
    assert abs(model.weight.item() - 1.8) < 1e-6


def check_accumulated_and_local_steps_count_backwards() -> None:
    model, plain = two_layers(1), two_layers(1)
    optimizer = in_backward(sgd(model), model, num_steps_per_communication=2)
    for part in (1, 2):
        model(inputs(part)).square().sum().backward()
        plain(inputs(part)).square().sum().backward()
    optimizer.step()
    sgd(plain).step()
    assert (vector(model) - vector(plain)).abs().max() < 1e-6
    model = two_layers(bf.rank())
    optimizer = in_backward(
        sgd(model), model, num_steps_per_communication=2, communication_type=bf.CommunicationType.allreduce
    )
    train_step(model, optimizer, inputs(bf.rank()))
    assert spread(model) > 0
    train_step(model, optimizer, inputs(bf.rank()))
    assert spread(model) == 0


def check_what_comes_too_late_is_refused() -> None:
    model = two_layers(1)
    optimizer = in_backward(sgd(model), model)
    loss = model(inputs(1)).square().sum()
    loss.backward(retain_graph=True)
    with raises(RuntimeError, "second backward before step"):
        loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    with raises(ValueError, "takes no closure"):
        optimizer.step(lambda: model(inputs(1)).sum())
    with raises(ValueError, "the base optimizer's own step"):
        optimizer.register_step_function(lambda *_: None)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(model(inputs(1)).square().sum()).backward()
    before = vector(model)
    with raises(RuntimeError, "does not go with a GradScaler"):
        scaler.step(optimizer)
    assert torch.equal(vector(model), before)


def check_an_unknown_optimizer_is_refused() -> None:
    class Own(torch.optim.SGD):
        pass

    model = two_layers(1)
    with raises(ValueError, "step_in_backward=True is for optimizers that update each parameter by itself"):
        ATC(Own(model.parameters(), lr=0.1), model, step_in_backward=True)


def check_no_sync_and_no_communication_only_adapt() -> None:
    model, plain = two_layers(bf.rank()), two_layers(bf.rank())
    optimizer = in_backward(sgd(model), model)
    with optimizer.no_sync():
        train_step(model, optimizer, inputs(1))
    optimizer.communication_type = bf.CommunicationType.empty
    train_step(model, optimizer, inputs(2))
    alone = sgd(plain)
    for step in (1, 2):
        train_step(plain, alone, inputs(step))
    assert torch.equal(vector(model), vector(plain))
    optimizer.communication_type = bf.CommunicationType.allreduce
    optimizer.param_groups[0]["lr"] = 0.0
    train_step(model, optimizer, inputs(3))
    assert (vector(model) - mean_over_ranks(vector(plain))).abs().max() < 1e-6
