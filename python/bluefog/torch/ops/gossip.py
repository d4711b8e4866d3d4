"""Averages of two ranks, of which the others know nothing."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import torch

from bluefog.common.errors import InvalidArgumentError
from bluefog.torch._runtime import basics, context
from bluefog.torch.ops.handles import Handle
from bluefog.torch.ops.operands import Operands

__all__ = ["pair_gossip", "pair_gossip_nonblocking"]


def pair_gossip(
    tensor: torch.Tensor,
    target_rank: int,
    self_weight: float | None = None,
    pair_weight: float | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Weighted average of the own tensor and that of one other rank, which makes the call with this rank.

    ``self_weight * x + pair_weight * y``; without weights the mean, with the same bits on both ranks. Each
    rank gives its own weights. Only the two wait for each other, so any number of pairs may be at it, and
    ranks without a partner just do not call.

    Args:
        tensor: float16, bfloat16 (which accumulate in float32), float32 or float64, of the same shape and
            dtype on both ranks. Any strides; no gradient flows.
        target_rank: the other rank.
        self_weight: weight of the own tensor; comes together with ``pair_weight``.
        pair_weight: weight of the other rank's tensor.
        name: calls of a pair with a name are matched by it, others by their order.

    Returns:
        The result as a new tensor, of the shape and dtype of ``tensor`` and on its device.

    Raises:
        ValueError: ``target_rank`` is no other rank of the job; one weight without the other, or one that is
            no finite number, here or on the other rank (MismatchError); shapes or dtypes that differ
            (MismatchError).
        PeerLostError, OperationTimeoutError, ShutdownError: as the names say.
    """
    arguments = _arguments(target_rank, self_weight, pair_weight, name)
    operands = Operands(tensor)
    context().neighbor_allreduce(*operands.memories, **{**operands.terms, **arguments})
    return operands.deliver()


def pair_gossip_nonblocking(
    tensor: torch.Tensor,
    target_rank: int,
    self_weight: float | None = None,
    pair_weight: float | None = None,
    name: str | None = None,
) -> Handle:
    """As :func:`pair_gossip`, but returns a handle for ``poll``, ``synchronize`` and ``wait``."""
    arguments = _arguments(target_rank, self_weight, pair_weight, name)
    operands = Operands(tensor)
    operation = context().neighbor_allreduce_async(
        *operands.memories, **{**operands.terms, **arguments}, keep=operands
    )
    return Handle.of(operation, operands.deliver)


def _arguments(
    target_rank: int, self_weight: float | None, pair_weight: float | None, name: str | None
) -> dict[str, Any]:
    """The call as a neighbour average in the group of the two, each of whom has the other as neighbour."""
    own, partner = basics.rank(), _partner(target_rank)
    arguments: dict[str, Any] = {"name": name or "", "group": sorted((own, partner))}
    if refusal := _why_wrong(self_weight, pair_weight):
        return {**arguments, "refusal": refusal}
    if self_weight is not None:
        arguments["self_weight"] = self_weight
        arguments["src_weights"] = {partner: pair_weight}
    return arguments


def _partner(target_rank: int) -> int:
    try:
        partner = operator.index(target_rank)
    except TypeError:
        raise InvalidArgumentError(
            f"pair_gossip: target_rank: expected an integer, not {type(target_rank).__name__}"
        ) from None
    if not 0 <= partner < basics.size():
        raise InvalidArgumentError(
            f"pair_gossip: target_rank is {partner}, but the ranks are 0 to {basics.size() - 1}"
        )
    if partner == basics.rank():
        raise InvalidArgumentError(f"pair_gossip: target_rank is {partner}, this rank itself")
    return partner


def _why_wrong(self_weight: float | None, pair_weight: float | None) -> str:
    """ "" if the weights can be used; else the reason, which the other rank is told by the engine."""
    if (self_weight is None) != (pair_weight is None):
        return "pair_gossip: self_weight and pair_weight come together: give both, or none"
    for what, weight in (("self_weight", self_weight), ("pair_weight", pair_weight)):
        if weight is None:
            continue
        if not isinstance(weight, numbers.Real) or not math.isfinite(weight):
            return f"pair_gossip: {what} must be a finite number, not {weight!r}"
    return ""
