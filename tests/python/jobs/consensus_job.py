"""Checks of consensus_distance, mean_model and average_buffers."""

from __future__ import annotations

import math

import bluefog.torch as bf
import torch
from bluefog.common.errors import MismatchError
from bluefog.torch import consensus
from job import assert_close, assert_equal, assert_usable, raises
from optimizer_checks import ATC, AWC, inputs, sgd, spread, train_step, two_layers, wrapped
from torch import nn


def make_model(rank: int) -> nn.Module:
    """Of several dtypes, with a tied weight, running statistics and a counter; the same as on that rank."""
    torch.manual_seed(rank)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3), nn.Linear(3, 4))
    model[3].weight = model[0].weight
    model[2].double()
    model[2].half_scale = nn.Parameter(torch.randn(5).half())
    model[1].num_batches_tracked += 10 + rank
    model[1].running_mean += rank
    model.register_buffer("seen", torch.tensor([rank == 0, rank == 1]))
    return model


def vector(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().double().reshape(-1) for p in model.parameters()])


def distance_between(models: list[nn.Module]) -> float:
    every = torch.stack([vector(model) for model in models])
    return (every - every.mean(0)).square().sum(1).mean().sqrt().item()


def assert_near(actual: float, expected: float) -> None:
    assert isinstance(actual, float)
    assert math.isclose(actual, expected, rel_tol=1e-12, abs_tol=1e-14), (actual, expected)


def check_the_distance_is_that_from_the_mean() -> None:
    models = [make_model(rank) for rank in range(bf.size())]
    model, expected = models[bf.rank()], distance_between(models)
    assert_near(bf.consensus_distance(model), expected)
    for same in (model.named_parameters(), list(model.parameters()), dict(model.named_parameters())):
        assert_near(bf.consensus_distance(same), expected)
    assert_near(bf.consensus_distance([model, make_model(0)]), expected)  # the second is equal everywhere


def check_the_distance_of_known_numbers() -> None:
    n = bf.size()
    here = torch.full((4,), float(bf.rank()))
    expected = math.sqrt(4 * (n * n - 1) / 12)  # ranks are uniform on 0 ... n-1
    assert_near(bf.consensus_distance([here]), expected)
    assert_near(bf.consensus_distance({"x": here.reshape(2, 2).t(), "n": here.long()}), expected)
    assert_near(bf.consensus_distance([("tied", here), ("again", here)]), expected)
    assert_near(bf.consensus_distance([torch.complex(here, -here)]), math.sqrt(2) * expected)
    assert bf.consensus_distance([torch.ones(5), torch.empty(0)]) == 0.0
    assert bf.consensus_distance([]) == 0.0


def check_the_distance_is_exact_where_float32_is_not() -> None:
    """The mean lies between two neighbouring numbers of float32."""
    steps = [rank**2 for rank in range(bf.size())]
    mean = sum(steps) / bf.size()
    x = torch.tensor([1.0 + 2.0**-23 * steps[bf.rank()]] * 1000)
    variance = sum((step - mean) ** 2 for step in steps) / bf.size()
    actual = bf.consensus_distance([x])
    assert math.isclose(actual, 2.0**-23 * math.sqrt(1000 * variance), rel_tol=1e-6, abs_tol=1e-14), actual


def check_the_distance_goes_through_tensors_by_pieces() -> None:
    x = torch.arange(40.0) * bf.rank()
    whole, piece = bf.consensus_distance([x]), consensus._PIECE
    sizes = []
    consensus._PIECE, original = 7, consensus.allreduce
    consensus.allreduce = lambda t: sizes.append(t.numel()) or original(t)
    try:
        assert_near(bf.consensus_distance([x]), whole)
    finally:
        consensus._PIECE, consensus.allreduce = piece, original
    assert sizes == [7, 7, 7, 7, 7, 5, 1]


def check_a_distance_that_is_not_finite_is_none() -> None:
    assert math.isnan(bf.consensus_distance([torch.tensor([1.0, float("nan") if bf.rank() == 0 else 1.0])]))


def check_what_has_no_distance() -> None:
    for wrong in (torch.ones(3), 1.0, None, [1.0], {"a": None}, "model"):
        with raises(ValueError):
            bf.consensus_distance(wrong)
    if bf.size() > 1:
        first = bf.rank() == 0
        for mine in ([torch.ones(2 + first)], [torch.ones(1) for _ in range(1 + first)]):
            with raises(MismatchError):
                bf.consensus_distance(mine)
    assert_usable()


