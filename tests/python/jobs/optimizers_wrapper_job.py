"""The wrapper: one base optimizer, its hooks, schedulers, checkpoints and loss scaling. For 2 ranks or
more.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any, Callable

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
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

EVERYBODY = bf.CommunicationType.allreduce


class SignOptimizer(torch.optim.Optimizer):
    """A user's optimizer: its constructor takes other arguments, its step reads an attribute, it replaces
    p.data.
    """

    def __init__(self, model: nn.Module, *, scale: float) -> None:
        super().__init__(model.parameters(), {})
        self.scale = scale

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.data = parameter.data - self.scale * parameter.grad.sign()


def check_wrapper_is_an_instance_of_the_base_class() -> None:
    for make in STYLES:
        model = two_layers(1)
        base = sgd(model, momentum=0.9)
        optimizer = make(base, model)
        assert isinstance(optimizer, torch.optim.SGD)
        assert type(optimizer).__name__ == "SGD" and repr(optimizer) == repr(base)
        assert optimizer.param_groups is base.param_groups
        assert optimizer.state is base.state and optimizer.defaults is base.defaults


def check_learning_rate_changes_after_wrapping_count() -> None:
    for make in STYLES:
        for changed_on_base in (True, False):
            model = two_layers(1)
            base = sgd(model, lr=100.0)
            optimizer = make(base, model)
            for group in (base if changed_on_base else optimizer).param_groups:
                group["lr"] = 0.0
            before = vector(model)
            train_step(model, optimizer, inputs(1))
            assert torch.equal(vector(model), before)


def check_momentum_is_kept_when_wrapped_in_mid_run() -> None:
    for make in STYLES:
        plain, model = two_layers(1), two_layers(1)
        optimizers = [sgd(m, momentum=0.9, lr=0.01) for m in (plain, model)]
        for step in range(4):
            if step == 2:
                optimizers[1] = make(optimizers[1], model)
            for m, optimizer in zip((plain, model), optimizers):
                train_step(m, optimizer, inputs(step))
        assert_close(vector(model), vector(plain), 1e-6)


def check_custom_optimizers_work_and_share_their_attributes() -> None:
    for make in STYLES:
        model = two_layers(1)
        optimizer = make(SignOptimizer(model, scale=0.5), model)
        optimizer.scale = 0.25
        before = vector(model)
        train_step(model, optimizer, inputs(1))
        assert_close((vector(model) - before).abs(), torch.full_like(before, 0.25))
        seeded(model, bf.rank())
        optimizer.scale = 0.0
        expected = mean_over_ranks(vector(model))
        optimizer.communication_type = EVERYBODY
        train_step(model, optimizer, inputs(1))
        assert_close(vector(model), expected)


def check_gradients_are_zeroed_as_the_base_does() -> None:
    for make in STYLES:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        model(inputs(1)).sum().backward()
        optimizer.zero_grad(set_to_none=False)
        assert not any(p.grad.any() for p in model.parameters())
        optimizer.zero_grad()
        assert all(p.grad is None for p in model.parameters())
        optimizer.step()


def check_a_step_function_takes_the_place_of_the_bases() -> None:
    def against_the_sign(optimizer: Any, p: torch.Tensor, g: torch.Tensor, group: dict[str, Any]) -> None:
        assert optimizer.state == {}
        p.sub_(group["lr"] * g.sign())

    for make in STYLES:
        model = two_layers(bf.rank())
        optimizer = wrapped(make, sgd(model, lr=0.5), model, communication_type=EVERYBODY)
        optimizer.register_step_function(against_the_sign)
        before = vector(model)
        model(inputs(bf.rank())).square().sum().backward()
        step = 0.5 * torch.cat([p.grad.sign().reshape(-1) for p in model.parameters()])
        optimizer.step()
        expected = mean_over_ranks(before) - step if make is AWC else mean_over_ranks(before - step)
        assert_close(vector(model), expected)


def check_step_hooks_run_once() -> None:
    calls: list[str] = []

    def note(what: str) -> Callable[..., None]:
        return lambda *_: calls.append(what)

    for make in STYLES:
        calls.clear()
        model = two_layers(1)
        base = sgd(model)
        handles = [
            base.register_step_pre_hook(note("base pre")),
            base.register_step_post_hook(note("base post")),
            register_optimizer_step_pre_hook(note("global pre")),
            register_optimizer_step_post_hook(note("global post")),
        ]
        optimizer = make(base, model)
        handles.append(optimizer.register_step_pre_hook(note("wrapper pre")))
        train_step(model, optimizer, inputs(1))
        for handle in handles:
            handle.remove()
        assert calls == ["global pre", "base pre", "wrapper pre", "base post", "global post"], calls


def check_schedulers_work_before_and_after_wrapping() -> None:
    for make in STYLES:
        for before in (True, False):
            model = two_layers(bf.rank())
            with recorded_warnings() as messages:
                optimizer = sgd(model, lr=0.0)
                scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5) if before else None
                optimizer = make(optimizer, model, communication_type=EVERYBODY)
                optimizer.param_groups[0]["lr"] = 0.0
                scheduler = scheduler or torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
                optimizer.param_groups[0]["lr"] = 1e-9
                for _ in range(2):
                    train_step(model, optimizer, inputs(1))
                    scheduler.step()
            assert optimizer.param_groups[0]["lr"] == 0.25e-9
            assert spread(model) < 1e-6, "communication was bypassed"
            assert not [m for m in messages if "lr_scheduler" in m], messages


def check_checkpoints_hold_state_and_round() -> None:
    for make in STYLES:
        model = two_layers(1)
        schedule = bf.one_peer_exponential(bf.size())
        optimizer = make(sgd(model, momentum=0.9), model, schedule=schedule)
        for step in range(3):
            train_step(model, optimizer, inputs(step))
        saved = copy.deepcopy(optimizer.state_dict())
        assert saved["bluefog"]["round"] == 3
        other_model = two_layers(1)
        other_model.load_state_dict(model.state_dict())
        other = make(sgd(other_model, momentum=0.9), other_model, schedule=schedule)
        other.load_state_dict(saved)
        for m, o in ((model, optimizer), (other_model, other)):
            train_step(m, o, inputs(9))
        assert torch.equal(vector(model), vector(other_model))
        assert other.state_dict()["bluefog"]["round"] == 4
        assert other.state is other._base.state and other._base.state
        plain = sgd(two_layers(1), momentum=0.9)
        plain.load_state_dict(saved)
        other.load_state_dict(plain.state_dict())


def check_optimizers_that_cannot_be_distributed_are_refused() -> None:
    model = two_layers(1)
    for make in STYLES:
        with raises(ValueError, "LBFGS"):
            make(torch.optim.LBFGS(model.parameters()), model)
        with raises(ValueError, "SparseAdam"):
            make(torch.optim.SparseAdam(model.parameters()), model)
        with raises(ValueError, "distributed already"):
            make(make(sgd(model), model), model)
        with raises(TypeError, "not Sequential"):
            make(model, model)


def check_every_torch_optimizer_steps_as_without_the_wrapper() -> None:
    kinds = [
        "Adadelta",
        "Adagrad",
        "Adam",
        "AdamW",
        "Adamax",
        "ASGD",
        "NAdam",
        "RAdam",
        "RMSprop",
        "Rprop",
        "SGD",
    ]
    variants = [(getattr(torch.optim, kind), {}) for kind in kinds]
    variants.append((torch.optim.AdamW, {"foreach": True}))
    if torch.__version__ >= (2, 4):  # type: ignore[operator]  # TorchVersion; on CPUs since then
        variants.append((torch.optim.Adam, {"fused": True}))
    for kind, arguments in variants:
        for make in STYLES:
            plain, model = two_layers(1), two_layers(1)
            unwrapped = kind(plain.parameters(), lr=0.01, **arguments)
            optimizer = make(kind(model.parameters(), lr=0.01, **arguments), model)
            for step in range(3):
                train_step(plain, unwrapped, inputs(step))
                train_step(model, optimizer, inputs(step))
            assert_close(vector(model), vector(plain), 1e-5)


def check_communication_types() -> None:
    model = two_layers(bf.rank())
    optimizer = wrapped(ATC, sgd(model, lr=0.0), model, communication_type=bf.CommunicationType.empty)
    before = vector(model)
    train_step(model, optimizer, inputs(1))
    assert torch.equal(vector(model), before)
    with raises(AssertionError, "CommunicationType"):
        optimizer.communication_type = "allreduce"
    optimizer.communication_type = EVERYBODY
    train_step(model, optimizer, inputs(1))
    assert_close(vector(model), mean_over_ranks(before))
    model = two_layers(bf.rank())
    expected = mean_over_ranks(vector(model))
    train_step(model, wrapped(bf.DistributedAllreduceOptimizer, sgd(model, lr=0.0), model), inputs(1))
    assert_close(vector(model), expected)


def check_weights_are_assigned_by_new_and_old_names() -> None:
    size, rank = bf.size(), bf.rank()
    source, destination = (rank - 1) % size, (rank + 1) % size
    for make in (*STYLES, bf.DistributedNeighborAllreduceOptimizer):
        for old in (False, True):
            model = two_layers(rank)
            every = of_all_ranks(vector(model))
            optimizer = wrapped(make, sgd(model, lr=0.0), model)
            with recorded_warnings() as messages:
                optimizer.self_weight = 0.25
                setattr(optimizer, "neighbor_weights" if old else "src_weights", {source: 0.75})
                setattr(optimizer, "send_neighbors" if old else "dst_weights", [destination])
            assert len([m for m in messages if m.startswith("DeprecationWarning")]) == 2 * old, messages
            train_step(model, optimizer, inputs(1))
            assert_close(vector(model), 0.25 * every[rank] + 0.75 * every[source])


def check_weights_that_do_not_fit_are_errors() -> None:
    model = two_layers(1)
    source, destination = (bf.rank() - 1) % bf.size(), (bf.rank() + 1) % bf.size()
    for make in STYLES:
        optimizer = make(sgd(model, lr=0.0), model)
        before = vector(model)
        optimizer.self_weight = 0.5
        with raises(ValueError, "self_weight and src_weights"):
            train_step(model, optimizer, inputs(1))
        optimizer.src_weights, optimizer.dst_weights = {source: 0.5}, [destination]
        if bf.rank() == 0:
            optimizer.self_weight = float("nan")
        with raises(ValueError):  # on every rank
            train_step(model, optimizer, inputs(1))
        optimizer.self_weight = 0.5
        train_step(model, optimizer, inputs(1))
        assert_close(vector(model), before)
        optimizer = make(sgd(model), model, schedule=bf.one_peer_exponential(bf.size()))
        optimizer.self_weight, optimizer.src_weights = 1.0, {}
        with raises(ValueError, "schedule"):
            train_step(model, optimizer, inputs(1))


def check_weights_that_scale_the_parameters_give_one_warning() -> None:
    model = two_layers(1)
    optimizer = ATC(sgd(model, lr=0.0), model)
    optimizer.self_weight, optimizer.src_weights, optimizer.dst_weights = 2.0, {}, []
    before = vector(model)
    with recorded_warnings() as messages:
        for _ in range(2):
            train_step(model, optimizer, inputs(1))
    assert len(messages) == 1 and "sum to 2, not to 1" in messages[0], messages
    assert_close(vector(model), 4 * before)


def check_warnings_show_the_users_line() -> None:
    factories = [bf.DistributedNeighborAllreduceOptimizer, bf.DistributedAllreduceOptimizer, *STYLES]
    for make in factories:
        model = two_layers(bf.rank())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            optimizer = make(sgd(model), model)  # ranks differ
            optimizer.neighbor_weights = {}  # the old name
            optimizer.self_weight, optimizer.dst_weights = 2.0, []  # scales the parameters
            for _ in range(2):  # a pass more than num_steps_per_communication
                model(inputs(1)).square().sum().backward()
            optimizer.step()
        texts = [str(w.message) for w in caught]
        assert len(texts) == (3 if make is bf.DistributedAllreduceOptimizer else 4), texts
        assert {w.filename for w in caught} == {__file__}, [(w.filename, w.lineno) for w in caught]


def check_schedules_that_do_not_fit_are_refused_by_name() -> None:
    model = two_layers(1)
    with raises(ValueError, "is for 64 ranks"):
        AWC(sgd(model), model, schedule=bf.one_peer_exponential(64))
    if bf.size() > 2:
        lopsided = bf.one_peer_dynamic(bf.StarGraph(bf.size()))
        for make in STYLES:
            with raises(ValueError, f"{lopsided.name}.*does not preserve constants.*push-sum"):
                make(sgd(model), model, schedule=lopsided)


def check_inf_on_one_rank_skips_its_step_but_not_the_mixing() -> None:
    for make in STYLES:
        for unscale_first in (False, True):
            model = two_layers(bf.rank())
            before = vector(model)
            optimizer = wrapped(make, sgd(model), model, communication_type=EVERYBODY)
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
            loss = model(inputs(1)).square().sum()
            gradient = torch.cat(
                [g.reshape(-1) for g in torch.autograd.grad(loss, model.parameters(), retain_graph=True)]
            )
            scaler.scale(loss).backward()
            if bf.rank() == 0:
                model[0].weight.grad[0, 0] = float("inf")
                gradient.zero_()
            if unscale_first:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
            if make is AWC:
                assert_close(vector(model), mean_over_ranks(before) - 0.1 * gradient)
            else:
                assert_close(vector(model), mean_over_ranks(before - 0.1 * gradient))
            assert scaler.get_scale() == (512.0 if bf.rank() == 0 else 1024.0)


def check_closures() -> None:
    for make in STYLES:
        model = two_layers(bf.rank())
        before, x = vector(model), inputs(2)
        expected_loss = model(x).square().sum()
        gradients = torch.autograd.grad(expected_loss, model.parameters())
        gradient = torch.cat([g.reshape(-1) for g in gradients])
        optimizer = wrapped(make, sgd(model), model, communication_type=EVERYBODY)
        assert_close(optimizer.step(closure_of(model, optimizer, x)), expected_loss)
        if make is AWC:
            assert_close(vector(model), mean_over_ranks(before) - 0.1 * gradient)
        else:
            assert_close(vector(model), mean_over_ranks(before - 0.1 * gradient))


def closure_of(model: nn.Module, optimizer: Any, x: torch.Tensor) -> Callable[[], torch.Tensor]:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        return loss

    return closure


def check_copying_a_wrapper_is_refused_and_models_can_be_copied() -> None:
    for make in STYLES:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        with raises(TypeError, "state_dict"):
            copy.deepcopy(optimizer)
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            twin(inputs(1)).sum().backward()
            assert torch.equal(vector(twin), vector(model))
            assert twin[0].weight.data_ptr() != model[0].weight.data_ptr()
        train_step(model, optimizer, inputs(1))


def check_a_dropped_wrapper_leaves_the_model_alone() -> None:
    for make in STYLES:
        model = two_layers(1)
        optimizer = make(sgd(model), model)
        train_step(model, optimizer, inputs(1))
        del optimizer
        assert not model._forward_pre_hooks
        assert not any(p._post_accumulate_grad_hooks for p in model.parameters())
        model(inputs(1)).sum().backward()
