"""Hooks around the forwards of a model that are steps of training."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

import torch

__all__ = ["ForwardHooks", "NoHook", "call_in_backward", "is_users_forward"]

#: True while torch.compile traces; before torch 2.3 it had no public name.
_is_compiling = getattr(torch.compiler, "is_compiling", None) or torch._utils.is_compiling


class ForwardHooks:
    """Calls `before(index)` before and `after(index, output)` after each forward of models[index] that is the
    user's, in training mode, and records gradients. `after` gets None if the forward raised.
    """

    def __init__(
        self,
        models: Sequence[torch.nn.Module],
        before: Callable[[int], None],
        after: Callable[[int, Any], None] | None = None,
    ) -> None:
        # The models outlive the hooks' owner: hooks must not keep it alive.
        self._handles: list[Any] = []
        for index, model in enumerate(models):
            hook = _Hook(model, index, weakref.WeakMethod(before))
            self._handles.append(model.register_forward_pre_hook(hook))
            if after is not None:
                hook = _Hook(model, index, weakref.WeakMethod(after))
                self._handles.append(model.register_forward_hook(hook, always_call=True))

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


class _Hook:
    """Picklable and copyable as a hook that does nothing: copies of a model do not mix."""

    def __init__(
        self, model: torch.nn.Module, index: int, method: Callable[[], Callable[..., None] | None]
    ) -> None:
        self._model = weakref.ref(model)
        self._index = index
        self._method = method

    def __call__(self, module: torch.nn.Module, _: Any, *output: Any) -> None:
        if not is_users_forward() or not module.training or not torch.is_grad_enabled():
            return
        notify = self._method()
        if notify is not None and module is self._model():
            notify(self._index, *output)

    def __reduce__(self) -> Any:
        return NoHook, ()


class NoHook:
    """What a hook becomes in a copy of a model."""

    def __call__(self, *_: Any) -> None:
        pass


def is_users_forward() -> bool:
    """Not one that torch.compile traces, nor one that checkpointing runs again inside a backward."""
    return not _is_compiling() and torch._C._current_graph_task_id() == -1


def call_in_backward(output: Any, call: Callable[[], None]) -> None:
    """Calls when a backward comes to what a forward gave, once for each tensor of it."""

    def hook(_: torch.Tensor) -> None:
        call()

    for tensor in _tensors_in(output):
        if tensor.grad_fn is not None:
            tensor.register_hook(hook)  # type: ignore[no-untyped-call]


def _tensors_in(output: Any) -> Iterable[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, (list, tuple, Mapping)):
        for part in output.values() if isinstance(output, Mapping) else output:
            yield from _tensors_in(part)
