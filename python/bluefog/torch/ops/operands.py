"""What the engine works on for one call, and the way of the result to the caller.

That is the memory of the tensors themselves, or buffers through which they are staged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bluefog import _core
from bluefog.torch._runtime import tensor_from_gathered
from bluefog.torch.ops.tensors import (
    as_source,
    as_target,
    code_of,
    deliver,
    require_dense,
    shape_of,
    why_no_target,
)
from bluefog.torch.staging import Buffer, stager_for

__all__ = ["Gathered", "InPlace", "Operands"]


class _Input:
    """A tensor that the engine reads, or writes only.

    Raises:
        TypeError: it is not a tensor.
        ValueError: it has no elements in memory (sparse, meta).
    """

    def __init__(self, tensor: torch.Tensor, is_read: bool = True) -> None:
        require_dense(tensor)
        self._tensor = tensor
        self._ready = 0
        self._staged: Buffer | None = None
        stager = stager_for(tensor.device)
        if stager is None:
            self._source = as_source(tensor)
            return
        self._staged = stager.take(tensor.shape, tensor.dtype)
        self._source = self._staged.tensor
        if is_read:
            self._staged.fill(tensor.detach())
            self._ready = self._staged.ready_address

    @property
    def memory(self) -> tuple[int, int, Sequence[int]]:
        """Address, dtype and shape, for the engine."""
        return self._source.data_ptr(), code_of(self._source), shape_of(self._tensor)

    @property
    def terms(self) -> dict[str, Any]:
        """Further keyword arguments for the engine."""
        return {"ready": self._ready}


class Operands(_Input):
    """A tensor, and one like it, or `out`, for the result."""

    def __init__(self, tensor: torch.Tensor, out: torch.Tensor | None = None) -> None:
        super().__init__(tensor)
        self._out = out
        self._result: Buffer | None = None
        self._refusal = why_no_target(tensor, out)
        if self._refusal:
            self._target = self._source
            return
        stager = stager_for((tensor if out is None else out).device)
        if stager is None:
            self._target = as_target(tensor, self._source, out)
        else:
            self._result = stager.take(tensor.shape, tensor.dtype)
            self._target = self._result.tensor

    @property
    def memories(self) -> tuple[int, int, int, Sequence[int]]:
        """Addresses of input and output, dtype and shape, for the engine."""
        source, dtype, shape = self.memory
        return source, self._target.data_ptr(), dtype, shape

    @property
    def terms(self) -> dict[str, Any]:
        return {**super().terms, "refusal": self._refusal}

    def deliver(self, done: object = None) -> torch.Tensor:
        """The result, where the caller wants it: on the device of the tensor, or in `out`."""
        if self._result is None:
            return deliver(self._tensor, self._target, self._out)
        result = _empty_like(self._tensor) if self._out is None else self._out
        self._result.empty_to(result.detach())
        return result


class InPlace(_Input):
    """A tensor that becomes the result."""

    def deliver(self, done: object = None) -> torch.Tensor:
        """The tensor, with the result in it."""
        if self._staged is None:
            return deliver(self._tensor, self._source, self._tensor)
        self._staged.empty_to(self._tensor.detach())
        return self._tensor


class Gathered(_Input):
    """A tensor that is gathered with others into memory of the engine."""

    def deliver(self, gathered: _core.GatheredTensor) -> torch.Tensor:
        """The result of a gather, with the trailing dimensions and on the device of the tensor."""
        tensor = self._tensor
        result = tensor_from_gathered(gathered, tensor.dtype)
        if result.dim() != tensor.dim():
            result = result.view(result.shape[0], *tensor.shape[1:])
        stager = stager_for(tensor.device)
        if stager is None:
            return result.to(tensor.device)
        buffer = stager.take(result.shape, result.dtype)
        buffer.tensor.copy_(result)
        target = torch.empty(result.shape, dtype=result.dtype, device=tensor.device)
        buffer.empty_to(target)
        return target

    def deliver_from(self, done: _core.Handle) -> torch.Tensor:
        """The result of a gather that is done."""
        return self.deliver(done.gathered())


def _empty_like(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(tensor, requires_grad=False, memory_format=torch.contiguous_format)
