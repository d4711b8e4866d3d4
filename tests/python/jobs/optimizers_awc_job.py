"""Adapt with combine: when averaging starts, what step() takes, and how forwards are counted. For 4 ranks, on
one host and on several.
"""

from __future__ import annotations

import bluefog.torch as bf
import torch
from job import raises
from optimizer_checks import (
    AWC,
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
from torch.utils.checkpoint import checkpoint

EVERYBODY = bf.CommunicationType.allreduce


def in_flight(optimizer) -> bool:
    return optimizer._style._round_open


def check_mixing_overlaps_with_gradients_only_if_there_is_something_to_hide() -> None:
    context = bf._runtime.context()
    hides_something = context.host_count() > 1 or context.config()["BLUEFOG_STAGING"] == "always"
    for overlap, expected in ((None, hides_something), (True, True), (False, False)):
        model = two_layers(bf.rank())
        mean = mean_over_ranks(vector(model))
        optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=EVERYBODY, overlap=overlap)
        model(inputs(1)).sum().backward()
        assert (optimizer._style._flight is not None) == expected
        optimizer.step()
        assert_close(vector(model), mean)


def check_the_users_default_device_changes_nothing() -> None:
    model, x = two_layers(bf.rank()), inputs(1)
    mean = mean_over_ranks(vector(model))
    with torch.device("meta"):
        optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=EVERYBODY)
        bf.broadcast_optimizer_state(optimizer, 0)
        model(x).sum().backward()
        optimizer.step()
    assert_close(vector(model), mean)
    assert bf.consensus_distance(model) < 1e-6


def check_gradients_are_those_at_the_old_parameters() -> None:
    model = two_layers(bf.rank())
    before, x = vector(model), inputs(bf.rank())
    optimizer = wrapped(AWC, sgd(model), model, communication_type=EVERYBODY)
    loss = model(x).square().sum()
    assert in_flight(optimizer)
    assert torch.equal(vector(model), before), "the parameters changed before step()"
    optimizer.zero_grad()
    loss.backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    optimizer.step()
    assert not in_flight(optimizer)
    assert_close(vector(model), mean_over_ranks(before) - 0.1 * gradient)


def check_weight_decay_sees_mixed_weights() -> None:
    model = two_layers(bf.rank())
    expected = 0.5 * mean_over_ranks(vector(model))
    optimizer = wrapped(AWC, sgd(model, lr=1.0, weight_decay=0.5), model, communication_type=EVERYBODY)
    (0 * sum(p.sum() for p in model.parameters())).backward()
    optimizer.step()
    assert_close(vector(model), expected)


def check_settings_assigned_after_a_step_are_used_in_the_next() -> None:
    size, rank = bf.size(), bf.rank()
    model = two_layers(rank)
    optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=bf.CommunicationType.empty)
    train_step(model, optimizer, inputs(1))
    optimizer.communication_type = bf.CommunicationType.neighbor_allreduce
    for distance in (1, 2):
        every, source = of_all_ranks(vector(model)), (rank - distance) % size
        optimizer.self_weight, optimizer.src_weights = 0.5, {source: 0.5}
        optimizer.dst_weights = [(rank + distance) % size]
        train_step(model, optimizer, inputs(1))
        assert_close(vector(model), (every[rank] + every[source]) / 2)


def check_only_training_forwards_with_gradients_start() -> None:
    model = two_layers(1)
    optimizer = AWC(sgd(model), model, num_steps_per_communication=2)
    with recorded_warnings() as messages:
        for _ in range(5):
            with torch.no_grad():
                model(inputs(1))
            model.eval()(inputs(1))
            model.train()
            model[0](inputs(1))
            assert not in_flight(optimizer)
        model(inputs(1))
        assert not in_flight(optimizer)
        model(inputs(1)).sum().backward()
        assert in_flight(optimizer)
        optimizer.step()
    assert not messages, messages


def check_step_without_a_forward_mixes() -> None:
    model = two_layers(bf.rank())
    expected = mean_over_ranks(vector(model))
    optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=EVERYBODY)
    optimizer.step()
    assert_close(vector(model), expected)


