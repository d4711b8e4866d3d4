"""The way of tensors that the engine cannot work on itself, those of a GPU, through memory that it can.

A tensor is copied to pinned memory of this rank's arena on a side stream, and a word behind the data is set
by the same stream. The operation has its place in the order of calls at once, and starts when the engine sees
the word; the host waits for no copy. Results go back the same way, and the user's stream waits for them.

With ``BLUEFOG_STAGING=always`` tensors of the CPU go this way too, and a thread stands for the side stream.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence

import torch

from bluefog import _core
from bluefog.torch import _runtime
from bluefog.torch.lanes import CudaLane, Lane, Mark, ThreadLane

__all__ = ["Buffer", "Stager", "stager_for"]

_PAGE = 4096  # pinning goes by pages, which no two blocks share


class _Block:
    """A piece of the arena with a ready word behind the data."""

    def __init__(self, capacity: int, lane: Lane, shared: _core.SharedMemory) -> None:
        self.capacity = capacity
        start = -shared.address % _PAGE
        self.address = shared.address + start
        memory = torch.utils.dlpack.from_dlpack(shared.dlpack(start, capacity + _PAGE))
        lane.pin(self, memory)
        self.data = memory[:capacity]
        self.word = memory[capacity:].view(torch.int32)[:1]
        self.filled: Mark | None = None
        self.in_use_until: Mark | None = None


class Buffer:
    """Memory of the engine for one tensor. Once nobody holds it, it serves another as soon as the copies to
    and from it are over.
    """

    def __init__(self, stager: Stager, block: _Block, shape: Sequence[int], dtype: torch.dtype) -> None:
        self._stager = stager
        self._block = block
        nbytes = math.prod(shape) * dtype.itemsize
        self.tensor = block.data[:nbytes].view(dtype).view(tuple(shape))

    @property
    def address(self) -> int:
        return self._block.address

    @property
    def ready_address(self) -> int:
        """Of the word that is not 0 when the buffer holds what was staged last."""
        return self._block.address + self._block.capacity

    def fill(self, source: torch.Tensor) -> None:
        """Starts to copy here the values that `source` has in the order of the user's work."""
        block, lane = self._block, self._stager.lane
        self.wait_until_filled()  # it is, unless an operation was given up before
        block.word.zero_()
        lane.copy(self.tensor, source)
        lane.copy(block.word, self._stager.one)
        block.filled = block.in_use_until = lane.mark()

    def empty_to(self, target: torch.Tensor) -> None:
        """Copies what is here to `target`; the user's work from now on comes after that."""
        lane = self._stager.lane
        lane.copy(target, self.tensor)
        self._block.in_use_until = lane.mark()
        lane.catch_up()

    def wait_until_filled(self) -> None:
        """For who reads it on the host."""
        if self._block.filled is not None:
            self._block.filled.wait()

    def __del__(self) -> None:
        block = getattr(self, "_block", None)
        if block is not None:
            self._stager.give_back(block)


class Stager:
    """The buffers and the lane of one device in one membership of the job.

    Memory is kept for further tensors of about that size until ``shutdown()`` and the next ``init()``.
    """

    def __init__(self, device: torch.device, context: _core.Context) -> None:
        self.context = context
        self.lane: Lane = CudaLane(device) if device.type == "cuda" else ThreadLane()
        self.one = torch.ones(1, dtype=torch.int32, device=device)
        self._free: dict[int, deque[_Block]] = defaultdict(deque)

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> Buffer:
        """A buffer for a tensor.

        Raises:
            BlueFogError: the memory is exhausted.
        """
        capacity = _size_class(math.prod(shape) * dtype.itemsize)
        block = self._free_block(capacity)
        if block is None:
            # A page for the word, and one to begin at a page.
            block = _Block(capacity, self.lane, self.context.allocate_shared(capacity + 2 * _PAGE))
        return Buffer(self, block, shape, dtype)

    def _free_block(self, capacity: int) -> _Block | None:
        """The one that was given back first, unless it is still being copied."""
        free = self._free[capacity]
        try:
            block = free.popleft()
        except IndexError:
            return None
        if block.in_use_until is None or block.in_use_until.is_past():
            return block
        free.appendleft(block)
        return None

    def give_back(self, block: _Block) -> None:
        self._free[block.capacity].append(block)


def _size_class(nbytes: int) -> int:
    """Quarters of powers of two, in whole pages, so that tensors of changing sizes share buffers."""
    step = max(_PAGE, 1 << max(0, (nbytes - 1).bit_length() - 3))
    return max(1, -(-nbytes // step)) * step


_stagers: dict[torch.device, Stager] = {}
_always: tuple[_core.Context, bool] | None = None


def stager_for(device: torch.device) -> Stager | None:
    """What carries tensors of the device; None for the CPU, and for devices without streams known here."""
    context = _runtime.engine()
    if device.type != "cuda" and not (device.type == "cpu" and _is_forced(context)):
        return None
    stager = _stagers.get(device)
    if stager is None or stager.context is not context:
        stager = _stagers[device] = Stager(device, context)
    return stager


def _is_forced(context: _core.Context) -> bool:
    global _always
    if _always is None or _always[0] is not context:
        _always = (context, context.config()["BLUEFOG_STAGING"] == "always")
    return _always[1]
