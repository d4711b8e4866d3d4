"""Schedules and weights of graphs, without torch and without init."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from bluefog.common import schedules, topology_util
from bluefog.common.conversion import digraph_from

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def matrix_of(topology) -> np.ndarray:
    """W[i, j]: what rank i gives to what comes from rank j."""
    graph = digraph_from(topology)
    return nx.to_numpy_array(graph, nodelist=range(topology.size)).T


def product(schedule: schedules.Schedule, rounds: int) -> np.ndarray:
    result = np.eye(schedule.size)
    for t in range(rounds):
        result = matrix_of(schedule.round(t)) @ result
    return result


@pytest.mark.parametrize(("size", "degree", "rounds"), [(1, 1, 1), (5, 1, 5), (20, 2, 5), (25, 4, 2)])
def test_base_k_plus_one_is_exact_after_a_period(size, degree, rounds):
    schedule = schedules.base_k_plus_one(size, degree)
    assert schedule.period == rounds
    np.testing.assert_allclose(product(schedule, rounds), 1 / size, atol=1e-14)
    assert schedule.preserves_constants() and schedule.preserves_mean()


def test_hyper_hypercube_is_exact_and_refuses_large_prime_factors():
    np.testing.assert_allclose(product(schedules.hyper_hypercube(12, 2), 3), 1 / 12, atol=1e-15)
    with pytest.raises(ValueError, match="base_k_plus_one"):
        schedules.hyper_hypercube(14, 5)
    with pytest.raises(ValueError, match="1 or more"):
        schedules.base_k_plus_one(8, 0)


def mix_bits(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


class Numbers:
    """The numbers of one round, as the documentation of one_peer_random_matching defines them."""

    def __init__(self, seed: int, t: int) -> None:
        self.state = mix_bits(mix_bits((seed + GOLDEN) & MASK) ^ t)

    def below(self, bound: int) -> int:
        while True:
            self.state = (self.state + GOLDEN) & MASK
            number = mix_bits(self.state)
            if number >= 2**64 % bound:
                return number % bound


@pytest.mark.parametrize("seed", [0, 7, MASK])
@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_random_schedules_are_what_their_definition_says(size, seed):
    matching = schedules.one_peer_random_matching(size, seed)
    shift = schedules.one_peer_random_shift(size, seed, weight=0.25)
    for t in (0, 1, 1000, 2**40):
        numbers = Numbers(seed, t)
        order = list(range(size))
        for last in range(size - 1, 0, -1):
            drawn = numbers.below(last + 1)
            order[last], order[drawn] = order[drawn], order[last]
        expected = np.eye(size)
        for a, b in zip(order[::2], order[1::2]):
            expected[[a, a, b, b], [a, b, a, b]] = 0.5
        np.testing.assert_array_equal(matrix_of(matching.round(t)), expected)
        if size > 1:
            distance = 1 + Numbers(seed, t).below(size - 1)
            expected = 0.75 * np.eye(size) + 0.25 * np.roll(np.eye(size), distance, axis=0)
            np.testing.assert_array_equal(matrix_of(shift.round(t)), expected)


def test_random_schedules_never_repeat_and_are_told_apart_by_their_seed():
    schedule = schedules.one_peer_random_matching(16, seed=1)
    assert schedule.period == MASK
    assert schedule.preserves_constants() and schedule.preserves_mean()
    assert schedule == schedules.one_peer_random_matching(16, seed=1)
    assert schedule != schedules.one_peer_random_matching(16, seed=2)
    assert schedule != schedules.one_peer_random_shift(16, seed=1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        schedules.one_peer_random_shift(16, seed=1, weight=1)


@pytest.mark.parametrize(("make", "size"), [(schedules.ceca_two_port, 11), (schedules.ceca_one_port, 12)])
def test_ceca_reaches_the_mean_in_four_rounds(make, size):
    ceca = make(size)
    assert (ceca.size, ceca.period) == (size, 4)
    x = np.random.default_rng(1).normal(size=(size, 3))
    mean, h = x.mean(0), x.copy()
    for t in range(ceca.period):
        step = ceca.round(t)
        received = matrix_of(ceca.deliveries.round(t)) @ (x if step.sends_x else h)
        x = x + step.x_weight * (received - x)
        h = h + step.h_weight * (received - h)
        np.testing.assert_allclose(x.mean(0), mean, atol=1e-15)
    np.testing.assert_allclose(x, np.tile(mean, (size, 1)), atol=1e-15)
    np.testing.assert_allclose(ceca.product(ceca.period), 1 / size, atol=1e-15)


def test_ceca_with_one_port_needs_an_even_number():
    with pytest.raises(ValueError, match="two_port"):
        schedules.ceca_one_port(9)


def test_hierarchical_is_the_schedule_of_machines_kronecker_the_average():
    machines = schedules.base_k_plus_one(5, 1)
    schedule = schedules.hierarchical(machines, local_size=4)
    assert (schedule.size, schedule.period) == (20, 5)
    for t in range(5):
        expected = np.kron(matrix_of(machines.round(t)), np.full((4, 4), 0.25))
        np.testing.assert_allclose(matrix_of(schedule.round(t)), expected, atol=1e-16)
    assert schedules.rounds_to_consensus(schedule) == 5


@pytest.mark.parametrize(
    ("weights", "gap"),
    [
        ("metropolis_hastings", 0.1314),
        ("max_degree", 0.1172),
        ("best_constant", 0.1580),
        ("fmmc", 0.1756),
        ("fdla", 0.1756),
    ],
)
def test_weights_of_a_grid(weights, gap):
    for grid in (
        topology_util.MeshGrid2DGraph(16),
        nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4)),
    ):
        graph = topology_util.WeightedGraph(grid, weights)
        assert schedules.spectral_gap(graph) == pytest.approx(gap, abs=5.1e-5)
        matrix = nx.to_numpy_array(graph, nodelist=range(16))
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_allclose(matrix.sum(0), 1)
        assert {edge for edge in graph.edges() if edge[0] != edge[1]} == {
            edge for edge in grid.to_directed().edges() if edge[0] != edge[1]
        }


def test_weights_are_by_default_those_of_metropolis_and_hastings():
    grid = topology_util.MeshGrid2DGraph(12)
    assert topology_util.IsTopologyEquivalent(topology_util.WeightedGraph(grid), grid)


def test_wrong_arguments_of_weighted_graphs():
    wrong = [
        lambda: topology_util.WeightedGraph(topology_util.RingGraph(4, connect_style=1)),
        lambda: topology_util.WeightedGraph(nx.path_graph(4), weights="fastest"),
        lambda: topology_util.WeightedGraph(nx.path_graph(4), weights="__class__"),
        lambda: topology_util.WeightedGraph(nx.Graph([(1, 2)])),
        lambda: topology_util.WeightedGraph(nx.Graph()),
    ]
    for make in wrong:
        with pytest.raises(AssertionError):
            make()
    with pytest.raises(ValueError, match="rank 2 cannot be reached"):
        topology_util.WeightedGraph(nx.Graph([(0, 1), (2, 3)]), weights="fdla")
