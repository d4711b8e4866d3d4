"""How parameters are laid out in buckets, with anonymous memory in place of the arena."""

from __future__ import annotations

import ctypes
import io
import mmap

import pytest
import torch
from bluefog.torch.buckets import ParameterBuckets
from bluefog.torch.slots import SLOT_ALIGNMENT, Member, collect_members


class AnonymousMemory:
    """What SharedMemory promises, from an anonymous mapping."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self._mapping = mmap.mmap(-1, nbytes)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))

    def dlpack(self, offset: int, nbytes: int) -> object:
        return torch.frombuffer(self._mapping, dtype=torch.uint8, offset=offset, count=nbytes).__dlpack__()


def buckets_of(model, max_bytes: int = 1 << 20) -> ParameterBuckets:
    buckets = ParameterBuckets(AnonymousMemory, max_bytes)
    parameters = {id(p) for p in model.parameters()}
    members = collect_members([model])
    buckets.adopt(
        [m for m in members if id(m.tensor) in parameters],
        [m for m in members if id(m.tensor) not in parameters],
    )
    return buckets


def whole(bucket) -> bytes:
    return (ctypes.c_char * bucket.nbytes).from_address(bucket.address).raw


def test_slots_are_aligned_and_padding_is_zero() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    [bucket] = buckets_of(model).buckets
    assert [slot.offset for slot in bucket.slots] == [0, 64, 128, 192]
    assert bucket.nbytes == 256 and bucket.count == 64
    raw, taken = whole(bucket), set()
    for slot in bucket.slots:
        assert slot.members[0].tensor.data_ptr() == bucket.address + slot.offset
        assert slot.offset % SLOT_ALIGNMENT == 0
        taken |= set(range(slot.offset, slot.offset + slot.nbytes))
    assert all(raw[i] == 0 for i in range(bucket.nbytes) if i not in taken)


def test_every_parameter_has_a_storage_of_exactly_its_bytes() -> None:
    model = torch.nn.Linear(3, 5)
    buckets_of(model)
    assert model.weight.untyped_storage().nbytes() == 60
    assert model.weight.storage_offset() == 0
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    assert torch.equal(torch.load(file)["weight"], model.weight)


def test_buckets_hold_one_dtype_and_at_most_their_size() -> None:
    model = torch.nn.ModuleList(
        [
            torch.nn.Linear(16, 4),
            torch.nn.Linear(16, 4).double(),
            torch.nn.Linear(16, 4),
            torch.nn.Linear(64, 64),
        ]
    )
    buckets = buckets_of(model, max_bytes=700).buckets
    content = [(b.dtype, [slot.members[0].name for slot in b.slots]) for b in buckets]
    assert content == [
        (torch.float32, ["0.weight", "0.bias", "2.weight", "2.bias"]),
        (torch.float64, ["1.weight", "1.bias"]),
        (torch.float32, ["3.weight"]),
        (torch.float32, ["3.bias"]),
    ]


def test_values_strides_gradients_and_identity_stay() -> None:
    model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    model(torch.ones(1, 3, 5, 5)).sum().backward()
    weight, stride = model.weight, model.weight.stride()
    value, gradient = weight.detach().clone(), weight.grad.clone()
    buckets_of(model)
    assert model.weight is weight and weight.stride() == stride
    assert torch.equal(weight, value) and torch.equal(weight.grad, gradient)


def test_parameter_with_gaps_becomes_dense() -> None:
    model = torch.nn.Linear(4, 3, bias=False)
    model.weight.data = torch.arange(24.0).view(3, 8)[:, ::2]
    value = model.weight.detach().clone()
    buckets_of(model)
    assert model.weight.is_contiguous() and torch.equal(model.weight, value)
    assert model.weight.untyped_storage().nbytes() == 48


def test_complex_and_half_parameters_are_laid_out() -> None:
    for dtype, mixed, count in (
        (torch.complex64, torch.float32, 16),
        (torch.float16, torch.float16, 32),
        (torch.bfloat16, torch.bfloat16, 32),
    ):
        model = torch.nn.Linear(2, 2, bias=False, dtype=dtype)
        value = model.weight.detach().clone()
        [bucket] = buckets_of(model).buckets
        assert (bucket.mixing_dtype, bucket.count) == (mixed, count)
        assert torch.equal(model.weight, value)


def test_empty_parameters_need_no_slot() -> None:
    model = torch.nn.ParameterList([torch.zeros(0), torch.zeros(2)])
    buckets = buckets_of(model)
    assert [m.name for m in buckets.members] == ["1"]
    assert all(buckets.holds(p) for p in model)
    assert buckets.restore() == []


def test_transposed_twin_shares_the_slot() -> None:
    model = torch.nn.ParameterDict({"a": torch.randn(2, 3), "b": torch.zeros(3, 2)})
    model["b"].data = model["a"].data.t()
    [bucket] = buckets_of(model).buckets
    assert len(bucket.slots) == 1
    with torch.no_grad():
        model["a"][0, 2] = 7
    assert model["b"][2, 0] == 7 and torch.equal(model["a"].t(), model["b"])


def test_buffer_tied_to_a_parameter_moves_along() -> None:
    model = torch.nn.Linear(2, 2, bias=False)
    model.register_buffer("alias", model.weight.data)
    buckets_of(model)
    with torch.no_grad():
        model.weight.fill_(3)
    assert model.alias.data_ptr() == model.weight.data_ptr() and model.alias[0, 0] == 3


def test_layout_hash_tells_layouts_apart() -> None:
    make = {
        "plain": lambda: torch.nn.Linear(4, 4),
        "again": lambda: torch.nn.Linear(4, 4),
        "double": lambda: torch.nn.Linear(4, 4).double(),
        "no bias": lambda: torch.nn.Linear(4, 4, bias=False),
        "other shape": lambda: torch.nn.Linear(2, 8),
        "renamed": lambda: torch.nn.Sequential(torch.nn.Linear(4, 4)),
    }
    hashes = {name: buckets_of(model()).layout_hash() for name, model in make.items()}
    assert hashes["plain"] == hashes["again"]
    assert len(set(hashes.values())) == len(hashes) - 1


def test_second_buffer_is_copied_in_as_a_change_that_autograd_sees() -> None:
    model = torch.nn.Linear(4, 1)
    [bucket] = buckets_of(model).buckets
    loss = model(torch.ones(2, 4, requires_grad=True)).square().sum()
    version = model.weight._version
    ctypes.memset(bucket.room.second_address, 0, bucket.nbytes)
    bucket.take_second_buffer()
    assert not model.weight.any() and model.weight._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_restore_brings_back_what_moved() -> None:
    model = torch.nn.Linear(4, 2)
    buckets = buckets_of(model)
    address = model.weight.data_ptr()
    model.weight.data = torch.ones(2, 4)
    model.bias.share_memory_()
    bias = model.bias.detach().clone()
    assert buckets.restore() == []
    assert model.weight.data_ptr() == address and bool((model.weight == 1).all())
    assert torch.equal(model.bias, bias) and all(m.in_slot() for m in buckets.members)


def test_restore_names_what_was_replaced_and_keeps_value_and_gradient() -> None:
    model = torch.nn.Linear(4, 2)
    buckets, old = buckets_of(model), model.weight
    model.weight = torch.nn.Parameter(torch.ones(2, 4))
    model(torch.ones(1, 4)).sum().backward()
    assert buckets.restore() == ["weight"]
    assert model.weight is old and bool((old == 1).all()) and bool((old.grad == 1).all())


def test_restore_refuses_another_shape() -> None:
    model = torch.nn.Linear(4, 2)
    buckets = buckets_of(model)
    model.weight = torch.nn.Parameter(torch.ones(3, 4))
    with pytest.raises(RuntimeError, match="'weight' had the shape .*wrap the optimizer again"):
        buckets.restore()


def overlapping(second: slice):
    flat = torch.zeros(12)
    model = torch.nn.ParameterDict({"a": torch.zeros(8), "b": torch.zeros(4)})
    model["a"].data, model["b"].data = flat[:8], flat[second]
    return model


def test_neighbours_in_one_storage_get_slots_of_their_own() -> None:
    assert len(buckets_of(overlapping(slice(8, 12))).buckets[0].slots) == 2


def test_partial_overlap_is_refused() -> None:
    for second in (slice(0, 4), slice(4, 8), slice(6, 10)):
        with pytest.raises(ValueError, match="('a' and 'b'|'b' and 'a') overlap"):
            buckets_of(overlapping(second))


def test_wrapper_tensors_are_refused() -> None:
    import torch.distributed as dist

    try:
        from torch.distributed.tensor import DeviceMesh, DTensor
    except ImportError:  # before torch 2.5
        from torch.distributed._tensor import DeviceMesh, DTensor

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = DeviceMesh("cpu", [0])
        model = torch.nn.Module()
        model.weight = torch.nn.Parameter(DTensor.from_local(torch.zeros(2, 2), mesh))
        with pytest.raises(ValueError, match="'weight' is a DTensor"):
            buckets_of(model)
    finally:
        dist.destroy_process_group()


def test_integers_and_sparse_tensors_are_refused() -> None:
    for tensor in (torch.zeros(2, dtype=torch.int64), torch.zeros(2, 2).to_sparse()):
        with pytest.raises(ValueError, match="'p' is"):
            ParameterBuckets(AnonymousMemory, 1 << 20).adopt([Member("p", tensor)])
