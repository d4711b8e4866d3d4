"""Adapt then combine: everything in step(), and how backwards are counted. For 4 ranks."""

from __future__ import annotations

import bluefog.torch as bf
import torch
from optimizer_checks import (
    ATC,
    assert_close,
    inputs,
    mean_over_ranks,
    of_all_ranks,
    recorded_warnings,
    seeded,
    sgd,
    spread,
    train_step,
    two_layers,
    vector,
    wrapped,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

EVERYBODY = bf.CommunicationType.allreduce


def gradient_of(model: nn.Module, loss: torch.Tensor) -> torch.Tensor:
    return torch.cat(
        [g.reshape(-1) for g in torch.autograd.grad(loss, model.parameters(), retain_graph=True)]
    )


def check_combines_after_adapting() -> None:
    model = two_layers(bf.rank())
    before, x = vector(model), inputs(bf.rank())
    optimizer = wrapped(ATC, sgd(model), model, communication_type=EVERYBODY)
    gradient = gradient_of(model, model(x).square().sum())
    train_step(model, optimizer, x)
    assert_close(vector(model), mean_over_ranks(before - 0.1 * gradient))


def check_neighbours_of_the_topology_are_averaged() -> None:
    bf.set_topology(bf.RingGraph(bf.size()))
    model = two_layers(bf.rank())
    every = of_all_ranks(vector(model))
    optimizer = wrapped(ATC, sgd(model, lr=0.0), model)
    train_step(model, optimizer, inputs(1))
    ring = {(bf.rank() + distance) % bf.size() for distance in (-1, 0, 1)}
    assert_close(vector(model), every[sorted(ring)].mean(0))


def check_weighted_topology_is_used() -> None:
    bf.set_topology(bf.StarGraph(bf.size()), is_weighted=True)
    model = two_layers(bf.rank())
    expected = mean_over_ranks(vector(model))
    optimizer = wrapped(ATC, sgd(model, lr=0.0), model)
    for _ in range(80):
        train_step(model, optimizer, inputs(1))
    assert_close(vector(model), expected, 1e-4)  # a uniform mean over neighbours would end elsewhere


def check_clipping_is_effective() -> None:
    model = nn.Linear(4, 1, bias=False)
    seeded(model, 1)
    optimizer = ATC(sgd(model, lr=1.0), model)
    before = vector(model)
    (model(torch.ones(1, 4)) * 100).sum().backward()
    assert model.weight.grad.norm() == 200
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    assert_close((vector(model) - before).norm(), torch.tensor(1.0))


def check_weights_used_twice_get_the_right_gradient() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = ATC(sgd(model, lr=10.0), model)
    w = model.weight
    ((torch.ones(1, 1) @ w.detach()) @ w).sum().backward()
    assert w.grad.item() == 2.0
    optimizer.zero_grad()
    x = torch.full((1, 1), 2.0)
    ((x @ w.detach()) @ w).sum().backward()
    assert w.grad.item() == 4.0 and w.item() == 2.0
    optimizer.step()
    assert w.item() == -38.0


def check_second_backward_reads_the_same_weights() -> None:
    model = two_layers(1)
    optimizer = ATC(sgd(model), model, num_steps_per_communication=2)
    loss = model(inputs(1)).square().sum()
    loss.backward(retain_graph=True)
    once = model[0].weight.grad.clone()
    loss.backward()
    assert_close(model[0].weight.grad, 2 * once)
    optimizer.step()


def check_backward_after_step_is_refused() -> None:
    for lr in (0.1, 0.0):
        model = two_layers(1)
        optimizer = ATC(sgd(model, lr=lr), model)
        loss = model(inputs(1)).square().sum()
        loss.backward(retain_graph=True)
        optimizer.step()
        try:
            loss.backward()
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)
        else:
            raise AssertionError("a stale graph was accepted")


def check_checkpointing_changes_nothing() -> None:
    for reentrant in (True, False):
        model, plain = two_layers(1), two_layers(1)
        shared = model[2]
        optimizer, reference = ATC(sgd(model), model), sgd(plain)
        for step in range(3):
            x = inputs(step).requires_grad_()
            hidden = checkpoint(model[:2], x, use_reentrant=reentrant)
            out = checkpoint(shared, hidden, use_reentrant=reentrant) + checkpoint(
                shared, hidden, use_reentrant=reentrant
            )
            optimizer.zero_grad()
            out.square().sum().backward()
            optimizer.step()
            hidden = plain[:2](inputs(step))
            reference.zero_grad()
            (plain[2](hidden) + plain[2](hidden)).square().sum().backward()
            reference.step()
        assert_close(vector(model), vector(plain))


