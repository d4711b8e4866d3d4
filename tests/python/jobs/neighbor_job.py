"""Checks of neighbor_allreduce and neighbor_allgather against values that torch computes from the formula."""

from __future__ import annotations

import bluefog.torch as bf
import numpy as np
import torch
from bluefog.common import topology_util
from job import assert_close, assert_equal

FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def value(rank: int, dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = (23,)) -> torch.Tensor:
    """The tensor of a rank: small integers over 16, exact in every dtype."""
    generator = torch.Generator("cpu").manual_seed(1000 + rank)
    integers = torch.randint(-64, 64, shape, generator=generator, device="cpu")
    return (integers / 16).to(torch.empty(0).device, dtype)


def weighted_sum(terms: dict[int, float]) -> torch.Tensor:
    return sum((weight * value(rank) for rank, weight in terms.items()), torch.zeros(23, dtype=torch.float64))


def uniform(ranks: list[int]) -> torch.Tensor:
    return torch.stack([value(rank) for rank in sorted(ranks)]).sum(0) / len(ranks)


def check_static_topology_averages_uniformly() -> None:
    graphs = [
        "ExponentialGraph",
        "RingGraph",
        "StarGraph",
        "MeshGrid2DGraph",
        "FullyConnectedGraph",
        "TorusGraph",
    ]
    for name in graphs:
        bf.set_topology(getattr(topology_util, name)(bf.size()))
        result = bf.neighbor_allreduce(value(bf.rank()))
        assert_close(result, uniform([*bf.in_neighbor_ranks(), bf.rank()]))


def check_weighted_topology_uses_its_weights() -> None:
    for name in ("MeshGrid2DGraph", "StarGraph"):
        graph = getattr(topology_util, name)(bf.size())
        bf.set_topology(graph, is_weighted=True)
        self_weight, weights = bf.GetRecvWeights(graph, bf.rank())
        result = bf.neighbor_allreduce(value(bf.rank()))
        assert_close(result, weighted_sum({bf.rank(): self_weight, **weights}))


def check_the_weighted_flag_takes_effect_on_an_equal_graph() -> None:
    graph = topology_util.StarGraph(bf.size())
    for is_weighted in (False, True, False):
        assert bf.set_topology(graph, is_weighted=is_weighted)
        self_weight, weights = bf.GetRecvWeights(graph, bf.rank())
        expected = (
            weighted_sum({bf.rank(): self_weight, **weights})
            if is_weighted
            else uniform([*weights, bf.rank()])
        )
        assert_close(bf.neighbor_allreduce(value(bf.rank())), expected)


def check_directed_edges_go_from_sender_to_receiver() -> None:
    bf.set_topology(topology_util.RingGraph(bf.size(), connect_style=2))
    before = (bf.rank() - 1) % bf.size()
    assert bf.in_neighbor_ranks() == ([] if bf.size() == 1 else [before])
    assert_close(bf.neighbor_allreduce(value(bf.rank())), uniform([*{before, bf.rank()}]))


def check_means_of_powers_of_two_are_exact() -> None:
    bf.set_topology(topology_util.FullyConnectedGraph(bf.size()))
    tiny = torch.full((7,), 2.0**-256, dtype=torch.float64)
    if bf.size() & (bf.size() - 1) == 0:
        assert_equal(bf.neighbor_allreduce(tiny), tiny)


def check_every_floating_dtype_is_averaged() -> None:
    bf.set_topology(topology_util.FullyConnectedGraph(bf.size()))
    for dtype in FLOATING:
        # float16 and bfloat16 are summed in float32, and rounded once.
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        total = torch.stack([value(rank, dtype).to(wide) for rank in range(bf.size())]).sum(0)
        assert_equal(bf.neighbor_allreduce(value(bf.rank(), dtype)), (total / bf.size()).to(dtype))


def check_own_weights_over_the_static_topology() -> None:
    bf.set_topology(topology_util.FullyConnectedGraph(bf.size()))
    weights = {rank: 0.1 * (rank + 1) for rank in bf.in_neighbor_ranks()}
    result = bf.neighbor_allreduce(value(bf.rank()), self_weight=0.25, src_weights=weights)
    assert_close(result, weighted_sum({bf.rank(): 0.25, **weights}))


def check_a_strict_subset_of_the_sources_is_what_counts() -> None:
    bf.set_topology(topology_util.FullyConnectedGraph(bf.size()))
    weights = {rank: 0.5 for rank in bf.in_neighbor_ranks()[-1:]}
    result = bf.neighbor_allreduce(value(bf.rank()), self_weight=0.5, src_weights=weights)
    assert_close(result, weighted_sum({bf.rank(): 0.5, **weights}))


