"""Where copies between tensors and the engine's memory run, beside the user's work."""

from __future__ import annotations

import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import torch

__all__ = ["CudaLane", "Lane", "Mark", "ThreadLane"]

_PORTABLE = 1  # cudaHostRegisterPortable: pinned for every device


class Lane(Protocol):
    """Copies, one after the other, in the order of the calls.

    What the user's work on the tensors has been so far comes before a copy. None of these waits on the host
    for a GPU.
    """

    def pin(self, owner: object, memory: torch.Tensor) -> None:
        """Prepares whole pages of the engine's memory, so that copies need no host in between, for as long as
        their owner lives.
        """

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Starts to copy. Both stay alive until that is over."""

    def catch_up(self) -> None:
        """The user's work from now on comes after the copies so far."""

    def mark(self) -> Mark:
        """The end of the copies so far."""


class Mark(Protocol):
    def is_past(self) -> bool:
        """Whether it has been reached."""

    def wait(self) -> None:
        """Until it has been."""


class CudaLane:
    """A side stream, ordered with the user's current one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        cuda: Any = torch.cuda
        self._stream = cuda.Stream(device)

    def pin(self, owner: object, memory: torch.Tensor) -> None:
        address = memory.data_ptr()
        cuda: Any = torch.cuda
        runtime = cuda.cudart()
        # Where this fails (limits on locked memory) copies are right, but the host waits for them.
        if int(runtime.cudaHostRegister(address, memory.nbytes, _PORTABLE)) == 0:
            weakref.finalize(owner, runtime.cudaHostUnregister, address).atexit = False

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream), torch.inference_mode(target.is_inference()), torch.no_grad():
            # Else torch would do that afterwards, on the host, which does not wait for the copy.
            target.copy_(source.resolve_conj().resolve_neg(), non_blocking=True)
        for tensor in (target, source):
            if tensor.is_cuda:  # the allocator gives its memory to nobody else before
                tensor.record_stream(self._stream)

    def catch_up(self) -> None:
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def mark(self) -> _CudaMark:
        return _CudaMark(self._stream.record_event())


class _CudaMark:
    def __init__(self, event: Any) -> None:
        self._event = event

    def is_past(self) -> bool:
        return bool(self._event.query())

    def wait(self) -> None:
        self._event.synchronize()


class ThreadLane:
    """A thread that copies between tensors of the CPU: what a GPU does, for tests without one."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bluefog-copies")
        self._last: Future[None] = self._thread.submit(lambda: None)

    def pin(self, owner: object, memory: torch.Tensor) -> None:
        pass

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self._last = self._thread.submit(_copy, target, source)

    def catch_up(self) -> None:
        self._last.result()  # the user's work on the CPU begins as soon as this returns

    def mark(self) -> _FutureMark:
        return _FutureMark(self._last)

    def hold_up(self, until: Future[None]) -> None:
        """Copies after this call wait for it, as behind a slow kernel."""
        self._last = self._thread.submit(until.result)


class _FutureMark:
    def __init__(self, future: Future[None]) -> None:
        self._future = future

    def is_past(self) -> bool:
        return self._future.done()

    def wait(self) -> None:
        self._future.result()


def _copy(target: torch.Tensor, source: torch.Tensor) -> None:
    with torch.inference_mode(target.is_inference()), torch.no_grad():
        target.copy_(source)
