"""Puts, accumulates and gets of windows, and how to wait for those in flight."""

from __future__ import annotations

import torch

from bluefog.common.basics import logger
from bluefog.common.errors import InvalidArgumentError
from bluefog.torch.ops.handles import Handle, is_in_flight, poll, synchronize
from bluefog.torch.ops.neighbor import DstWeights
from bluefog.torch.ops.tensors import code_of, mark_written, shape_of, why_unreadable
from bluefog.torch.ops.windows import registered_tensor, window_of

__all__ = [
    "neighbor_win_accumulate",
    "neighbor_win_accumulate_nonblocking",
    "neighbor_win_get",
    "neighbor_win_get_nonblocking",
    "neighbor_win_put",
    "neighbor_win_put_nonblocking",
    "win_accumulate",
    "win_accumulate_nonblocking",
    "win_get",
    "win_get_nonblocking",
    "win_poll",
    "win_put",
    "win_put_nonblocking",
    "win_wait",
]


def _check_sent(function: str, tensor: torch.Tensor) -> None:
    if reason := why_unreadable(tensor):
        raise InvalidArgumentError(f"{function}: the tensor {reason}")


def neighbor_win_put(
    tensor: torch.Tensor,
    name: str,
    self_weight: float | None = None,
    dst_weights: DstWeights | None = None,
    require_mutex: bool = False,
) -> bool:
    """Replaces this rank's buffer at each destination by ``dst_weights[destination] * tensor``.

    Afterwards ``tensor *= self_weight``, in place. Returns when all destinations have got theirs.

    Args:
        tensor: as the window's: contiguous, of the CPU, of its dtype and number of elements. Need not be the
            registered one.
        name: of the window.
        self_weight: by default the tensor stays.
        dst_weights: {destination: factor}; a list means factors 1. By default all destinations of the window,
            with 1. Windows of integers or bools: only 1 and 0.
        require_mutex: hold the mutex of this rank at each destination meanwhile.

    Returns:
        True.

    Raises:
        UnknownWindowError: no window has this name.
        ValueError: wrong arguments. Nothing was sent to anybody.
        PeerLostError: a destination is lost. If that was known before, nothing was sent to anybody.
    """
    window = window_of("win_put", name)
    _check_sent("win_put", tensor)
    window.put(
        tensor.data_ptr(),
        code_of(tensor),
        shape_of(tensor),
        self_weight=self_weight,
        dst_weights=dst_weights,
        require_mutex=bool(require_mutex),
    )
    _sent(tensor, self_weight)
    return True


def neighbor_win_put_nonblocking(
    tensor: torch.Tensor,
    name: str,
    self_weight: float | None = None,
    dst_weights: DstWeights | None = None,
    require_mutex: bool = False,
) -> Handle:
    """As :func:`neighbor_win_put`, but returns a handle for ``win_poll`` and ``win_wait`` at once.

    Do not change the tensor before the operation is complete. Several operations may be in flight; those of
    one window take effect in the order of their calls.
    """
    window = window_of("win_put", name)
    _check_sent("win_put", tensor)
    operation = window.put_async(
        tensor.data_ptr(),
        code_of(tensor),
        shape_of(tensor),
        self_weight=self_weight,
        dst_weights=dst_weights,
        require_mutex=bool(require_mutex),
        keep=(tensor, tensor.detach()),
    )
    return Handle.of(operation, lambda _: _sent(tensor, self_weight))


def _sent(tensor: torch.Tensor, self_weight: float | None) -> torch.Tensor:
    if self_weight is not None:
        mark_written(tensor)
    return tensor


def neighbor_win_accumulate(
    tensor: torch.Tensor,
    name: str,
    self_weight: float | None = None,
    dst_weights: DstWeights | None = None,
    require_mutex: bool = False,
) -> bool:
    """Adds ``dst_weights[destination] * tensor`` to this rank's buffer at each destination.

    Arguments, result and errors are those of :func:`neighbor_win_put`. Not for bools; integers wrap around.
    It does not count in ``get_win_version``.
    """
    window = window_of("win_accumulate", name)
    _check_sent("win_accumulate", tensor)
    window.accumulate(
        tensor.data_ptr(),
        code_of(tensor),
        shape_of(tensor),
        self_weight=self_weight,
        dst_weights=dst_weights,
        require_mutex=bool(require_mutex),
    )
    _sent(tensor, self_weight)
    return True


def neighbor_win_accumulate_nonblocking(
    tensor: torch.Tensor,
    name: str,
    self_weight: float | None = None,
    dst_weights: DstWeights | None = None,
    require_mutex: bool = False,
) -> Handle:
    """As :func:`neighbor_win_accumulate`, but returns a handle at once."""
    window = window_of("win_accumulate", name)
    _check_sent("win_accumulate", tensor)
    operation = window.accumulate_async(
        tensor.data_ptr(),
        code_of(tensor),
        shape_of(tensor),
        self_weight=self_weight,
        dst_weights=dst_weights,
        require_mutex=bool(require_mutex),
        keep=(tensor, tensor.detach()),
    )
    return Handle.of(operation, lambda _: _sent(tensor, self_weight))


def neighbor_win_get(
    name: str,
    src_weights: DstWeights | None = None,
    require_mutex: bool = False,
) -> bool:
    """Replaces the buffer of each source here by ``src_weights[source]`` times its registered tensor.

    Args:
        name: of the window.
        src_weights: {source: factor}; a list means factors 1. By default all sources of the window, with 1.
            Windows of integers or bools: only 1 and 0.
        require_mutex: hold the mutex of this rank at each source meanwhile.

    Returns:
        True.

    Raises:
        UnknownWindowError: no window has this name.
        ValueError: wrong arguments.
        PeerLostError: a source is lost.
    """
    window_of("win_get", name).get(src_weights=src_weights, require_mutex=bool(require_mutex))
    return True


def neighbor_win_get_nonblocking(
    name: str,
    src_weights: DstWeights | None = None,
    require_mutex: bool = False,
) -> Handle:
    """As :func:`neighbor_win_get`, but returns a handle at once."""
    window = window_of("win_get", name)
    operation = window.get_async(src_weights=src_weights, require_mutex=bool(require_mutex))
    return Handle.of(operation, lambda _: registered_tensor(window))


win_put = neighbor_win_put
win_put_nonblocking = neighbor_win_put_nonblocking
win_accumulate = neighbor_win_accumulate
win_accumulate_nonblocking = neighbor_win_accumulate_nonblocking
win_get = neighbor_win_get
win_get_nonblocking = neighbor_win_get_nonblocking


def win_poll(handle: int) -> bool:
    """True if the operation is complete, so that ``win_wait`` returns at once.

    Raises:
        ValueError: the handle is unknown or has been waited for.
    """
    return poll(handle)


def win_wait(handle: int, timeout: float | None = None) -> bool:
    """Waits for an operation on a window.

    Args:
        handle: what an operation ending in ``_nonblocking`` returned; each can be waited for once.
        timeout: in seconds; by default until the operation ends.

    Returns:
        True; False, with a warning in the log, if the handle is unknown or has been waited for.

    Raises:
        OperationTimeoutError: still in flight after ``timeout``; it stays in flight.
        BlueFogError: the operation's own error.
    """
    if not is_in_flight(handle):
        logger.warning("win_wait: %r is not the handle of an operation in flight", handle)
        return False
    synchronize(handle, timeout)
    return True
