"""The optimizer that averages gradients. For 4 ranks; equal data and parameters make it plain torch."""

from __future__ import annotations

import bluefog.torch as bf
import torch
from job import raises
from optimizer_checks import (
    assert_close,
    inputs,
    of_all_ranks,
    recorded_warnings,
    sgd,
    train_step,
    two_layers,
    vector,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

MAKE = bf.DistributedGradientAllreduceOptimizer


def loss_on(model: nn.Module, rank: int, t: int) -> torch.Tensor:
    return model(inputs(100 * t + rank)).square().mean()


def pair(**arguments) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module, torch.optim.Optimizer]:
    """A model with the optimizer, and one that this rank trains on the data of all."""
    model, plain = two_layers(1), two_layers(1)
    return model, MAKE(sgd(model, **arguments), model), plain, sgd(plain, **arguments)


def assert_equal_on_all_ranks(model: nn.Module) -> None:
    every = of_all_ranks(vector(model))
    assert (every == every[0]).all()


def check_steps_are_those_of_the_mean_gradient() -> None:
    model, optimizer, plain, base = pair(momentum=0.9, weight_decay=0.01)
    for t in range(6):
        optimizer.zero_grad()
        loss_on(model, bf.rank(), t).backward()
        optimizer.step()
        base.zero_grad()
        (sum(loss_on(plain, rank, t) for rank in range(bf.size())) / bf.size()).backward()
        base.step()
        assert_close(vector(model), vector(plain), 1e-6)
    assert_equal_on_all_ranks(model)


def check_gradients_accumulate() -> None:
    model, plain = two_layers(1), two_layers(1)
    optimizer, base = MAKE(sgd(model), model, num_steps_per_communication=3), sgd(plain)
    for t in range(4):
        optimizer.zero_grad()
        base.zero_grad()
        with recorded_warnings() as messages:
            for part in range(3):
                loss_on(model, bf.rank(), 3 * t + part).backward()
        assert not messages, messages
        for part in range(3):
            (sum(loss_on(plain, r, 3 * t + part) for r in range(bf.size())) / bf.size()).backward()
        optimizer.step()
        base.step()
        assert_close(vector(model), vector(plain), 1e-6)


def check_clipping_sees_the_mean() -> None:
    model, optimizer, plain, base = pair()
    for t in range(3):
        optimizer.zero_grad()
        loss_on(model, bf.rank(), t).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        base.zero_grad()
        (sum(loss_on(plain, rank, t) for rank in range(bf.size())) / bf.size()).backward()
        assert_close(norm, nn.utils.clip_grad_norm_(plain.parameters(), 0.1), 1e-6)
        base.step()
        assert_close(vector(model), vector(plain), 1e-6)


def check_buckets_are_on_their_way_before_backward_ends() -> None:
    model = nn.Sequential(*(nn.Linear(40, 40) for _ in range(4)))
    bf.broadcast_parameters(model.state_dict(), root_rank=0)
    optimizer = MAKE(sgd(model), model)
    style = optimizer._style
    started_early: list[int] = []
    average = style._average

    def average_as_backward_ends() -> None:
        started_early.append(sum(averaging.started for averaging in style._buckets))
        average()

    style._average = average_as_backward_ends
    model(torch.ones(2, 40)).sum().backward()
    assert len(style._buckets) > 2 and started_early == [len(style._buckets)], started_early
    assert_close(model[0].weight.grad, of_all_ranks(model[0].weight.grad).mean(0))


def check_parameters_that_some_or_all_ranks_do_not_use() -> None:
    model = nn.ParameterDict({name: torch.ones(2) for name in ("all", "some", "none")})
    optimizer = MAKE(sgd(model, weight_decay=0.5), model)
    loss = model["all"].sum()
    if bf.rank() == 0:
        loss = loss + 8 * model["some"].sum()
    loss.backward()
    optimizer.step()
    assert model["none"].grad is None
    assert_close(model["all"], torch.full((2,), 1 - 0.1 * (1 + 0.5)))
    assert_close(model["some"], torch.full((2,), 1 - 0.1 * (2 + 0.5)))
    assert_close(model["none"], torch.ones(2))


def check_a_rank_whose_loss_needs_no_parameter() -> None:
    model = two_layers(1)
    optimizer = MAKE(sgd(model), model)
    if bf.rank() != 1:
        loss_on(model, bf.rank(), 0).backward()
    optimizer.step()
    assert_equal_on_all_ranks(model)


def check_too_many_backwards_are_told_and_counted() -> None:
    model, optimizer, plain, base = pair()
    with recorded_warnings() as messages:
        for t in range(2):
            loss_on(model, bf.rank(), t).backward()
    assert len(messages) == 1 and "Unexpected behavior" in messages[0], messages
    optimizer.step()
    for t in range(2):
        (sum(loss_on(plain, rank, t) for rank in range(bf.size())) / bf.size()).backward()
    base.step()
    assert_close(vector(model), vector(plain), 1e-6)
    assert_equal_on_all_ranks(model)


def check_an_infinity_on_one_rank_makes_all_skip() -> None:
    model, optimizer, _, _ = pair()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    start = vector(model)
    for t in range(3):
        optimizer.zero_grad()
        loss = loss_on(model, bf.rank(), t)
        if t == 0 and bf.rank() == 2:
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(vector(model), start) == (t == 0)
    assert scaler.get_scale() == 4.0
    assert_equal_on_all_ranks(model)


def check_synchronize_and_closures() -> None:
    model, optimizer, plain, base = pair()
    loss_on(model, bf.rank(), 0).backward()
    optimizer.synchronize()
    with optimizer.skip_synchronize():
        optimizer.step()
    (sum(loss_on(plain, rank, 0) for rank in range(bf.size())) / bf.size()).backward()
    base.step()
    assert_close(vector(model), vector(plain), 1e-6)
    calls = []

    def closure() -> torch.Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = loss_on(model, bf.rank(), 1)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() > 0 and len(calls) == 1
    assert_equal_on_all_ranks(model)


def check_checkpointed_layers() -> None:
    for reentrant in (False, True):
        model, optimizer, plain, base = pair()
        x = inputs(bf.rank()).requires_grad_()
        checkpoint(model, x, use_reentrant=reentrant).square().mean().backward()
        optimizer.step()
        (sum(loss_on(plain, rank, 0) for rank in range(bf.size())) / bf.size()).backward()
        base.step()
        assert_close(vector(model), vector(plain), 1e-6)


def check_sparse_gradients_are_refused() -> None:
    model = nn.Embedding(5, 3, sparse=True)
    bf.broadcast_parameters(model.state_dict(), root_rank=0)
    optimizer = MAKE(sgd(model), model)
    with raises(ValueError, "has a sparse gradient"):
        model(torch.tensor([1, 2])).sum().backward()
    del optimizer


def check_it_trains_with_adamw_and_added_parameters() -> None:
    model = two_layers(1)
    optimizer = MAKE(torch.optim.AdamW(model[0].parameters(), lr=0.01), model)
    train_step(model, optimizer, inputs(bf.rank()))
    optimizer.add_param_group({"params": model[2].parameters()})
    for t in range(5):
        train_step(model, optimizer, inputs(10 * t + bf.rank()))
    assert_equal_on_all_ranks(model)
