"""Operations in flight."""

from __future__ import annotations

import itertools
from typing import Callable

import torch

from bluefog import _core
from bluefog.common.errors import OperationTimeoutError

__all__ = ["Handle", "poll", "synchronize", "wait"]

_numbers = itertools.count()


class Handle(int):
    """A number that stands for an operation in flight, until it is waited for.

    Tensors of the operation live until it is closed, even if the handle is dropped.
    """

    _operation: _core.Handle
    _deliver: Callable[[_core.Handle], torch.Tensor] | None

    @classmethod
    def of(cls, operation: _core.Handle, deliver: Callable[[_core.Handle], torch.Tensor]) -> Handle:
        handle = cls(next(_numbers))
        handle._operation = operation
        handle._deliver = deliver
        return handle

    def done(self) -> bool:
        """True if waiting would not block."""
        return self._operation.done()

    def wait(self, timeout: float | None = None) -> torch.Tensor:
        """The operation's result; see :func:`synchronize`."""
        if self._deliver is None:
            raise ValueError(f"handle {int(self)} has already been waited for")
        try:
            finished = self._operation.wait(timeout)
        except Exception:  # the operation's own error; after a KeyboardInterrupt it is still in flight
            self._deliver = None
            raise
        if not finished:
            raise OperationTimeoutError(
                f"the operation of handle {int(self)} is still in flight after {timeout} s"
            )
        deliver, self._deliver = self._deliver, None
        return deliver(self._operation)

    def cancel(self) -> None:
        """Asks the operation to give up; it may complete nevertheless, and waiting tells."""
        self._operation.cancel()


def is_in_flight(handle: int) -> bool:
    """It stands for an operation that has not been waited for."""
    return isinstance(handle, Handle) and handle._deliver is not None


def _checked(handle: int) -> Handle:
    if isinstance(handle, Handle) and is_in_flight(handle):
        return handle
    raise ValueError(f"{handle!r} is not the handle of an operation in flight; each can be waited for once")


def poll(handle: int) -> bool:
    """True if the operation is complete, so that ``synchronize`` returns at once.

    Raises:
        ValueError: the handle is unknown or has been waited for.
    """
    return _checked(handle).done()


def synchronize(handle: int, timeout: float | None = None) -> torch.Tensor:
    """Waits for the operation and returns its output tensor.

    Args:
        handle: what an operation ending in ``_nonblocking`` returned; each can be waited for once.
        timeout: in seconds; by default until the operation ends.

    Raises:
        ValueError: the handle is unknown or has been waited for.
        OperationTimeoutError: still in flight after ``timeout``; it stays in flight, and can be waited for
            again.
        BlueFogError: the operation's own error.
    """
    return _checked(handle).wait(timeout)


wait = synchronize
