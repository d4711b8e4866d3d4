"""Graphs that the ranks find out together, and the graphs of :mod:`bluefog.common.topology_util`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import numpy as np
import torch

from bluefog.common.topology_util import *  # noqa: F403  (BlueFog 0.3 scripts import them from here, too)
from bluefog.torch._runtime import basics
from bluefog.torch.ops.collective import allgather

RanksAndMatrix = Union[list[int], tuple[list[int], np.ndarray]]

_INVALID = -1


def InferSourceFromDestinationRanks(
    dst_ranks: Sequence[int], construct_adjacency_matrix: bool = False
) -> RanksAndMatrix:
    """From whom this rank receives, if every rank sends to its ``dst_ranks``. Collective.

    Args:
        dst_ranks: ranks that this one sends to, without itself.
        construct_adjacency_matrix: also return the matrix W of the whole graph, W[i, j] for the edge i -> j,
            self loops included, in which each column is divided by its sum: uniform averages at the
            receivers.

    Returns:
        The ranks that send to this one, ascending; with ``construct_adjacency_matrix`` also W.

    Raises:
        ValueError: on every rank, if the list of one holds something else than distinct ranks of others.
    """
    lists = _gather_lists(dst_ranks, "dst_ranks")
    sources = [rank for rank, receivers in enumerate(lists) if basics.rank() in receivers]
    if not construct_adjacency_matrix:
        return sources
    edges = [(sender, receiver) for sender, receivers in enumerate(lists) for receiver in receivers]
    return sources, _averaging_matrix(edges)


def InferDestinationFromSourceRanks(
    src_ranks: Sequence[int], construct_adjacency_matrix: bool = False
) -> RanksAndMatrix:
    """To whom this rank sends, if every rank receives from its ``src_ranks``. Collective.

    Arguments, result and errors as :func:`InferSourceFromDestinationRanks`, the other way round.
    """
    lists = _gather_lists(src_ranks, "src_ranks")
    destinations = [rank for rank, senders in enumerate(lists) if basics.rank() in senders]
    if not construct_adjacency_matrix:
        return destinations
    edges = [(sender, receiver) for receiver, senders in enumerate(lists) for sender in senders]
    return destinations, _averaging_matrix(edges)


def _gather_lists(ranks: Sequence[int], what: str) -> list[list[int]]:
    """Every rank's list. A wrong list travels as a mark, so that all ranks raise."""
    given = list(ranks)
    mine = [int(rank) for rank in given] if _is_valid(given) else [_INVALID]
    counts = allgather(torch.tensor([len(mine)], device="cpu")).tolist()
    everything = allgather(torch.tensor(mine, dtype=torch.int64, device="cpu")).tolist()
    lists = []
    for rank, count in enumerate(counts):
        lists.append(everything[:count])
        everything = everything[count:]
        if _INVALID in lists[-1]:
            raise ValueError(
                f"{what} of rank {rank} must be distinct ranks between 0 and {basics.size() - 1}, "
                f"without {rank} itself"
            )
    return lists


def _is_valid(ranks: list[int]) -> bool:
    others = set(range(basics.size())) - {basics.rank()}
    return (
        all(isinstance(rank, (int, np.integer)) for rank in ranks)
        and len(set(ranks)) == len(ranks)
        and set(ranks) <= others
    )


def _averaging_matrix(edges: list[tuple[int, int]]) -> np.ndarray:
    matrix = np.eye(basics.size())
    for sender, receiver in edges:
        matrix[sender, receiver] = 1.0
    averaging: np.ndarray = matrix / matrix.sum(axis=0)
    return averaging
