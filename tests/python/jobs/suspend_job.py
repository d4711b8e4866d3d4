"""Checks of suspend and resume."""

from __future__ import annotations

import time

import bluefog.torch as bf
import torch
from bluefog.common.errors import SuspendedError
from job import assert_equal, assert_usable, raises
from optimizer_checks import ATC, AWC, inputs, recorded_warnings, sgd, train_step, two_layers, vector, wrapped

TEXT = r"rank \d+ is suspended.*bf\.resume\(\)"


def operations(x: torch.Tensor) -> list:
    return [
        lambda: bf.allreduce(x),
        lambda: bf.allreduce_(x),
        lambda: bf.allreduce_nonblocking(x),
        lambda: bf.allreduce_nonblocking_(x),
        lambda: bf.allgather(x),
        lambda: bf.allgather_nonblocking(x),
        lambda: bf.broadcast(x, 0),
        lambda: bf.broadcast_(x, 0),
        lambda: bf.broadcast_nonblocking(x, 0),
        lambda: bf.broadcast_nonblocking_(x, 0),
        bf.barrier,
        lambda: bf.neighbor_allreduce(x),
        lambda: bf.neighbor_allreduce_nonblocking(x),
        lambda: bf.neighbor_allgather(x),
        lambda: bf.neighbor_allgather_nonblocking(x),
        lambda: bf.hierarchical_neighbor_allreduce(x),
        lambda: bf.hierarchical_neighbor_allreduce_nonblocking(x),
        lambda: bf.pair_gossip(x, (bf.rank() + 1) % bf.size()),
        lambda: bf.pair_gossip_nonblocking(x, (bf.rank() + 1) % bf.size()),
        lambda: bf.win_create(x, "another"),
        lambda: bf.win_put(x, "w"),
        lambda: bf.win_put_nonblocking(x, "w"),
        lambda: bf.win_accumulate(x, "w"),
        lambda: bf.win_accumulate_nonblocking(x, "w"),
        lambda: bf.win_get("w"),
        lambda: bf.win_get_nonblocking("w"),
        lambda: bf.win_update("w"),
        lambda: bf.win_update_then_collect("w"),
        lambda: bf.win_mutex("w").__enter__(),
        lambda: bf.win_lock("w").__enter__(),
        bf.win_free,
        lambda: bf.broadcast_parameters([x], 0),
        lambda: bf.allreduce_parameters([x]),
        lambda: bf.consensus_distance([x]),
        lambda: bf.mean_model(two_layers(0)).__enter__(),
        lambda: bf.broadcast_optimizer_state(sgd(two_layers(0)), 0),
        lambda: bf.InferSourceFromDestinationRanks([]),
    ]


def check_no_operation_starts() -> None:
    x = torch.full((3,), float(bf.rank()))
    before = x.clone()
    bf.win_create(x, "w")
    started = bf.stats()["operations"]
    bf.suspend()
    for number, operation in enumerate(operations(x)):
        with raises(SuspendedError, TEXT):
            operation()
            raise AssertionError(f"operation {number} was started")
    assert issubclass(SuspendedError, ValueError)
    assert bf.stats()["operations"] == started
    bf.resume()
    assert_equal(x, before)
    assert_usable()
    bf.win_free()


def check_questions_are_answered() -> None:
    bf.win_create(torch.ones(3), "w", zero_init=True)
    bf.suspend()
    assert bf.is_initialized() and 0 <= bf.rank() < bf.size()
    assert bf.get_current_created_window_names() == ["w"]
    assert bf.win_associated_p("w") == 1.0
    assert set(bf.get_win_version("w")) == set(bf.in_neighbor_ranks())
    assert bf.is_shared(bf.empty_shared(4))
    with bf.timeline_context("row", "activity"):
        pass
    bf.resume()
    bf.win_free()
    bf.suspend()
    assert bf.set_topology(bf.RingGraph(bf.size())) is True
    bf.resume()