def check_compiled_models_mix() -> None:
    for compiled_is_wrapped in (True, False):
        model = two_layers(bf.rank())
        compiled = torch.compile(model, backend="eager")
        expected = mean_over_ranks(vector(model))
        wrapped_model = compiled if compiled_is_wrapped else model
        optimizer = wrapped(AWC, sgd(model, lr=0.0), wrapped_model, communication_type=EVERYBODY)
        for _ in range(2):
            with recorded_warnings() as messages:
                train_step(compiled, optimizer, inputs(1))
            assert not [m for m in messages if "Unexpected" in m], messages
            assert_close(vector(model), expected)
        torch.compiler.reset()


def check_checkpointed_root_starts_once() -> None:
    for reentrant in (True, False):
        model = two_layers(bf.rank())
        expected = mean_over_ranks(vector(model))
        optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=EVERYBODY)
        with recorded_warnings() as messages:
            x = inputs(1).requires_grad_()
            checkpoint(model, x, use_reentrant=reentrant).sum().backward()
            optimizer.step()
        assert not [m for m in messages if "Unexpected" in m], messages
        assert_close(vector(model), expected)


def check_an_earlier_state_dict_stays_current() -> None:
    model = two_layers(bf.rank())
    optimizer = wrapped(AWC, sgd(model), model)
    earlier = model.state_dict()
    address = model[0].weight.data_ptr()
    for step in range(3):
        train_step(model, optimizer, inputs(step))
    assert model[0].weight.data_ptr() == address
    for name, value in model.state_dict().items():
        assert torch.equal(earlier[name], value)


def check_changes_in_flight_are_errors_that_say_so() -> None:
    def clamp(model: nn.Module) -> None:
        with torch.no_grad():
            model[0].weight.clamp_(-0.1, 0.1)

    def load(model: nn.Module) -> None:
        model.load_state_dict(two_layers(3).state_dict())

    def assign(model: nn.Module) -> None:
        model.load_state_dict(two_layers(3).state_dict(), assign=True)

    for change in (clamp, load, assign):
        model = two_layers(bf.rank())
        optimizer = wrapped(AWC, sgd(model), model, communication_type=EVERYBODY)
        model(inputs(1)).sum()
        change(model)
        kept = vector(model)
        with raises(RuntimeError, r"0\.weight.* changed between the forward"):
            optimizer.step()
        assert torch.equal(vector(model), kept)
        optimizer.param_groups[0]["lr"] = 0.0
        train_step(model, optimizer, inputs(1))  # and the optimizer is usable afterwards
        assert_close(vector(model), mean_over_ranks(kept))


def check_clamping_after_step_is_kept() -> None:
    model = two_layers(bf.rank())
    optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=EVERYBODY)
    for _ in range(2):
        train_step(model, optimizer, inputs(1))
        with torch.no_grad():
            model[0].weight.clamp_(-0.01, 0.01)
    assert model[0].weight.abs().max() <= 0.01


def check_loading_optimizer_state_in_flight_gives_the_flight_up() -> None:
    model = two_layers(bf.rank())
    optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=EVERYBODY)
    saved = optimizer.state_dict()
    model(inputs(1))
    model.load_state_dict(two_layers(20 + bf.rank()).state_dict())
    optimizer.load_state_dict(saved)
    expected = mean_over_ranks(vector(model))
    train_step(model, optimizer, inputs(1))
    assert_close(vector(model), expected)


def check_stale_graphs_are_refused_after_step() -> None:
    model = two_layers(1)
    optimizer = AWC(sgd(model, lr=0.0), model)
    loss = model(inputs(1)).square().sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with raises(RuntimeError, "modified by an inplace operation"):
        loss.backward()


def check_leaf_and_non_leaf_modules_are_averaged() -> None:
    x = inputs(1, 3, 1, 4)
    cases = [(nn.Linear(4, 2), (x,)), (nn.MultiheadAttention(4, 2), (x, x, x))]
    for model, arguments in cases:
        seeded(model, bf.rank())
        expected = mean_over_ranks(vector(model))
        optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=EVERYBODY)
        out = model(*arguments)
        (out[0] if isinstance(out, tuple) else out).sum().backward()
        assert in_flight(optimizer)
        optimizer.step()
        assert_close(vector(model), expected)


