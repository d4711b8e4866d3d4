"""Windows: tensors that neighbours write to and read from while their owner does something else.

docs/windows.md explains the model. A window is opened by all ranks together; afterwards no call but
``win_free`` waits for another rank to make a call, too. What puts and gets is in ``window_transfers``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from bluefog import _core
from bluefog.common.errors import InvalidArgumentError, UnknownWindowError
from bluefog.torch._runtime import context, engine
from bluefog.torch.ops.tensors import code_of, mark_written, shape_of, why_unreadable

__all__ = [
    "get_current_created_window_names",
    "get_win_version",
    "turn_off_win_ops_with_associated_p",
    "turn_on_win_ops_with_associated_p",
    "win_associated_p",
    "win_create",
    "win_free",
    "win_lock",
    "win_mutex",
    "win_update",
    "win_update_then_collect",
]

# --- creation and end


def win_create(
    tensor: torch.Tensor,
    name: str,
    zero_init: bool = False,
    *,
    group: Sequence[int] | None = None,
    src_ranks: Iterable[int] | None = None,
    dst_ranks: Iterable[int] | None = None,
) -> bool:
    """Opens a window on a tensor. Collective: returns when the neighbours have opened theirs.

    The tensor is registered by reference: later changes of it in place are what ``win_update`` starts from
    and what neighbours get. Besides it there is a buffer for each in-neighbour. While a window is open the
    topology stays: ``set_topology`` returns False.

    Args:
        tensor: contiguous, of the CPU, of any supported dtype: bool, uint8, int8, int16, int32, int64,
            float16, bfloat16, float32 or float64; same shape and dtype on all ranks that are neighbours. A
            parameter may be one; no gradient flows. Where neighbours are to get it often, shared memory
            (``empty_shared``) saves them a copy.
        name: what the other functions call it by; the same on all ranks.
        zero_init: the buffers start as zeros, else as copies of this rank's tensor.
        group: open it among these ranks only, with their exponential-2 graph.
        src_ranks: instead of the topology's neighbours: who may write to this rank, and whose tensor it may
            get. Comes together with ``dst_ranks``; if rank i has j in ``dst_ranks``, then j has i in
            ``src_ranks``.
        dst_ranks: to whom this rank may write, and who may get its tensor.

    Returns:
        True; False if this rank has a window with this name already: then that stays, and neighbours that
        have none get a MismatchError.

    Raises:
        TypeError: ``tensor`` is not a torch.Tensor.
        ValueError: wrong arguments here or at a neighbour; shapes, dtypes or edges that differ
            (MismatchError). The window is open on none of the ranks concerned.
        PeerLostError, OperationTimeoutError, ShutdownError: as the names say.
    """
    core = context()
    is_open = name in core.window_names()
    fault = why_unreadable(tensor)
    refusal = fault and f"win_create: the tensor {fault}"
    if is_open:
        refusal = f"win_create: a window named {name!r} is open already"
    try:
        core.create_window(
            name,
            0 if fault else tensor.data_ptr(),
            code_of(tensor),
            shape_of(tensor),
            zero_init=bool(zero_init),
            group=group,
            src_ranks=src_ranks,
            dst_ranks=dst_ranks,
            keep=(tensor, tensor.detach()),  # the memory stays, too, if the former gets another one
            refusal=refusal,
        )
    except InvalidArgumentError:
        if is_open:  # neighbours, who may have no such window, have been told
            return False
        raise
    return True


def win_free(name: str | None = None) -> bool:
    """Closes a window, or all. Collective: returns when the neighbours have closed theirs, or are gone.

    Args:
        name: of the window; None for all windows of this rank, of which there may be none.

    Returns:
        True.

    Raises:
        UnknownWindowError (a KeyError): no window has this name.
        ValueError: an operation on it is in flight.
    """
    core = context()
    if name is not None and core.window(name) is None:
        raise _unknown("win_free", name)
    for each in core.window_names() if name is None else [name]:
        core.free_window(each)
    return True


def get_current_created_window_names() -> list[str]:
    """Names of the windows that are open on this rank, sorted."""
    return engine().window_names()


def _unknown(function: str, name: str) -> UnknownWindowError:
    return UnknownWindowError(
        f"{function}: no window is named {name!r}: it was not created, or has been freed"
    )


def window_of(function: str, name: str) -> _core.Window:
    """The window of that name, for an operation that ``function`` starts."""
    return _find(context(), function, name)


def _find(core: _core.Context, function: str, name: str) -> _core.Window:
    window = core.window(name)
    if window is None:
        raise _unknown(function, name)
    if registered_tensor(window).data_ptr() != window.address:
        raise InvalidArgumentError(
            f"{function}: the tensor of window {name!r} lies in other memory now than when the window was "
            "created (tensor.data = ..., set_, resize_ or share_parameters_); free the window and create it "
            "again"
        )
    return window


def registered_tensor(window: _core.Window) -> torch.Tensor:
    """What ``win_create`` was given."""
    tensor: torch.Tensor = window.tensor[0]
    return tensor


# --- what is local


def win_update(
    name: str,
    self_weight: float | None = None,
    neighbor_weights: Mapping[int, float] | None = None,
    reset: bool = False,
    clone: bool = False,
    require_mutex: bool = False,
) -> torch.Tensor:
    """The registered tensor becomes the weighted sum of itself and the buffers. Local.

    ``self_weight * tensor + sum over j of neighbor_weights[j] * buffer_j``. Without weights: the uniform
    mean, or the topology's weights if it was set with ``is_weighted=True`` and the window has its edges.

    Args:
        name: of the window, whose dtype is a floating one; windows of integers take weights 1 and 0.
        self_weight: comes together with ``neighbor_weights``.
        neighbor_weights: {source of the window: weight}; may be empty.
        reset: the buffers that took part are zero afterwards.
        clone: the result is a new tensor, and the registered one stays as it is.
        require_mutex: hold the mutexes of the sources that take part, at this rank, meanwhile.

    Returns:
        The registered tensor itself, or the new one. All versions (``get_win_version``) are 0 afterwards.

    Raises:
        UnknownWindowError (a KeyError): no window has this name.
        ValueError: wrong arguments; the dtype has no fractions.
    """
    window = window_of("win_update", name)
    if (self_weight is None) != (neighbor_weights is None):
        raise InvalidArgumentError(
            "win_update: self_weight and neighbor_weights come together: give both, or none"
        )
    if isinstance(neighbor_weights, Mapping):
        neighbor_weights = dict(neighbor_weights)
        if strangers := [rank for rank in neighbor_weights if rank not in window.sources]:
            raise InvalidArgumentError(
                f"win_update: neighbor_weights names {strangers}, but the sources of window {name!r} are "
                f"{window.sources}"
            )
    tensor = registered_tensor(window)
    result = torch.empty_like(tensor, requires_grad=False) if clone else tensor
    window.update(
        self_weight=self_weight,
        src_weights=neighbor_weights,
        reset=bool(reset),
        output=result.data_ptr() if clone else 0,
        require_mutex=bool(require_mutex),
    )
    if not clone:
        mark_written(tensor)
    return result


def win_update_then_collect(name: str, require_mutex: bool = True) -> torch.Tensor:
    """Adds all buffers to the registered tensor; they are zero afterwards. Local. The step of push-sum.

    All dtypes but bool. Nothing is lost that neighbours accumulate meanwhile: it comes with the next call.

    Args:
        name: of the window.
        require_mutex: hold the mutexes of all sources, at this rank, meanwhile.

    Returns:
        The registered tensor itself.

    Raises:
        UnknownWindowError (a KeyError): no window has this name.
        ValueError: the window is of bools.
    """
    window = window_of("win_update_then_collect", name)
    window.update_then_collect(require_mutex=bool(require_mutex))
    tensor = registered_tensor(window)
    mark_written(tensor)
    return tensor


def get_win_version(name: str) -> dict[int, int]:
    """{source: how many puts of it and gets of this rank have changed its buffer since the last win_update}.

    Raises:
        UnknownWindowError (a ValueError): no window has this name.
    """
    return _find(engine(), "get_win_version", name).versions()


# --- locks


@contextlib.contextmanager
def win_mutex(name: str, for_self: bool = False, ranks: Iterable[int] | None = None) -> Iterator[None]:
    """Holds mutexes in a ``with`` block: operations with ``require_mutex`` on the same edges wait meanwhile.

    Each edge has a mutex, at the rank that is written to. It is released when its holder dies.

    Args:
        name: of the window.
        for_self: the mutexes of ``ranks`` at this rank, which keep off what they put with ``require_mutex``.
            Otherwise those of this rank at ``ranks``.
        ranks: by default all destinations of the window; all sources with ``for_self``.

    Raises:
        UnknownWindowError (a ValueError): no window has this name.
        ValueError: the window has no such edges, or this thread holds one of the mutexes already.
        PeerLostError: one of the ranks is lost.
    """
    lock = window_of("win_mutex", name).lock(ranks, own=bool(for_self))
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def win_lock(name: str) -> Iterator[None]:
    """Holds the registered tensor in a ``with`` block: no neighbour gets it half changed.

    Only needed around changes in place that are made while neighbours may get the tensor; operations on the
    window do it themselves.

    Raises:
        UnknownWindowError (a ValueError): no window has this name.
    """
    lock = window_of("win_lock", name).edit()
    try:
        yield
    finally:
        lock.release()


# --- push-sum weights


def turn_on_win_ops_with_associated_p() -> None:
    """From now on, window operations do to the push-sum weight p what they do to tensors.

    Each window has one for its tensor, which starts as 1, and one for each buffer, which starts as 0; so
    create it with ``zero_init=True``. The switch is this rank's, for all windows, until ``shutdown()``; set
    it on all ranks.
    """
    engine().use_associated_p(True)


def turn_off_win_ops_with_associated_p() -> None:
    """The push-sum weights stay as they are from now on; as at first."""
    engine().use_associated_p(False)


def win_associated_p(name: str) -> float:
    """The push-sum weight of the registered tensor: ``tensor / p`` is the estimate of the mean.

    Raises:
        UnknownWindowError (a ValueError): no window has this name.
    """
    return _find(engine(), "win_associated_p", name).associated_p()
