"""Activities of the user's own in the timeline (``bfrun --timeline-filename`` or ``BLUEFOG_TIMELINE``)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from bluefog.common.basics import logger
from bluefog.torch._runtime import engine

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


@functools.cache  # once in a process
def _tell_that_it_is_off() -> None:
    logger.error("the timeline is off: start with bfrun --timeline-filename, or set BLUEFOG_TIMELINE")