def check_a_weight_of_zero_does_not_read() -> None:
    bf.set_topology(topology_util.FullyConnectedGraph(bf.size()))
    mine = value(bf.rank())
    if bf.rank() == bf.size() - 1:
        mine = torch.full_like(mine, float("nan"))
    weights = {rank: 0.0 if rank == bf.size() - 1 else 1.0 for rank in bf.in_neighbor_ranks()}
    result = bf.neighbor_allreduce(mine, self_weight=1.0, src_weights=weights)
    if bf.rank() != bf.size() - 1:
        assert not result.isnan().any()


def check_no_sources_leave_the_input_alone() -> None:
    mine = value(bf.rank())
    result = bf.neighbor_allreduce(mine, self_weight=0.5, src_weights={}, dst_weights=[])
    assert_equal(mine, value(bf.rank()))
    assert_equal(result, 0.5 * value(bf.rank()))
    assert result.data_ptr() != mine.data_ptr()


def check_dynamic_with_a_list_of_destinations() -> None:
    generator = bf.GetDynamicOnePeerSendRecvRanks(topology_util.ExponentialGraph(bf.size()), bf.rank())
    for _ in range(4):
        send, recv = next(generator)
        weight = 1 / (len(recv) + 1)
        weights = dict.fromkeys(recv, weight)
        result = bf.neighbor_allreduce(
            value(bf.rank()), self_weight=weight, src_weights=weights, dst_weights=send
        )
        assert_close(result, weighted_sum({bf.rank(): weight, **weights}))


def check_dynamic_with_weights_at_both_ends() -> None:
    n, rank = bf.size(), bf.rank()
    send = {(rank + d) % n: 1.5 + rank for d in range(1, n)}
    recv = {(rank - d) % n: 0.25 * (rank + 1) for d in range(1, n)}
    result = bf.neighbor_allreduce(value(rank), self_weight=0.75, src_weights=recv, dst_weights=send)
    assert_close(result, weighted_sum({rank: 0.75, **{j: w * (1.5 + j) for j, w in recv.items()}}))


def check_half_precision_with_factors_of_the_senders() -> None:
    """Several in flight: 0.3 put those together, and then failed on the CPU."""
    n, rank = bf.size(), bf.rank()
    others = [other for other in range(n) if other != rank]
    for dtype in (torch.float16, torch.bfloat16):
        handles = [
            bf.neighbor_allreduce_nonblocking(
                value(rank, dtype),
                self_weight=0.5,
                src_weights=dict.fromkeys(others, 0.25),
                dst_weights=dict.fromkeys(others, factor),
            )
            for factor in (2.0, 4.0)
        ]
        for factor, handle in zip((2.0, 4.0), handles):
            expected = weighted_sum({rank: 0.5, **dict.fromkeys(others, 0.25 * factor)})
            assert_equal(bf.synchronize(handle), expected.to(dtype))


def check_lists_that_change_on_some_ranks_only_while_both_are_in_flight() -> None:
    """Rank 0 takes no part in either; in the first the others send ahead, in the second back."""
    n, rank = bf.size(), bf.rank()
    ring = list(range(1, n))
    handles, sources = [], []
    for step in (1, -1):
        if rank == 0 or len(ring) < 2:
            send, recv = [], []
        else:
            at = ring.index(rank)
            send, recv = [ring[(at + step) % len(ring)]], [ring[(at - step) % len(ring)]]
        sources.append(recv)
        handles.append(
            bf.neighbor_allreduce_nonblocking(
                value(rank), self_weight=0.5, src_weights=dict.fromkeys(recv, 0.25), dst_weights=send
            )
        )
    for recv, handle in zip(sources, handles):
        assert_close(bf.synchronize(handle), weighted_sum({rank: 0.5, **dict.fromkeys(recv, 0.25)}))


def check_dynamic_edges_are_free_of_the_static_topology() -> None:
    bf.set_topology(topology_util.RingGraph(bf.size(), connect_style=1))
    after, before = (bf.rank() + 1) % bf.size(), (bf.rank() - 1) % bf.size()
    send, recv = ([], []) if bf.size() == 1 else ([after], [before])
    result = bf.neighbor_allreduce(
        value(bf.rank()),
        self_weight=0.5,
        src_weights=dict.fromkeys(recv, 0.5),
        dst_weights=np.array(send, dtype=np.int64),
    )
    assert_close(result, weighted_sum({bf.rank(): 0.5, **dict.fromkeys(recv, 0.5)}))


def check_one_sided_lists_may_be_empty() -> None:
    """Rank 0 sends to all and receives from none."""
    others = list(range(1, bf.size()))
    root = bf.rank() == 0
    result = bf.neighbor_allreduce(
        value(bf.rank()),
        self_weight=0.5,
        src_weights={} if root else {0: 0.5},
        dst_weights=others if root else [],
    )
    assert_close(result, weighted_sum({0: 0.5} if root else {bf.rank(): 0.5, 0: 0.5}))


