"""Checks of windows on graphs: consensus, push-sum with its weights, groups, and edges of a window's own."""

from __future__ import annotations

import bluefog.torch as bf
import networkx as nx
import torch
from job import assert_close, assert_equal
from jobs.neighbor_job import uniform, value, weighted_sum
from jobs.windows_job import create, fully_connected, put


def check_repeated_puts_and_updates_reach_the_mean() -> None:
    x = create(torch.tensor([float(bf.rank())], dtype=torch.float64))
    for _ in range(60):
        put(x)
        bf.win_update("w")
        bf.barrier()
    assert abs(x.item() - (bf.size() - 1) / 2) < 1e-9


def check_push_sum_finds_the_mean_on_a_directed_graph() -> None:
    """Column weights only; the ranks run freely, and p mends what that does to the sum."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(bf.size()))
    if bf.size() > 1:
        nx.add_cycle(graph, range(bf.size()))
    graph.add_edges_from((rank, 0) for rank in range(2, bf.size()))
    bf.set_topology(graph)
    bf.turn_on_win_ops_with_associated_p()
    x = create(torch.full((100,), float(bf.rank()), dtype=torch.float64), zero_init=True)
    assert bf.win_associated_p("w") == 1.0
    destinations = bf.out_neighbor_ranks()
    share = 1 / (len(destinations) + 1)
    for _ in range(150):
        bf.win_accumulate(
            x, "w", self_weight=share, dst_weights=dict.fromkeys(destinations, share), require_mutex=True
        )
        bf.win_update_then_collect("w")
    bf.barrier()
    bf.win_update_then_collect("w")
    mass = torch.tensor([x[0].item(), bf.win_associated_p("w")], dtype=torch.float64)
    total = bf.allreduce(mass, average=False)
    assert_close(total, torch.tensor([bf.size() * (bf.size() - 1) / 2, bf.size()], dtype=torch.float64))
    for _ in range(100):  # in step, for what free running leaves
        bf.win_accumulate(x, "w", share, dict.fromkeys(destinations, share))
        bf.barrier()
        bf.win_update_then_collect("w")
        bf.barrier()
    assert_close(x / bf.win_associated_p("w"), torch.full_like(x, (bf.size() - 1) / 2))
    bf.turn_off_win_ops_with_associated_p()
    p = bf.win_associated_p("w")
    bf.win_put(x, "w", self_weight=0.5)
    assert bf.win_associated_p("w") == p


def check_associated_p_follows_the_tensor() -> None:
    """A tensor of ones, with zeros in the buffers, and its p go through the same."""
    sources = fully_connected()
    bf.turn_on_win_ops_with_associated_p()
    x = create(torch.ones(3, dtype=torch.float64), zero_init=True)

    def check() -> None:
        assert_close(torch.full_like(x, bf.win_associated_p("w")), x)
        bf.barrier()

    put(x, self_weight=0.5, dst_weights=dict.fromkeys(sources, 0.25))
    check()
    bf.win_update("w")
    check()
    bf.win_accumulate(x, "w")
    bf.barrier()
    bf.win_update("w", 0.5, dict.fromkeys(sources, 0.125), reset=True)
    check()
    bf.win_get("w")
    bf.barrier()
    bf.win_update("w", clone=True)
    check()
    bf.win_update_then_collect("w")
    check()


def check_groups_open_windows_among_themselves() -> None:
    group = [rank for rank in range(bf.size()) if rank % 2 == bf.rank() % 2]
    create(value(bf.rank()), group=group)
    bf.win_put(value(bf.rank()), "w")
    bf.barrier(group=group)
    mates = [rank for rank in group if rank != bf.rank()]
    result = bf.win_update("w", 1.0, dict.fromkeys(mates, 1.0))
    assert_equal(result, weighted_sum(dict.fromkeys(group, 1.0)))


def check_edges_of_a_windows_own() -> None:
    """A cycle, against the topology's direction."""
    bf.set_topology(bf.RingGraph(bf.size(), connect_style=2))
    ahead, behind = ([(bf.rank() + step) % bf.size()] if bf.size() > 1 else [] for step in (1, -1))
    create(value(bf.rank()), src_ranks=ahead, dst_ranks=behind)
    assert list(bf.get_win_version("w")) == ahead
    put(value(bf.rank()))
    assert_equal(bf.win_update("w"), uniform([*ahead, bf.rank()]))
