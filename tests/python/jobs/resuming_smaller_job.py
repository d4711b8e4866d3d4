"""Goes on, in a job of fewer ranks, from the mean that saving_job has saved."""

from __future__ import annotations

import bluefog.torch as bf
import torch
from optimizer_checks import (
    assert_close,
    mean_over_ranks,
    of_all_ranks,
    recorded_warnings,
    seeded,
    sgd,
    spread,
    vector,
)
from torch import nn
from trainings import TRAININGS, begin, path, train


def check_all_ranks_start_from_the_mean() -> None:
    for name in TRAININGS:
        model, optimizer = begin(name)
        saved = torch.load(path(name, "mean"), weights_only=True)
        every = [torch.load(path(name, rank), weights_only=True) for rank in range(4)]
        with recorded_warnings() as messages:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
        assert len(messages) == 1, messages
        assert f"saved by rank 0 of 4, and is loaded by rank {bf.rank()} of 2" in messages[0]
        assert "bluefog.torch.mean_model(model)" in messages[0]
        for key, value in model.state_dict().items():
            assert_close(value, torch.stack([state["model"][key] for state in every]).mean(0))
        assert spread(model) == 0
        momenta = [optimizer.state[p]["momentum_buffer"] for p in model.parameters()]
        for momentum, state in zip(momenta, saved["optimizer"]["state"].values()):
            assert torch.equal(momentum, state["momentum_buffer"])
        own, theirs = optimizer.state_dict()["bluefog"], saved["optimizer"]["bluefog"]
        assert (own["rank"], own["size"]) == (bf.rank(), 2)
        for part, other in ((own, theirs), (own["state"], theirs["state"])):
            assert part.get("round") == other.get("round"), name
        train(model, optimizer, 6)
        assert torch.isfinite(vector(model)).all() and spread(model) < 1, name


def check_what_the_algorithm_remembers_starts_anew() -> None:
    """With the trackers of the other job the mean would not move by the mean of the gradients."""
    model = seeded(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2)), 1)
    optimizer = bf.DistributedGradientTrackingOptimizer(sgd(model), model)
    saved = torch.load(path("gradient_tracking", "mean"), weights_only=True)
    with recorded_warnings():
        optimizer.load_state_dict(saved["optimizer"])  # the order of both does not matter
        model.load_state_dict(saved["model"])
    optimizer.param_groups[0]["momentum"] = 0.0
    for _ in range(2):
        before = vector(model)
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
        optimizer.step()
        expected = (of_all_ranks(before) - 0.1 * of_all_ranks(gradient)).mean(0)
        assert_close(mean_over_ranks(vector(model)), expected)
