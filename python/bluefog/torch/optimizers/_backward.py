"""When a backward begins and ends."""

from __future__ import annotations

import weakref
from typing import Any, Callable

import torch

from bluefog.torch.forwards import NoHook, call_in_backward, is_users_forward


class BackwardWatch:
    """Tells when a backward begins, and when one that has accumulated gradients ends.

    Reentrant checkpointing runs backwards inside a backward. Hooks on the models' outputs make sure that the
    outermost one is watched, also where its first gradient comes from an inner one.
    """

    def __init__(
        self, models: list[torch.nn.Module], began: Callable[[bool], None], ended: Callable[[], None]
    ) -> None:
        """`began` is told whether the backward before has failed in the middle."""
        # The models outlive the optimizer: hooks must not keep it alive.
        self._began = weakref.WeakMethod(began)
        self._ended = weakref.WeakMethod(ended)
        self._end: Callable[[], _End | None] = _nothing  # that autograd will call, or drops if backward fails
        self._has_gradients = False
        hook = _OutputHook(weakref.WeakMethod(self.begin))
        self._handles = [model.register_forward_hook(hook) for model in models]

    def begin(self) -> None:
        """To be called in a backward, as often as one likes."""
        if self._end() is not None:
            return
        began, has_failed = self._began(), self._has_gradients
        if began is not None:
            began(has_failed)
        self._has_gradients = False
        end = _End(self)
        self._end = weakref.ref(end)
        torch.autograd.Variable._execution_engine.queue_callback(end)

    def gradient_arrived(self) -> None:
        self.begin()
        self._has_gradients = True

    def forget(self) -> None:
        """A failed backward needs no mention any more."""
        self._has_gradients = False

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def end(self) -> None:
        self._end = _nothing
        ended, has_gradients = self._ended(), self._has_gradients
        if has_gradients and ended is not None:
            ended()
        self._has_gradients = False  # not if that raised


class _End:
    def __init__(self, watch: BackwardWatch) -> None:
        self._watch = watch

    def __call__(self) -> None:
        self._watch.end()


class _OutputHook:
    """Picklable and copyable as a hook that does nothing, as ForwardHooks' are."""

    def __init__(self, begin: Callable[[], Callable[[], None] | None]) -> None:
        self._begin = begin

    def __call__(self, module: torch.nn.Module, _: Any, output: Any) -> None:
        if is_users_forward():
            call_in_backward(output, self._backward_is_here)

    def _backward_is_here(self) -> None:
        begin = self._begin()
        if begin is not None:
            begin()

    def __reduce__(self) -> Any:
        return NoHook, ()


def _nothing() -> None:
    return None
