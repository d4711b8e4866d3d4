"""Tensors in shared memory, which the ranks of a host mix in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from bluefog.torch._runtime import engine, shared_tensor

__all__ = ["empty_shared", "is_shared", "share_parameters_"]

Module = TypeVar("Module", bound=torch.nn.Module)


def empty_shared(*shape: int | Sequence[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A zeroed tensor in shared memory: ``empty_shared(2, 3)`` or ``empty_shared((2, 3))``.

    Operations on it copy nothing inside a host. It stays valid after ``shutdown()``.

    Raises:
        ValueError: before ``init()``.
        BlueFogError: the memory is exhausted.
    """
    if len(shape) == 1 and not isinstance(shape[0], int):
        return shared_tensor(shape[0], dtype)
    return shared_tensor([int(extent) for extent in shape], dtype)  # type: ignore[arg-type]


def is_shared(tensor: torch.Tensor) -> bool:
    """True if the tensor's elements are in this rank's shared memory."""
    return tensor.is_cpu and tensor.numel() > 0 and engine().memory_is_shared(tensor.data_ptr())


def share_parameters_(module: Module) -> Module:
    """Moves the parameters of a module into shared memory, each to a storage of its own; values and strides
    stay.

    Parameters that are tied stay tied. Those that are there already stay where they are. Optimizers of
    BlueFog do this by themselves.

    Raises:
        ValueError: a parameter has no shape yet (lazy), or is not a dense tensor of the CPU.
    """
    moved: dict[int, torch.Tensor] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise ValueError(f"parameter {name} has no shape yet: run a forward pass first")
        if parameter.layout is not torch.strided or not parameter.is_cpu:
            raise ValueError(f"parameter {name} is not a dense tensor of the CPU")
        if is_shared(parameter) or parameter.numel() == 0:
            continue
        storage = parameter.untyped_storage()
        if storage.data_ptr() not in moved:
            moved[storage.data_ptr()] = _shared_copy(storage)
        home = moved[storage.data_ptr()].view(parameter.dtype)
        parameter.data = home.as_strided(parameter.size(), parameter.stride(), parameter.storage_offset())
    return module


def _shared_copy(storage: torch.UntypedStorage) -> torch.Tensor:
    """The bytes of a storage, in shared memory."""
    source = torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage)
    return shared_tensor(storage.nbytes(), torch.uint8).copy_(source)
