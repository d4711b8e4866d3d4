"""Between networkx graphs and the engine's topologies.

In a networkx graph the weight of the edge ``i -> j`` is what the receiver j applies to the value of the
sender i, and the weight of ``i -> i`` is what i applies to its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import networkx as nx

from bluefog import _core

__all__ = ["digraph_from", "topology_from"]


def digraph_from(topology: _core.Topology) -> nx.DiGraph:
    """The DiGraph of a topology: nodes 0 to size - 1, edges with their ``weight``, self loops included."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(topology.size))
    graph.add_weighted_edges_from(topology.edges())
    return graph


def topology_from(graph: nx.DiGraph) -> _core.Topology:
    """The topology of a DiGraph whose nodes are 0 to n - 1. An edge without ``weight`` has weight 1.

    Raises:
        TypeError: it is not a DiGraph, or its nodes are not 0 to n - 1.
        ValueError: a weight is not finite.
    """
    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        raise TypeError(f"a topology must be a networkx.DiGraph object, not {type(graph).__name__}")
    size = graph.number_of_nodes()
    if set(graph.nodes) != set(range(size)):
        raise TypeError(f"the {size} nodes of a topology must be the ranks 0 to {size - 1}")
    edges: Iterable[tuple[int, int, float]] = graph.edges(data="weight", default=1.0)
    return _core.Topology(size, [(int(i), int(j), float(weight)) for i, j, weight in edges])