def check_one_resume_undoes_all() -> None:
    bf.resume()
    for _ in range(3):
        bf.suspend()
    bf.resume()
    assert_usable()
    bf.resume()
    assert_usable()


def check_what_is_in_flight_completes() -> None:
    """Also where another rank starts its part only later."""
    x = torch.full((1000,), float(bf.rank()))
    bf.barrier()
    if bf.rank() == 0:
        handle = bf.allreduce_nonblocking(x)
        bf.suspend()
        assert_equal(bf.synchronize(handle), torch.full((1000,), (bf.size() - 1) / 2))
        bf.resume()
    else:
        bf.allreduce(x)
    assert_usable()


def check_a_suspended_rank_holds_nobody_up() -> None:
    """Others write to its window and read from it, and average among themselves."""
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    x = torch.full((1000,), 1.0 + bf.rank())
    bf.win_create(x, "w")
    bf.barrier()
    others = [rank for rank in range(bf.size()) if rank != 0]
    if bf.rank() == 0:
        handle = bf.allreduce_nonblocking(torch.zeros(1), name="all others are done")
        bf.suspend()
        bf.synchronize(handle)
        bf.resume()
        versions = bf.get_win_version("w")
        assert versions == dict.fromkeys(others, 1), versions
        weights = dict.fromkeys(others, 1.0)
        total = bf.win_update("w", self_weight=0.0, neighbor_weights=weights)
        assert_equal(total, torch.full((1000,), float(sum(1 + rank for rank in others))))
    else:
        bf.win_put(x, "w", dst_weights=[0])
        bf.win_get("w", src_weights=[0])
        assert_equal(bf.win_update("w", self_weight=0.0, neighbor_weights={0: 1.0}), torch.ones(1000))
        assert bf.allreduce(torch.ones(1), average=False, group=others).item() == len(others)
        bf.allreduce(torch.zeros(1), name="all others are done")
    bf.barrier()
    bf.win_free()


def check_a_suspended_rank_needs_no_cpu() -> None:
    bf.barrier()
    bf.suspend()
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1
    bf.resume()


def check_optimizers_begin_no_round_and_go_on_afterwards() -> None:
    """To the bits of a run that was never suspended; a forward that was refused does not count."""
    if bf.size() == 1:
        return
    for make in (AWC, ATC, bf.DistributedWinPutOptimizer):
        ends = []
        for suspends in (False, True):
            model = two_layers(bf.rank())
            optimizer = wrapped(make, sgd(model), model)
            train_step(model, optimizer, inputs(bf.rank()))
            bf.barrier()
            if suspends:
                before = vector(model)
                bf.suspend()
                with raises(SuspendedError, TEXT):
                    train_step(model, optimizer, inputs(bf.rank()))
                bf.resume()
                assert_equal(vector(model), before)
            with recorded_warnings() as messages:
                train_step(model, optimizer, inputs(bf.rank()))
            if make is ATC and suspends:  # its backward did happen
                assert len(messages) == 1 and "Unexpected behavior" in messages[0]
            else:
                assert messages == []
            ends.append(vector(model))
            if make is bf.DistributedWinPutOptimizer:
                optimizer.unregister_window()
        if make is not bf.DistributedWinPutOptimizer:
            assert_equal(ends[1], ends[0])


def check_a_round_under_way_is_completed() -> None:
    if bf.size() == 1:
        return
    model = two_layers(bf.rank())
    optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=bf.CommunicationType.allreduce)
    mean = bf.allreduce(vector(model))
    loss = model(inputs(0)).sum()
    bf.suspend()
    loss.backward()
    optimizer.step()
    bf.resume()
    torch.testing.assert_close(vector(model), mean)


def check_a_new_membership_is_not_suspended() -> None:
    bf.suspend()
    bf.init()  # the same membership
    with raises(SuspendedError):
        bf.barrier()
    bf.shutdown()
    bf.init()
    assert_usable()