def check_numpy_weights_are_numbers() -> None:
    weight = np.float64(1 / bf.size())
    bf.set_topology(topology_util.FullyConnectedGraph(bf.size()))
    weights = {np.int64(rank): np.float32(weight) for rank in bf.in_neighbor_ranks()}
    result = bf.neighbor_allreduce(value(bf.rank()), self_weight=weight, src_weights=weights)
    assert_close(result, weighted_sum(dict.fromkeys(range(bf.size()), float(np.float32(weight)))))


def check_a_schedule_gives_each_round_its_weights() -> None:
    schedules = [
        bf.one_peer_exponential(bf.size()),
        bf.base_k_plus_one(bf.size(), max_degree=1),
        bf.hyper_hypercube(bf.size(), max_degree=2),
        bf.hierarchical(bf.one_peer_exponential(1), local_size=bf.size()),
        bf.one_peer_random_matching(bf.size(), seed=5),
        bf.one_peer_random_shift(bf.size(), seed=5, weight=0.25),
    ]
    for schedule in schedules:
        for t in range(3):
            graph = schedule.round(t)
            weights = {j: graph.weight(receiver=bf.rank(), sender=j) for j in graph.in_neighbors(bf.rank())}
            expected = weighted_sum({bf.rank(): graph.self_weight(bf.rank()), **weights})
            mine = value(bf.rank())
            assert_close(bf.neighbor_allreduce(mine, schedule=schedule, round=t), expected)
            assert_close(bf.neighbor_allreduce(mine, schedule=schedule, round=t, meet=True), expected)


def check_ceca_reaches_the_mean_in_the_fewest_rounds() -> None:
    variants = [bf.ceca_two_port(bf.size())]
    if bf.size() % 2 == 0:
        variants.append(bf.ceca_one_port(bf.size()))
    for ceca in variants:
        x = value(bf.rank())
        h = x.clone()
        for t in range(ceca.period):
            step = ceca.round(t)
            received = bf.neighbor_allreduce(x if step.sends_x else h, schedule=ceca.deliveries, round=t)
            x.lerp_(received, step.x_weight)
            h.lerp_(received, step.h_weight)
        assert_close(x, uniform(list(range(bf.size()))))


def check_groups_average_among_themselves() -> None:
    parity = [rank for rank in range(bf.size()) if rank % 2 == bf.rank() % 2]
    result = bf.neighbor_allreduce(
        value(bf.rank()), group=parity, schedule=bf.one_peer_exponential(len(parity))
    )
    graph = bf.one_peer_exponential(len(parity)).round(0)
    me = parity.index(bf.rank())
    weights = {parity[j]: graph.weight(receiver=me, sender=j) for j in graph.in_neighbors(me)}
    assert_close(result, weighted_sum({bf.rank(): graph.self_weight(me), **weights}))
    assert_close(bf.neighbor_allreduce(value(bf.rank()), group=np.array(parity)), uniform(parity))


def check_gathers_follow_the_topology() -> None:
    bf.set_topology(topology_util.RingGraph(bf.size()))
    rows = [value(rank, shape=(rank + 1, 3)) for rank in range(bf.size())]
    result = bf.neighbor_allgather(rows[bf.rank()])
    sources = bf.in_neighbor_ranks()
    assert_equal(
        result, torch.cat([rows[j] for j in sources]) if sources else torch.empty(0, 3, dtype=torch.float64)
    )


def check_gathers_follow_the_order_of_their_sources() -> None:
    rows = [value(rank, torch.float32, (2, rank, 5)[:1] + (4,)) for rank in range(bf.size())]
    others = [rank for rank in range(bf.size()) if rank != bf.rank()]
    result = bf.neighbor_allgather(
        rows[bf.rank()], src_ranks=np.array(others[::-1], dtype=int), dst_ranks=others
    )
    assert_equal(result, torch.cat([rows[j] for j in others[::-1]]) if others else torch.empty(0, 4))


def check_gathers_take_every_dtype() -> None:
    bf.set_topology(topology_util.FullyConnectedGraph(bf.size()))
    for dtype in [*FLOATING, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]:
        rows = [value(rank).abs().to(dtype) for rank in range(bf.size())]
        expected = [rows[j] for j in bf.in_neighbor_ranks()]
        assert_equal(
            bf.neighbor_allgather(rows[bf.rank()]),
            torch.cat(expected) if expected else torch.empty(0, dtype=dtype),
        )


def check_repeated_averages_reach_the_mean() -> None:
    x = torch.Tensor([bf.rank()])
    for _ in range(100):
        x = bf.neighbor_allreduce(x)
    assert abs(x.item() - (bf.size() - 1) / 2) < 1e-5
