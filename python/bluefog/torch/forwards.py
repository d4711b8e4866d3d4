"""Hooks around the forwards of a model that are steps of training."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

import torch

__all__ = ["ForwardHooks", "NoHook", "is_compiling", "tensors_in"]

#: True while torch.compile traces; before torch 2.3 it had no public name.
is_compiling = getattr(torch.compiler, "is_compiling", None) or torch._utils.is_compiling


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
        if is_compiling() or not module.training or not torch.is_grad_enabled():
            return
        if torch._C._current_graph_task_id() != -1:  # checkpointing runs this forward again inside a backward
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


def tensors_in(output: Any) -> Iterable[torch.Tensor]:
    """The tensors that a forward gave."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, (list, tuple, Mapping)):
        for part in output.values() if isinstance(output, Mapping) else output:
            yield from tensors_in(part)