def check_several_roots_start_one_round() -> None:
    roots = [nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 2)]
    parameters = [p for root in roots for p in seeded(root, bf.rank()).parameters()]
    base = torch.optim.SGD(parameters, lr=0.0)
    optimizer = wrapped(AWC, base, roots, communication_type=EVERYBODY)
    expected = [mean_over_ranks(p) for p in parameters]
    with recorded_warnings() as messages:
        for _ in range(3):
            roots[1](roots[0](inputs(1))).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert not messages, messages
    for parameter, mean in zip(parameters, expected):
        assert_close(parameter, mean)


def check_accumulation_sums_all_gradients() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    optimizer = AWC(sgd(model, lr=1.0), model, num_steps_per_communication=2)
    for _ in range(2):
        optimizer.zero_grad()
        with recorded_warnings() as messages:
            for scale in (1.0, 10.0):
                model(torch.full((1, 1), scale)).sum().backward()
            optimizer.step()
        assert not messages, messages
    assert model.weight.item() == -22.0


def check_too_many_forwards_warn_once() -> None:
    model = two_layers(1)
    optimizer = AWC(sgd(model), model)
    with recorded_warnings() as messages:
        for _ in range(2):
            for _ in range(3):
                model(inputs(1)).sum().backward()
            optimizer.step()
    assert len(messages) == 1 and messages[0].startswith("UserWarning: Unexpected behavior"), messages


def check_schedule_reaches_consensus_with_any_number_of_local_steps() -> None:
    for local_steps in (1, 2, 3):
        model = two_layers(bf.rank())
        expected = mean_over_ranks(vector(model))
        schedule = bf.one_peer_exponential(bf.size())
        optimizer = wrapped(
            AWC, sgd(model, lr=0.0), model, num_steps_per_communication=local_steps, schedule=schedule
        )
        for _ in range(2 * local_steps):
            train_step(model, optimizer, inputs(1))
        assert optimizer.state_dict()["bluefog"]["round"] == 2
        assert_close(vector(model), expected)


def check_global_average_now_and_then_keeps_the_schedule_in_step() -> None:
    model = two_layers(bf.rank())
    optimizer = wrapped(AWC, sgd(model), model, schedule=bf.one_peer_exponential(bf.size()))
    for step in range(6):
        everybody = step % 3 == 2
        optimizer.communication_type = EVERYBODY if everybody else bf.CommunicationType.neighbor_allreduce
        train_step(model, optimizer, inputs(step + bf.rank()))
    assert optimizer.state_dict()["bluefog"]["round"] == 4


def check_synchronize_takes_the_average_early() -> None:
    model = two_layers(bf.rank())
    expected = mean_over_ranks(vector(model))
    optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=EVERYBODY)
    for skipped in (True, False):
        seeded(model, bf.rank())
        with recorded_warnings() as messages:
            model(inputs(1)).sum().backward()
            optimizer.synchronize()
            assert_close(vector(model), expected)
            if skipped:
                with optimizer.skip_synchronize():
                    optimizer.step()
            else:
                optimizer.step()
        assert [("skip_synchronize" in m) for m in messages] == [True] * (not skipped), messages
    train_step(seeded(model, bf.rank()), optimizer, inputs(1))
    assert spread(model) == 0


def check_moved_in_flight_by_data_is_brought_back() -> None:
    model = two_layers(bf.rank())
    expected = mean_over_ranks(vector(model))
    optimizer = wrapped(AWC, sgd(model, lr=0.0), model, communication_type=EVERYBODY)
    address = model[0].weight.data_ptr()
    model(inputs(1)).sum().backward()
    model[0].weight.data = model[0].weight.data.clone()
    optimizer.step()
    assert model[0].weight.data_ptr() == address
    assert_close(vector(model), expected)
