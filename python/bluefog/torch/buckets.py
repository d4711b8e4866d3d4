"""Parameters laid out side by side in shared memory, so that ranks can mix them in place.

A bucket is one piece of this rank's shared-memory arena, or of a GPU's memory with a mirror there. It holds
parameters of one dtype at 64-byte aligned slots, and its whole range is what ranks mix; the padding between
slots is zero and stays zero. Every parameter keeps a ``Storage`` of its own, made from a DLPack capsule of
exactly its bytes, rather than a view of one big storage: saving a part of a model stays small, memory formats
survive, and memory lives as long as anything refers to it, also after ``bluefog.torch.shutdown()``.
"""

from __future__ import annotations

import ctypes
import hashlib
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from bluefog.torch.rooms import Allocate, Room, SharedRoom, StagedRoom, StagerOf, Way
from bluefog.torch.slots import (
    MIXABLE_DTYPES,
    Member,
    Slot,
    aligned,
    group_by_storage,
    refuse_unsuitable,
    split_into_buckets,
)


class Bucket:
    """Slots of one dtype in one room."""

    def __init__(
        self, slots: Sequence[Slot], allocate: Allocate, stager_of: StagerOf = lambda device: None
    ) -> None:
        self.slots = list(slots)
        first = slots[0].members[0].tensor
        self.dtype = first.dtype
        self.device = first.device
        end = 0
        for slot in self.slots:
            slot.offset = end
            end += aligned(slot.nbytes)
        self.nbytes = end
        self._allocate = allocate
        self._stager_of = stager_of
        self.room = self.make_room(end)
        for slot in self.slots:
            self._point(slot, slot.members[0].tensor.detach())

    def make_room(self, nbytes: int) -> Room:
        """For tensors on the device of the parameters."""
        stager = self._stager_of(self.device)
        if stager is None:
            return SharedRoom(nbytes, self._allocate)
        return StagedRoom(nbytes, self.device, stager)

    @property
    def is_staged(self) -> bool:
        """Whether the engine mixes a mirror of the parameters."""
        return isinstance(self.room, StagedRoom)

    @property
    def address(self) -> int:
        """Of the engine's memory."""
        return self.room.address

    @property
    def mixing_dtype(self) -> torch.dtype:
        return MIXABLE_DTYPES[self.dtype]

    @property
    def count(self) -> int:
        """Number of elements of ``mixing_dtype`` in the whole range, padding included."""
        return self.nbytes // self.mixing_dtype.itemsize

    @property
    def members(self) -> Iterable[Member]:
        return (member for slot in self.slots for member in slot.members)

    def take_second_buffer(self) -> None:
        """Takes results that are not in place to all parameters of this bucket, as an in-place change that
        autograd sees.
        """
        self.room.take_second()
        self.mark_changed()

    def fill_second_buffer(self) -> None:
        """Copies the parameters there."""
        self.room.second().copy_(self.room.part(0, self.nbytes))

    def places_in_second_buffer(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Every parameter of this bucket, and its place in the second buffer, laid out like it."""
        copies = self.room.second()
        places = []
        for slot in self.slots:
            flat = copies[slot.offset : slot.offset + slot.nbytes].view(self.dtype)
            for member in slot.members:
                place = flat.as_strided(member.shape, member.stride, flat.storage_offset())
                places.append((member.tensor, place))
        return places

    def mark_changed(self) -> None:
        """Tells autograd that the parameters changed in place, so that graphs that saved them refuse a
        backward.
        """
        _increment_versions([member.tensor for member in self.members])

    def checksum(self, start: int = 0) -> int:
        """A hash of the bytes, continued from that of other bytes."""
        self.room.begin(Way.in_place)
        self.room.wait()
        return zlib.crc32((ctypes.c_char * self.nbytes).from_address(self.address), start)

    def put_back(self, slot: Slot, moved: Member, source: torch.Tensor) -> None:
        """Brings a member that left its slot back, with the value of `source`."""
        if source.dtype != self.dtype or source.device != self.device:
            raise RuntimeError(
                f"parameter {moved.name!r} was {self.dtype} on {self.device} when the optimizer was made "
                "distributed and "
                f"is now {source.dtype} on {source.device}; convert the model first and wrap the optimizer "
                "afterwards"
            )
        if source.shape != moved.shape:
            raise RuntimeError(
                f"parameter {moved.name!r} had the shape {tuple(moved.shape)} when the optimizer was made "
                f"distributed and now has {tuple(source.shape)}; wrap the optimizer again after such a change"
            )
        self._point(slot, source.detach().clone(), moved)

    def _point(self, slot: Slot, value: torch.Tensor, valued: Member | None = None) -> None:
        flat = self.room.part(slot.offset, slot.nbytes).view(self.dtype)
        valued = valued or slot.members[0]
        flat.as_strided(valued.shape, valued.stride).copy_(value)
        for member in slot.members:
            member.tensor.data = flat.as_strided(member.shape, member.stride)
            member.address = self.room.home_address + slot.offset


class ParameterBuckets:
    """All buckets of one optimizer.

    Args:
        allocate: Gives shared memory of so many bytes.
        max_bytes: Largest size of a bucket. A parameter that is larger by itself gets a bucket of its own.
        stager_of: What stages the parameters of a device.
    """

    def __init__(self, allocate: Allocate, max_bytes: int, stager_of: StagerOf = lambda device: None) -> None:
        self.buckets: list[Bucket] = []
        self._allocate = allocate
        self._stager_of = stager_of
        self._max_bytes = max_bytes
        self._places: list[tuple[Bucket, Slot, Member]] = []
        self._empty: list[Member] = []
        self._known: set[int] = set()  # ids of all members' tensors, which live as long as this

    def adopt(self, chosen: Sequence[Member], others: Sequence[Member] = ()) -> list[Bucket]:
        """Moves the chosen parameters into new buckets and returns these.

        Values, strides, gradients and the ``Parameter`` objects stay as they are; a parameter that is not
        dense becomes dense. Tensors among `others` that share the storage of a chosen one move with it.

        Raises:
            ValueError: A parameter cannot be mixed, or overlaps another tensor in part. The
                message names it.
        """
        for member in chosen:
            refuse_unsuitable(member)
            self._refuse_device(member)
        self._empty += [member for member in chosen if member.tensor.numel() == 0]
        slots = group_by_storage([m for m in chosen if m.tensor.numel() > 0], others)
        made = [
            Bucket(part, self._allocate, self._stager_of)
            for part in split_into_buckets(slots, self._max_bytes)
        ]
        self.buckets += made
        self._places += [(bucket, slot, m) for bucket in made for slot in bucket.slots for m in slot.members]
        self._known.update(id(member.tensor) for member in self.members)
        self._known.update(id(member.tensor) for member in self._empty)
        return made

    def _refuse_device(self, member: Member) -> None:
        device = member.tensor.device
        if device.type != "cpu" and self._stager_of(device) is None:
            raise ValueError(
                f"parameter {member.name!r} is on {device}; parameters of the CPU can be mixed, and those of "
                "CUDA devices, but not by the optimizers over windows: move the model to the CPU, or take "
                "another optimizer"
            )

    def forget(self, buckets: Sequence[Bucket]) -> None:
        """Gives up buckets that adopt() has just made. Their parameters stay where they are."""
        self.buckets = [bucket for bucket in self.buckets if bucket not in buckets]
        self._places = [place for place in self._places if place[0] not in buckets]
        self._known.difference_update(id(member.tensor) for bucket in buckets for member in bucket.members)

    @property
    def members(self) -> Iterable[Member]:
        return (member for bucket in self.buckets for member in bucket.members)

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether this very tensor object has been adopted (an empty one needs no slot, but counts)."""
        return id(tensor) in self._known

    def layout_hash(self) -> int:
        """64 bits that are equal on ranks whose buckets can be mixed with each other."""
        layout = [
            (str(bucket.dtype), slot.offset, slot.nbytes, [(m.name, m.shape, m.stride) for m in slot.members])
            for bucket in self.buckets
            for slot in bucket.slots
        ]
        return int.from_bytes(hashlib.blake2b(repr(layout).encode(), digest_size=7).digest(), "little")

    def restore(self) -> list[str]:
        """Brings every parameter that left its slot back, with its present value.

        ``p.data = ...``, ``share_memory_()`` or ``model.to(memory_format=...)`` move a parameter's memory;
        ``load_state_dict(assign=True)`` puts a new ``Parameter`` in the module, which would then neither be
        optimized nor mixed: its value and gradient go to the old one, and the old one goes back to the
        module.

        Returns the names of the parameters that had been replaced like that.

        Raises:
            RuntimeError: A parameter changed its dtype, device or shape.
        """
        replaced = []
        for bucket, slot, member in self._places:
            if member.at_home():
                continue
            usurper = _usurper(member, self._known)
            if usurper is not None:
                bucket.put_back(slot, member, usurper)
                _reinstate(member, usurper)
                replaced.append(member.name)
            elif not member.in_slot():
                bucket.put_back(slot, member, member.tensor)
        return replaced


def checksum_of(buckets: Iterable[Bucket]) -> int:
    """A hash of the values in the buckets, to compare parameters between ranks."""
    value = 0
    for bucket in buckets:
        value = bucket.checksum(value)
    return value


def _increment_versions(tensors: Sequence[torch.Tensor]) -> None:
    try:
        torch.autograd.graph.increment_version(tensors)
    except (TypeError, RuntimeError):  # older torch takes one tensor at a time
        for tensor in tensors:
            torch.autograd.graph.increment_version(tensor)


def _usurper(member: Member, known: set[int]) -> torch.Tensor | None:
    """The unknown tensor that sits where this member used to, if there is one."""
    for module, key in member.owners:
        for table in (module._parameters, module._buffers):
            present = table.get(key)
            if present is not None and present is not member.tensor and id(present) not in known:
                return present
    return None


def _reinstate(member: Member, usurper: torch.Tensor) -> None:
    if usurper.grad is not None:
        member.tensor.grad = usurper.grad
    for module, key in member.owners:
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for table in tables:
            if table.get(key) is usurper:
                table[key] = member.tensor
