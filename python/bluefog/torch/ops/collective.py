"""Operations of all ranks, or of all ranks of a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch

from bluefog.torch._runtime import basics, context
from bluefog.torch.ops.handles import Handle
from bluefog.torch.ops.operands import Gathered, InPlace, Operands

__all__ = [
    "allgather",
    "allgather_nonblocking",
    "allreduce",
    "allreduce_",
    "allreduce_nonblocking",
    "allreduce_nonblocking_",
    "barrier",
    "broadcast",
    "broadcast_",
    "broadcast_nonblocking",
    "broadcast_nonblocking_",
]

Group = Optional[Sequence[int]]


def _reduction_group(is_hierarchical_local: bool, group: Group) -> Group:
    if not is_hierarchical_local:
        return group
    if group is not None:
        raise ValueError("is_hierarchical_local and group exclude each other")
    first = basics.rank() - basics.local_rank()
    return range(first, first + basics.local_size())


def _allreduce(
    tensor: torch.Tensor,
    average: bool,
    local: bool,
    name: str | None,
    group: Group,
    out: torch.Tensor | None,
) -> torch.Tensor:
    operands = Operands(tensor, out)
    context().allreduce(
        *operands.memories,
        mean=bool(average),
        name=name or "",
        group=_reduction_group(local, group),
        **operands.terms,
    )
    return operands.deliver()


def _allreduce_nonblocking(
    tensor: torch.Tensor,
    average: bool,
    local: bool,
    name: str | None,
    group: Group,
    out: torch.Tensor | None,
) -> Handle:
    operands = Operands(tensor, out)
    operation = context().allreduce_async(
        *operands.memories,
        mean=bool(average),
        name=name or "",
        group=_reduction_group(local, group),
        **operands.terms,
        keep=operands,
    )
    return Handle.of(operation, operands.deliver)


def allreduce(
    tensor: torch.Tensor,
    average: bool = True,
    is_hierarchical_local: bool = False,
    name: str | None = None,
    *,
    group: Group = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean or sum of the ranks' tensors, added in ascending rank order.

    Args:
        tensor: for means float16, bfloat16, float32 or float64; for sums also the integer types. Same shape
            and dtype on all ranks. Any strides; no gradient flows.
        average: the mean, else the sum.
        is_hierarchical_local: over the ranks of this machine only.
        name: operations with a name are matched by it, others by the order of calls.
        group: the ranks that take part, in order; by default all. All of them make the call.
        out: where the result goes; may be ``tensor`` itself. By default a new tensor.

    Raises:
        ValueError: wrong arguments; shapes or dtypes that differ between ranks (MismatchError).
        PeerLostError, OperationTimeoutError, ShutdownError: as the names say.
    """
    return _allreduce(tensor, average, is_hierarchical_local, name, group, out)


def allreduce_nonblocking(
    tensor: torch.Tensor,
    average: bool = True,
    is_hierarchical_local: bool = False,
    name: str | None = None,
    *,
    group: Group = None,
    out: torch.Tensor | None = None,
) -> Handle:
    """As :func:`allreduce`, but returns a handle at once."""
    return _allreduce_nonblocking(tensor, average, is_hierarchical_local, name, group, out)


def allreduce_(
    tensor: torch.Tensor,
    average: bool = True,
    is_hierarchical_local: bool = False,
    name: str | None = None,
    *,
    group: Group = None,
) -> torch.Tensor:
    """As :func:`allreduce`, in place. Returns ``tensor``."""
    return _allreduce(tensor, average, is_hierarchical_local, name, group, tensor)


def allreduce_nonblocking_(
    tensor: torch.Tensor,
    average: bool = True,
    is_hierarchical_local: bool = False,
    name: str | None = None,
    *,
    group: Group = None,
) -> Handle:
    """As :func:`allreduce_`, but returns a handle. ``tensor`` holds the result once it was waited for."""
    return _allreduce_nonblocking(tensor, average, is_hierarchical_local, name, group, tensor)


def allgather(tensor: torch.Tensor, name: str | None = None, *, group: Group = None) -> torch.Tensor:
    """Concatenation, along the first dimension, of all ranks' tensors, in the order of the group.

    Args:
        tensor: any supported dtype, at least one dimension; first dimensions may differ between ranks, the
            others not.
        name, group: as in :func:`allreduce`.
    """
    operands = Gathered(tensor)
    gathered = context().allgather(*operands.memory, name=name or "", group=group, **operands.terms)
    return operands.deliver(gathered)


def allgather_nonblocking(tensor: torch.Tensor, name: str | None = None, *, group: Group = None) -> Handle:
    """As :func:`allgather`, but returns a handle at once."""
    operands = Gathered(tensor)
    operation = context().allgather_async(
        *operands.memory, name=name or "", group=group, **operands.terms, keep=operands
    )
    return Handle.of(operation, operands.deliver_from)


def broadcast(
    tensor: torch.Tensor, root_rank: int, name: str | None = None, *, group: Group = None
) -> torch.Tensor:
    """The tensor of rank ``root_rank``, as a new tensor.

    Args:
        tensor: any supported dtype; same shape and dtype on all ranks.
        root_rank: a rank (of the group); the same on all ranks.
        name, group: as in :func:`allreduce`.
    """
    return broadcast_(_root_copy(tensor, root_rank), root_rank, name, group=group)


def broadcast_nonblocking(
    tensor: torch.Tensor, root_rank: int, name: str | None = None, *, group: Group = None
) -> Handle:
    """As :func:`broadcast`, but returns a handle at once."""
    return broadcast_nonblocking_(_root_copy(tensor, root_rank), root_rank, name, group=group)


def broadcast_(
    tensor: torch.Tensor, root_rank: int, name: str | None = None, *, group: Group = None
) -> torch.Tensor:
    """As :func:`broadcast`, in place. Returns ``tensor``."""
    operands = InPlace(tensor, is_read=basics.rank() == root_rank)
    context().broadcast(*operands.memory, root_rank, name=name or "", group=group, **operands.terms)
    return operands.deliver()


def broadcast_nonblocking_(
    tensor: torch.Tensor, root_rank: int, name: str | None = None, *, group: Group = None
) -> Handle:
    """As :func:`broadcast_`, but returns a handle. ``tensor`` holds the result once it was waited for."""
    operands = InPlace(tensor, is_read=basics.rank() == root_rank)
    operation = context().broadcast_async(
        *operands.memory,
        root_rank,
        name=name or "",
        group=group,
        **operands.terms,
        keep=operands,
    )
    return Handle.of(operation, operands.deliver)


def _root_copy(tensor: torch.Tensor, root_rank: int) -> torch.Tensor:
    """Memory that becomes the result: the root's values, elsewhere nothing yet."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"expected a torch.Tensor, not {type(tensor).__name__}")
    if basics.rank() == root_rank:
        return tensor.detach().clone(memory_format=torch.contiguous_format)
    return torch.empty_like(tensor, requires_grad=False, memory_format=torch.contiguous_format)


def barrier(*, name: str | None = None, group: Group = None) -> None:
    """Returns when every rank (of the group) has called it."""
    context().barrier(name=name or "", group=group)