def check_inside_every_rank_holds_the_mean() -> None:
    models = [make_model(rank) for rank in range(bf.size())]
    model, own = models[bf.rank()], {k: v.clone() for k, v in models[bf.rank()].state_dict().items()}
    expected = {
        name: torch.stack([m.state_dict()[name].double() for m in models]) for name in model.state_dict()
    }
    objects = {name: (id(p), p.data_ptr()) for name, p in model.named_parameters()}
    versions = {name: p._version for name, p in model.named_parameters()}
    with bf.mean_model(model) as inside:
        assert inside is model
        assert bf.consensus_distance(model) < 1e-12
        for name, tensor in model.state_dict().items():
            values = expected[name]
            mixed = values.mean(0) if tensor.is_floating_point() else values.amax(0)
            assert_close(tensor, mixed.to(tensor.dtype))
        assert model[3].weight is model[0].weight
        assert all(p._version > versions[name] for name, p in model.named_parameters())
        versions = {name: p._version for name, p in model.named_parameters()}
    for name, tensor in model.state_dict().items():
        assert_equal(tensor, own[name])
    assert {name: (id(p), p.data_ptr()) for name, p in model.named_parameters()} == objects
    assert all(p._version > versions[name] for name, p in model.named_parameters())


def check_own_values_come_back_to_the_bit_after_changes_and_errors() -> None:
    model = make_model(bf.rank())
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
        model[0].bias[:2] = torch.tensor([-0.0, float("inf")])
    own = [t.clone().view(torch.uint8) for t in model.state_dict().values() if t.dim()]
    with raises(ZeroDivisionError), bf.mean_model(model):
        model[:2](torch.randn(6, 3))  # running statistics change
        with torch.no_grad():
            model[2].weight.zero_()
        model[0].bias.data = torch.zeros(4)
        raise ZeroDivisionError
    after = [t.clone().view(torch.uint8) for t in model.state_dict().values() if t.dim()]
    assert all(torch.equal(a, b) for a, b in zip(after, own))
    assert model[1].num_batches_tracked.item() == 10 + bf.rank()
    assert_usable()


def check_a_mean_inside_a_mean_and_in_inference_mode() -> None:
    model = make_model(bf.rank())
    own = vector(model)
    with torch.inference_mode(), bf.mean_model([model]):
        mean = vector(model)
        with bf.mean_model(model):
            assert_close(vector(model), mean)
        assert_equal(vector(model), mean)
    assert_equal(vector(model), own)
    model[0](torch.randn(6, 3)).sum().backward()


def check_ranks_leave_when_they_like() -> None:
    model = make_model(bf.rank())
    with bf.mean_model(model):
        if bf.rank() == 0:
            bf.barrier()
    if bf.rank() != 0:
        bf.barrier()
    assert_usable()


def check_models_that_cannot_be_averaged_stay_as_they_are() -> None:
    for wrong in (3, [], ["model"], torch.ones(3), make_model(0).parameters()):
        with raises(TypeError, "torch.nn.Module"), bf.mean_model(wrong):
            raise AssertionError("the block must not run")
    if bf.size() > 1:
        torch.manual_seed(bf.rank())
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3 if bf.rank() == 0 else 4))
        own = vector(model)
        with raises(MismatchError), bf.mean_model(model):
            raise AssertionError("the block must not run")
        assert_equal(vector(model), own)
    assert_usable()


def check_optimizers_go_on_where_they_were() -> None:
    """A run with evaluations of the mean between steps ends with the bits of one without."""
    if bf.size() == 1:
        return
    for make in (AWC, ATC):
        ends = []
        for evaluates in (False, True):
            model = two_layers(bf.rank())
            optimizer = wrapped(make, sgd(model, momentum=0.9), model)
            for step in range(4):
                train_step(model, optimizer, inputs(10 * step + bf.rank()))
                if evaluates:
                    with bf.mean_model(model), torch.no_grad():
                        assert spread(model) < 1e-7
                        model(inputs(0))
            ends.append(vector(model))
        assert_equal(ends[1], ends[0])


