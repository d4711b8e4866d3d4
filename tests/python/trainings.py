"""Trainings that the jobs which save and resume have in common."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Callable

import bluefog.torch as bf
import torch
from optimizer_checks import ATC, AWC, seeded, sgd, train_step, wrapped
from torch import nn

DIRECTORY = pathlib.Path(os.environ.get("CHECKPOINTS", "."))
SAVED_AT, UNTIL = 7, 12  # steps


def random_pairs() -> Any:
    return bf.one_peer_random_matching(bf.size(), seed=3)


#: Factories with their arguments. 7 steps are two rounds of 3 and a step.
TRAININGS: dict[str, tuple[Callable[..., Any], Callable[[], dict[str, Any]]]] = {
    "awc": (AWC, lambda: {"num_steps_per_communication": 3, "schedule": random_pairs()}),
    "atc": (ATC, lambda: {"num_steps_per_communication": 3, "schedule": random_pairs()}),
    "gradient_allreduce": (bf.DistributedGradientAllreduceOptimizer, dict),
    "gradient_tracking": (bf.DistributedGradientTrackingOptimizer, lambda: {"schedule": random_pairs()}),
    "exact_diffusion": (bf.DistributedExactDiffusionOptimizer, lambda: {"schedule": random_pairs()}),
    "decentlam": (bf.DistributedDecentLaMOptimizer, dict),
    "gradient_push": (bf.DistributedGradientPushOptimizer, lambda: {"num_steps_per_communication": 3}),
    "slowmo": (bf.DistributedSlowMoOptimizer, lambda: {"num_steps_per_communication": 3}),
    "noloco": (bf.DistributedNoLoCoOptimizer, lambda: {"num_steps_per_communication": 3, "seed": 5}),
}


def begin(name: str) -> tuple[nn.Module, Any]:
    """A model with dropout and its optimizer, which has momentum; parameters are the same on all ranks.
    Without a schedule it mixes on a ring.
    """
    bf.set_topology(bf.RingGraph(bf.size()))
    model = seeded(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2)), 1)
    make, arguments = TRAININGS[name]
    return model, wrapped(make, sgd(model, momentum=0.5), model, **arguments())


def train(model: nn.Module, optimizer: Any, steps: int) -> None:
    """On data, and with dropout, of torch's own random numbers."""
    for _ in range(steps):
        train_step(model, optimizer, torch.randn(5, 4))


def path(name: str, whose: object) -> pathlib.Path:
    return DIRECTORY / f"{name}.{whose}.pt"
