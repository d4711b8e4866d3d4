"""Checks of joining and leaving, of topologies, and of graphs that ranks infer together."""

from __future__ import annotations

import os
import time

import bluefog.torch as bf
import networkx as nx
import numpy as np
import torch
from bluefog.common.errors import MismatchError, ShutdownError
from job import assert_usable, raises


def check_ranks_are_those_that_bfrun_gave() -> None:
    assert bf.rank() == bf.local_rank() == int(os.environ["BLUEFOG_RANK"])
    assert bf.size() == bf.local_size() == int(os.environ["BLUEFOG_SIZE"])
    assert (bf.machine_rank(), bf.machine_size()) == (0, 1)
    assert bf.is_homogeneous() and bf.is_initialized()


def check_names_of_old_have_answers() -> None:
    assert bf.mpi_threads_supported() is True
    assert bf.unified_mpi_window_model_supported() is True
    assert bf.nccl_built() is False
    bf.set_skip_negotiate_stage(True)
    assert bf.get_skip_negotiate_stage() is True
    assert_usable()
    bf.set_skip_negotiate_stage(False)
    assert bf.get_skip_negotiate_stage() is False


def check_stats_count_what_was_done_and_on_whom_was_waited() -> None:
    n, rank = bf.size(), bf.rank()
    before = bf.stats()
    assert before["operations"]["set_topology"]["count"] == 1  # by init()
    bf.allreduce(torch.ones(1000))
    with raises(ValueError):
        bf.broadcast(torch.ones(1000), root_rank=n)
    stats = bf.stats()
    allreduce = stats["operations"]["allreduce"]
    assert (allreduce["count"], allreduce["failed"], allreduce["bytes"]) == (1, 0, 4000)
    assert 0 < allreduce["seconds"] < 60
    assert stats["operations"]["broadcast"]["failed"] == 1
    assert stats["in_flight"] == 0
    assert sorted(stats["peers"]) == [peer for peer in range(n) if peer != rank]
    for peer in stats["peers"].values():
        assert peer["path"] == "shared memory"
        assert peer["bytes_received"] == peer["bytes_sent"] == 4000
        assert 0 <= peer["wait_seconds"] < 60
    tensor = bf.empty_shared((1 << 18,))
    memory = bf.stats()["memory"]
    assert memory["allocated"] - stats["memory"]["allocated"] == tensor.nbytes
    assert memory["allocated"] <= memory["populated"] <= memory["reserved"]


def check_a_slow_rank_is_the_one_that_was_waited_for() -> None:
    if bf.size() < 3:
        return
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    bf.barrier()
    before = bf.stats()["peers"]
    if bf.rank() == 0:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            torch.randn(100, 100) @ torch.randn(100, 100)
    bf.neighbor_allreduce(torch.ones(1000))
    after = bf.stats()["peers"]
    waits = {rank: after[rank]["wait_seconds"] - before[rank]["wait_seconds"] for rank in after}
    if bf.rank() != 0:
        on_slow = waits.pop(0)
        assert on_slow > 2 * max(waits.values()) and on_slow > 0.25, (on_slow, waits)


def check_the_default_topology_is_exponential() -> None:
    assert bf.IsTopologyEquivalent(bf.load_topology(), bf.ExponentialGraph(bf.size()))
    bf.set_topology(bf.RingGraph(bf.size()))
    bf.set_topology()
    assert bf.IsTopologyEquivalent(bf.load_topology(), bf.ExponentialGraph(bf.size()))


def check_a_repeated_init_resets_the_topology() -> None:
    bf.set_topology(bf.StarGraph(bf.size()), is_weighted=True)
    bf.init()
    assert bf.IsTopologyEquivalent(bf.load_topology(), bf.ExponentialGraph(bf.size()))
    bf.init(bf.RingGraph, is_weighted=True)
    assert bf.IsTopologyEquivalent(bf.load_topology(), bf.RingGraph(bf.size()))


def check_topologies_come_back_with_their_neighbors() -> None:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(bf.size()))
    graph.add_edges_from((rank, 0) for rank in reversed(range(bf.size())))
    assert bf.set_topology(graph) is True
    assert bf.load_topology() is graph
    assert bf.in_neighbor_ranks() == (list(range(1, bf.size())) if bf.rank() == 0 else [])
    assert bf.out_neighbor_ranks() == ([] if bf.rank() == 0 else [0])
    assert_usable()


def check_whether_weights_are_used_can_be_asked() -> None:
    assert bf.is_topo_weighted() is bf.is_machine_topo_weighted() is False
    bf.init(bf.RingGraph, is_weighted=True)
    assert (bf.is_topo_weighted(), bf.is_machine_topo_weighted()) == (True, False)
    bf.set_topology(bf.RingGraph(bf.size()))  # an equal graph, without its weights
    bf.set_machine_topology(bf.RingGraph(bf.machine_size()), is_weighted=True)
    assert (bf.is_topo_weighted(), bf.is_machine_topo_weighted()) == (False, True)
    bf.set_machine_topology(bf.RingGraph(bf.machine_size()))
    assert bf.is_machine_topo_weighted() is False


def check_what_is_no_graph_of_the_ranks_is_refused() -> None:
    named = nx.relabel_nodes(bf.RingGraph(bf.size()), {0: "zero"})
    for wrong in (nx.Graph(bf.RingGraph(bf.size())), "ring", nx.MultiDiGraph(bf.RingGraph(bf.size())), named):
        with raises(TypeError):
            bf.set_topology(wrong)
    with raises(TypeError, f"{bf.size() + 1} nodes"):
        bf.set_topology(bf.RingGraph(bf.size() + 1))
    assert bf.IsTopologyEquivalent(bf.load_topology(), bf.ExponentialGraph(bf.size()))
    assert_usable()


