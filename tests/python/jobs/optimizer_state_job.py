"""Checks of broadcast_optimizer_state."""

from __future__ import annotations

import copy
from typing import Any, Callable

import bluefog.torch as bf
import torch
from bluefog.common.errors import InvalidArgumentError, MismatchError
from job import assert_equal, assert_usable, raises
from optimizer_checks import ATC, AWC, inputs, train_step, two_layers, vector, wrapped
from torch import nn, optim

Make = Callable[..., optim.Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "SGD": optim.SGD,
    "momentum": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "Adam": lambda p, lr: optim.Adam(p, lr=lr, amsgrad=True),
    "Adam, lr as tensor": lambda p, lr: optim.Adam(p, lr=torch.tensor(lr), foreach=False),
    "AdamW": lambda p, lr: optim.AdamW(p, lr=lr, weight_decay=0.1),
    "AdamW, foreach": lambda p, lr: optim.AdamW(p, lr=lr, foreach=True),
    "RMSprop": lambda p, lr: optim.RMSprop(p, lr=lr, centered=True, momentum=0.5),
    "Adagrad": lambda p, lr: optim.Adagrad(p, lr=lr, initial_accumulator_value=0.5),
    "Adadelta": lambda p, lr: optim.Adadelta(p, lr=lr),
    "Adamax": lambda p, lr: optim.Adamax(p, lr=lr),
    "NAdam": lambda p, lr: optim.NAdam(p, lr=lr),
    "RAdam": lambda p, lr: optim.RAdam(p, lr=lr),
    "ASGD": lambda p, lr: optim.ASGD(p, lr=lr, t0=1, lambd=0.1),
    "Rprop": lambda p, lr: optim.Rprop(p, lr=lr),
}
if torch.__version__ >= (2, 4):  # type: ignore[operator]  # TorchVersion
    OPTIMIZERS["Adam, fused"] = lambda p, lr: optim.Adam(p, lr=lr, fused=True)


