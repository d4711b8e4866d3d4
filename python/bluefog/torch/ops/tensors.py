"""From torch tensors to what the engine takes (contiguous memory of the CPU) and back.

Tensors with gaps are copied: the operation runs on the copy. So are those of devices without a way of their
own; see operands.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from bluefog import _core

__all__ = [
    "as_source",
    "as_target",
    "code_of",
    "deliver",
    "mark_written",
    "require_dense",
    "shape_of",
    "why_no_target",
    "why_unreadable",
]

_CODES = {
    getattr(torch, name): int(getattr(_core.DType, name).value)
    for name in (
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
    )
}
_UNKNOWN = -1
#: The engine's shapes have so many dimensions at most; the rest is folded into the last.
_MAX_DIMS = 7


def code_of(tensor: torch.Tensor) -> int:
    """The engine's code for the dtype. Others get one that the engine refuses, together with the peers."""
    return _CODES.get(tensor.dtype, _UNKNOWN)


def shape_of(tensor: torch.Tensor) -> Sequence[int]:
    """The shape that ranks compare."""
    shape = tensor.shape
    if len(shape) <= _MAX_DIMS:
        return shape
    return (*shape[: _MAX_DIMS - 1], math.prod(shape[_MAX_DIMS - 1 :]))


def require_dense(tensor: torch.Tensor) -> None:
    """Refuses what cannot be copied to memory.

    Raises:
        TypeError: it is not a tensor.
        ValueError: it has no elements in memory (sparse, meta).
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"expected a torch.Tensor, not {type(tensor).__name__}")
    if tensor.layout is not torch.strided or tensor.is_meta:
        raise ValueError(
            f"expected a dense tensor, not one of layout {tensor.layout} on device {tensor.device}"
        )


def as_source(tensor: torch.Tensor) -> torch.Tensor:
    """The dense tensor itself if the engine can read it, else a copy that it can."""
    if tensor.is_cpu and tensor.is_contiguous() and not tensor.is_neg():
        return tensor
    return tensor.detach().resolve_neg().cpu().contiguous()


def why_unreadable(tensor: torch.Tensor) -> str:
    """Why the engine cannot work on the memory of the tensor itself ("" if it can).

    Raises:
        TypeError: it is not a tensor.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"expected a torch.Tensor, not {type(tensor).__name__}")
    if not tensor.is_cpu:
        return f"is on device {tensor.device}; windows take tensors of the CPU"
    if tensor.layout is not torch.strided:
        return f"has layout {tensor.layout}; windows take dense tensors"
    if not tensor.is_contiguous() or tensor.is_neg():
        return "is not contiguous in memory; give tensor.contiguous()"
    return ""


def why_no_target(tensor: torch.Tensor, out: torch.Tensor | None) -> str:
    """Why ``out`` cannot hold a result like ``tensor`` ("" if it can, or is None)."""
    if out is None:
        return ""
    if not isinstance(out, torch.Tensor):
        return f"out must be a torch.Tensor, not {type(out).__name__}"
    if out.dtype != tensor.dtype or out.shape != tensor.shape:
        return f"out is {out.dtype} {list(out.shape)}, but the result is {tensor.dtype} {list(tensor.shape)}"
    return ""


def as_target(tensor: torch.Tensor, source: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    """Memory for the engine's output: that of ``out``, which can hold it, if the engine can write there."""
    if out is not None:
        if out is tensor:
            return source
        if out.is_cpu and out.is_contiguous() and not out.is_neg():
            return out
    return torch.empty_like(source, requires_grad=False)


def mark_written(tensor: torch.Tensor) -> None:
    """Tells autograd of a write behind its back: graphs that saved the old values refuse to run."""
    if tensor.is_inference():
        return
    if hasattr(torch.autograd.graph, "increment_version"):
        torch.autograd.graph.increment_version(tensor)
    else:  # an old torch: an in-place operation on no elements of the same storage
        tensor.detach().view(-1)[:0].zero_()


def deliver(tensor: torch.Tensor, target: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    """The result, where the caller wants it: on the device of ``tensor``, or in ``out``."""
    if out is None:
        return target if tensor.is_cpu else target.to(tensor.device)
    if target is out:
        mark_written(out)
    else:
        with torch.no_grad():
            out.copy_(target)
    return out
