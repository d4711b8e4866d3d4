"""What the front end costs: a step of a model with 500 small parameters, wrapped, in a job of one rank.

usage: python benchmarks/front_end_cost.py

Ways take turns, a few steps each. Medians, as multiples of the step of the plain optimizer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import bluefog.torch as bf
import torch
from torch import nn

Wrap = Callable[..., torch.optim.Optimizer]
Step = Callable[[], None]


def make_model() -> nn.Module:
    """250 layers of 8 to 8: 500 parameters."""
    torch.manual_seed(1)
    return nn.Sequential(*(nn.Linear(8, 8) for _ in range(250)))


def make_step(wrap: Wrap | None) -> Step:
    model = make_model()
    optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    if wrap is not None:
        optimizer = wrap(optimizer, model=model)
    inputs = torch.randn(16, 8)

    def step() -> None:
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()

    return step


def seconds_of(step: Step, steps: int) -> float:
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - begin) / steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--steps", type=int, default=5, help="steps a turn")
    arguments = parser.parse_args()

    bf.init()
    torch.set_num_threads(1)
    ways: dict[str, Wrap | None] = {
        "plain": None,
        "AWC": bf.DistributedAdaptWithCombineOptimizer,
        "ATC": bf.DistributedAdaptThenCombineOptimizer,
        "gradient allreduce": bf.DistributedGradientAllreduceOptimizer,
        "gradient tracking": bf.DistributedGradientTrackingOptimizer,
        "plain again": None,
    }
    steps = {name: make_step(wrap) for name, wrap in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for step in steps.values():
        seconds_of(step, 3)
    for _ in range(arguments.turns):
        for name, step in steps.items():
            seconds[name].append(seconds_of(step, arguments.steps))
    unit = statistics.median(seconds["plain"])
    print(f"500 parameters, {bf.size()} rank(s): a plain step takes {unit * 1e3:.2f} ms")
    for name, times in seconds.items():
        print(f"  {name:20s} {statistics.median(times) / unit:6.3f} x")


if __name__ == "__main__":
    main()