def make_model(seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    return two_layers(seed).to(dtype)


def train(model: nn.Module, optimizer: optim.Optimizer, steps: int) -> None:
    x = inputs(3).to(next(model.parameters()).dtype)
    for _ in range(steps):
        train_step(model, optimizer, x)


def assert_same(actual: Any, expected: Any, where: str) -> None:
    """Equal to the bit, and of the same types and dtypes."""
    assert type(actual) is type(expected), (where, actual, expected)
    if isinstance(expected, dict):
        assert list(actual) == list(expected), (where, list(actual), list(expected))
        for key in expected:
            assert_same(actual[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), where
        for index, (a, b) in enumerate(zip(actual, expected)):
            assert_same(a, b, f"{where}[{index}]")
    elif isinstance(expected, torch.Tensor):
        assert actual.dtype == expected.dtype, (where, actual.dtype, expected.dtype)
        assert torch.equal(actual, expected), where
    else:
        assert actual == expected, (where, actual, expected)


def sorted_states(optimizer: optim.Optimizer) -> dict[str, Any]:
    state = optimizer.state_dict()
    return {**state, "state": {number: state["state"][number] for number in sorted(state["state"])}}


def check_every_optimizer_of_torch() -> None:
    """Only the root has stepped; parameters stay; then all go on alike."""
    root = bf.size() - 1
    for name, make in OPTIMIZERS.items():
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            trained = make_model(0, dtype)
            as_root_has_it = make(trained.parameters(), 0.1)
            train(trained, as_root_has_it, 3)
            if bf.rank() == root:
                model, optimizer = trained, as_root_has_it
            else:
                model = make_model(1 + bf.rank(), dtype)
                optimizer = make(model.parameters(), 0.5)
            before = vector(model)
            bf.broadcast_optimizer_state(optimizer, root_rank=root)
            assert_equal(vector(model), before)
            assert_same(sorted_states(optimizer), sorted_states(as_root_has_it), f"{name} {dtype}")
            bf.broadcast_parameters(model.state_dict(), root)
            train(model, optimizer, 2)
            gathered = bf.allgather(vector(model).unsqueeze(0))
            assert_equal(gathered, gathered[:1].expand_as(gathered).contiguous())


def check_states_that_others_have_are_replaced() -> None:
    for root_has_stepped in (True, False):
        model = make_model(0)
        optimizer = optim.Adam(model.parameters(), lr=0.1 * (1 + bf.rank()))
        if root_has_stepped or bf.rank() != 0:
            train(model, optimizer, 1 + bf.rank())
        bf.broadcast_optimizer_state(optimizer, 0)
        assert optimizer.param_groups[0]["lr"] == 0.1
        steps = [float(state["step"]) for state in optimizer.state.values()]
        assert steps == ([1.0] * 4 if root_has_stepped else [])


def check_groups_and_their_options() -> None:
    model = make_model(bf.rank())
    groups = [
        {"params": list(model[2].parameters()), "lr": 0.3 + bf.rank(), "name": f"head of {bf.rank()}"},
        {"params": list(model[0].parameters()), "weight_decay": 0.1 * bf.rank(), "maximize": bf.rank() == 1},
    ]
    optimizer = optim.SGD(groups, lr=0.1, momentum=0.9)
    train(model, optimizer, 1 + bf.rank())
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    momentum = [optimizer.state[p]["momentum_buffer"].clone() for g in groups for p in g["params"]]
    expected = [bf.broadcast(m, 1) for m in momentum]
    bf.broadcast_optimizer_state(optimizer, 1)
    head, body = optimizer.param_groups
    assert (head["lr"], head["name"], head["weight_decay"], head["maximize"]) == (1.3, "head of 1", 0, False)
    assert (body["lr"], body["weight_decay"], body["maximize"]) == (0.1, 0.1, True)
    assert head["foreach"] is None
    assert [id(p) for p in head["params"]] == [id(p) for p in model[2].parameters()]
    actual = [optimizer.state[p]["momentum_buffer"] for g in groups for p in g["params"]]
    for a, b in zip(actual, expected):
        assert_equal(a, b)
    train(model, optimizer, 1)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.65


def check_distributed_optimizers() -> None:
    """With the round of their schedule; they mix on afterwards."""
    schedule = bf.one_peer_exponential(bf.size())
    for make in (AWC, ATC):
        model = make_model(bf.rank())
        base = optim.SGD(model.parameters(), lr=0.1 * (1 + bf.rank()), momentum=0.9)
        optimizer = wrapped(make, base, model, schedule=schedule)
        train(model, optimizer, 2)
        if bf.rank() == 0:
            optimizer.load_state_dict({**optimizer.state_dict(), "bluefog": {"round": 7}})
        expected = [bf.broadcast(base.state[p]["momentum_buffer"], 0) for p in model.parameters()]
        before = vector(model)
        bf.broadcast_optimizer_state(optimizer, 0)
        assert_equal(vector(model), before)
        for parameter, momentum in zip(model.parameters(), expected):
            assert_equal(base.state[parameter]["momentum_buffer"], momentum)
        assert base.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == 0.1
        if bf.size() > 1:
            assert optimizer.state_dict()["bluefog"]["round"] == 7
            train(model, optimizer, 1)
            assert optimizer.state_dict()["bluefog"]["round"] == 8


def check_wrong_arguments() -> None:
    with raises(ValueError, "LBFGS"):
        bf.broadcast_optimizer_state(optim.LBFGS(make_model(0).parameters()), 0)
    sgd = optim.SGD(make_model(0).parameters(), lr=0.1)
    for wrong in (make_model(0), sgd.state_dict(), None):
        with raises(TypeError, "torch.optim.Optimizer"):
            bf.broadcast_optimizer_state(wrong, 0)
    for wrong in (bf.size(), -1):
        with raises(InvalidArgumentError, f"root_rank is {wrong}, but the ranks are"):
            bf.broadcast_optimizer_state(sgd, wrong)
    with raises(TypeError):
        bf.broadcast_optimizer_state(sgd, "0")
    assert_usable()


def check_optimizers_that_differ_are_an_error_on_all() -> None:
    if bf.size() == 1:
        return
    model, first = make_model(0), bf.rank() == 0
    same = [{"params": model[0].parameters()}, {"params": model[2].parameters()}]
    for mine in (
        optim.Adam(model.parameters()) if first else optim.AdamW(model.parameters()),
        optim.Adam(model.parameters() if first else same),
        optim.Adam(same[::-1] if first else same),
        optim.Adam([nn.Parameter(torch.ones(2 + first))]),
    ):
        before = copy.deepcopy(mine.state_dict())
        with raises(MismatchError, "differ between ranks in class, groups or shapes"):
            bf.broadcast_optimizer_state(mine, 0)
        assert_same(mine.state_dict(), before, "after a refusal")
    with raises(MismatchError, "root_rank is [01] on rank"):
        bf.broadcast_optimizer_state(optim.Adam(model.parameters()), 1 if first else 0)
    assert_usable()


def check_a_state_that_cannot_travel_is_an_error_on_all() -> None:
    optimizer = optim.SGD(make_model(0).parameters(), lr=0.1 + bf.rank())
    if bf.rank() == 0:
        optimizer.param_groups[0]["odd"] = lambda: None
    with raises(
        MismatchError if bf.rank() else Exception, "rank 0 could not pickle" if bf.rank() else "lambda"
    ):
        bf.broadcast_optimizer_state(optimizer, 0)
    assert optimizer.param_groups[0]["lr"] == 0.1 + bf.rank()
    assert_usable()
