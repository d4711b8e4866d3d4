"""Parameters in shared memory: what users may do to them, and what is refused. For 2 ranks or more."""

from __future__ import annotations

import io

import bluefog.torch as bf
import torch
from job import raises
from optimizer_checks import (
    ATC,
    AWC,
    STYLES,
    assert_close,
    inputs,
    mean_over_ranks,
    of_all_ranks,
    recorded_warnings,
    seeded,
    sgd,
    spread,
    train_step,
    two_layers,
    vector,
    wrapped,
)
from torch import nn


def check_saving_a_head_stays_small() -> None:
    model = seeded(nn.Sequential(nn.Linear(1000, 1000), nn.Linear(1000, 10)), 1)
    AWC(sgd(model), model)
    file = io.BytesIO()
    torch.save(model[1].state_dict(), file)
    assert file.tell() < 10010 * 4 + 4000, f"10,010 parameters took {file.tell()} bytes"


def check_channels_last_stays_and_mixes_right() -> None:
    model = seeded(nn.Conv2d(3, 5, 3), bf.rank()).to(memory_format=torch.channels_last)
    stride = model.weight.stride()
    expected = mean_over_ranks(vector(model))
    optimizer = wrapped(ATC, sgd(model, lr=0.0), model, communication_type=bf.CommunicationType.allreduce)
    train_step(model, optimizer, inputs(1, 2, 3, 8, 8))
    assert model.weight.stride() == stride != model.weight.contiguous().stride()
    assert_close(vector(model), expected)


def check_ranks_with_different_memory_formats_are_refused() -> None:
    model = seeded(nn.Conv2d(3, 5, 3), 1)
    if bf.rank() == 0:
        model = model.to(memory_format=torch.channels_last)
    with raises(ValueError, "memory format"):
        AWC(sgd(model), model)


def check_new_memory_format_is_brought_back() -> None:
    model = seeded(nn.Conv2d(3, 5, 3), bf.rank())
    optimizer = wrapped(ATC, sgd(model, lr=0.0), model, communication_type=bf.CommunicationType.allreduce)
    address, expected = model.weight.data_ptr(), mean_over_ranks(vector(model))
    model.to(memory_format=torch.channels_last)
    assert model.weight.data_ptr() != address
    train_step(model, optimizer, inputs(1, 2, 3, 8, 8))
    assert model.weight.data_ptr() == address
    assert_close(vector(model), expected)


def check_new_dtype_is_an_error_that_names_the_parameter() -> None:
    for make in STYLES:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        model.double()
        with raises(RuntimeError, r"'0\.weight' was torch\.float32 .* is now torch\.float64"):
            train_step(model, optimizer, inputs(1).double())


def check_assigned_parameters_are_taken_over() -> None:
    for make in STYLES:
        model = two_layers(bf.rank())
        before = list(model.parameters())
        optimizer = wrapped(make, sgd(model), model, communication_type=bf.CommunicationType.allreduce)
        loaded = two_layers(10 + bf.rank())
        model.load_state_dict(loaded.state_dict(), assign=True)
        assert model[0].weight is not before[0]
        start, x = vector(model), inputs(bf.rank())
        gradient = torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(model(x).square().sum(), model.parameters())]
        )
        train_step(model, optimizer, x)
        assert all(a is b for a, b in zip(model.parameters(), before))
        if make is AWC:
            assert_close(vector(model), mean_over_ranks(start) - 0.1 * gradient)
        else:
            assert_close(vector(model), mean_over_ranks(start - 0.1 * gradient))


def check_moved_memory_is_brought_back() -> None:
    for make in STYLES:
        model = two_layers(bf.rank())
        optimizer = wrapped(
            make, sgd(model, lr=0.0), model, communication_type=bf.CommunicationType.allreduce
        )
        address = model[0].weight.data_ptr()
        model[0].weight.data = torch.full((8, 4), float(bf.rank()))
        model[2].share_memory()
        expected = mean_over_ranks(vector(model))
        for _ in range(2):
            train_step(model, optimizer, inputs(1))
        assert model[0].weight.data_ptr() == address
        assert_close(vector(model), expected)