def check_a_topology_of_the_wrong_size_on_one_rank_is_an_error_on_all() -> None:
    if bf.size() == 1:
        return
    size = bf.size() + (bf.rank() == 0)
    with raises(TypeError if bf.rank() == 0 else ValueError, f"{bf.size() + 1} nodes"):
        bf.set_topology(bf.RingGraph(size))
    assert bf.IsTopologyEquivalent(bf.load_topology(), bf.ExponentialGraph(bf.size()))
    assert_usable()


def check_topologies_that_differ_are_an_error_on_all() -> None:
    if bf.size() == 1:
        return
    with raises(MismatchError):
        bf.set_topology(bf.RingGraph(bf.size()) if bf.rank() else nx.empty_graph(bf.size(), nx.DiGraph))
    with raises(MismatchError):
        bf.set_topology(bf.StarGraph(bf.size()), is_weighted=bf.rank() == 0)
    assert bf.IsTopologyEquivalent(bf.load_topology(), bf.ExponentialGraph(bf.size()))
    assert_usable()


def check_machine_topologies_are_local() -> None:
    assert bf.load_machine_topology() is None
    assert bf.in_neighbor_machine_ranks() == bf.out_neighbor_machine_ranks() == []
    graph = bf.ExponentialGraph(1)
    assert bf.set_machine_topology(graph) is True
    assert bf.load_machine_topology() is graph
    assert bf.in_neighbor_machine_ranks() == []
    with raises(ValueError):
        bf.set_machine_topology(None)
    for wrong in (bf.ExponentialGraph(2), "ring"):
        with raises(TypeError):
            bf.set_machine_topology(wrong)


def check_sources_are_inferred_from_destinations() -> None:
    n, rank = bf.size(), bf.rank()
    others = list(range(1, n))
    assert bf.InferSourceFromDestinationRanks(others if rank == 0 else []) == ([] if rank == 0 else [0])
    sources, matrix = bf.InferSourceFromDestinationRanks(
        others if rank == 0 else [], construct_adjacency_matrix=True
    )
    expected = np.eye(n) / 2
    expected[0, :] = 0.5
    expected[0, 0] = 1
    np.testing.assert_array_equal(matrix, expected)
    assert sources == ([] if rank == 0 else [0])


def check_destinations_are_inferred_from_sources() -> None:
    n, rank = bf.size(), bf.rank()
    others = np.arange(1, n)
    assert bf.InferDestinationFromSourceRanks(others if rank == 0 else []) == ([] if rank == 0 else [0])
    _, matrix = bf.InferDestinationFromSourceRanks(
        list(others) if rank == 0 else [], construct_adjacency_matrix=True
    )
    expected = np.eye(n)
    expected[:, 0] = 1 / n
    np.testing.assert_allclose(matrix, expected)


def check_the_matrix_of_an_uneven_graph_averages_what_each_rank_receives() -> None:
    """Every rank sends to those above it: rank j receives from j others, and 1 / (j + 1) of each counts."""
    n, rank = bf.size(), bf.rank()
    above, below = list(range(rank + 1, n)), list(range(rank))
    expected = np.triu(np.ones((n, n))) / np.arange(1, n + 1)
    sources, matrix = bf.InferSourceFromDestinationRanks(above, construct_adjacency_matrix=True)
    assert sources == below
    np.testing.assert_array_equal(matrix, expected)
    destinations, matrix = bf.InferDestinationFromSourceRanks(below[::-1], construct_adjacency_matrix=True)
    assert destinations == above
    np.testing.assert_array_equal(matrix, expected)
    np.testing.assert_allclose(matrix.sum(axis=0), 1)
    assert bf.set_topology(nx.from_numpy_array(matrix, create_using=nx.DiGraph), is_weighted=True)
    assert bf.in_neighbor_ranks() == below and bf.out_neighbor_ranks() == above
    mean = bf.neighbor_allreduce(torch.tensor([float(rank)], dtype=torch.float64))
    np.testing.assert_allclose(mean.item(), rank / 2)


def check_wrong_lists_to_infer_from_are_errors_on_all() -> None:
    last = bf.size() - 1
    for wrong in ([bf.size()], [-1], [last], [0.5], ["0"], *([[0, 0]] if last else [])):
        with raises(ValueError, f"rank {last}"):
            bf.InferSourceFromDestinationRanks(wrong if bf.rank() == last else [])
        with raises(ValueError, f"rank {last}"):
            bf.InferDestinationFromSourceRanks(
                wrong if bf.rank() == last else [], construct_adjacency_matrix=True
            )
    assert_usable()


def check_after_shutdown_operations_say_so_and_ranks_still_answer() -> None:
    rank, size = bf.rank(), bf.size()
    bf.shutdown()
    bf.shutdown()
    assert (bf.rank(), bf.size(), bf.is_initialized()) == (rank, size, False)
    operations = [
        lambda: bf.allreduce(torch.ones(1)),
        lambda: bf.neighbor_allreduce(torch.ones(1)),
        lambda: bf.broadcast(torch.ones(1), 0),
        lambda: bf.allgather(torch.ones(1)),
        lambda: bf.synchronize(bf.allreduce_nonblocking(torch.ones(1))),
        bf.barrier,
        bf.set_topology,
    ]
    for operation in operations:
        with raises(ShutdownError):
            operation()
    bf.init()
    assert_usable()
