"""Giving all ranks the same parameters, and what BlueFog 0.3 had in this module beside that."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Callable, TypeVar, Union

import torch

from bluefog.torch.ops.collective import allgather, allreduce_, broadcast_
from bluefog.torch.optimizer_state import broadcast_optimizer_state

__all__ = [
    "allreduce_parameters",
    "broadcast_optimizer_state",
    "broadcast_parameters",
    "deprecated_function_arg",
]

Parameters = Union[Mapping[str, torch.Tensor], Sequence[Union[torch.Tensor, tuple[str, torch.Tensor]]]]
Function = TypeVar("Function", bound=Callable[..., Any])


def deprecated_function_arg(arg_name: str, fix: str) -> Callable[[Function], Function]:
    """Decorator: a call with the keyword ``arg_name`` raises TypeError that says ``fix``."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if arg_name in kwargs:
                raise TypeError(f"{function.__name__}() has no argument '{arg_name}' any more: {fix}")
            return function(*args, **kwargs)

        return checked  # type: ignore[return-value]

    return decorate


def broadcast_parameters(params: Parameters, root_rank: int) -> None:
    """Gives every rank the root's values, in place. Collective.

    Args:
        params: a dict of tensors, such as ``model.state_dict()``, or a list of tensors or (name, tensor)
            pairs; the same names and shapes on all ranks.
        root_rank: whose values.

    Raises:
        ValueError: ``params`` is something else, for instance a generator such as ``model.parameters()``;
            shapes or dtypes differ between ranks (MismatchError).
    """
    for tensor in distinct_tensors(params):
        broadcast_(as_reals(tensor), root_rank)


def allreduce_parameters(params: Parameters) -> None:
    """Gives every rank the mean of all ranks' values, in place; of integers and booleans the maximum.
    Collective.

    Args:
        params: as in :func:`broadcast_parameters`.
    """
    for tensor in map(as_reals, distinct_tensors(params)):
        if tensor.is_floating_point():
            allreduce_(tensor)
        else:
            with torch.no_grad():
                tensor.copy_(maximum_over_ranks(tensor))


def maximum_over_ranks(tensor: torch.Tensor) -> torch.Tensor:
    """The largest value of each element, as a new tensor. Of integers and booleans. Collective."""
    return allgather(tensor.unsqueeze(0)).amax(dim=0)


def as_reals(tensor: torch.Tensor) -> torch.Tensor:
    """Complex numbers as pairs of reals, which travel, over the same memory; other tensors themselves."""
    return torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor


def distinct_tensors(params: Parameters) -> list[torch.Tensor]:
    """The tensors, equally ordered on all ranks, each memory once (a state_dict names tied ones twice)."""
    if isinstance(params, Mapping):
        tensors: list[Any] = [params[key] for key in sorted(params)]
    elif isinstance(params, (list, tuple)):
        tensors = [entry[1] if isinstance(entry, tuple) else entry for entry in params]
    else:
        raise ValueError(
            "parameters must be a dict or a list of tensors or of (name, tensor), not "
            f"{type(params).__name__}: use model.state_dict() or list(model.parameters())"
        )
    distinct: dict[Any, torch.Tensor] = {}
    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"parameter {position} is not a tensor but {type(tensor).__name__}")
        place = (
            (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            if tensor.numel()
            else position
        )
        distinct.setdefault(place, tensor)
    return list(distinct.values())