def check_parameters_tied_by_storage_stay_tied() -> None:
    for in_optimizer in (2, 1):
        first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        model = seeded(nn.Sequential(first, second), bf.rank())
        second.weight.data = first.weight.data
        base = torch.optim.SGD(list(model.parameters())[:in_optimizer], lr=0.1)
        optimizer = wrapped(ATC, base, model)
        train_step(model, optimizer, inputs(1))
        assert first.weight.data_ptr() == second.weight.data_ptr()
        assert torch.equal(first.weight, second.weight)
        assert first.weight.untyped_storage().data_ptr() == second.weight.untyped_storage().data_ptr()


def check_one_parameter_in_two_modules_is_mixed_once() -> None:
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    model = seeded(nn.Sequential(first, second), bf.rank())
    expected = mean_over_ranks(vector(model))
    optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=bf.CommunicationType.allreduce)
    train_step(model, optimizer, inputs(1))
    assert second.weight is first.weight
    assert_close(vector(model), expected)


def check_frozen_parameters_are_mixed_and_count_backwards_when_thawed() -> None:
    model = two_layers(bf.rank())
    model.requires_grad_(False)
    optimizer = wrapped(
        ATC,
        sgd(model, lr=0.0),
        model,
        communication_type=bf.CommunicationType.allreduce,
        num_steps_per_communication=2,
    )
    optimizer.step()
    assert spread(model) > 0.01
    optimizer.step()
    assert spread(model) == 0
    model.requires_grad_(True)
    optimizer.step()  # hooks the parameters, and is the first of two
    seeded(model, 5 + bf.rank())
    model(inputs(1)).sum().backward()
    optimizer.step()
    assert spread(model) == 0
    seeded(model, 5 + bf.rank())
    for _ in range(2):
        model(inputs(1)).sum().backward()
    optimizer.step()
    assert spread(model) == 0


def check_added_group_is_mixed() -> None:
    for make in STYLES:
        model = two_layers(bf.rank())
        base = torch.optim.SGD(model[0].parameters(), lr=0.0)
        optimizer = wrapped(make, base, model, communication_type=bf.CommunicationType.allreduce)
        train_step(model, optimizer, inputs(1))
        assert spread(model[0]) == 0 < spread(model[2])
        seeded(model[2], 4)
        optimizer.param_groups[0]["lr"] = 0.1
        train_step(model, optimizer, inputs(bf.rank()))  # in training ranks differ, which is no news
        with recorded_warnings() as messages:
            optimizer.add_param_group({"params": model[2].parameters(), "lr": 0.0})
        assert not messages, messages
        optimizer.param_groups[0]["lr"] = 0.0
        seeded(model[2], bf.rank())
        train_step(model, optimizer, inputs(1))
        assert spread(model) == 0
        with raises(ValueError, "none of the models"):
            optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(3))]})
        assert len(optimizer.param_groups) == 2


def check_a_group_added_to_the_base_is_mixed() -> None:
    """As whoever holds the base does, which the wrapper cannot see."""
    makers = (
        *STYLES,
        bf.DistributedGradientAllreduceOptimizer,
        bf.DistributedLocalSGDOptimizer,
        bf.DistributedWinPutOptimizer,
    )
    for make in makers:
        model = two_layers(1)
        base = torch.optim.SGD(model[0].parameters(), lr=0.1)
        optimizer = make(base, model, num_steps_per_communication=1)
        train_step(model, optimizer, inputs(bf.rank()))
        base.add_param_group({"params": model[2].parameters(), "lr": 0.1})
        train_step(model, optimizer, inputs(bf.rank()))
        if make is AWC or make is bf.DistributedWinPutOptimizer:  # which mix before they adapt
            for group in optimizer.param_groups:
                group["lr"] = 0.0
            seeded(model, bf.rank())
            before = spread(model[2])
            for _ in range(3):
                train_step(model, optimizer, inputs(1))
                bf.barrier()
            assert spread(model[2]) < 0.6 * before, make.__name__
        elif make is ATC:
            optimizer.communication_type = bf.CommunicationType.allreduce
            train_step(model, optimizer, inputs(bf.rank()))
            assert spread(model) == 0, make.__name__
        else:
            assert spread(model) == 0, make.__name__


