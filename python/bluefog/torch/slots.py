"""Which bytes of which bucket belong to which parameter, before any memory is moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

SLOT_ALIGNMENT = 64

#: What a bucket of a dtype is to the engine. Complex numbers mix as pairs of reals.
MIXABLE_DTYPES = {
    torch.float16: torch.float16,
    torch.bfloat16: torch.bfloat16,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.complex64: torch.float32,
    torch.complex128: torch.float64,
}


@dataclass
class Member:
    """A parameter (or a buffer tied to one) with its name and the modules that hold it.

    ``dtype``, ``shape``, ``stride`` and ``address`` say how it lies in its slot; the address is 0 before
    that."""

    name: str
    tensor: torch.Tensor
    owners: list[tuple[torch.nn.Module, str]] = field(default_factory=list)
    dtype: torch.dtype | None = None
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    address: int = 0
    excluded: bool = False

    def in_slot(self) -> bool:
        """Whether the tensor lies where it was put."""
        tensor = self.tensor
        return (
            tensor.data_ptr() == self.address
            and tensor.stride() == self.stride
            and tensor.shape == self.shape
            and tensor.dtype == self.dtype
        )

    def at_home(self) -> bool:
        """Whether it is in its slot, and its modules hold it. Called for every parameter in every step."""
        tensor = self.tensor
        for module, key in self.owners:
            if module._parameters.get(key) is not tensor and module._buffers.get(key) is not tensor:
                return False
        return self.in_slot()


@dataclass
class Slot:
    """Bytes of a bucket that belong to one storage; several members if parameters are tied."""

    members: list[Member]
    nbytes: int
    offset: int = 0


def collect_members(models: Sequence[torch.nn.Module]) -> list[Member]:
    """Every distinct parameter and buffer of the models, with the modules that hold it."""
    members: dict[int, Member] = {}
    for model in models:
        for prefix, module in model.named_modules():
            for table in (module._parameters, module._buffers):
                for key, tensor in table.items():
                    if tensor is None:
                        continue
                    name = f"{prefix}.{key}" if prefix else key
                    member = members.setdefault(id(tensor), Member(name, tensor))
                    member.owners.append((module, key))
    return list(members.values())


def aligned(nbytes: int) -> int:
    return -(-nbytes // SLOT_ALIGNMENT) * SLOT_ALIGNMENT


def refuse_unsuitable(member: Member) -> None:
    """Raises ValueError for a tensor that cannot be mixed, with its name and the reason."""
    tensor = member.tensor
    reason = None
    if torch.nn.parameter.is_lazy(tensor):
        reason = "is lazy; run one forward before you wrap the optimizer"
    elif hasattr(tensor, "__tensor_flatten__"):
        reason = f"is a {type(tensor).__name__}, a tensor subclass without one memory of its own"
    elif tensor.is_meta:
        reason = "is on the meta device; materialize it before you wrap the optimizer"
    elif tensor.layout != torch.strided or tensor.is_quantized:
        reason = f"is not a plain dense tensor (layout {tensor.layout})"
    elif tensor.dtype not in MIXABLE_DTYPES:
        reason = f"is {tensor.dtype}, which cannot be averaged; pass exclude= to leave it out"
    elif _overlaps_itself(tensor):
        reason = "is expanded: several of its elements share memory; clone() it before you wrap the optimizer"
    if reason is not None:
        raise ValueError(f"parameter {member.name!r} {reason}")


def _extents(tensor: torch.Tensor) -> list[tuple[int, int]]:
    return sorted((stride, size) for size, stride in zip(tensor.shape, tensor.stride()) if size > 1)


def _overlaps_itself(tensor: torch.Tensor) -> bool:
    covered = 1
    for stride, size in _extents(tensor):
        if stride < covered:
            return True
        covered = stride * (size - 1) + covered
    return False


def _is_dense(tensor: torch.Tensor) -> bool:
    expected = 1
    for stride, size in _extents(tensor):
        if stride != expected:
            return False
        expected *= size
    return True


def _range(tensor: torch.Tensor) -> tuple[int, int]:
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
    return tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size()


def group_by_storage(chosen: Sequence[Member], others: Sequence[Member]) -> list[Slot]:
    """Slots for the chosen members, with those of the others that lie in the same memory."""
    groups: dict[tuple[int, int], list[Member]] = {}
    for member in chosen:
        groups.setdefault(_range(member.tensor), []).append(member)
    ranges = [(*span, True, group[0].name) for span, group in groups.items()]
    for member in others:
        if not _has_plain_memory(member.tensor):
            continue
        span = _range(member.tensor)
        if span in groups:
            groups[span].append(member)
        else:
            ranges.append((*span, False, member.name))
    _refuse_partial_overlap(ranges)
    return [_slot_of(group) for group in groups.values()]


def _has_plain_memory(tensor: torch.Tensor) -> bool:
    special = torch.nn.parameter.is_lazy(tensor) or hasattr(tensor, "__tensor_flatten__")
    return not special and tensor.layout == torch.strided and not tensor.is_meta and tensor.numel() > 0


def _refuse_partial_overlap(ranges: list[tuple[int, int, bool, str]]) -> None:
    # By whether it is to be mixed: how far memory is taken, and by whom.
    reached = {True: (0, ""), False: (0, "")}
    for start, end, mixed, name in sorted(ranges):
        for kind in (True, False) if mixed else (True,):
            if start < reached[kind][0]:
                raise ValueError(
                    f"parameters {reached[kind][1]!r} and {name!r} overlap in part of their memory; equal "
                    "memory "
                    "(tied parameters) or separate memory can be mixed: clone() one of them before you "
                    "wrap the "
                    "optimizer"
                )
        reached[mixed] = max(reached[mixed], (end, name))


def _slot_of(group: list[Member]) -> Slot:
    first = group[0].tensor
    for member in group:
        tensor = member.tensor
        if member.excluded:
            raise ValueError(
                f"{member.name!r} is excluded, but shares its memory with {group[0].name!r}, which is not"
            )
        same = tensor.shape == first.shape and tensor.stride() == first.stride()
        if tensor.dtype != first.dtype or not (same or (_is_dense(tensor) and _is_dense(first))):
            raise ValueError(
                f"parameters {group[0].name!r} and {member.name!r} share memory but read it in different "
                "ways; clone() one of them before you wrap the optimizer"
            )
        member.dtype = tensor.dtype
        member.shape = tuple(tensor.shape)
        dense = _is_dense(tensor)
        member.stride = tensor.stride() if dense else torch.empty_like(tensor, device="meta").stride()
    return Slot(group, first.numel() * first.element_size())


def split_into_buckets(slots: Sequence[Slot], max_bytes: int) -> list[list[Slot]]:
    """Packs slots into buckets of one dtype and device in the order given."""
    parts: list[list[Slot]] = []
    opened: dict[tuple[torch.dtype, torch.device], tuple[list[Slot], int]] = {}
    for slot in slots:
        first = slot.members[0].tensor
        kind = (first.dtype, first.device)
        part, used = opened.get(kind, ([], max_bytes))
        nbytes = aligned(slot.nbytes)
        if not part or used + nbytes > max_bytes:
            part, used = [], 0
            parts.append(part)
        part.append(slot)
        opened[kind] = (part, used + nbytes)
    return parts
