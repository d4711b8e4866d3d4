"""Steps of ways to train, where computing is sleep: for hosts that are namespaces of one machine.

Started by step_times.py and weak_scaling.py. Every layer sleeps in forward and twice as long in backward, and
its gradient is ready when its backward ends, so a way can overlap what it is able to. Rank 0 prints a line of
JSON for each way.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bluefog.torch as bf
import torch
import torch.distributed as dist
from torch import nn

Step = Callable[[], None]
LAYERS = 16


class PacedProduct(torch.autograd.Function):
    """Stands for a layer; costs time and no computing."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, seconds: float) -> torch.Tensor:  # type: ignore[override]
        ctx.save_for_backward(weight)
        ctx.seconds = seconds
        time.sleep(seconds)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
        (weight,) = ctx.saved_tensors
        time.sleep(2 * ctx.seconds)
        return gradient, torch.full_like(weight, 1e-3), None


class PacedLayer(nn.Module):
    def __init__(self, parameters: int, seconds: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(parameters))
        self.seconds = seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return PacedProduct.apply(x, self.weight, self.seconds)  # type: ignore[no-any-return]


def make_model(parameters: int, seconds: float) -> nn.Module:
    """@param seconds  forward and backward together"""
    layers = [PacedLayer(parameters // LAYERS, seconds / (3 * LAYERS)) for _ in range(LAYERS)]
    return nn.Sequential(*layers)


def make_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> Step:
    x = torch.ones(1, requires_grad=True)

    def step() -> None:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    return step


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3)


def alone(model: nn.Module) -> Step:
    return make_step(model, sgd(model))


def data_parallel(model: nn.Module) -> Step:
    """Buckets are an eighth of the model, so that most of it overlaps with backward."""
    megabytes = sum(parameter.numel() for parameter in model.parameters()) * 4 / 2**20
    replicas = nn.parallel.DistributedDataParallel(model, bucket_cap_mb=megabytes / 8)
    return make_step(replicas, sgd(model))


def decentralized(
    wrap: Callable[..., Any], schedule: Callable[[], bf.Schedule]
) -> Callable[[nn.Module], Step]:
    return lambda model: make_step(model, wrap(sgd(model), model=model, schedule=schedule()))


def over_machines(model: nn.Module) -> Step:
    """The mean of each host, in shares of its ranks, with one other host."""
    optimizer = bf.DistributedAdaptThenCombineOptimizer(
        sgd(model),
        model=model,
        communication_type=bf.CommunicationType.hierarchical_neighbor_allreduce,
        schedule=bf.one_peer_exponential(bf.machine_size()),
    )
    return make_step(model, optimizer)


ATC = bf.DistributedAdaptThenCombineOptimizer
AWC = bf.DistributedAdaptWithCombineOptimizer
WAYS: dict[str, Callable[[nn.Module], Step]] = {
    "no communication": alone,
    "DDP (gloo)": data_parallel,
    "static exponential-2, ATC": decentralized(
        ATC, lambda: bf.static_schedule(bf.ExponentialTwoGraph(bf.size()))
    ),
    "one-peer exponential-2, ATC": decentralized(ATC, lambda: bf.one_peer_exponential(bf.size())),
    "one-peer exponential-2, AWC": decentralized(AWC, lambda: bf.one_peer_exponential(bf.size())),
    "hierarchical sharded one-peer, ATC": over_machines,
}


def bytes_sent(interface: str) -> int:
    """By the kernel, since the interface exists."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == interface:
            return int(counters.split()[8])
    raise SystemExit(f"there is no network interface {interface}")


def measure(way: str, arguments: argparse.Namespace) -> None:
    step = WAYS[way](make_model(arguments.parameters, arguments.seconds))
    for _ in range(arguments.warm_up):
        step()
    bf.barrier()
    sent = bytes_sent(arguments.interface)
    times = []
    for _ in range(arguments.steps):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    bf.barrier()
    sent = bytes_sent(arguments.interface) - sent
    mean_times = bf.allgather(torch.tensor([statistics.mean(times)], dtype=torch.float64))
    # Of each host the counter is read by one rank.
    all_sent = bf.allgather(torch.tensor([sent if bf.local_rank() == 0 else 0], dtype=torch.int64))
    if bf.rank() == 0:
        facts = {"way": way, "ranks": bf.size(), "hosts": bf.machine_size(), "steps": arguments.steps}
        seconds = float(mean_times.mean())
        sent_per_step = int(all_sent.sum()) / arguments.steps
        print(json.dumps({**facts, "seconds": seconds, "bytes_sent_per_step": sent_per_step}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="computing in a step")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--interface", default="eth0", help="whose bytes are counted")
    parser.add_argument("ways", nargs="+", choices=list(WAYS))
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    bf.init()
    address = f"tcp://{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    dist.init_process_group("gloo", rank=bf.rank(), world_size=bf.size(), init_method=address)
    for way in arguments.ways:
        measure(way, arguments)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