def check_in_a_round_of_averaging_it_is_an_error_of_step() -> None:
    if bf.size() == 1:
        return
    model = two_layers(bf.rank())
    optimizer = wrapped(AWC, sgd(model), model)
    loss = model(inputs(0)).sum()
    with bf.mean_model(model):
        pass
    with raises(RuntimeError, "modified by an inplace operation"):
        loss.backward()
    with raises(RuntimeError, "were changed between the forward"):
        optimizer.step()
    train_step(model, optimizer, inputs(1))


def with_buffers(rank: int) -> nn.Module:
    """Statistics, counters, a buffer in two modules, one tied to a parameter, odd layouts and dtypes."""
    model = make_model(rank)
    wide = torch.arange(2.0 * 3 * 4 * 4).reshape(2, 3, 4, 4).to(memory_format=torch.channels_last)
    shared = torch.full((3,), float(rank))
    model.register_buffer("wide", wide * (rank + 1))
    model.register_buffer("complex", torch.complex(torch.tensor([rank + 1.0]), torch.tensor([-1.0 * rank])))
    model.register_buffer("passing", torch.full((2,), 2.0 * rank, dtype=torch.float64), persistent=False)
    model.register_buffer("nothing", None)
    model.register_buffer("empty", torch.empty(0))
    model.register_buffer("shared", shared)
    model[0].register_buffer("again", shared)
    model[2].register_buffer("tied", model[2].weight.data)
    return model


def buffers_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer for name, buffer in model.named_buffers() if not name.endswith("tied")}


def check_buffers_are_averaged_on_request() -> None:
    for several in (False, True):
        models = [with_buffers(rank) for rank in range(bf.size())]
        model = models[bf.rank()]
        expected = {
            name: torch.stack([buffers_of(m)[name].to(torch.complex128) for m in models])
            for name in buffers_of(model)
        }
        parameters, versions = vector(model), [p._version for p in model.parameters()]
        objects = {name: (id(b), b.data_ptr(), b.stride()) for name, b in model.named_buffers()}
        for _ in range(2):  # what is equal on all ranks stays so
            assert bf.average_buffers([model, model[0]] if several else model) is None
            for name, buffer in buffers_of(model).items():
                values = expected[name]
                exact = buffer.is_floating_point() or buffer.is_complex()
                mixed = values.mean(0) if exact else values.real.amax(0)
                mixed = mixed if buffer.is_complex() else mixed.real
                assert_close(buffer, mixed.to(buffer.dtype))
        assert {name: (id(b), b.data_ptr(), b.stride()) for name, b in model.named_buffers()} == objects
        assert model.shared is model[0].again and model.wide.is_contiguous(memory_format=torch.channels_last)
        assert_equal(vector(model), parameters)
        assert [p._version for p in model.parameters()] == versions


def check_buffers_that_cannot_be_averaged() -> None:
    for wrong in (3, [], ["model"], torch.ones(3), with_buffers(0).buffers()):
        with raises(TypeError, "torch.nn.Module"):
            bf.average_buffers(wrong)
    bf.average_buffers(nn.Linear(2, 2))
    if bf.size() > 1:
        model = nn.BatchNorm1d(2 if bf.rank() == 0 else 3)
        with raises(MismatchError):
            bf.average_buffers(model)
    assert_usable()


def check_optimizers_leave_buffers_to_each_rank() -> None:
    """Running statistics are of a rank's own data, until they are averaged; that disturbs no training."""
    for make in (AWC, ATC, bf.DistributedGradientAllreduceOptimizer, bf.DistributedExactDiffusionOptimizer):
        bf.set_topology(bf.RingGraph(bf.size()))
        ends = []
        for averages in (False, True):
            torch.manual_seed(1)
            model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, momentum=1.0), nn.Linear(3, 2))
            optimizer = make(sgd(model), model)
            for t in range(3):
                x = inputs(10 * t + bf.rank(), 6, 4)
                own = model[0](x).detach().mean(0)
                train_step(model, optimizer, x)
                assert_close(model[1].running_mean, own)
                if averages:
                    bf.average_buffers(model)
                    assert_close(model[1].running_mean, bf.allreduce(own))
            assert model[1].num_batches_tracked.item() == 3
            ends.append(vector(model))
        assert_equal(*ends)
