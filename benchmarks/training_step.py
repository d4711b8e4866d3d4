"""What communication costs in a training step of a model with ten million parameters.

usage: bfrun -np 4 python benchmarks/training_step.py [--free-running]

Ways take turns, a few steps each, in the same processes. Each step begins with a meeting, and its time is
that of the slowest rank; free running, ranks meet before a turn only, and a step's time is the mean of the
turn. Medians, as multiples of the step without communication.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import bluefog.torch as bf
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

Step = Callable[[], None]


@dataclass
class Way:
    """One way of training; `prepare` gives its step."""

    name: str
    prepare: Callable[[int], Step]
    undo_log: bool = True
    seconds: list[float] = field(default_factory=list)


def make_model() -> nn.Module:
    """Three hidden layers of 2,048: 10.0 million parameters."""
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    for inputs in (784, 2048, 2048):
        layers += [nn.Linear(inputs, 2048), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(2048, 10))


def make_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: int) -> Step:
    images, labels = torch.randn(batch, 784), torch.randint(10, (batch,))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)


def alone(batch: int) -> Step:
    model = make_model()
    return make_step(model, sgd(model), batch)


def decentralized(wrap: Callable[..., torch.optim.Optimizer]) -> Callable[[int], Step]:
    def prepare(batch: int) -> Step:
        model = make_model()
        optimizer = wrap(sgd(model), model=model, schedule=bf.one_peer_exponential(bf.size()))
        return make_step(model, optimizer, batch)

    return prepare


def gradients(batch: int) -> Step:
    model = make_model()
    return make_step(model, bf.DistributedGradientAllreduceOptimizer(sgd(model), model=model), batch)


def data_parallel(batch: int) -> Step:
    model = nn.parallel.DistributedDataParallel(make_model())
    return make_step(model, sgd(model), batch)


def ways() -> list[Way]:
    atc = decentralized(bf.DistributedAdaptThenCombineOptimizer)
    awc = decentralized(bf.DistributedAdaptWithCombineOptimizer)
    overlapped = functools.partial(bf.DistributedAdaptWithCombineOptimizer, overlap=True)
    return [
        Way("no communication", alone),
        Way("ATC", atc),
        Way("ATC, no undo log", atc, undo_log=False),
        Way("AWC", awc),
        Way("AWC, overlap", decentralized(overlapped)),
        Way("gradient allreduce", gradients),
        Way("DDP (gloo)", data_parallel),
    ]


def time_turn(way: Way, steps: int, batch: int, free_running: bool) -> None:
    """One turn of a way, with an engine of its own, which reads the switch of the log when it starts."""
    os.environ["BLUEFOG_UNDO_LOG"] = "1" if way.undo_log else "0"
    bf.init()
    step = way.prepare(batch)
    for _ in range(2):
        step()
    times = []
    between_meetings = steps if free_running else 1
    for _ in range(steps // between_meetings):
        bf.barrier()
        begin = time.perf_counter()
        for _ in range(between_meetings):
            step()
        times.append((time.perf_counter() - begin) / between_meetings)
    slowest = bf.allgather(torch.tensor([times], dtype=torch.float64)).max(dim=0).values
    way.seconds += slowest.tolist()
    bf.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=64, help="samples a step of each rank")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10, help="steps a turn")
    parser.add_argument("--free-running", action="store_true", help="ranks meet before a turn only")
    arguments = parser.parse_args()

    bf.init()
    rank, size = bf.rank(), bf.size()
    torch.set_num_threads(1)
    bf.shutdown()
    address = f"tcp://127.0.0.1:{os.environ['MASTER_PORT']}"
    dist.init_process_group("gloo", rank=rank, world_size=size, init_method=address)
    all_ways = ways()
    for _ in range(arguments.turns):
        for way in all_ways:
            time_turn(way, arguments.steps, arguments.batch_size, arguments.free_running)
    dist.destroy_process_group()
    if rank != 0:
        return
    unit = statistics.median(all_ways[0].seconds)
    print(
        f"{size} ranks, batch {arguments.batch_size}: a step without communication takes {unit * 1e3:.1f} ms"
    )
    for way in all_ways:
        median = statistics.median(way.seconds)
        print(f"  {way.name:18s} median {median * 1e3:7.1f} ms   {median / unit:6.3f} x")


if __name__ == "__main__":
    main()
