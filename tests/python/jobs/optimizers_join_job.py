"""Ranks with unequal amounts of data, and parts of training without communication. For 4 ranks."""

from __future__ import annotations

import bluefog.torch as bf
import torch
from job import raises
from optimizer_checks import (
    AWC,
    STYLES,
    assert_close,
    inputs,
    mean_over_ranks,
    of_all_ranks,
    recorded_warnings,
    sgd,
    spread,
    train_step,
    two_layers,
    vector,
    wrapped,
)

LOCAL = {"num_steps_per_communication": 3}
MAKERS = [
    (bf.DistributedAdaptWithCombineOptimizer, {}),
    (bf.DistributedAdaptThenCombineOptimizer, {}),
    (bf.DistributedAdaptWithCombineOptimizer, LOCAL),
    (bf.DistributedAdaptThenCombineOptimizer, LOCAL),
    (bf.DistributedGradientAllreduceOptimizer, {}),
    (bf.DistributedGradientTrackingOptimizer, {}),
    (bf.DistributedExactDiffusionOptimizer, {}),
    (bf.DistributedQuasiGlobalMomentumOptimizer, {}),
    (bf.DistributedDecentLaMOptimizer, {}),
    (bf.DistributedGradientPushOptimizer, {}),
    (bf.DistributedGossipPGAOptimizer, {"rounds_per_average": 2}),
    (bf.DistributedLocalSGDOptimizer, LOCAL),
    (bf.DistributedDiLoCoOptimizer, LOCAL),
    (bf.DistributedNoLoCoOptimizer, LOCAL),
]


def check_ranks_make_unequal_numbers_of_steps() -> None:
    bf.set_topology(bf.RingGraph(bf.size()))
    for make, arguments in MAKERS:
        model = two_layers(1)
        optimizer = make(sgd(model, lr=0.05), model, **arguments)
        with bf.join(optimizer):
            for t in range(3 * (1 + 2 * bf.rank())):
                train_step(model, optimizer, inputs(10 * t + bf.rank()))
        assert torch.isfinite(vector(model)).all(), make.__name__
        assert bf.allreduce(torch.ones(1)).item() == 1, make.__name__


def check_a_rank_without_any_data_gets_what_the_others_learn() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    for make in STYLES:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        start = vector(model)
        with bf.join(optimizer):
            for t in range(4 if bf.rank() > 0 else 0):
                train_step(model, optimizer, inputs(t))
        assert (vector(model) - start).abs().max() > 1e-3
        if make is not AWC:
            assert spread(model) < 1e-6


def check_the_schedule_goes_on_with_everybody() -> None:
    schedule = bf.one_peer_exponential(bf.size())
    for make in STYLES:
        model = two_layers(bf.rank())
        mean = mean_over_ranks(vector(model))
        optimizer = wrapped(make, sgd(model, lr=0.0), model, schedule=schedule)
        with bf.join(optimizer):
            for t in range(bf.rank()):
                train_step(model, optimizer, inputs(t))
        assert optimizer.state_dict()["bluefog"]["round"] == 3
        assert_close(vector(model), mean)  # of 4 ranks, after 2 rounds


def check_gradients_of_who_has_run_out_are_zero() -> None:
    model, plain = two_layers(1), two_layers(1)
    optimizer, base = bf.DistributedGradientAllreduceOptimizer(sgd(model), model), sgd(plain)
    with bf.join(optimizer):
        for t in range(1 + bf.rank()):
            train_step(model, optimizer, inputs(t))
    for t in range(bf.size()):
        base.zero_grad()
        (plain(inputs(t)).square().sum() * (bf.size() - t) / bf.size()).backward()
        base.step()
    assert_close(vector(model), vector(plain), 1e-6)
    assert (of_all_ranks(vector(model)) == vector(model)).all()


def check_two_optimizers_join_together() -> None:
    bf.set_topology(bf.RingGraph(bf.size()))
    models = [two_layers(1), two_layers(2)]
    optimizers = [make(sgd(model), model) for make, model in zip(STYLES, models)]
    with bf.join(*optimizers):
        for t in range(1 + bf.rank()):
            for model, optimizer in zip(models, optimizers):
                train_step(model, optimizer, inputs(t))
    bf.barrier()


def check_optimizers_over_windows_just_meet() -> None:
    bf.set_topology(bf.RingGraph(bf.size()))
    model = two_layers(1)
    optimizer = bf.DistributedPushSumOptimizer(sgd(model), model)
    with bf.join(optimizer):
        for t in range(1 + 3 * bf.rank()):
            train_step(model, optimizer, inputs(t))
    optimizer.unregister_window()


def check_wrong_ones_are_refused() -> None:
    model = two_layers(1)
    with raises(TypeError, "join takes distributed optimizers, not SGD"):
        with bf.join(sgd(model)):
            pass
    optimizer = bf.DistributedAdaptThenCombineOptimizer(sgd(model), model)
    with raises(RuntimeError, "in a join.. block already"):
        with bf.join(optimizer, optimizer):
            with bf.join(optimizer):
                pass
    train_step(model, optimizer, inputs(1))


def check_an_exception_ends_the_block_at_once() -> None:
    bf.set_topology(bf.RingGraph(bf.size()))
    model = two_layers(1)
    optimizer = bf.DistributedAdaptThenCombineOptimizer(sgd(model), model)
    with raises(KeyError, "lost"):
        with bf.join(optimizer):
            train_step(model, optimizer, inputs(1))
            raise KeyError("lost")
    train_step(model, optimizer, inputs(2))


def check_no_sync_accumulates_and_communicates_nothing() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    for make, arguments in MAKERS[:2] + MAKERS[4:7]:
        model = two_layers(1)
        optimizer = make(sgd(model), model, **arguments)
        with recorded_warnings() as messages:
            with optimizer.no_sync():
                for part in range(3):
                    model(inputs(10 * part + bf.rank())).square().sum().backward()
            model(inputs(99)).square().sum().backward()
            optimizer.step()
        assert not messages, (make.__name__, messages)
        with optimizer.no_sync():
            before = spread(model)
            train_step(model, optimizer, inputs(bf.rank()))
            assert spread(model) > before + 1e-4, make.__name__
        train_step(model, optimizer, inputs(1))
