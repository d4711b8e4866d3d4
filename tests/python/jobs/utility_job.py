"""Checks of broadcast_parameters and allreduce_parameters."""

from __future__ import annotations

import copy

import bluefog.torch as bf
import torch
from bluefog.common.errors import MismatchError
from job import assert_close, assert_equal, assert_usable, raises


def make_model(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3), torch.nn.Linear(3, 4)
    )
    model[3].weight = model[0].weight
    model[1].num_batches_tracked += seed
    return model


def check_parameters_are_broadcast() -> None:
    for root in range(bf.size()):
        model, expected = make_model(bf.rank()), make_model(root)
        bf.broadcast_parameters(model.state_dict(), root_rank=root)
        for name, tensor in model.state_dict().items():
            assert_equal(tensor, expected.state_dict()[name])
        assert model[3].weight is model[0].weight


def check_lists_of_parameters_are_broadcast() -> None:
    model, expected = make_model(bf.rank()), make_model(0)
    bf.broadcast_parameters(list(model.parameters()), 0)
    bf.broadcast_parameters(list(model.named_buffers()), 0)
    for name, tensor in model.state_dict().items():
        assert_equal(tensor, expected.state_dict()[name])


def check_parameters_are_averaged() -> None:
    models = [make_model(rank) for rank in range(bf.size())]
    model = models[bf.rank()]
    expected = [
        torch.stack([m.state_dict()[name].double() for m in map(copy.deepcopy, models)])
        for name in model.state_dict()
    ]
    bf.allreduce_parameters(model.state_dict())
    for (name, tensor), values in zip(model.state_dict().items(), expected):
        assert_close(
            tensor, (values.mean(0) if tensor.is_floating_point() else values.amax(0)).to(tensor.dtype)
        )
        if name == "1.num_batches_tracked":
            assert tensor.item() == bf.size() - 1


def check_complex_parameters() -> None:
    """Optimizers average them, so they can also be given to all ranks, and averaged at the end."""
    values = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    mine = torch.complex(values * bf.rank(), -values)
    mean = mine.clone()
    bf.allreduce_parameters([mean])
    assert_close(mean, torch.complex(values * (bf.size() - 1) / 2, -values))
    parameter = torch.nn.Parameter(mine.t())  # not contiguous
    version = parameter._version
    bf.broadcast_parameters({"w": parameter}, root_rank=bf.size() - 1)
    assert_equal(parameter.detach(), torch.complex(values * (bf.size() - 1), -values).t())
    assert parameter._version > version


def check_what_is_no_collection_of_tensors_is_refused() -> None:
    for function in (lambda p: bf.broadcast_parameters(p, 0), bf.allreduce_parameters):
        for wrong in (make_model(0).parameters(), torch.ones(3), [1.0], {"a": None}):
            with raises(ValueError):
                function(wrong)


def check_parameters_of_every_dtype() -> None:
    n, rank = bf.size(), bf.rank()
    counters = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
    floats = [torch.float16, torch.bfloat16, torch.float32, torch.float64]

    def tensors(value: float) -> dict[str, torch.Tensor]:
        made = {str(dtype): torch.full((2, 3), value).to(dtype).t() for dtype in counters + floats}
        return {
            **made,
            "bool": torch.tensor(value == 1),
            "count": torch.tensor(int(value)),
            "none": torch.empty(0),
        }

    mine = tensors(rank)
    bf.broadcast_parameters(dict(reversed(mine.items())) if rank == 0 else mine, n - 1)
    for key, expected in tensors(n - 1).items():
        assert_equal(mine[key], expected)
    mine = tensors(rank)
    bf.allreduce_parameters(mine)
    for key, expected in tensors((n - 1) / 2).items():
        if expected.is_floating_point():
            assert_equal(mine[key], expected)
        elif key != "bool":
            assert_equal(mine[key], tensors(n - 1)[key])
    assert mine["bool"].item() == (n > 1)


def check_parameters_that_differ_between_ranks_are_refused() -> None:
    if bf.size() == 1:
        return
    mine = {"w": torch.ones(3 + (bf.rank() == 0))}
    for function in (lambda p: bf.broadcast_parameters(p, 0), bf.allreduce_parameters):
        with raises(MismatchError, r"\[3\]|\[4\]"):
            function(mine)
    for wrong in (bf.size(), -1):
        with raises(ValueError, "root"):
            bf.broadcast_parameters({"w": torch.ones(3)}, wrong)
    assert_usable()
