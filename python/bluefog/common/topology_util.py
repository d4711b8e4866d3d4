"""Static and dynamic graphs over ranks, as networkx graphs and as generators. Needs neither torch nor
``init()``.

The weight of the edge ``i -> j`` is what rank j applies to the value that it receives from rank i; rank i's
own value has the weight of ``i -> i``. All static graphs here are doubly stochastic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

import networkx as nx

from bluefog import _core
from bluefog.common.conversion import digraph_from, topology_from

__all__ = [
    "ExponentialGraph",
    "ExponentialTwoGraph",
    "FullyConnectedGraph",
    "GetDynamicOnePeerSendRecvRanks",
    "GetExp2DynamicSendRecvMachineRanks",
    "GetInnerOuterExpo2DynamicSendRecvRanks",
    "GetInnerOuterRingDynamicSendRecvRanks",
    "GetRecvWeights",
    "GetSendWeights",
    "HypercubeGraph",
    "IsRegularGraph",
    "IsTopologyEquivalent",
    "MeshGrid2DGraph",
    "RingGraph",
    "StarGraph",
    "SymmetricExponentialGraph",
    "TorusGraph",
    "WeightedGraph",
    "isPowerOf",
]

SendRecvRanks = Iterator[tuple[list[int], list[int]]]


def _require(condition: bool, message: str) -> None:
    """BlueFog 0.3 reports wrong arguments of graphs as AssertionError; so do we, under -O too."""
    if not condition:
        raise AssertionError(message)


def _checked_size(size: int) -> int:
    _require(size > 0, f"the number of ranks must be at least 1, not {size}")
    return size


def isPowerOf(x: int, base: int) -> bool:
    """True if ``x`` is ``base`` to an integer power, 1 included."""
    _require(isinstance(base, int) and base > 1, "base must be an integer above 1")
    if x < 1:
        return False
    while x % base == 0:
        x //= base
    return x == 1


def IsTopologyEquivalent(topo1: nx.DiGraph | None, topo2: nx.DiGraph | None) -> bool:
    """True if both graphs have the same nodes, edges and weights. False if one is None."""
    if topo1 is None or topo2 is None:
        return False
    if topo1.number_of_nodes() != topo2.number_of_nodes():
        return False
    return topology_from(topo1) == topology_from(topo2)


def IsRegularGraph(topo: nx.DiGraph) -> bool:
    """True if every rank has the same in-degree plus out-degree."""
    return len({degree for _, degree in topo.degree()}) <= 1


def GetRecvWeights(topo: nx.DiGraph, rank: int) -> tuple[float, dict[int, float]]:
    """The weight of ``rank`` itself and {in-neighbour: weight}."""
    weights = {src: topo[src][rank].get("weight", 1.0) for src in sorted(topo.predecessors(rank))}
    return weights.pop(rank, 0.0), weights


def GetSendWeights(topo: nx.DiGraph, rank: int) -> tuple[float, dict[int, float]]:
    """The weight of ``rank`` itself and {out-neighbour: weight that the receiver applies}."""
    weights = {dst: topo[rank][dst].get("weight", 1.0) for dst in sorted(topo.successors(rank))}
    return weights.pop(rank, 0.0), weights


def ExponentialTwoGraph(size: int) -> nx.DiGraph:
    """Rank i sends to i + 2^j (mod size) for every power of two below ``size``; all weights equal."""
    return digraph_from(_core.exponential_two_graph(_checked_size(size)))


def ExponentialGraph(size: int, base: int = 2) -> nx.DiGraph:
    """Rank i sends to i + base^j (mod size) for every power of ``base`` below ``size``; all weights equal."""
    _require(isinstance(base, int) and base > 1, "base must be an integer above 1")
    return digraph_from(_core.exponential_graph(_checked_size(size), base))


def SymmetricExponentialGraph(size: int, base: int = 4) -> nx.DiGraph:
    """Ranks whose distance around the ring is a power of ``base`` are joined; all weights equal."""
    _require(isinstance(base, int) and base > 1, "base must be an integer above 1")
    return digraph_from(_core.symmetric_exponential_graph(_checked_size(size), base))


def MeshGrid2DGraph(size: int, shape: tuple[int, int] | None = None) -> nx.DiGraph:
    """A grid of ``shape`` (rows, columns), row-major, with Metropolis-Hastings weights.

    Without ``shape``: the two closest factors of ``size``, the smaller first; a line if ``size`` is prime.
    """
    return digraph_from(_core.mesh_grid_2d_graph(_checked_size(size), _checked_shape(size, shape)))


def TorusGraph(size: int, shape: tuple[int, int] | None = None) -> nx.DiGraph:
    """A grid whose rows and columns are closed to rings; ``shape`` as in :func:`MeshGrid2DGraph`."""
    return digraph_from(_core.torus_graph(_checked_size(size), _checked_shape(size, shape)))


def _checked_shape(size: int, shape: tuple[int, int] | None) -> tuple[int, int] | None:
    if shape is None:
        return None
    rows, columns = shape
    _require(rows > 0 and rows * columns == size, f"a grid of {rows} x {columns} does not hold {size} ranks")
    return rows, columns


def StarGraph(size: int, center_rank: int = 0) -> nx.DiGraph:
    """Every rank is joined with ``center_rank`` by weight 1/size; it keeps 1/size, the others 1 - 1/size."""
    _require(0 <= center_rank < _checked_size(size), f"there is no rank {center_rank} among {size}")
    return digraph_from(_core.star_graph(size, center_rank))


def RingGraph(size: int, connect_style: int = 0) -> nx.DiGraph:
    """Rank i sends to i - 1 and i + 1 (style 0, weights 1/3), to i - 1 (1, 1/2) or to i + 1 (2, 1/2)."""
    _require(connect_style in (0, 1, 2), "connect_style must be 0 (both ways), 1 (left) or 2 (right)")
    return digraph_from(_core.ring_graph(_checked_size(size), connect_style))


def FullyConnectedGraph(size: int) -> nx.DiGraph:
    """Every rank sends to every other; all weights 1/size."""
    return digraph_from(_core.fully_connected_graph(_checked_size(size)))


def HypercubeGraph(size: int) -> nx.DiGraph:
    """Ranks whose numbers differ in one bit are joined. ``size`` must be a power of two."""
    _require(isPowerOf(size, 2), f"a hypercube needs a power of two, not {size}")
    return digraph_from(_core.hypercube_graph(size))


_WEIGHTINGS = {
    name: getattr(_core.Weighting, name)
    for name in ("metropolis_hastings", "max_degree", "best_constant", "fmmc", "fdla")
}


def WeightedGraph(graph: nx.Graph, weights: str = "metropolis_hastings") -> nx.DiGraph:
    """The edges of any undirected graph, with weights that preserve constants and the mean.

    Args:
        graph: nodes 0 to n - 1; a ``Graph``, or a ``DiGraph`` in which every edge has its opposite. Its
            weights and self loops do not count.
        weights: what an edge weighs, the same both ways; every rank keeps what its edges leave of 1.
            ``"metropolis_hastings"``: 1 / (1 + the larger degree of its ends). ``"max_degree"``: 1 / (1 + the
            largest degree of all). ``"best_constant"``: the best of all that are equal on all edges.
            ``"fmmc"`` (fastest mixing Markov chain; Boyd, Diaconis, Xiao 2004): the largest spectral gap
            without negative weights. ``"fdla"`` (fastest distributed linear averaging; Xiao, Boyd 2004): the
            largest of all. The last two take some seconds from about 500 edges on.

    Raises:
        AssertionError: the nodes are not 0 to n - 1, an edge has no opposite, or there are no such weights.
        ValueError: with one of the last three weights, a graph that is not connected.
    """
    size = _checked_size(graph.number_of_nodes())
    _require(set(graph.nodes) == set(range(size)), f"the nodes must be the ranks 0 to {size - 1}")
    _require(weights in _WEIGHTINGS, f"there are no weights {weights!r}; there are {', '.join(_WEIGHTINGS)}")
    edges = {(int(min(edge)), int(max(edge))) for edge in graph.edges() if edge[0] != edge[1]}
    _require(
        not graph.is_directed() or all(graph.has_edge(a, b) and graph.has_edge(b, a) for a, b in edges),
        "every edge must have its opposite",
    )
    return digraph_from(_core.weighted_graph(size, sorted(edges), _WEIGHTINGS[weights]))


def _every_round(lists_of_round: Callable[[int], tuple[list[int], list[int]]]) -> SendRecvRanks:
    t = 0
    while True:
        yield lists_of_round(t)
        t += 1


def GetDynamicOnePeerSendRecvRanks(topo: nx.DiGraph, self_rank: int) -> SendRecvRanks:
    """In every round each rank sends to one out-neighbour of ``topo``, going around them clockwise.

    Yields:
        (ranks to send to, ranks to receive from). On irregular graphs the latter may be several or none.
    """
    topology = topology_from(topo)
    return _every_round(lambda t: _core.dynamic_one_peer_send_recv(topology, self_rank, t))


def GetExp2DynamicSendRecvMachineRanks(
    world_size: int, local_size: int, self_rank: int, local_rank: int
) -> SendRecvRanks:
    """One-peer exponential-2 over machines.

    Yields:
        (machines to send to, machines to receive from).
    """
    _check_machines(world_size, local_size)
    _require(self_rank % local_size == local_rank, "ranks are not placed machine by machine")
    _require(world_size > local_size, "there must be at least two machines")
    return _every_round(
        lambda t: _core.exp2_machine_send_recv(world_size, local_size, self_rank, local_rank, t)
    )


def GetInnerOuterRingDynamicSendRecvRanks(world_size: int, local_size: int, self_rank: int) -> SendRecvRanks:
    """Local rank t mod local_size sends to its like on the next machine; the others form a ring inside.

    On one machine, or with fewer than three ranks a machine: a ring of all ranks.

    Yields:
        (ranks to send to, ranks to receive from).
    """
    _check_machines(world_size, local_size)
    return _every_round(lambda t: _core.inner_outer_ring_send_recv(world_size, local_size, self_rank, t))


def GetInnerOuterExpo2DynamicSendRecvRanks(world_size: int, local_size: int, self_rank: int) -> SendRecvRanks:
    """Local rank t mod local_size sends 2^j machines further; the others do one-peer exponential-2 inside.

    On one machine, or with fewer than three ranks a machine: one-peer exponential-2 over all ranks.

    Yields:
        (ranks to send to, ranks to receive from).
    """
    _check_machines(world_size, local_size)
    return _every_round(lambda t: _core.inner_outer_expo2_send_recv(world_size, local_size, self_rank, t))


def _check_machines(world_size: int, local_size: int) -> None:
    _require(
        local_size > 0 and world_size % local_size == 0,
        f"{world_size} ranks do not make machines of {local_size} ranks each",
    )
