"""Graphs and dynamic schedules of BlueFog 0.3, without torch and without init."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from bluefog.common import schedules, topology_util
from bluefog.common.conversion import digraph_from, topology_from

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16]


def matrix_of(graph: nx.DiGraph) -> np.ndarray:
    """W[i, j]: weight of the edge i -> j."""
    return nx.to_numpy_array(graph, nodelist=range(graph.number_of_nodes()))


def circulant(size: int, distances: set[int]) -> np.ndarray:
    matrix = np.zeros((size, size))
    for rank in range(size):
        for distance in distances:
            matrix[rank, (rank + distance) % size] = 1 / len(distances)
    return matrix


def powers_below(base: int, bound: int) -> set[int]:
    return set(itertools.takewhile(lambda power: power < bound, (base**k for k in itertools.count())))


@pytest.mark.parametrize("size", SIZES)
def test_exponential_graphs_send_to_powers(size):
    two = circulant(size, {0} | powers_below(2, size))
    np.testing.assert_allclose(matrix_of(topology_util.ExponentialTwoGraph(size)), two)
    np.testing.assert_allclose(matrix_of(topology_util.ExponentialGraph(size)), two)
    three = circulant(size, {0} | powers_below(3, size))
    np.testing.assert_allclose(matrix_of(topology_util.ExponentialGraph(size, base=3)), three)


@pytest.mark.parametrize("size", SIZES)
def test_symmetric_exponential_graphs_join_both_ways(size):
    near = {d for d in range(1, size) if (d if d <= size // 2 else size - d) in powers_below(4, size)}
    expected = circulant(size, {0} | near)
    np.testing.assert_allclose(matrix_of(topology_util.SymmetricExponentialGraph(size)), expected)


@pytest.mark.parametrize("size", SIZES)
def test_rings(size):
    styles = {0: {0, 1, size - 1}, 1: {0, size - 1}, 2: {0, 1 % size}}
    for style, distances in styles.items():
        expected = circulant(size, {distance % size for distance in distances})
        np.testing.assert_allclose(matrix_of(topology_util.RingGraph(size, style)), expected)


@pytest.mark.parametrize("size", SIZES)
def test_stars(size):
    center = size // 2
    matrix = matrix_of(topology_util.StarGraph(size, center_rank=center))
    expected = np.eye(size) * (1 - 1 / size)
    expected[center, :] = expected[:, center] = 1 / size
    np.testing.assert_allclose(matrix, expected)


def test_grids_have_metropolis_hastings_weights():
    matrix = matrix_of(topology_util.MeshGrid2DGraph(6))  # 2 x 3
    neighbors = {0: [1, 3], 1: [0, 2, 4], 2: [1, 5], 3: [0, 4], 4: [1, 3, 5], 5: [2, 4]}
    for i, j in itertools.product(range(6), repeat=2):
        if j in neighbors[i]:
            assert matrix[i, j] == pytest.approx(1 / (1 + max(len(neighbors[i]), len(neighbors[j]))))
        elif i != j:
            assert matrix[i, j] == 0
    np.testing.assert_allclose(matrix.sum(0), 1)
    tall = topology_util.MeshGrid2DGraph(6, shape=(3, 2))
    assert set(tall.successors(0)) == {0, 1, 2}
    line = topology_util.MeshGrid2DGraph(5)
    assert set(line.successors(2)) == {1, 2, 3}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name",
    [
        "ExponentialGraph",
        "SymmetricExponentialGraph",
        "MeshGrid2DGraph",
        "StarGraph",
        "RingGraph",
        "FullyConnectedGraph",
        "TorusGraph",
    ],
)
def test_static_graphs_are_doubly_stochastic_digraphs(name, size):
    graph = getattr(topology_util, name)(size)
    assert type(graph) is nx.DiGraph and list(graph.nodes) == list(range(size))
    matrix = matrix_of(graph)
    np.testing.assert_allclose(matrix.sum(0), 1)
    np.testing.assert_allclose(matrix.sum(1), 1)


def test_wrong_arguments_of_graphs_are_assertion_errors():
    wrong = [
        lambda: topology_util.ExponentialGraph(8, base=1),
        lambda: topology_util.ExponentialGraph(8, base=2.0),
        lambda: topology_util.ExponentialGraph(0),
        lambda: topology_util.ExponentialTwoGraph(0),
        lambda: topology_util.SymmetricExponentialGraph(8, base=1),
        lambda: topology_util.SymmetricExponentialGraph(8, base=4.0),
        lambda: topology_util.isPowerOf(8, 1),
        lambda: topology_util.isPowerOf(8, 2.0),
        lambda: topology_util.FullyConnectedGraph(-1),
        lambda: topology_util.GetInnerOuterRingDynamicSendRecvRanks(6, 4, 0),
        lambda: topology_util.GetInnerOuterExpo2DynamicSendRecvRanks(6, 4, 0),
        lambda: topology_util.GetInnerOuterExpo2DynamicSendRecvRanks(6, 0, 0),
        lambda: topology_util.MeshGrid2DGraph(6, shape=(2, 2)),
        lambda: topology_util.RingGraph(4, connect_style=3),
        lambda: topology_util.StarGraph(4, center_rank=4),
        lambda: topology_util.HypercubeGraph(6),
    ]
    for make in wrong:
        with pytest.raises(AssertionError):
            make()


def test_powers_are_exact():
    for base, exponents in ((3, (0, 1, 5, 10)), (10, (3, 6)), (2, (40,))):
        for exponent in exponents:
            assert topology_util.isPowerOf(base**exponent, base)
            assert not topology_util.isPowerOf(base**exponent + 1, base) or base**exponent + 1 == base
    assert not topology_util.isPowerOf(0, 2)
    for base, power in ((3, 3**5), (10, 10**3)):  # powers that a logarithm in floating point misses
        graph = topology_util.ExponentialGraph(power + 1, base)
        assert power in graph.successors(0) and power - 1 not in graph.successors(0)


def test_weights_seen_by_receivers_and_by_senders():
    graph = nx.DiGraph()
    graph.add_weighted_edges_from([(0, 0, 0.5), (0, 1, 0.25), (2, 1, 0.75), (1, 2, 0.1)])
    assert topology_util.GetRecvWeights(graph, 1) == (0.0, {0: 0.25, 2: 0.75})
    assert topology_util.GetRecvWeights(graph, 0) == (0.5, {})
    assert topology_util.GetSendWeights(graph, 0) == (0.5, {1: 0.25})
    assert topology_util.GetSendWeights(graph, 1) == (0.0, {2: 0.1})


def test_equivalence_compares_weights_and_takes_none():
    ring = topology_util.RingGraph(4)
    assert topology_util.IsTopologyEquivalent(ring, topology_util.RingGraph(4))
    assert not topology_util.IsTopologyEquivalent(ring, topology_util.RingGraph(4, connect_style=1))
    assert not topology_util.IsTopologyEquivalent(ring, topology_util.RingGraph(5))
    assert not topology_util.IsTopologyEquivalent(None, ring)
    assert not topology_util.IsTopologyEquivalent(ring, None)
    heavier = topology_util.RingGraph(4)
    heavier[0][1]["weight"] = 0.4
    assert not topology_util.IsTopologyEquivalent(ring, heavier)


def test_regular_graphs():
    assert topology_util.IsRegularGraph(topology_util.RingGraph(5))
    assert not topology_util.IsRegularGraph(topology_util.StarGraph(5))


def test_one_peer_of_an_exponential_graph_goes_around_clockwise():
    generator = topology_util.GetDynamicOnePeerSendRecvRanks(topology_util.ExponentialGraph(8), 0)
    assert list(itertools.islice(generator, 4)) == [([1], [7]), ([2], [6]), ([4], [4]), ([1], [7])]


def test_one_peer_of_a_star():
    star = topology_util.StarGraph(4)
    center = topology_util.GetDynamicOnePeerSendRecvRanks(star, 0)
    assert list(itertools.islice(center, 3)) == [([1], [1, 2, 3]), ([2], [1, 2, 3]), ([3], [1, 2, 3])]
    leaf = topology_util.GetDynamicOnePeerSendRecvRanks(star, 2)
    assert list(itertools.islice(leaf, 3)) == [([0], []), ([0], [0]), ([0], [])]


def test_one_peer_of_a_graph_without_self_loops():
    ring = nx.DiGraph([(0, 1), (1, 2), (2, 0), (0, 2)])
    rank = topology_util.GetDynamicOnePeerSendRecvRanks(ring, 0)
    assert list(itertools.islice(rank, 3)) == [([1], [2]), ([2], [2]), ([1], [2])]
    lonely = topology_util.GetDynamicOnePeerSendRecvRanks(topology_util.ExponentialGraph(1), 0)
    assert list(itertools.islice(lonely, 2)) == [([], []), ([], [])]


def test_exponential_machines():
    generator = topology_util.GetExp2DynamicSendRecvMachineRanks(12, 2, self_rank=5, local_rank=1)
    assert list(itertools.islice(generator, 4)) == [([3], [1]), ([4], [0]), ([0], [4]), ([3], [1])]
    for wrong in ((12, 2, 5, 0), (12, 5, 5, 0), (4, 4, 1, 1)):
        with pytest.raises(AssertionError):
            topology_util.GetExp2DynamicSendRecvMachineRanks(*wrong)


def test_inner_outer_ring():
    """Two machines of three: in round 0 local rank 0 goes out, 1 and 2 exchange inside."""
    rounds = [next(topology_util.GetInnerOuterRingDynamicSendRecvRanks(6, 3, rank)) for rank in range(6)]
    assert rounds == [([3], [3]), ([2], [2]), ([1], [1]), ([0], [0]), ([5], [5]), ([4], [4])]


@pytest.mark.parametrize(("machines", "local_size"), [(2, 3), (4, 4), (5, 3), (3, 6), (9, 4)])
def test_inner_outer_expo2(machines, local_size):
    """In round t local rank t mod L goes out; distances double, and inside they jump over who is out."""
    size = machines * local_size
    farthest_out, farthest_in = (machines - 1).bit_length() - 1, (local_size - 2).bit_length() - 1
    for rank in range(size):
        generator = topology_util.GetInnerOuterExpo2DynamicSendRecvRanks(size, local_size, rank)
        machine, local = divmod(rank, local_size)
        for t, (send, recv) in zip(range(12), generator):
            out = t % local_size
            if local == out:
                step = 2 ** (t % (farthest_out + 1)) * local_size
                assert (send, recv) == ([(rank + step) % size], [(rank - step) % size])
                continue
            step = 2 ** (t % (farthest_in + 1))
            ahead = step + (step >= (out - local) % local_size)
            behind = step + (step >= (local - out) % local_size)
            first = machine * local_size
            assert send == [first + (local + ahead) % local_size]
            assert recv == [first + (local - behind) % local_size]


GENERATORS = {
    "inner_outer_ring": lambda n, local, r: topology_util.GetInnerOuterRingDynamicSendRecvRanks(n, local, r),
    "inner_outer_expo2": lambda n, local, r: topology_util.GetInnerOuterExpo2DynamicSendRecvRanks(
        n, local, r
    ),
    "one_peer_grid": lambda n, local, r: topology_util.GetDynamicOnePeerSendRecvRanks(
        topology_util.MeshGrid2DGraph(n), r
    ),
}


@pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize(
    ("size", "local_size"), [(1, 1), (2, 2), (4, 4), (4, 2), (6, 3), (12, 4), (16, 4), (15, 5)]
)
def test_what_one_sends_the_other_receives(make, size, local_size):
    ranks = [make(size, local_size, rank) for rank in range(size)]
    for _ in range(12):
        lists = [next(generator) for generator in ranks]
        sent = {(rank, dst) for rank, (send, _) in enumerate(lists) for dst in send}
        received = {(src, rank) for rank, (_, recv) in enumerate(lists) for src in recv}
        assert sent == received
        assert all(rank != dst for rank, dst in sent)
        assert all(len(send) == (size > 1) for send, _ in lists)


def test_inner_outer_expo2_on_one_machine_is_one_peer_exponential():
    generator = topology_util.GetInnerOuterExpo2DynamicSendRecvRanks(4, local_size=4, self_rank=0)
    assert list(itertools.islice(generator, 3)) == [([1], [3]), ([2], [2]), ([1], [3])]


def test_graphs_convert_with_their_direction():
    graph = nx.DiGraph([(0, 1), (2, 1)])
    topology = topology_from(graph)
    assert topology.in_neighbors(1) == [0, 2] and topology.out_neighbors(1) == []
    assert topology.weight(receiver=1, sender=2) == 1.0 and topology.weight(receiver=2, sender=1) == 0.0
    assert set(digraph_from(topology).edges(data="weight")) == {(0, 1, 1.0), (2, 1, 1.0)}
    weighted = nx.DiGraph()
    weighted.add_weighted_edges_from([(1, 0, float("nan"))])
    with pytest.raises(ValueError):
        topology_from(weighted)


def test_schedules_know_what_they_preserve_and_how_fast_they_mix():
    exponential = schedules.one_peer_exponential(8)
    assert (exponential.size, exponential.period) == (8, 3)
    assert exponential.preserves_constants() and exponential.preserves_mean()
    assert schedules.rounds_to_consensus(exponential) == 3
    grid = schedules.one_peer_dynamic(topology_util.MeshGrid2DGraph(16))
    assert grid.preserves_mean() and not grid.preserves_constants()
    assert schedules.spectral_gap(topology_util.RingGraph(8)) == pytest.approx(
        2 / 3 * (1 - np.cos(2 * np.pi / 8))
    )
    assert schedules.spectral_gap(topology_util.FullyConnectedGraph(5)) == pytest.approx(1)
    assert schedules.one_peer_hypercube(8) == schedules.one_peer_hypercube(8) != exponential
