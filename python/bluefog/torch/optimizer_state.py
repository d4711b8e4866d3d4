"""Giving all ranks the same optimizer state."""

from __future__ import annotations

import ctypes
import hashlib
import io
import operator
from typing import Any

import torch

from bluefog.common.errors import InvalidArgumentError, MismatchError
from bluefog.torch._runtime import basics
from bluefog.torch.ops.collective import allgather, broadcast_
from bluefog.torch.optimizers._base import DistributedOptimizer
from bluefog.torch.optimizers._checkpoint import KEY, without_memory

__all__ = ["broadcast_optimizer_state"]

_UNREADABLE = -1  # instead of the number of bytes


def broadcast_optimizer_state(optimizer: torch.optim.Optimizer, root_rank: int) -> None:
    """Gives every rank's optimizer the root's state and hyper-parameters. Collective. Takes no step.

    Values, dtypes and options (learning rates as numbers or tensors, ``fused``, ``foreach``, ...) are then
    those of the root; tensors are on the device of their parameter. A rank that has a state loses it, also
    where the root has none. Of optimizers that are distributed the schedule's round comes too, and what the
    algorithm remembers starts anew on all ranks: call it between steps.

    Args:
        optimizer: of the same class and over parameters of the same shapes, in the same order and groups, on
            all ranks; only the root's needs to have a state.
        root_rank: whose state.

    Raises:
        TypeError: it is no torch.optim.Optimizer.
        ValueError: LBFGS, whose state cannot be moved; ``root_rank`` is no rank; class, parameters or
            ``root_rank`` differ between ranks (MismatchError). No optimizer has changed.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"broadcast_optimizer_state takes a torch.optim.Optimizer, not {type(optimizer).__name__}"
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError("the state of torch.optim.LBFGS cannot be broadcast")
    root = operator.index(root_rank)
    if not 0 <= root < basics.size():
        raise InvalidArgumentError(
            f"broadcast_optimizer_state: root_rank is {root}, but the ranks are 0 to {basics.size() - 1}"
        )
    data, problem = torch.empty(0, dtype=torch.uint8, device="cpu"), None
    if basics.rank() == root:
        try:
            data = _pickled(_without_memory(optimizer.state_dict()))
        except Exception as error:  # the others wait, and are told
            problem = error
    count = _agreed_count(optimizer, root, _UNREADABLE if problem else data.numel())
    if problem is not None:
        raise problem
    if count == _UNREADABLE:
        raise MismatchError(f"broadcast_optimizer_state: rank {root} could not pickle its optimizer's state")
    if basics.rank() == root:
        broadcast_(data, root)
        if isinstance(optimizer, DistributedOptimizer):
            optimizer.load_state_dict(_without_memory(optimizer.state_dict()))
    else:
        _load(optimizer, _unpickled(broadcast_(torch.empty(count, dtype=torch.uint8, device="cpu"), root)))


def _without_memory(state: dict[str, Any]) -> dict[str, Any]:
    """Without what a distributed optimizer's algorithm remembers, which is each rank's own."""
    return {**state, KEY: without_memory(state[KEY])} if KEY in state else state


def _agreed_count(optimizer: torch.optim.Optimizer, root: int, own: int) -> int:
    """The root's number of bytes. Raises on all ranks if optimizers or roots differ."""
    layout = [type(optimizer).__name__, *([p.shape for p in g["params"]] for g in optimizer.param_groups)]
    fingerprint = hashlib.blake2b(repr(layout).encode(), digest_size=7).digest()
    row = [root, int.from_bytes(fingerprint, "little"), own]
    rows = allgather(torch.tensor([row], device="cpu")).tolist()
    if others := [rank for rank, (their_root, _, _) in enumerate(rows) if their_root != root]:
        raise MismatchError(
            f"broadcast_optimizer_state: root_rank is {root} on rank {basics.rank()} and something else on "
            f"{others}"
        )
    if others := [rank for rank, (_, theirs, _) in enumerate(rows) if theirs != row[1]]:
        raise MismatchError(
            "broadcast_optimizer_state: the optimizers differ between ranks in class, groups or shapes of "
            f"parameters: rank {basics.rank()} does not agree with {others}"
        )
    return int(rows[root][2])


def _load(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """As load_state_dict(), but tensors keep their dtypes, where that would cast them to the parameters'."""
    optimizer.load_state_dict(state)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    for number, parameter in zip(numbers, parameters):
        for key, value in state["state"].get(number, {}).items():
            loaded = optimizer.state[parameter][key]
            if isinstance(value, torch.Tensor) and loaded.dtype != value.dtype:
                optimizer.state[parameter][key] = value.to(loaded.device)


def _pickled(value: Any) -> torch.Tensor:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return torch.frombuffer(bytearray(buffer.getbuffer()), dtype=torch.uint8)


def _unpickled(data: torch.Tensor) -> Any:
    received = ctypes.string_at(data.data_ptr(), data.numel())  # not data.numpy(): old torch knows no NumPy 2
    return torch.load(io.BytesIO(received), map_location="cpu", weights_only=False)
