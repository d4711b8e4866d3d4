"""Optimizers around synchronous algorithms, against the formulas of their papers. For 4 ranks.

Every rank works the formulas out for all of them.
"""

from __future__ import annotations

import copy
from typing import Callable

import bluefog.torch as bf
import torch
from job import raises
from optimizer_checks import (
    STYLES,
    assert_close,
    inputs,
    mean_over_ranks,
    of_all_ranks,
    seeded,
    sgd,
    spread,
    train_step,
    two_layers,
    vector,
    wrapped,
)
from torch import nn

LR = 0.1
STEPS = 25
#: x, and steps to the next one; a row for each rank.
Method = Callable[[torch.Tensor, int], torch.Tensor]

ALL = (
    bf.DistributedGradientTrackingOptimizer,
    bf.DistributedExactDiffusionOptimizer,
    bf.DistributedQuasiGlobalMomentumOptimizer,
    bf.DistributedDecentLaMOptimizer,
    bf.DistributedGradientPushOptimizer,
    bf.DistributedGossipPGAOptimizer,
    bf.DistributedLocalSGDOptimizer,
    bf.DistributedSlowMoOptimizer,
    bf.DistributedDiLoCoOptimizer,
    bf.DistributedNoLoCoOptimizer,
)


class Point(nn.Module):
    """Eleven float64 numbers, in two parameters of which one has columns side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.second = nn.Parameter(torch.zeros(4, 2, dtype=torch.float64).t())

    def distance(self, rank: int) -> torch.Tensor:
        """Half of the squared distance from where this rank wants to be, by a curvature of its own."""
        at = torch.cat([self.first, self.second.reshape(-1)])
        return 0.5 * curvature(rank) * (at - wanted(rank)).square().sum()


def wanted(rank: int) -> torch.Tensor:
    return torch.randn(11, generator=torch.Generator().manual_seed(rank), dtype=torch.float64)


def curvature(rank: int) -> float:
    return 1 + rank / 4


def gradients(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([curvature(rank) * (x[rank] - wanted(rank)) for rank in range(bf.size())])


def ring() -> torch.Tensor:
    """Sets it, and gives its matrix."""
    bf.set_topology(bf.RingGraph(bf.size()), is_weighted=True)
    rows = [[1 / 3 if (i - j) % 4 in (0, 1, 3) else 0.0 for j in range(4)] for i in range(4)]
    return torch.tensor(rows, dtype=torch.float64)


def matrix_of(schedule: bf.Schedule, t: int) -> torch.Tensor:
    topology, ranks = schedule.round(t), range(bf.size())
    rows = [[topology.weight(receiver=i, sender=j) for j in ranks] for i in ranks]
    return torch.tensor(rows, dtype=torch.float64)


def expect(method: Method, make: Callable, base: Callable = sgd, steps: int = STEPS, **arguments) -> None:
    """The parameters of all ranks after each step."""
    model = Point()
    optimizer = make(base(model, lr=LR), model, **arguments)
    x = torch.zeros(bf.size(), 11, dtype=torch.float64)
    for t in range(steps):
        optimizer.zero_grad()
        model.distance(bf.rank()).backward()
        optimizer.step()
        x = method(x, t)
        assert_close(of_all_ranks(vector(model)), x, 1e-12)


def check_gradient_tracking_on_a_ring() -> None:
    w, state = ring(), {}

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        g = gradients(x)
        state["q"] = g if t == 0 else w @ (state["q"] + g - state["g"])
        state["g"] = g
        return w @ (x - LR * state["q"])

    expect(method, bf.DistributedGradientTrackingOptimizer)


def check_gradient_tracking_over_a_schedule() -> None:
    schedule, state = bf.one_peer_exponential(bf.size()), {}

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        g = gradients(x)
        state["q"] = g if t == 0 else matrix_of(schedule, t - 1) @ (state["q"] + g - state["g"])
        state["g"] = g
        return matrix_of(schedule, t) @ (x - LR * state["q"])

    expect(method, bf.DistributedGradientTrackingOptimizer, schedule=schedule)


def check_gradient_tracking_reaches_the_optimum_of_all() -> None:
    ring()
    model = Point()
    optimizer = bf.DistributedGradientTrackingOptimizer(sgd(model), model)
    for _ in range(600):
        optimizer.zero_grad()
        model.distance(bf.rank()).backward()
        optimizer.step()
    curvatures = torch.tensor([curvature(rank) for rank in range(bf.size())], dtype=torch.float64)
    every = torch.stack([wanted(rank) for rank in range(bf.size())])
    assert_close(vector(model), (curvatures[:, None] * every).sum(0) / curvatures.sum(), 1e-10)


def check_exact_diffusion() -> None:
    w, state = ring(), {"psi": torch.zeros(bf.size(), 11, dtype=torch.float64)}

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        psi = x - LR * gradients(x)
        phi = psi + x - state["psi"]
        state["psi"] = psi
        return (phi + w @ phi) / 2

    expect(method, bf.DistributedExactDiffusionOptimizer)


def check_quasi_global_momentum() -> None:
    w, b, state = ring(), 0.8, {"q": torch.zeros(bf.size(), 11, dtype=torch.float64)}

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        after = w @ (x - LR * (b * state["q"] + gradients(x)))
        state["q"] = b * state["q"] + (1 - b) * (x - after) / LR
        return after

    expect(method, bf.DistributedQuasiGlobalMomentumOptimizer, momentum=b)


def check_decentlam() -> None:
    w, state = ring(), {"m": torch.zeros(bf.size(), 11, dtype=torch.float64)}

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        state["m"] = 0.8 * state["m"] + (x - w @ (x - LR * gradients(x))) / LR
        return x - LR * state["m"]

    expect(method, bf.DistributedDecentLaMOptimizer, lambda model, lr: sgd(model, lr=lr, momentum=0.8))


def check_gradient_push_over_a_star_of_which_one_edge_is_missing() -> None:
    n = bf.size()
    graph = bf.StarGraph(n)
    graph.remove_edge(2, 0)
    graph.add_edge(2, 1, weight=0.5)
    bf.set_topology(graph)
    to = {0: [1, 2, 3], 1: [0], 2: [1], 3: [0]}
    a = torch.zeros(n, n, dtype=torch.float64)
    for sender, receivers in to.items():
        for receiver in [sender, *receivers]:
            a[receiver, sender] = 1 / (len(receivers) + 1)
    state = {"u": torch.zeros(n, 11, dtype=torch.float64), "w": torch.ones(n, 1, dtype=torch.float64)}

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        state["u"] = a @ (state["u"] - LR * gradients(x))
        state["w"] = a @ state["w"]
        return state["u"] / state["w"]

    expect(method, bf.DistributedGradientPushOptimizer)


def check_gossip_pga() -> None:
    w = ring()

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        moved = x - LR * gradients(x)
        return moved.mean(0).expand_as(x) if t % 3 == 2 else w @ moved

    expect(method, bf.DistributedGossipPGAOptimizer, rounds_per_average=3)


def check_local_sgd() -> None:
    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        moved = x - LR * gradients(x)
        return moved.mean(0).expand_as(x) if t % 4 == 3 else moved

    expect(method, bf.DistributedLocalSGDOptimizer, num_steps_per_communication=4)


def check_slow_momentum() -> None:
    state = {"x": torch.zeros(11, dtype=torch.float64), "u": torch.zeros(11, dtype=torch.float64)}

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        moved = x - LR * gradients(x)
        if t % 4 != 3:
            return moved
        state["u"] = 0.5 * state["u"] + (state["x"] - moved.mean(0)) / LR
        state["x"] = state["x"] - 0.8 * LR * state["u"]
        return state["x"].expand_as(x)

    expect(method, bf.DistributedSlowMoOptimizer, num_steps_per_communication=4, slow_lr=0.8)


def check_diloco_is_nesterovs_momentum_of_torch_outside() -> None:
    outer = nn.Parameter(torch.zeros(11, dtype=torch.float64))
    stepper = torch.optim.SGD([outer], lr=0.7, momentum=0.9, nesterov=True)

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        moved = x - LR * gradients(x)
        if t % 5 != 4:
            return moved
        outer.grad = outer.detach() - moved.mean(0)
        stepper.step()
        return outer.detach().expand_as(x).clone()

    expect(method, bf.DistributedDiLoCoOptimizer, num_steps_per_communication=5)


def check_noloco() -> None:
    n = bf.size()
    schedule = bf.one_peer_random_matching(n, 7)
    state = {name: torch.zeros(n, 11, dtype=torch.float64) for name in ("start", "m")}

    def method(x: torch.Tensor, t: int) -> torch.Tensor:
        moved = x - LR * gradients(x)
        if t % 3 != 2:
            return moved
        w = matrix_of(schedule, t // 3)
        way = w @ (moved - state["start"])
        apart = state["start"] - w @ state["start"]
        state["m"] = 0.5 * state["m"] + 0.7 * way - 0.6 * apart
        state["start"] = state["start"] + state["m"]
        return state["start"]

    expect(method, bf.DistributedNoLoCoOptimizer, num_steps_per_communication=3, attraction=0.6, seed=7)


def check_every_one_goes_on_from_a_checkpoint_to_the_bit() -> None:
    ring()
    for make in ALL:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        for t in range(7):
            train_step(model, optimizer, inputs(10 * t + bf.rank()))
        saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        for t in range(7, 12):
            train_step(model, optimizer, inputs(10 * t + bf.rank()))
        again = two_layers(1)
        resumed = make(sgd(again), again)
        again.load_state_dict(saved[0])
        resumed.load_state_dict(saved[1])
        for t in range(7, 12):
            train_step(again, resumed, inputs(10 * t + bf.rank()))
        assert torch.equal(vector(again), vector(model)), make.__name__


def check_broadcasting_the_state_makes_memories_start_anew() -> None:
    ring()
    of_rounds = (bf.DistributedGossipPGAOptimizer, bf.DistributedNoLoCoOptimizer)  # which go on
    for make in ALL:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        for t in range(5):
            train_step(model, optimizer, inputs(10 * t + bf.rank()))
        bf.broadcast_parameters(model.state_dict(), root_rank=2)
        bf.broadcast_optimizer_state(optimizer, root_rank=2)
        fresh = copy.deepcopy(model)
        anew = make(sgd(fresh), fresh)
        for t in range(5):
            for each, its in ((model, optimizer), (fresh, anew)):
                train_step(each, its, inputs(10 * t + bf.rank()))
        if make not in of_rounds:
            assert torch.equal(vector(model), vector(fresh)), make.__name__


def check_a_state_without_the_algorithms_makes_it_start_anew() -> None:
    ring()
    mixing = {"num_steps_per_communication": 2, "schedule": bf.one_peer_exponential(bf.size())}
    for make in (*ALL, *STYLES):
        arguments = mixing if make in STYLES else {}
        model, fresh = two_layers(1), two_layers(1)
        optimizer = wrapped(make, sgd(model), model, **arguments)
        for t in range(7):
            train_step(model, optimizer, inputs(10 * t + bf.rank()))
        optimizer.load_state_dict(sgd(fresh).state_dict())
        fresh.load_state_dict(model.state_dict())
        anew = wrapped(make, sgd(fresh), fresh, **arguments)
        for t in range(5):
            for each, its in ((model, optimizer), (fresh, anew)):
                train_step(each, its, inputs(10 * t + bf.rank()))
        assert torch.equal(vector(model), vector(fresh)), make.__name__


def check_a_checkpoint_of_another_algorithm_is_refused() -> None:
    ring()
    model, other = two_layers(1), two_layers(1)
    saved = bf.DistributedGradientTrackingOptimizer(sgd(other), other).state_dict()
    optimizer = bf.DistributedExactDiffusionOptimizer(sgd(model), model)
    with raises(ValueError, "this is the state of 'gradient_tracking', this optimizer is 'exact_diffusion'"):
        optimizer.load_state_dict(saved)
    del saved["bluefog"]
    optimizer.load_state_dict(saved)
    train_step(model, optimizer, inputs(1))


def check_a_checkpoint_of_other_parameters_is_refused() -> None:
    ring()
    model = two_layers(1)
    optimizer = bf.DistributedExactDiffusionOptimizer(sgd(model), model)
    for other, text in (
        (nn.Linear(3, 3), "parameter group that doesn't match"),
        (nn.Sequential(nn.Linear(4, 9), nn.Linear(9, 2)), "does not fit these parameters"),
    ):
        saved = bf.DistributedExactDiffusionOptimizer(sgd(seeded(other, 1)), other).state_dict()
        with raises(ValueError, text):
            optimizer.load_state_dict(saved)


def check_schedules_that_an_algorithm_cannot_stand_are_refused() -> None:
    model = two_layers(1)
    directed = bf.static_schedule(bf.RingGraph(bf.size(), connect_style=1))
    with raises(ValueError, "ExactDiffusion: the schedule .* has rounds that are not symmetric"):
        bf.DistributedExactDiffusionOptimizer(sgd(model), model, schedule=directed)
    choices = bf.one_peer_dynamic(bf.StarGraph(bf.size()))
    with raises(ValueError, "GradientTracking: the schedule .* does not preserve constants"):
        bf.DistributedGradientTrackingOptimizer(sgd(model), model, schedule=choices)
    optimizer = bf.DistributedGradientPushOptimizer(sgd(model), model, schedule=choices)
    train_step(model, optimizer, inputs(1))


def check_wrong_settings_are_refused() -> None:
    ring()
    model = two_layers(1)
    with raises(ValueError, "give an SGD with momentum=0"):
        bf.DistributedQuasiGlobalMomentumOptimizer(sgd(model, momentum=0.5), model)
    with raises(ValueError, r"momentum is 1.0+; give a number in \[0, 1\)"):
        bf.DistributedDiLoCoOptimizer(sgd(model), model, outer_momentum=1.0)
    with raises(ValueError, "steps_per_round is 0; give 1 or more"):
        bf.DistributedLocalSGDOptimizer(sgd(model), model, num_steps_per_communication=0)


def check_one_learning_rate_is_asked_for_where_it_matters() -> None:
    ring()
    model = two_layers(1)
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.01}]
    optimizer = bf.DistributedDecentLaMOptimizer(torch.optim.SGD(groups, lr=0.1), model)
    with raises(ValueError, r"one learning rate for all parameters, not \[0.01, 0.1\]"):
        train_step(model, optimizer, inputs(1))
    optimizer.param_groups[1]["lr"] = 0.1
    train_step(model, optimizer, inputs(1))


def check_sparse_gradients_are_refused() -> None:
    ring()
    model = nn.Embedding(5, 3, sparse=True)
    seeded(model, 1)
    optimizer = bf.DistributedGradientTrackingOptimizer(sgd(model), model)
    model(torch.tensor([1, 2])).sum().backward()
    with raises(ValueError, "has a sparse gradient"):
        optimizer.step()


def check_parameters_without_gradient_and_frozen_ones() -> None:
    """A gradient that is missing on one rank is 0, and the tracker goes on."""
    ring()
    model = nn.ParameterDict({name: torch.zeros(2, dtype=torch.float64) for name in ("a", "b", "c")})
    model["c"].requires_grad_(False)
    optimizer = bf.DistributedGradientTrackingOptimizer(sgd(model), model)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (model["a"] - bf.rank()).square().sum()
        if bf.rank() > 0:
            loss = loss + (model["b"] - bf.rank()).square().sum()
        loss.backward()
        optimizer.step()
    assert_close(model["a"], torch.full((2,), 1.5, dtype=torch.float64), 1e-9)
    assert_close(model["b"], torch.full((2,), 2.0, dtype=torch.float64), 1e-9)
    assert model["c"].grad is None and torch.equal(model["c"], torch.zeros(2, dtype=torch.float64))


def check_tied_parameters_get_the_sum_of_their_gradients() -> None:
    ring()
    model = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)])
    seeded(model, 1)
    model[1].weight.data = model[0].weight.data
    start = model[0].weight.detach().clone()
    optimizer = bf.DistributedGradientTrackingOptimizer(sgd(model), model)
    (model[0].weight.sum() + 2 * model[1].weight.sum()).backward()
    optimizer.step()
    assert_close(model[0].weight, start - 0.3)
    assert model[0].weight.data_ptr() == model[1].weight.data_ptr()


def check_a_closure_is_called_once() -> None:
    ring()
    model = two_layers(1)
    optimizer = bf.DistributedExactDiffusionOptimizer(sgd(model), model)
    calls = []

    def closure() -> torch.Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = model(inputs(bf.rank())).square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() > 0 and len(calls) == 1


def check_an_infinite_gradient_on_one_rank_spoils_nothing() -> None:
    ring()
    for make in (bf.DistributedGradientTrackingOptimizer, bf.DistributedExactDiffusionOptimizer):
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        for t in range(4):
            optimizer.zero_grad()
            loss = model(inputs(t)).square().sum()
            if t == 2 and bf.rank() == 1:
                loss = loss * float("inf")
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        assert torch.isfinite(of_all_ranks(vector(model))).all(), make.__name__


def check_added_parameters_take_part() -> None:
    ring()
    model = two_layers(bf.rank())
    optimizer = wrapped(
        bf.DistributedGradientTrackingOptimizer, torch.optim.SGD(model[0].parameters(), lr=0.0), model
    )
    train_step(model, optimizer, inputs(1))
    before = mean_over_ranks(vector(model))
    wrapped(
        lambda base, _: base.add_param_group({"params": model[2].parameters(), "lr": 0.0}), optimizer, model
    )
    for _ in range(60):
        train_step(model, optimizer, inputs(1))
    assert_close(vector(model), before)


def check_any_optimizer_can_be_the_base() -> None:
    ring()
    for kind in (torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad):
        for make in (bf.DistributedDiLoCoOptimizer, bf.DistributedExactDiffusionOptimizer):
            model = two_layers(1)
            optimizer = make(kind(model.parameters(), lr=0.01), model)
            before = model(inputs(9)).square().sum().item()
            for _ in range(50):
                train_step(model, optimizer, inputs(9))
            assert model(inputs(9)).square().sum().item() < before
            assert spread(model) < 1e-4
