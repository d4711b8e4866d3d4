"""Optimizers over windows: what is exchanged when, and what step() makes of it. For 4 ranks, and for 2."""

from __future__ import annotations

import gc

import bluefog.torch as bf
import torch
from job import raises
from optimizer_checks import (
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

WINDOWED = (
    bf.DistributedWinPutOptimizer,
    bf.DistributedPullGetOptimizer,
    bf.DistributedPushSumOptimizer,
    bf.DistributedADPSGDOptimizer,
)
PUT, GET, PUSH_SUM, PAIRS = WINDOWED


def connected(make, seed: int, **arguments):
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    model = two_layers(seed)
    optimizer = wrapped(make, sgd(model, **arguments), model)
    return model, optimizer


def all_has_come(optimizer) -> None:
    """Until what every rank has sent has arrived, so that results are those of a synchronous method."""
    for mixing in optimizer._style._mixings:
        while not mixing.exchanged():
            pass
    bf.barrier()


def check_put_averages_at_the_old_parameters() -> None:
    model, optimizer = connected(PUT, bf.rank())
    before = vector(model)
    loss = model(inputs(bf.rank())).square().sum()
    assert torch.equal(vector(model), before), "the parameters changed before step()"
    loss.backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    all_has_come(optimizer)
    optimizer.step()
    assert_close(vector(model), mean_over_ranks(before) - 0.1 * gradient)
    optimizer.unregister_window()


def check_get_averages_at_the_old_parameters() -> None:
    model, optimizer = connected(GET, bf.rank())
    before = vector(model)
    model(inputs(bf.rank())).square().sum().backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    all_has_come(optimizer)
    optimizer.step()
    assert_close(vector(model), mean_over_ranks(before) - 0.1 * gradient)
    bf.barrier()
    optimizer.unregister_window()


def check_synchronize_takes_what_has_come_early() -> None:
    model, optimizer = connected(PUT, bf.rank(), lr=0.0)
    for skipped in (True, False):
        seeded(model, bf.rank())
        expected = mean_over_ranks(vector(model))
        with recorded_warnings() as messages:
            model(inputs(1)).sum().backward()
            all_has_come(optimizer)
            optimizer.synchronize()
            assert_close(vector(model), expected)
            if skipped:
                with optimizer.skip_synchronize():
                    optimizer.step()
            else:
                optimizer.step()
        assert [("skip_synchronize" in m) for m in messages] == [True] * (not skipped), messages
        assert_close(vector(model), expected)
        bf.barrier()
    optimizer.unregister_window()


def check_push_sum_keeps_every_step() -> None:
    """The mean moves by the mean of the steps: in 0.3 a rank's own step was lost."""
    model, optimizer = connected(PUSH_SUM, bf.rank())
    start = mean_over_ranks(vector(model))
    for _ in range(3):
        optimizer.zero_grad()
        sum(p.sum() for p in model.parameters()).backward()  # every gradient is 1
        model(inputs(1))
        all_has_come(optimizer)
        optimizer.step()
        bf.barrier()
    assert_close(mean_over_ranks(vector(model)), start - 3 * 0.1)
    bf.barrier()
    optimizer.unregister_window()


def check_all_agree_in_the_end() -> None:
    for make in WINDOWED:
        bf.set_topology(bf.ExponentialTwoGraph(bf.size()))
        model = two_layers(bf.rank())
        start = mean_over_ranks(vector(model))
        optimizer = wrapped(make, sgd(model, lr=0.0), model)
        for _ in range(60):
            train_step(model, optimizer, inputs(bf.rank()))
            bf.barrier()
        assert spread(model) < 1e-3, f"{make.__name__}: {spread(model)}"
        if make in (PUSH_SUM, PAIRS):
            bf.barrier()
            assert_close(mean_over_ranks(vector(model)), start, 1e-3)
        bf.barrier()
        optimizer.unregister_window()


def check_every_parameter_takes_part() -> None:
    """Also those of a module that is no leaf, or of a model that is one: 0.3 averaged the first never,
    and could not wrap the second.
    """
    attention = nn.MultiheadAttention(8, 2)
    linear = nn.Linear(4, 2)
    with torch.no_grad():
        for parameter in (*attention.parameters(), *linear.parameters()):
            parameter.fill_(bf.rank())
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    models = [attention, linear]
    parameters = [p for m in models for p in m.parameters()]
    optimizer = wrapped(PUT, torch.optim.SGD(parameters, lr=0.0), models)
    x = torch.randn(3, 1, 8)
    (attention(x, x, x)[0].sum() + linear(inputs(1)).sum()).backward()
    all_has_come(optimizer)
    optimizer.step()
    expected = sum(range(bf.size())) / bf.size()
    for parameter in parameters:
        assert_close(parameter.detach(), torch.full_like(parameter, expected))
    bf.barrier()
    optimizer.unregister_window()


def check_destinations_can_be_chosen() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    model = two_layers(bf.rank())
    optimizer = wrapped(PUT, sgd(model, lr=0.0), model)
    optimizer.dst_weights = {(bf.rank() + 1) % bf.size(): 1.0}
    every = of_all_ranks(vector(model))
    model(inputs(1)).sum().backward()
    all_has_come(optimizer)
    optimizer.step()
    # The other buffers still hold this rank's own first parameters.
    expected = every[bf.rank()] * (bf.size() - 1) + every[bf.rank() - 1]
    assert_close(vector(model), expected / bf.size())
    bf.barrier()
    optimizer.dst_weights = {bf.rank(): 1.0}
    with raises(ValueError, "names rank"):
        model(inputs(1))
    optimizer.dst_weights = None
    optimizer.step()
    bf.barrier()
    optimizer.unregister_window()


def check_local_steps_count() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    model = two_layers(bf.rank())
    optimizer = wrapped(PUT, sgd(model, lr=0.0), model, num_steps_per_communication=3)
    before = vector(model)
    for _ in range(2):
        train_step(model, optimizer, inputs(1))
        assert torch.equal(vector(model), before)
    model(inputs(1)).sum().backward()
    all_has_come(optimizer)
    optimizer.step()
    assert_close(vector(model), mean_over_ranks(before))
    bf.barrier()
    optimizer.unregister_window()


def check_too_many_forwards_are_told() -> None:
    model, optimizer = connected(PUT, 1)
    with recorded_warnings() as messages:
        for _ in range(3):
            model(inputs(1))
        optimizer.step()
    assert len([m for m in messages if "Unexpected behavior" in m]) == 1, messages
    bf.barrier()
    optimizer.unregister_window()


def check_windows_go_with_the_optimizer() -> None:
    model, optimizer = connected(PUT, 1)
    train_step(model, optimizer, inputs(1))
    bf.barrier()
    del optimizer
    gc.collect()
    bf.barrier()
    assert bf.set_topology(bf.RingGraph(bf.size())) or wait_until_free()
    model(inputs(1)).sum().backward()


def wait_until_free() -> bool:
    while not bf.set_topology(bf.FullyConnectedGraph(bf.size())):
        pass
    return True


def check_unregistered_it_only_adapts() -> None:
    model, optimizer = connected(PUT, bf.rank())
    optimizer.unregister_window()
    before = vector(model)
    optimizer.zero_grad()
    model(inputs(1)).square().sum().backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    optimizer.step()
    assert_close(vector(model), before - 0.1 * gradient)