def check_excluded_parameters_stay_personal() -> None:
    for chosen in (["2"], ["2.weight", "2.bias"], None):
        model = two_layers(bf.rank())
        optimizer = wrapped(
            ATC,
            sgd(model, lr=0.0),
            model,
            communication_type=bf.CommunicationType.allreduce,
            exclude=chosen or [model[2]],
        )
        own = vector(model[2])
        train_step(model, optimizer, inputs(1))
        assert spread(model[0]) == 0
        assert torch.equal(vector(model[2]), own)
    with raises(ValueError, "no parameter or module has the name 'head'"):
        ATC(sgd(model), model, exclude=["head"])


def check_unsuitable_parameters_are_errors_that_name_them() -> None:
    model = two_layers(1)
    model[2].weight = nn.Parameter(torch.zeros(1, 8).expand(2, 8))
    with raises(ValueError, r"'2\.weight' is expanded"):
        AWC(sgd(model), model)
    model = two_layers(1)
    model[0].bias = nn.Parameter(torch.zeros(8, device="meta"))
    with raises(ValueError, r"'0\.bias' is on the meta device"):
        AWC(sgd(model), model)
    flat = torch.zeros(12)
    model = two_layers(1)
    model[0].bias.data, model[2].bias.data = flat[:8], flat[7:9]
    with raises(ValueError, r"'0\.bias' and '2\.bias' overlap"):
        AWC(sgd(model), model)
    model = nn.Sequential(nn.LazyLinear(3))
    with raises(ValueError, r"'0\.weight' is lazy"):
        AWC(sgd(model), model)


def check_an_unsuitable_parameter_on_one_rank_is_an_error_on_all() -> None:
    model = two_layers(1)
    if bf.rank() == 0:
        model[2].weight = nn.Parameter(torch.zeros(1, 8).expand(2, 8))
    with raises(ValueError, "is expanded" if bf.rank() == 0 else r"does not agree with \[0\]"):
        AWC(sgd(model), model)


def check_different_parameters_give_one_warning() -> None:
    for seeds_differ in (False, True):
        model = two_layers(bf.rank() if seeds_differ else 1)
        with recorded_warnings() as messages:
            AWC(sgd(model), model)
        assert [("broadcast_parameters" in message) for message in messages] == [True] * seeds_differ, (
            messages
        )


def check_checks_at_construction() -> None:
    model = two_layers(1)
    with raises(ValueError, "differ between the models.*0.bias"):
        AWC(sgd(model), [model, two_layers(2)])
    with raises(ValueError, "none of the models"):
        ATC(sgd(model), two_layers(2))
    with raises(ValueError, "positive integer"):
        ATC(sgd(model), model, num_steps_per_communication=0)
    with raises(TypeError, "torch.nn.Module"):
        ATC(sgd(model), None)


def check_several_models_and_dtypes() -> None:
    for make in STYLES:
        encoder, decoder = nn.Sequential(nn.Linear(4, 3)), nn.ModuleDict({"out": nn.Linear(3, 2)}).double()
        for model in (encoder, decoder):
            seeded(model, bf.rank())
        parameters = [*encoder.parameters(), *decoder.parameters()]
        base = torch.optim.SGD(parameters, lr=0.0)
        optimizer = wrapped(make, base, [encoder, decoder], communication_type=bf.CommunicationType.allreduce)
        expected = [mean_over_ranks(p) for p in parameters]
        decoder["out"](encoder(inputs(1)).double()).sum().backward()
        optimizer.step()
        for parameter, mean in zip(parameters, expected):
            assert_close(parameter, mean)


def check_training_goes_on_as_before_when_wrapped_in_mid_run() -> None:
    plain, model = two_layers(1), two_layers(1)
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.05) for m in (plain, model)]
    for step in range(6):
        if step == 3:
            optimizers[1] = ATC(optimizers[1], model)
        for m, optimizer in zip((plain, model), optimizers):
            train_step(m, optimizer, inputs(step))
    assert torch.equal(vector(plain), vector(model))


def check_parameters_survive_shutdown_and_a_second_init() -> None:
    model = two_layers(bf.rank())
    optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=bf.CommunicationType.allreduce)
    train_step(model, optimizer, inputs(1))
    before = vector(model)
    bf.shutdown()
    assert torch.equal(vector(model), before)
    seeded(model, 7)
    bf.init()
    seeded(model, 7 + bf.rank())
    expected = mean_over_ranks(vector(model))
    train_step(model, optimizer, inputs(1))
    assert_close(vector(model), expected)
    assert of_all_ranks(torch.ones(1)).shape == (bf.size(), 1)
