"""Operations between neighbours of a graph: the static topology, a schedule, or ranks given with the call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

import torch

from bluefog.common.schedules import Schedule
from bluefog.torch._runtime import context
from bluefog.torch.ops.handles import Handle
from bluefog.torch.ops.operands import Gathered, Operands

__all__ = [
    "hierarchical_neighbor_allreduce",
    "hierarchical_neighbor_allreduce_nonblocking",
    "neighbor_allgather",
    "neighbor_allgather_nonblocking",
    "neighbor_allreduce",
    "neighbor_allreduce_nonblocking",
]

DstWeights = Union[Mapping[int, float], Iterable[int]]

_RENAMED = {
    "neighbor_weights": "src_weights",
    "send_neighbors": "dst_weights",
    "neighbor_machine_weights": "src_machine_weights",
    "send_neighbor_machines": "dst_machine_weights",
}


def _refuse_keywords(function: str, keywords: dict[str, Any]) -> None:
    for keyword in keywords:
        if keyword in _RENAMED:
            raise TypeError(f"{function}() has no argument '{keyword}' any more: use '{_RENAMED[keyword]}'")
        raise TypeError(f"{function}() got an unexpected keyword argument '{keyword}'")


def neighbor_allreduce(
    tensor: torch.Tensor,
    *,
    self_weight: float | None = None,
    src_weights: Mapping[int, float] | None = None,
    dst_weights: DstWeights | None = None,
    enable_topo_check: bool = True,
    name: str | None = None,
    group: Sequence[int] | None = None,
    schedule: Schedule | None = None,
    round: int = 0,
    meet: bool = False,
    out: torch.Tensor | None = None,
    **renamed: Any,
) -> torch.Tensor:
    """Weighted average of the own tensor and those of the in-neighbours.

    At rank i: ``self_weight * x_i + sum over j of src_weights[j] * (dst_weights of j)[i] * x_j``. Without
    weights: the uniform mean over the static topology's in-neighbours and self, or the topology's weights if
    it was set with ``is_weighted=True``.

    Args:
        tensor: float16, bfloat16 (which accumulate in float32), float32 or float64, of the same shape and
            dtype on all ranks that are neighbours. Any strides; no gradient flows.
        self_weight: weight of the own tensor; comes together with ``src_weights``.
        src_weights: {rank to receive from: weight}; without ``dst_weights`` only in-neighbours of the
            topology.
        dst_weights: dynamic: send to these ranks only, scaled by these factors; a list means factors 1. Any
            ranks.
        enable_topo_check: wait for the destinations too, so that an edge that only one end knows is an error
            on both.
        name: operations with a name are matched by it, others by the order of calls.
        group: the ranks that take part, in order; by default all. All of them make the call. Without weights
            and schedule their graph is the exponential-2 graph.
        schedule: instead of weights: a schedule over the group, whose round ``round`` is applied.
        round: number of the schedule's round; the same on all ranks.
        meet: all ranks connected by edges wait for each other, and tensors in shared memory are mixed by
            slices, in place. The same on all of them.
        out: where the result goes; may be ``tensor`` itself. By default a new tensor.

    Returns:
        The result, of the shape and dtype of ``tensor`` and on its device.

    Raises:
        ValueError: wrong arguments, here or at a neighbour; shapes, dtypes or edges that differ
            (MismatchError).
        PeerLostError, OperationTimeoutError, ShutdownError: as the names say.
    """
    if renamed:
        _refuse_keywords("neighbor_allreduce", renamed)
    operands = Operands(tensor, out)
    context().neighbor_allreduce(
        *operands.memories,
        name=name or "",
        group=group,
        self_weight=self_weight,
        src_weights=src_weights,
        dst_weights=dst_weights,
        schedule=schedule,
        round=round,
        meet=bool(meet),
        check_topology=bool(enable_topo_check),
        **operands.terms,
    )
    return operands.deliver()


def neighbor_allreduce_nonblocking(
    tensor: torch.Tensor,
    *,
    self_weight: float | None = None,
    src_weights: Mapping[int, float] | None = None,
    dst_weights: DstWeights | None = None,
    enable_topo_check: bool = True,
    name: str | None = None,
    group: Sequence[int] | None = None,
    schedule: Schedule | None = None,
    round: int = 0,
    meet: bool = False,
    out: torch.Tensor | None = None,
    **renamed: Any,
) -> Handle:
    """As :func:`neighbor_allreduce`, but returns a handle for ``poll``, ``synchronize`` and ``wait``."""
    if renamed:
        _refuse_keywords("neighbor_allreduce_nonblocking", renamed)
    operands = Operands(tensor, out)
    operation = context().neighbor_allreduce_async(
        *operands.memories,
        name=name or "",
        group=group,
        self_weight=self_weight,
        src_weights=src_weights,
        dst_weights=dst_weights,
        schedule=schedule,
        round=round,
        meet=bool(meet),
        check_topology=bool(enable_topo_check),
        **operands.terms,
        keep=operands,
    )
    return Handle.of(operation, operands.deliver)


def hierarchical_neighbor_allreduce(
    tensor: torch.Tensor,
    *,
    self_weight: float | None = None,
    src_machine_weights: Mapping[int, float] | None = None,
    dst_machine_weights: DstWeights | None = None,
    enable_topo_check: bool = False,
    name: str | None = None,
    schedule: Schedule | None = None,
    round: int = 0,
    out: torch.Tensor | None = None,
    **renamed: Any,
) -> torch.Tensor:
    """Weighted average of the means of this machine and of its neighbour machines.

    On every rank of machine m: ``self_weight * mean_m + sum over k of src_machine_weights[k] *
    (dst_machine_weights of k)[m] * mean_k``, where ``mean_k`` is the mean over the ranks of machine k,
    rounded to the dtype. Without weights: the uniform mean over the in-neighbours of
    ``set_machine_topology()`` and this machine, or that topology's weights if it was set with
    ``is_weighted=True``. Machines may hold different numbers of ranks. All ranks make the call.

    The bits depend on which ranks are of one machine (``BLUEFOG_NODES_PER_MACHINE``, or the hosts), and not
    on how they are connected. A mean crosses once to each machine that needs it, in slices that are shared
    out among the ranks of both.

    Args:
        tensor: float16, bfloat16, float32 or float64, of the same shape and dtype on all ranks of connected
            machines. Any strides; no gradient flows.
        self_weight: weight of this machine's mean. All three weights come together, and are the same on all
            ranks of a machine.
        src_machine_weights: {machine to receive from: weight}. Any machines but the own one.
        dst_machine_weights: send to these machines, scaled by these factors; a list means factors 1.
        enable_topo_check: without effect: edges that only one end knows are always errors.
        name: operations with a name are matched by it, others by the order of calls.
        schedule: instead of weights: a schedule over the machines, whose round ``round`` is applied.
        round: number of the schedule's round; the same on all ranks.
        out: where the result goes; may be ``tensor`` itself. By default a new tensor.

    Returns:
        The result, of the shape and dtype of ``tensor`` and on its device.

    Raises:
        ValueError: wrong arguments, here or at a rank of this or a neighbour machine; shapes, dtypes, weights
            or edges that differ (MismatchError).
        RuntimeError: there are neither weights nor a schedule nor a machine topology (TopologyMissingError).
        PeerLostError, OperationTimeoutError, ShutdownError: as the names say.
    """
    if renamed:
        _refuse_keywords("hierarchical_neighbor_allreduce", renamed)
    operands = Operands(tensor, out)
    context().hierarchical_neighbor_allreduce(
        *operands.memories,
        name=name or "",
        self_weight=self_weight,
        src_machine_weights=src_machine_weights,
        dst_machine_weights=dst_machine_weights,
        schedule=schedule,
        round=round,
        **operands.terms,
    )
    return operands.deliver()


def hierarchical_neighbor_allreduce_nonblocking(
    tensor: torch.Tensor,
    *,
    self_weight: float | None = None,
    src_machine_weights: Mapping[int, float] | None = None,
    dst_machine_weights: DstWeights | None = None,
    enable_topo_check: bool = False,
    name: str | None = None,
    schedule: Schedule | None = None,
    round: int = 0,
    out: torch.Tensor | None = None,
    **renamed: Any,
) -> Handle:
    """As :func:`hierarchical_neighbor_allreduce`, but returns a handle at once."""
    if renamed:
        _refuse_keywords("hierarchical_neighbor_allreduce_nonblocking", renamed)
    operands = Operands(tensor, out)
    operation = context().hierarchical_neighbor_allreduce_async(
        *operands.memories,
        name=name or "",
        self_weight=self_weight,
        src_machine_weights=src_machine_weights,
        dst_machine_weights=dst_machine_weights,
        schedule=schedule,
        round=round,
        **operands.terms,
        keep=operands,
    )
    return Handle.of(operation, operands.deliver)


def neighbor_allgather(
    tensor: torch.Tensor,
    *,
    src_ranks: Iterable[int] | None = None,
    dst_ranks: Iterable[int] | None = None,
    enable_topo_check: bool = True,
    name: str | None = None,
    group: Sequence[int] | None = None,
) -> torch.Tensor:
    """Concatenation, along the first dimension, of the in-neighbours' tensors; the own one is not included.

    Args:
        tensor: any supported dtype, at least one dimension; first dimensions may differ between ranks, the
            others not.
        src_ranks: dynamic, together with ``dst_ranks``: receive from these, and concatenate in this order. By
            default the in-neighbours of the topology, ascending.
        dst_ranks: send to these.
        enable_topo_check, name, group: as in :func:`neighbor_allreduce`.

    Raises:
        ValueError: wrong arguments, here or at a neighbour; shapes, dtypes or edges that differ
            (MismatchError).
    """
    operands = Gathered(tensor)
    gathered = context().neighbor_allgather(
        *operands.memory,
        name=name or "",
        group=group,
        src_ranks=src_ranks,
        dst_ranks=dst_ranks,
        check_topology=bool(enable_topo_check),
        **operands.terms,
    )
    return operands.deliver(gathered)


def neighbor_allgather_nonblocking(
    tensor: torch.Tensor,
    *,
    src_ranks: Iterable[int] | None = None,
    dst_ranks: Iterable[int] | None = None,
    enable_topo_check: bool = True,
    name: str | None = None,
    group: Sequence[int] | None = None,
) -> Handle:
    """As :func:`neighbor_allgather`, but returns a handle at once."""
    operands = Gathered(tensor)
    operation = context().neighbor_allgather_async(
        *operands.memory,
        name=name or "",
        group=group,
        src_ranks=src_ranks,
        dst_ranks=dst_ranks,
        check_topology=bool(enable_topo_check),
        **operands.terms,
        keep=operands,
    )
    return Handle.of(operation, operands.deliver_from)
