"""Memory in which parameters or gradients lie side by side, and that of the engine, in which they are mixed.

For the CPU these are one. What lies on a GPU is staged.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Callable, Protocol

import torch

from bluefog.torch.staging import Stager

__all__ = ["Allocate", "Room", "SharedMemory", "SharedRoom", "StagedRoom", "StagerOf", "Way", "on_host"]


class SharedMemory(Protocol):
    """A piece of the arena, as ``bluefog._core.SharedMemory`` gives it: zeroed and 64-byte aligned."""

    @property
    def address(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def dlpack(self, offset: int, nbytes: int) -> object: ...


Allocate = Callable[[int], SharedMemory]
#: What carries tensors of a device; see staging.py.
StagerOf = Callable[[torch.device], "Stager | None"]


class Way(enum.Enum):
    """From where to where a room is mixed."""

    in_place = enum.auto()
    into_second_buffer = enum.auto()
    in_second_buffer = enum.auto()


class Room(Protocol):
    """So many bytes; tensors of them are uint8."""

    nbytes: int

    @property
    def address(self) -> int:
        """Of the engine's memory."""

    @property
    def home_address(self) -> int:
        """Of the memory in which the tensors lie."""

    def part(self, offset: int, nbytes: int) -> torch.Tensor:
        """These bytes, as a tensor with a storage of its own, which keeps the memory alive."""

    def second(self) -> torch.Tensor:
        """A second buffer of the same size, for results while the first is still being read."""

    def begin(self, way: Way) -> tuple[int, int, int]:
        """Addresses of input, output and ready word (0: none), for an operation of the engine."""

    def wait(self) -> None:
        """For who reads the engine's memory on the host: until what begin() takes there is there."""

    def land(self) -> None:
        """Takes the result of an operation in place home."""

    def take_second(self) -> None:
        """Takes the result of another operation home."""


class SharedRoom:
    """Memory of the arena, which the engine mixes as it is."""

    def __init__(self, nbytes: int, allocate: Allocate) -> None:
        self.nbytes = nbytes
        self._allocate = allocate
        self._memory = allocate(nbytes)
        self._second: SharedMemory | None = None
        self._both: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def address(self) -> int:
        return self._memory.address

    @property
    def home_address(self) -> int:
        return self._memory.address

    @property
    def second_address(self) -> int:
        if self._second is None:
            self._second = self._allocate(self.nbytes)
        return self._second.address

    def part(self, offset: int, nbytes: int) -> torch.Tensor:
        # A new capsule each time: share_memory_() moves a storage for all tensors that share it.
        return torch.utils.dlpack.from_dlpack(self._memory.dlpack(offset, nbytes))

    def second(self) -> torch.Tensor:
        return self._buffers()[1]

    def begin(self, way: Way) -> tuple[int, int, int]:
        source = self.second_address if way is Way.in_second_buffer else self.address
        target = self.address if way is Way.in_place else self.second_address
        return source, target, 0

    def wait(self) -> None:
        pass

    def land(self) -> None:
        pass

    def take_second(self) -> None:
        first, second = self._buffers()
        first.copy_(second)

    def _buffers(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._both is None:
            assert self.second_address and self._second is not None
            second = torch.utils.dlpack.from_dlpack(self._second.dlpack(0, self.nbytes))
            self._both = self.part(0, self.nbytes), second
        return self._both


class StagedRoom:
    """Memory of a device, with a mirror in the arena. The engine mixes the mirror in place; results are taken
    home when they may be, so that none needs a second buffer.
    """

    def __init__(self, nbytes: int, device: torch.device, stager: Stager) -> None:
        self.nbytes = nbytes
        self._home = torch.zeros(nbytes, dtype=torch.uint8, device=device)
        self._second: torch.Tensor | None = None
        self._mirror = stager.take((nbytes,), torch.uint8)

    @property
    def address(self) -> int:
        return self._mirror.address

    @property
    def home_address(self) -> int:
        return self._home.data_ptr()

    def part(self, offset: int, nbytes: int) -> torch.Tensor:
        dlpack: Any = torch.utils.dlpack
        part: torch.Tensor = dlpack.from_dlpack(dlpack.to_dlpack(self._home[offset : offset + nbytes]))
        return part

    def second(self) -> torch.Tensor:
        if self._second is None:
            self._second = torch.zeros_like(self._home)
        return self._second

    def begin(self, way: Way) -> tuple[int, int, int]:
        self._mirror.fill(self.second() if way is Way.in_second_buffer else self._home)
        return self._mirror.address, self._mirror.address, self._mirror.ready_address

    def wait(self) -> None:
        self._mirror.wait_until_filled()

    def land(self) -> None:
        self._mirror.empty_to(self._home)

    def take_second(self) -> None:
        self.land()


@contextmanager
def on_host(rooms: Iterable[Room]) -> Iterator[None]:
    """Inside, what is in the engine's memory of these rooms counts, for code that works on it here."""
    rooms = list(rooms)
    for room in rooms:
        room.begin(Way.in_place)
    for room in rooms:
        room.wait()
    yield
    for room in rooms:
        room.land()
