"""Wrong use of optimizers: a clear error, and everything works afterwards. For 2 ranks or more."""

from __future__ import annotations

from typing import Any
from unittest import mock

import bluefog.torch as bf
import torch
from bluefog.common.errors import MismatchError, PeerLostError
from bluefog.torch.buckets import ParameterBuckets
from job import assert_usable, raises
from optimizer_checks import (
    ATC,
    AWC,
    STYLES,
    assert_close,
    inputs,
    mean_over_ranks,
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

EVERYBODY = bf.CommunicationType.allreduce
GRADIENTS = bf.DistributedGradientAllreduceOptimizer
TRACKING = bf.DistributedGradientTrackingOptimizer
ALL = (*STYLES, GRADIENTS, TRACKING)


def assert_trains(model: nn.Module, optimizer: Any, x: torch.Tensor | None = None) -> None:
    """A step changes the parameters, and ranks that are alike stay so."""
    before = vector(model)
    train_step(model, optimizer, inputs(1) if x is None else x)
    assert not torch.equal(vector(model), before)
    assert spread(model) == 0, type(optimizer._style)
    assert_usable()


def check_what_is_refused_on_one_rank_is_an_error_on_all() -> None:
    stranger = nn.Parameter(torch.zeros(3))
    directed = bf.one_peer_dynamic(bf.StarGraph(3)) if bf.size() == 3 else bf.one_peer_exponential(64)

    def of_no_model(make: Any, model: nn.Module) -> None:
        make(torch.optim.SGD([*model.parameters(), stranger], lr=0.1), model)

    def names_twice(make: Any, model: nn.Module) -> None:
        make(sgd(model), [model, two_layers(2)])

    def unknown_exclusion(make: Any, model: nn.Module) -> None:
        make(sgd(model), model, exclude=["head"])

    def schedule(make: Any, model: nn.Module) -> None:
        make(sgd(model), model, schedule=directed)

    for wrong, text, makers in (
        (of_no_model, "1 parameters of the optimizer are in none of the models", ALL),
        (names_twice, "found twice: 0.bias", ALL),
        (unknown_exclusion, "no parameter or module has the name 'head'", ALL),
        (schedule, "64 ranks|does not preserve", STYLES),
    ):
        for make in makers:
            model = two_layers(1)
            if bf.rank() == 0:
                with raises(ValueError, text):
                    wrong(make, model)
            else:
                with raises(MismatchError, r"does not agree with \[0\]"):
                    make(sgd(model), model)
            assert_trains(model, make(sgd(model), model))


def check_what_one_rank_has_no_memory_for_is_an_error_on_all() -> None:
    for make in ALL:
        model = two_layers(1)
        if bf.rank() == 0:
            full = mock.patch.object(ParameterBuckets, "adopt", side_effect=RuntimeError("no room"))
            with full, raises(RuntimeError, "no room"):
                make(sgd(model), model)
        else:
            with raises(MismatchError, r"does not agree with \[0\]"):
                make(sgd(model), model)
        assert_trains(model, make(sgd(model), model))


def check_weights_that_an_algorithm_does_not_follow_are_warned_of() -> None:
    def warnings_of(make: Any, name: str, value: Any) -> list[str]:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        with recorded_warnings() as messages:
            setattr(optimizer, name, value)
        assert getattr(optimizer, name) == value
        return messages

    nobody: dict[int, float] = {}
    for make, followed, ignored in (
        (AWC, "src_weights", None),
        (ATC, "dst_weights", None),
        (GRADIENTS, None, "src_weights"),
        (TRACKING, None, "dst_weights"),
        (bf.DistributedWinPutOptimizer, "dst_weights", "src_weights"),
        (bf.DistributedPullGetOptimizer, "src_weights", "dst_weights"),
        (bf.DistributedPushSumOptimizer, "dst_weights", "src_weights"),
        (bf.DistributedADPSGDOptimizer, None, "dst_weights"),
    ):
        if followed is not None:
            assert warnings_of(make, followed, nobody) == []
        if ignored is not None:
            (message,) = warnings_of(make, ignored, nobody)
            assert f"{ignored} has no effect on this optimizer" in message
    assert "gradient_allreduce" in warnings_of(GRADIENTS, "communication_type", EVERYBODY)[0]
    assert_usable()


def check_ranks_that_join_anew_agree_on_optimizers() -> None:
    """Also where one has made an optimizer that the others have not."""
    model = two_layers(1)
    if bf.rank() == 0:
        with raises(PeerLostError):
            for _ in range(3):
                AWC(sgd(model), model)
    bf.shutdown()
    bf.init()
    for make in ALL:
        assert_trains(model, make(sgd(model), model))


def check_a_group_that_is_refused_on_one_rank_is_taken_back_on_all() -> None:
    for make in ALL:
        model = two_layers(1)
        optimizer = make(torch.optim.SGD(model[0].parameters(), lr=0.1), model)
        group = [nn.Parameter(torch.zeros(3))] if bf.rank() == 0 else model[2].parameters()
        with raises(ValueError, "none of the models" if bf.rank() == 0 else "does not agree"):
            optimizer.add_param_group({"params": group})
        assert len(optimizer.param_groups) == 1
        assert_trains(model, optimizer)


def check_zeroing_gradients_after_backward_races_with_nothing() -> None:
    """Their averages have arrived when backward returns, so there is nothing in flight to spoil."""
    model, plain = two_layers(1), two_layers(1)
    optimizer, base = GRADIENTS(sgd(model, momentum=0.9), model), sgd(plain, momentum=0.9)
    for t in range(4):
        for to_none in (True, False):
            for m, o in ((model, optimizer), (plain, base)):
                m(inputs(t)).square().sum().backward()
                assert o is base or not optimizer._style._flight.operations
                o.zero_grad(set_to_none=to_none)
        for m, o in ((model, optimizer), (plain, base)):
            m(inputs(t)).square().sum().backward()
            o.step()
            o.zero_grad()
        assert_close(vector(model), vector(plain), 1e-6)


class Breaks(torch.autograd.Function):
    """Fails in the middle of backward, when the gradients of later layers are there."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("in the middle of backward")


def check_a_backward_that_fails_leaves_a_usable_optimizer() -> None:
    for make in ALL:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        with raises(ZeroDivisionError, "middle of backward"):
            model[2](Breaks.apply(model[:2](inputs(1)))).square().sum().backward()
        plain = two_layers(1)
        base = sgd(plain)
        for t in range(2):
            optimizer.zero_grad()
            model(inputs(t)).square().sum().backward()
            optimizer.step()
            train_step(plain, base, inputs(t))
        if make is not TRACKING:
            assert_close(vector(model), vector(plain), 1e-6)
        assert_trains(model, optimizer)


def check_a_communication_type_assigned_in_flight_is_of_the_next_round() -> None:
    empty, neighbours = bf.CommunicationType.empty, bf.CommunicationType.neighbor_allreduce
    for first, second in (
        (EVERYBODY, empty),
        (empty, EVERYBODY),
        (neighbours, empty),
        (neighbours, EVERYBODY),
    ):
        model = two_layers(bf.rank())
        schedule = bf.one_peer_exponential(bf.size())
        optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=first, schedule=schedule)
        for now, then in ((first, second), (second, first)):
            before = vector(seeded(model, bf.rank()))
            model(inputs(1)).sum().backward()
            optimizer.communication_type = then
            optimizer.step()
            if now is empty:
                assert torch.equal(vector(model), before)
            elif now is EVERYBODY or bf.size() == 2:
                assert_close(vector(model), mean_over_ranks(before))
        assert optimizer.state_dict()["bluefog"]["round"] == (neighbours in (first, second))
        assert_usable()


def check_sparse_gradients() -> None:
    x = torch.tensor([1, 2, 1])
    for make in ALL:
        model, plain = (seeded(nn.Embedding(5, 3, sparse=True), 1) for _ in range(2))
        optimizer, base = make(sgd(model), model), sgd(plain)
        if make in STYLES:
            for m, o in ((model, optimizer), (plain, base)):
                train_step(m, o, x)
            assert_close(vector(model), vector(plain), 1e-6)
            continue
        for _ in range(2):
            optimizer.zero_grad()
            with raises(ValueError, r"shape \(5, 3\) has a sparse gradient.*sparse=False"):
                model(x).square().sum().backward()
                optimizer.step()
            assert_usable()
        assert torch.equal(vector(model), vector(plain))
        model.sparse = False
        assert_trains(model, optimizer, x)


def check_parameters_of_another_dtype_can_be_wrapped_anew() -> None:
    for make in ALL:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        model.double()
        before = vector(model)
        with raises(RuntimeError, r"'0\.weight' was torch\.float32 .* is now torch\.float64.*wrap"):
            train_step(model, optimizer, inputs(1).double())
        assert torch.equal(vector(model), before)
        del optimizer
        assert_trains(model, make(sgd(model), model), inputs(1).double())


def check_parameters_changed_in_flight_spoil_one_step_only() -> None:
    model = two_layers(1)
    optimizer = AWC(sgd(model), model)
    for _ in range(2):
        model(inputs(1)).sum()
        with torch.no_grad():
            model[0].weight.mul_(2)
        with raises(RuntimeError, r"0\.weight were changed between the forward .* Change parameters after"):
            optimizer.step()
        assert_trains(model, optimizer)


def check_a_checkpoint_of_any_other_algorithm_is_refused() -> None:
    makers = (*ALL, bf.DistributedExactDiffusionOptimizer, bf.DistributedPushSumOptimizer)
    models = [two_layers(1) for _ in makers]
    optimizers = [make(sgd(model, momentum=0.9), model) for make, model in zip(makers, models)]
    for model, optimizer in zip(models, optimizers):
        train_step(model, optimizer, inputs(1))
    saved = [optimizer.state_dict() for optimizer in optimizers]
    for own, optimizer in enumerate(optimizers):
        for other, state in enumerate(saved):
            if own == other:
                continue
            theirs, mine = (s["bluefog"]["kind"] for s in (state, saved[own]))
            with raises(ValueError, f"this is the state of '{theirs}', this optimizer is '{mine}': wrap"):
                optimizer.load_state_dict(state)
        optimizer.load_state_dict(saved[own])
    for model, optimizer in zip(models[:-1], optimizers):  # ranks of the last do not keep step
        assert_trains(model, optimizer)


def check_a_refused_checkpoint_changes_nothing() -> None:
    """Neither what is in flight, nor what the algorithm remembers, nor the base optimizer's state."""
    for make in (AWC, ATC, TRACKING):
        ends = []
        for tries in (False, True):
            model, other = two_layers(bf.rank()), two_layers(3)
            optimizer = wrapped(make, sgd(model, momentum=0.9), model)
            groups = [{"params": layer.parameters()} for layer in (other[0], other[2])]
            two_groups = make(torch.optim.SGD(groups, lr=0.3, momentum=0.5), other)
            train_step(other, two_groups, inputs(5))
            wrong = [two_groups.state_dict(), bf_state_of_another(optimizer)]
            for t in range(3):
                optimizer.zero_grad()
                model(inputs(10 * t + bf.rank())).square().sum().backward()
                if tries and t == 1:
                    for state in wrong:
                        with raises(ValueError):
                            optimizer.load_state_dict(state)
                optimizer.step()
            ends.append(vector(model))
        assert torch.equal(*ends), make.__name__


def bf_state_of_another(optimizer: Any) -> dict[str, Any]:
    state = optimizer.state_dict()
    return {**state, "bluefog": {**state["bluefog"], "kind": "another"}}
