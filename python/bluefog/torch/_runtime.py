"""The default membership of the job, and tensors in its shared memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.utils import dlpack

from bluefog import _core
from bluefog.common.basics import BlueFogBasics

__all__ = ["basics", "context", "engine", "shared_tensor"]

basics = BlueFogBasics()

#: The engine of this rank, to ask it something. Raises NotInitializedError (a ValueError) before ``init()``.
engine = basics.context
#: The engine of this rank, to start an operation. Raises SuspendedError (a ValueError), too.
context = basics.context_to_operate


def shared_tensor(shape: int | Sequence[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A zeroed tensor in this rank's shared-memory arena, contiguous, with a storage of its own.

    It stays valid after ``shutdown()``, for as long as a tensor uses its storage.
    """
    extents = (shape,) if isinstance(shape, int) else tuple(shape)
    nbytes = math.prod(extents) * dtype.itemsize
    if nbytes == 0:
        return torch.empty(extents, dtype=dtype, device="cpu")
    return tensor_from_capsule(engine().allocate_shared(nbytes).dlpack(0, nbytes), extents, dtype)


def tensor_from_capsule(capsule: object, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """The tensor of ``shape`` and ``dtype`` over a DLPack capsule of bytes."""
    return dlpack.from_dlpack(capsule).view(dtype).view(tuple(shape))


def tensor_from_gathered(gathered: _core.GatheredTensor, dtype: torch.dtype) -> torch.Tensor:
    """The result of a gather; shares its memory, which nobody else uses."""
    shape = gathered.shape
    if math.prod(shape) == 0:
        return torch.empty(shape, dtype=dtype, device="cpu")
    return tensor_from_capsule(gathered.dlpack(), shape, dtype)