def check_accumulation_sums_all_gradients() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    optimizer = ATC(sgd(model, lr=1.0), model, num_steps_per_communication=2)
    for _ in range(2):
        optimizer.zero_grad()
        with recorded_warnings() as messages:
            for scale in (1.0, 10.0):
                model(torch.full((1, 1), scale)).sum().backward()
            optimizer.step()
        assert not messages, messages
    assert model.weight.item() == -22.0


def check_local_steps_communicate_on_every_jth_backward() -> None:
    model = two_layers(bf.rank())
    optimizer = wrapped(
        ATC, sgd(model, lr=0.0), model, communication_type=EVERYBODY, num_steps_per_communication=3
    )
    spreads = []
    for step in range(6):
        if step == 3:
            seeded(model, bf.rank())
        train_step(model, optimizer, inputs(1))
        spreads.append(spread(model) > 0)
    assert spreads == [True, True, False, True, True, False], spreads


def check_too_many_backwards_warn_once() -> None:
    model = two_layers(1)
    optimizer = ATC(sgd(model), model, num_steps_per_communication=2)
    with recorded_warnings() as messages:
        for _ in range(2):
            for _ in range(3):
                model(inputs(1)).sum().backward()
            optimizer.step()
    assert len(messages) == 1 and messages[0].startswith("UserWarning: Unexpected behavior"), messages


def check_schedule_reaches_consensus_with_any_number_of_local_steps() -> None:
    for local_steps in (1, 2, 3):
        model = two_layers(bf.rank())
        expected = mean_over_ranks(vector(model))
        schedule = bf.one_peer_exponential(bf.size())
        optimizer = wrapped(
            ATC, sgd(model, lr=0.0), model, num_steps_per_communication=local_steps, schedule=schedule
        )
        for _ in range(2 * local_steps):
            train_step(model, optimizer, inputs(1))
        assert optimizer.state_dict()["bluefog"]["round"] == 2
        assert_close(vector(model), expected)


def check_parameters_of_any_module_are_averaged() -> None:
    model = seeded(nn.MultiheadAttention(4, 2), bf.rank())
    expected = mean_over_ranks(vector(model))
    optimizer = wrapped(ATC, sgd(model, lr=0.0), model, communication_type=EVERYBODY)
    x = inputs(1, 3, 1, 4)
    model(x, x, x)[0].sum().backward()
    optimizer.step()
    assert_close(vector(model), expected)


def check_many_buckets_give_what_one_gives() -> None:
    """The job runs with a small BLUEFOG_BUCKET_SIZE, so that wide layers have buckets of their own."""

    def wide(seed: int) -> nn.Module:
        return seeded(nn.Sequential(nn.Linear(4, 600), nn.Tanh(), nn.Linear(600, 30), nn.Linear(30, 2)), seed)

    for kind in (torch.optim.SGD, torch.optim.Adam):
        model, plain = wide(bf.rank()), wide(bf.rank())
        optimizer = wrapped(ATC, kind(model.parameters(), lr=0.01), model, communication_type=EVERYBODY)
        assert len(optimizer._mixer.buckets) > 2
        reference = kind(plain.parameters(), lr=0.01)
        for step in range(3):
            train_step(model, optimizer, inputs(step + bf.rank()))
            train_step(plain, reference, inputs(step + bf.rank()))
            mean = mean_over_ranks(vector(plain))
            with torch.no_grad():
                nn.utils.vector_to_parameters(mean, plain.parameters())
            assert_close(vector(model), vector(plain))


def check_two_optimizers_mix_apart() -> None:
    models = [two_layers(bf.rank()), two_layers(bf.rank() + 10)]
    expected = [mean_over_ranks(vector(model)) for model in models]
    optimizers = [wrapped(ATC, sgd(m, lr=0.0), m, communication_type=EVERYBODY) for m in models]
    for model, optimizer in zip(models, optimizers):
        train_step(model, optimizer, inputs(1))
    for model, mean in zip(models, expected):
        assert_close(vector(model), mean)
