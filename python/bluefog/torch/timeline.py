"""Activities of the user's own, and of models, in the timeline (``bfrun --timeline-filename`` or
``BLUEFOG_TIMELINE``).
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from bluefog.common.basics import logger
from bluefog.torch._runtime import engine
from bluefog.torch.forwards import ForwardHooks, call_in_backward

__all__ = ["timeline_context", "timeline_end_activity", "timeline_start_activity"]


def timeline_start_activity(tensor_name: str, activity_name: str) -> bool:
    """Begins ``activity_name`` in the row ``tensor_name``.

    False if the timeline is off; the first time an error in the log says so.
    """
    is_on = engine().timeline_start_activity(tensor_name, activity_name)
    if not is_on:
        _tell_that_it_is_off()
    return is_on


def timeline_end_activity(tensor_name: str) -> bool:
    """Ends what was begun last in the row ``tensor_name``. False if there is nothing to end."""
    return engine().timeline_end_activity(tensor_name)


@contextlib.contextmanager
def timeline_context(tensor_name: str, activity_name: str) -> Iterator[None]:
    """The activity lasts as long as the ``with`` block, also when that raises."""
    timeline_start_activity(tensor_name, activity_name)
    try:
        yield
    finally:
        timeline_end_activity(tensor_name)


def timeline_is_on() -> bool:
    """Whether this rank writes a timeline."""
    return bool(engine().config()["BLUEFOG_TIMELINE"])


class ModelActivities:
    """Forwards and backwards of models as activities, a row for each model; nothing until turn_on().

    A backward counts from the gradient of a model's output to the end of backward.
    """

    def __init__(self, models: Sequence[torch.nn.Module], name: str) -> None:
        self._models = models
        self._rows = [f"{name}.model" + (f".{i}" if len(models) > 1 else "") for i in range(len(models))]
        self._in_backward: set[int] = set()
        self._hooks: ForwardHooks | None = None

    def turn_on(self) -> bool:
        if not timeline_is_on():
            _tell_that_it_is_off()
            return False
        if self._hooks is None:
            self._hooks = ForwardHooks(self._models, self._before_forward, self._after_forward)
        return True

    def turn_off(self) -> None:
        hooks, self._hooks = self._hooks, None
        if hooks is not None:
            hooks.remove()

    def _before_forward(self, index: int) -> None:
        self._end_backward(index)  # of one that raised
        timeline_start_activity(self._rows[index], "FORWARD")

    def _after_forward(self, index: int, output: Any) -> None:
        timeline_end_activity(self._rows[index])
        begin = weakref.WeakMethod(self._begin_backward)

        def begin_backward() -> None:
            method = begin()
            if method is not None:
                method(index)

        call_in_backward(output, begin_backward)

    def _begin_backward(self, index: int) -> None:
        if self._hooks is None or index in self._in_backward:
            return
        self._in_backward.add(index)
        timeline_start_activity(self._rows[index], "GRADIENT COMPT.")
        torch.autograd.Variable._execution_engine.queue_callback(lambda: self._end_backward(index))

    def _end_backward(self, index: int) -> None:
        if index in self._in_backward:
            self._in_backward.remove(index)
            timeline_end_activity(self._rows[index])


@functools.cache  # once in a process
def _tell_that_it_is_off() -> None:
    logger.error("the timeline is off: start with bfrun --timeline-filename, or set BLUEFOG_TIMELINE")
