"""Time until Fashion-MNIST is learnt, with and without a slow rank: DDP, synchronous, asynchronous.

usage: bfrun -np 4 python benchmarks/windows/time_to_accuracy.py

A step takes --step-time, of the slow rank --slow-factor times as long; what computing leaves of it is sleep,
so that a slow rank frees no core. The learning rate falls with the clock, lr / (1 + t / T); for a synchronous
way with a slow rank that much more slowly, so that after as many steps it is the same. The time is when the
mean of the models that the ranks have at the moment (of DDP: the model) first has the accuracy asked for on
all test images, and still has it half a second later (a synchronous way with a slow rank: as many steps
later). Every few seconds training pauses, and its clock, to look. Prints a line of JSON for each run, with
glances: accuracies of all moments on the first images; then a table.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bluefog.torch as bf
import torch
import torch.distributed as dist
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/python"))
from asynchronous_fashion_mnist import OPTIMIZERS
from complaint import give_up
from fashion_mnist import STATIC_TOPOLOGIES, Evaluator, make_model
from fashion_mnist_data import Images, find_folder
from fashion_mnist_paced import PacedTrainer, Snapshots, endless_batches

SNAPSHOT_SECONDS = 0.5
IN_A_ROW = 2
#: A model this much below the goal on the first GLANCE images is not evaluated on all of them.
MARGIN, GLANCE = 0.03, 1000
SYNCHRONOUS = ("ddp", "one-peer", "static")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=[*SYNCHRONOUS, *OPTIMIZERS],
        default=["ddp", "one-peer", "push-sum", "ad-psgd"],
    )
    parser.add_argument(
        "--topology", choices=STATIC_TOPOLOGIES, default="exp2", help="of static and asynchronous ways"
    )
    parser.add_argument("--accuracy", type=float, default=0.88)
    parser.add_argument("--step-time", type=float, default=0.04)
    parser.add_argument("--slow-factor", type=float, default=3.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.05, help="learning rate at the start")
    parser.add_argument("--lr-halves-in", type=float, default=20.0, help="seconds")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--pause-every", type=float, default=10.0, help="seconds of training")
    parser.add_argument(
        "--limit", type=float, default=90.0, help="seconds; synchronous, slow: times the factor"
    )
    parser.add_argument("--data", type=Path, help="folder of the four .gz files")
    parser.add_argument(
        "--quick", action="store_true", help="to see that it works: 60 %%, one way of each kind"
    )
    args = parser.parse_args()
    if args.quick:
        args.ways, args.accuracy, args.pause_every, args.limit = (
            ["ddp", "one-peer", "push-sum"],
            0.6,
            2.0,
            10.0,
        )
    return args


class Training:
    """One way of training, from the start."""

    def __init__(self, args: argparse.Namespace, way: str, seed: int, slow_rank: int | None, train: Images):
        self.synchronous = way in SYNCHRONOUS
        torch.manual_seed(seed)
        model = make_model()
        self.evaluated = copy.deepcopy(model)
        base = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum)
        called, self.optimizer = self._distribute(args, way, model, base)
        factor = args.slow_factor if bf.rank() == slow_rank else 1.0
        #: By how much all ranks are slowed.
        self.slowed = args.slow_factor if self.synchronous and slow_rank is not None else 1.0
        self.pace = self.slowed * args.step_time
        self.snapshots = Snapshots(model, self.slowed * SNAPSHOT_SECONDS)
        self.trainer = PacedTrainer(
            called,
            self.optimizer,
            endless_batches(train, args.batch_size, seed=1000 * (seed + bf.rank())),
            factor * args.step_time,
            self.snapshots,
            rate=lambda seconds: args.lr / (1 + seconds / self.slowed / args.lr_halves_in),
        )

    @staticmethod
    def _distribute(
        args: argparse.Namespace, way: str, model: nn.Module, base: torch.optim.Optimizer
    ) -> tuple[nn.Module, Any]:
        if way == "ddp":
            return nn.parallel.DistributedDataParallel(model), base
        if way == "one-peer":
            schedule = bf.one_peer_exponential(bf.size())
            return model, bf.DistributedNeighborAllreduceOptimizer(base, model=model, schedule=schedule)
        bf.set_topology(STATIC_TOPOLOGIES[args.topology](bf.size()), is_weighted=True)
        if way == "static":
            return model, bf.DistributedNeighborAllreduceOptimizer(base, model=model)
        return model, OPTIMIZERS[way](base, model=model)

    def go_on(self, seconds: float) -> None:
        """Until this time. All ranks begin together, and their clocks agree then."""
        clocks = bf.allgather(torch.tensor([self.trainer.seconds], dtype=torch.float64))
        self.trainer.seconds = float(clocks.max())
        if self.synchronous:  # ranks have to agree on the number of steps
            more = max(1, round((seconds - self.trainer.seconds) / self.pace))
            self.trainer.train(float("inf"), self.trainer.steps + more)
        else:
            self.trainer.train(seconds)

    def moments(self) -> int:
        """How many moments all ranks have passed."""
        return int(bf.allgather(torch.tensor([len(self.snapshots)])).min())

    def close(self) -> None:
        bf.barrier()
        if not self.synchronous:
            self.optimizer.unregister_window()


def time_to_accuracy(args: argparse.Namespace, training: Training, test: Images) -> dict[str, Any]:
    evaluator = Evaluator(training.evaluated, test)
    glances: list[float] = []
    reached = seen = 0
    until = 0.0
    while until < training.slowed * args.limit:
        until += training.slowed * args.pause_every
        training.go_on(until)
        for index in range(seen, training.moments()):
            seen = index + 1
            training.snapshots.show(index, training.evaluated)
            glances.append(evaluator.accuracy_of_mean(GLANCE))
            good = glances[-1] >= args.accuracy - MARGIN
            good = good and evaluator.accuracy_of_mean(len(test)) >= args.accuracy
            reached = reached + 1 if good else 0
            if reached == IN_A_ROW:
                first = index - IN_A_ROW + 1
                training.snapshots.show(first, training.evaluated)
                steps = bf.allgather(torch.tensor([training.snapshots.steps[first]])).tolist()
                return {
                    "seconds": first * training.snapshots.interval,
                    "steps": steps,
                    "glances": glances,
                    **evaluator.accuracies(len(test)),
                }
    return {"seconds": None, "glances": glances}


def run_all(args: argparse.Namespace, tell: Callable[[str], None]) -> dict[tuple[str, bool], list[float]]:
    try:
        folder = find_folder(args.data)
    except FileNotFoundError as error:
        give_up(str(error))
    test = Images.read(folder, "test")
    times: dict[tuple[str, bool], list[float]] = {}
    for seed in args.seeds:
        train = Images.read(folder, "train").share_of(bf.rank(), bf.size(), seed)
        for way in args.ways:
            for slow_rank in (None, bf.size() - 1):
                training = Training(args, way, seed, slow_rank, train)
                result = time_to_accuracy(args, training, test)
                training.close()
                tell(json.dumps({"way": way, "slow_rank": slow_rank, "seed": seed, **result}))
                seconds = result["seconds"] if result["seconds"] is not None else float("nan")
                times.setdefault((way, slow_rank is not None), []).append(seconds)
    return times


def table(args: argparse.Namespace, times: dict[tuple[str, bool], list[float]]) -> str:
    slow_rank = f"one of {bf.size()} ranks {args.slow_factor:g} times slower"
    lines = [f"| way | no slow rank | {slow_rank} | ratio of means |", "|---|---|---|---|"]
    for way in args.ways:
        columns = []
        for slow in (False, True):
            each = ", ".join(f"{seconds:.1f}" for seconds in times[way, slow])
            columns.append(f"{statistics.mean(times[way, slow]):.1f} s ({each})")
        ratio = statistics.mean(times[way, True]) / statistics.mean(times[way, False])
        lines.append(f"| {way} | {columns[0]} | {columns[1]} | {ratio:.2f} |")
    return "\n".join(lines)


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(1)
    bf.init()
    address = f"tcp://127.0.0.1:{os.environ['MASTER_PORT']}"
    dist.init_process_group("gloo", rank=bf.rank(), world_size=bf.size(), init_method=address)

    def tell(line: str) -> None:
        if bf.rank() == 0:
            print(line, flush=True)

    tell(table(args, run_all(args, tell)))
    dist.destroy_process_group()
    bf.barrier()
    bf.shutdown()


if __name__ == "__main__":
    main()
