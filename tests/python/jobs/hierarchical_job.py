"""Checks of hierarchical_neighbor_allreduce and of the optimizers that use it. For 4 ranks in 2 machines."""

from __future__ import annotations

import bluefog.torch as bf
import torch
from bluefog.common import topology_util
from job import assert_usable, raises
from optimizer_checks import (
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

HIERARCHICAL = bf.CommunicationType.hierarchical_neighbor_allreduce
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def value(rank: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Small integers over 16, whose means over two ranks are exact in every dtype."""
    generator = torch.Generator().manual_seed(1000 + rank)
    return (torch.randint(-32, 32, (5, 7), generator=generator) / 16).to(dtype)


def mean_of(machine: int) -> torch.Tensor:
    return (value(2 * machine) + value(2 * machine + 1)) / 2


def other_machine() -> int:
    return 1 - bf.machine_rank()


def check_machines_are_what_was_pretended() -> None:
    assert (bf.local_size(), bf.local_rank()) == (2, bf.rank() % 2)
    assert (bf.machine_size(), bf.machine_rank()) == (2, bf.rank() // 2)
    mine = torch.tensor([float(bf.rank())])
    assert bf.allreduce(mine, is_hierarchical_local=True).item() == 2 * bf.machine_rank() + 0.5


def check_static_topology_averages_uniformly() -> None:
    bf.set_machine_topology(bf.FullyConnectedGraph(2))
    expected = (mean_of(0) + mean_of(1)) / 2
    for dtype in FLOATING:
        result = bf.hierarchical_neighbor_allreduce(value(bf.rank(), dtype))
        assert torch.equal(result, expected.to(dtype))
    x = value(bf.rank())
    assert bf.hierarchical_neighbor_allreduce(x, out=x) is x
    assert torch.equal(x, expected)


def check_weighted_topology_uses_its_weights() -> None:
    graph = topology_util.RingGraph(2, connect_style=2)
    graph[0][1]["weight"], graph[1][1]["weight"] = 0.25, 0.75
    bf.set_machine_topology(graph, is_weighted=True)
    assert bf.load_machine_topology() is graph
    own, received = bf.GetRecvWeights(graph, bf.machine_rank())
    expected = own * mean_of(bf.machine_rank()) + received[other_machine()] * mean_of(other_machine())
    assert_close(bf.hierarchical_neighbor_allreduce(value(bf.rank())), expected)
    bf.set_machine_topology(graph)  # the same graph, without its weights
    assert_close(bf.hierarchical_neighbor_allreduce(value(bf.rank())), (mean_of(0) + mean_of(1)) / 2)


def check_weights_in_the_call_need_no_topology() -> None:
    handle = bf.hierarchical_neighbor_allreduce_nonblocking(
        value(bf.rank()),
        self_weight=0.25,
        src_machine_weights={other_machine(): 0.5},
        dst_machine_weights={other_machine(): 1.5},
        name="mine",
    )
    assert_close(bf.synchronize(handle), 0.25 * mean_of(bf.machine_rank()) + 0.75 * mean_of(other_machine()))


def check_a_list_of_destinations_and_none_at_all() -> None:
    sends = bf.machine_rank() == 0
    result = bf.hierarchical_neighbor_allreduce(
        value(bf.rank()),
        self_weight=1.0 if sends else 0.5,
        src_machine_weights={} if sends else {0: 0.5},
        dst_machine_weights=[1] if sends else [],
    )
    assert_close(result, mean_of(0) if sends else (mean_of(0) + mean_of(1)) / 2)


def check_a_schedule_over_machines() -> None:
    schedule = bf.one_peer_exponential(bf.machine_size())
    result = bf.hierarchical_neighbor_allreduce(value(bf.rank()), schedule=schedule, round=0)
    assert torch.equal(result, (mean_of(0) + mean_of(1)) / 2)
    with raises(ValueError, "over machines, not over ranks"):
        bf.hierarchical_neighbor_allreduce(value(0), schedule=bf.one_peer_exponential(bf.size()))


def check_a_topology_that_is_missing() -> None:
    for call in (
        bf.hierarchical_neighbor_allreduce,
        lambda x: bf.synchronize(bf.hierarchical_neighbor_allreduce_nonblocking(x)),
    ):
        with raises(RuntimeError, "no machine topology is set"):
            call(value(bf.rank()))
    assert_usable()


def check_wrong_arguments() -> None:
    x = value(bf.rank())
    with raises(TypeError, "src_machine_weights"):
        bf.hierarchical_neighbor_allreduce(x, neighbor_machine_weights={})
    with raises(TypeError, "dst_machine_weights"):
        bf.hierarchical_neighbor_allreduce(x, send_neighbor_machines=[])
    with raises(ValueError, "come together"):
        bf.hierarchical_neighbor_allreduce(x, self_weight=0.5, src_machine_weights={other_machine(): 0.5})
    with raises(ValueError, "no machine 2"):
        bf.hierarchical_neighbor_allreduce(
            x, self_weight=0.5, src_machine_weights={2: 0.5}, dst_machine_weights=[]
        )
    with raises(ValueError, "cannot be averaged"):
        bf.hierarchical_neighbor_allreduce(
            x.to(torch.int64), self_weight=1.0, src_machine_weights={}, dst_machine_weights=[]
        )
    with raises(TypeError, "3 nodes"):
        bf.set_machine_topology(bf.RingGraph(3))
    with raises(ValueError, "needs a topology"):
        bf.set_machine_topology(None)
    assert_usable()


def check_weights_that_differ_within_a_machine() -> None:
    with raises(bf.MismatchError):
        bf.hierarchical_neighbor_allreduce(
            value(bf.rank()),
            self_weight=0.5 + 0.1 * bf.local_rank(),
            src_machine_weights={other_machine(): 0.5},
            dst_machine_weights=[other_machine()],
        )
    assert_usable()


def check_optimizers_follow_the_machine_topology() -> None:
    bf.set_machine_topology(bf.FullyConnectedGraph(2))
    for make in (*STYLES, bf.DistributedHierarchicalNeighborAllreduceOptimizer):
        model = two_layers(bf.rank())
        expected = mean_over_ranks(vector(model))
        kind = {"communication_type": HIERARCHICAL} if make in STYLES else {}
        optimizer = wrapped(make, sgd(model, lr=0.0), model, **kind)
        train_step(model, optimizer, inputs(1))
        assert_close(vector(model), expected)


def check_optimizers_take_weights_before_each_step() -> None:
    for make in STYLES:
        for old in (False, True):
            model = two_layers(bf.rank())
            every = of_all_ranks(vector(model))
            means = [every[:2].mean(0), every[2:].mean(0)]
            optimizer = wrapped(make, sgd(model, lr=0.0), model, communication_type=HIERARCHICAL)
            with recorded_warnings() as messages:
                optimizer.self_weight = 0.25
                names = ("neighbor_machine_weights", "send_neighbor_machines")
                setattr(optimizer, names[0] if old else "src_machine_weights", {other_machine(): 0.75})
                setattr(optimizer, names[1] if old else "dst_machine_weights", [other_machine()])
            assert any("was renamed" in message for message in messages) == old
            train_step(model, optimizer, inputs(1))
            assert_close(vector(model), 0.25 * means[bf.machine_rank()] + 0.75 * means[other_machine()])


def check_optimizers_take_a_schedule_over_machines() -> None:
    for make in STYLES:
        model = two_layers(bf.rank())
        expected = mean_over_ranks(vector(model))
        schedule = bf.one_peer_exponential(bf.machine_size())
        optimizer = wrapped(
            make, sgd(model, lr=0.0), model, communication_type=HIERARCHICAL, schedule=schedule
        )
        train_step(model, optimizer, inputs(1))
        assert_close(vector(model), expected)
        assert optimizer.state_dict()["bluefog"]["round"] == 1
        with raises(ValueError, "4 machines, this job has 2"):
            over_ranks = bf.one_peer_exponential(bf.size())
            wrapped(make, sgd(model), model, communication_type=HIERARCHICAL, schedule=over_ranks)


def check_optimizers_without_a_topology() -> None:
    for make in STYLES:
        model = two_layers(bf.rank())
        optimizer = wrapped(make, sgd(model, lr=0.0), model, communication_type=HIERARCHICAL)
        with raises(RuntimeError, "no machine topology is set"):
            train_step(model, optimizer, inputs(1))
        optimizer.communication_type = bf.CommunicationType.allreduce
        train_step(model, optimizer, inputs(1))
        assert spread(model) < 1e-5
