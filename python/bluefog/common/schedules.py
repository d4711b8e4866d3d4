"""Schedules: time-varying graphs as objects that own their weights, and how fast graphs mix.

A schedule goes to ``neighbor_allreduce(schedule=, round=)`` or to an optimizer. It holds no state.
"""

from __future__ import annotations

import networkx as nx

from bluefog import _core
from bluefog._core import (
    CecaRound,
    CecaSchedule,
    Schedule,
    base_k_plus_one,
    ceca_one_port,
    ceca_two_port,
    hierarchical,
    hyper_hypercube,
    inner_outer_expo2,
    inner_outer_ring,
    one_peer_exponential,
    one_peer_hypercube,
    one_peer_random_matching,
    one_peer_random_shift,
)
from bluefog.common.conversion import topology_from

__all__ = [
    "CecaRound",
    "CecaSchedule",
    "Schedule",
    "base_k_plus_one",
    "ceca_one_port",
    "ceca_two_port",
    "hierarchical",
    "hyper_hypercube",
    "inner_outer_expo2",
    "inner_outer_ring",
    "one_peer_dynamic",
    "one_peer_exponential",
    "one_peer_hypercube",
    "one_peer_random_matching",
    "one_peer_random_shift",
    "rounds_to_consensus",
    "spectral_gap",
    "static_schedule",
]


def static_schedule(topology: nx.DiGraph) -> Schedule:
    """The same graph, with its own weights, in every round."""
    return _core.static_schedule(topology_from(topology))


def one_peer_dynamic(topology: nx.DiGraph) -> Schedule:
    """In round t every rank keeps half of its value and sends half to one out-neighbour, going around them
    clockwise.

    The weights of ``topology`` are not used. The mean is preserved on any graph; constants only where each
    rank receives from exactly one in every round, as on rings and exponential graphs.
    """
    return _core.one_peer_dynamic(topology_from(topology))


def spectral_gap(topology: nx.DiGraph) -> float:
    """1 - ||W - J||_2: every round shrinks the distance from the mean at least by the factor 1 - gap."""
    return topology_from(topology).spectral_gap()


def rounds_to_consensus(graph: nx.DiGraph | Schedule, tolerance: float = 1e-10) -> int | None:
    """Rounds until the distance from the mean is ``tolerance`` times that at the start; None if never."""
    if isinstance(graph, Schedule):
        return _core.rounds_to_consensus(graph, tolerance)
    return topology_from(graph).rounds_to_consensus(tolerance)
