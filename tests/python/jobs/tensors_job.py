"""Checks of what tensors may look like: strides, sizes, memory, outputs."""

from __future__ import annotations

import bluefog.torch as bf
import torch
from job import assert_close, assert_equal, raises


def expected_mean(make) -> torch.Tensor:
    return torch.stack([make(rank) for rank in range(bf.size())]).sum(0) / bf.size()


def everybody() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))


def check_inputs_with_gaps_work() -> None:
    everybody()
    views = [
        lambda rank: (torch.arange(24.0).reshape(4, 6) + rank).t(),
        lambda rank: (torch.arange(24.0).reshape(4, 6) * rank)[::2, 1::2],
        lambda rank: torch.tensor([float(rank)]).expand(5),
        lambda rank: (torch.arange(120.0).reshape(2, 3, 4, 5) + rank).to(memory_format=torch.channels_last),
        lambda rank: torch._neg_view(torch.arange(6.0) + rank),
    ]
    for make in views:
        before = make(bf.rank()).clone()
        mine = make(bf.rank())
        assert_close(bf.neighbor_allreduce(mine), expected_mean(make))
        assert_close(bf.allreduce(mine), expected_mean(make))
        assert_equal(bf.broadcast(mine, 0), make(0))
        assert_equal(bf.allgather(mine), torch.cat([make(rank) for rank in range(bf.size())]))
        assert_equal(mine, before)


def check_in_place_operations_write_through_strides() -> None:
    base = torch.zeros(4, 6)
    view = base.t()[1::2]
    view.copy_(torch.full((3, 4), float(bf.rank())))
    assert bf.allreduce_(view, average=False) is view
    total = bf.size() * (bf.size() - 1) / 2
    assert_equal(base, torch.tensor([0, total] * 3).expand(4, 6))
    handle = bf.broadcast_nonblocking_(view.fill_(bf.rank()), bf.size() - 1)
    bf.synchronize(handle)
    assert_equal(base, torch.tensor([0, bf.size() - 1.0] * 3).expand(4, 6))


def check_tensors_without_elements_work() -> None:
    everybody()
    for shape in [(0,), (3, 0, 2)]:
        empty = torch.empty(shape)
        assert bf.neighbor_allreduce(empty).shape == shape
        assert bf.allreduce(empty, average=False).shape == shape
        assert bf.broadcast(empty, 0).shape == shape
    assert bf.allgather(torch.empty(3, 0, 2)).shape == (3 * bf.size(), 0, 2)


def check_scalars_work() -> None:
    everybody()
    scalar = torch.tensor(float(bf.rank()))
    assert bf.neighbor_allreduce(scalar).shape == ()
    assert bf.allreduce(scalar).item() == (bf.size() - 1) / 2
    assert bf.broadcast(scalar, bf.size() - 1).item() == bf.size() - 1


def check_many_dimensions_work() -> None:
    everybody()
    shape = (1, 2, 1, 2, 1, 2, 3, 1, 2)
    assert_close(
        bf.neighbor_allreduce(torch.full(shape, float(bf.rank()))), torch.full(shape, (bf.size() - 1) / 2)
    )
    assert bf.allgather(torch.ones(shape)).shape == (bf.size(), *shape[1:])


def check_results_carry_no_gradient() -> None:
    everybody()
    parameter = torch.nn.Parameter(torch.full((3,), float(bf.rank())))
    for result in (
        bf.neighbor_allreduce(parameter),
        bf.allreduce(parameter),
        bf.broadcast(parameter, 0),
        bf.allgather(parameter),
    ):
        assert not result.requires_grad and type(result) is torch.Tensor
    assert bf.allreduce_(parameter) is parameter
    assert parameter.requires_grad and parameter.is_leaf
    assert_close(parameter.detach(), torch.full((3,), (bf.size() - 1) / 2))


def check_writing_in_place_is_seen_by_autograd() -> None:
    weight = torch.full((3,), 2.0, requires_grad=True)
    saved = (weight * 1).detach()
    loss = (weight * saved).sum()
    bf.allreduce_(saved)
    with raises(RuntimeError, "modified by an inplace operation"):
        loss.backward()


def check_results_are_fresh() -> None:
    everybody()
    mine = torch.full((4,), float(bf.rank()))
    first = bf.neighbor_allreduce(mine)
    kept = first.clone()
    second = bf.neighbor_allreduce(mine + 1)
    assert len({mine.data_ptr(), first.data_ptr(), second.data_ptr()}) == 3
    assert_equal(first, kept)
    assert_equal(mine, torch.full((4,), float(bf.rank())))


def check_out_receives_the_result() -> None:
    everybody()
    mean = torch.full((4,), (bf.size() - 1) / 2)
    mine = torch.full((4,), float(bf.rank()))
    out = torch.empty(4)
    assert bf.neighbor_allreduce(mine, out=out) is out
    assert_close(out, mean)
    strided = torch.zeros(8)[::2]
    assert bf.allreduce(mine, out=strided) is strided
    assert_close(strided, mean)
    handle = bf.neighbor_allreduce_nonblocking(mine, out=mine)
    assert bf.synchronize(handle) is mine
    assert_close(mine, mean)


def check_shared_tensors_are_zeroed_and_known() -> None:
    for tensor in (
        bf.empty_shared(3, 5),
        bf.empty_shared((3, 5), dtype=torch.bfloat16),
        bf.empty_shared(7, dtype=torch.bool),
    ):
        assert bf.is_shared(tensor) and not tensor.any() and tensor.data_ptr() % 64 == 0
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    assert bf.empty_shared(3, 5).shape == (3, 5)
    assert bf.empty_shared(0, 5).shape == (0, 5)
    assert not bf.is_shared(torch.zeros(3))


def check_shared_tensors_are_averaged_in_place_and_out_of_place() -> None:
    for meet in (False, True):
        shared = bf.empty_shared(5000).fill_(bf.rank())
        schedule = bf.static_schedule(bf.FullyConnectedGraph(bf.size()))
        mean = torch.full((5000,), (bf.size() - 1) / 2)
        assert_close(bf.neighbor_allreduce(shared, schedule=schedule, meet=meet), mean)
        assert_equal(shared, torch.full((5000,), float(bf.rank())))
        assert bf.neighbor_allreduce(shared, schedule=schedule, meet=meet, out=shared) is shared
        assert_close(shared, mean)


def check_shared_tensors_survive_shutdown() -> None:
    shared = bf.empty_shared(1000).fill_(7)
    bf.shutdown()
    assert_equal(shared + 1, torch.full((1000,), 8.0))
    bf.init()
    assert_equal(bf.allreduce(shared), torch.full((1000,), 7.0))


def check_parameters_move_to_shared_memory() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    )
    model[0].to(memory_format=torch.channels_last)
    model[3].weight = model[2].weight
    before = {name: (p.clone(), p.stride()) for name, p in model.state_dict().items()}
    parameters = list(model.parameters())
    assert bf.share_parameters_(model) is model
    assert all(a is b for a, b in zip(parameters, model.parameters()))
    assert all(bf.is_shared(parameter) for parameter in parameters)
    assert model[3].weight.data_ptr() == model[2].weight.data_ptr()
    for name, tensor in model.state_dict().items():
        assert_equal(tensor, before[name][0])
        assert tensor.stride() == before[name][1]
    addresses = [parameter.data_ptr() for parameter in parameters]
    bf.share_parameters_(model)
    assert addresses == [parameter.data_ptr() for parameter in parameters]
