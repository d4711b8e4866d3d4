"""Every optimizer on Fashion-MNIST, beside one process and DDP: accuracy, distance between ranks, pace.

usage: python benchmarks/optimizers/fashion_mnist_table.py [--label-shards 2]

One job after another trains the example's CNN from the same initial parameters, on as many samples. One
process takes the batch of all ranks together. With --label-shards images are sorted by label, cut in so many
pieces a rank, and the pieces dealt out. All rows take turns, seed by seed. Leaves each run's JSON
file in --output.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

ROW = Path(__file__).with_name("fashion_mnist_row.py")


@dataclass(frozen=True)
class Way:
    """How an algorithm trains: over which graph, with which learning rate, and what it wraps.
    docs/performance.md says which rates were tried.
    """

    topology: str = ""  # it has none, or draws its own
    rate: float = 0.05
    base: str = "sgd"
    momentum: float = 0.9
    skewed_rate: float | None = None  # if ranks have unlike data


WAYS = {
    "sgd": Way(),
    "ddp": Way(),
    "gradient-allreduce": Way(),
    "awc": Way("one-peer"),
    "atc": Way("one-peer"),
    "gradient-tracking": Way("one-peer"),
    "exact-diffusion": Way("ring"),
    "qg-momentum": Way("one-peer"),
    "decentlam": Way("ring"),
    "gradient-push": Way("one-peer"),
    "gossip-pga": Way("ring"),
    "local-sgd": Way(),
    "slowmo": Way(skewed_rate=0.02),
    "diloco": Way(rate=0.003, base="adamw"),
    "noloco": Way(rate=0.003, base="adamw"),
    "win-put": Way("exp2"),
    "pull-get": Way("exp2"),
    "push-sum": Way("exp2"),
    "ad-psgd": Way("exp2"),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--algorithms", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--label-shards", type=int, help="none: every rank sees all labels")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1], help="a row is their mean; of samples/s the median"
    )
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32, help="images a step of each rank")
    parser.add_argument("--topology", help="for all; default: see WAYS in this file, as for what follows")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--momentum", type=float)
    parser.add_argument("--limit", type=int, help="use only so many training images")
    parser.add_argument("--data", type=Path, help="folder of the four .gz files")
    parser.add_argument("--output", type=Path, default=Path("runs/optimizers"))
    return parser.parse_args()


def chosen(args: argparse.Namespace, algorithm: str) -> Way:
    """The algorithm's way, or what the command line says instead."""
    way = WAYS[algorithm]
    if args.label_shards is not None and way.skewed_rate is not None:
        way = replace(way, rate=way.skewed_rate)
    if args.learning_rate is not None:
        way = replace(way, rate=args.learning_rate)
    if args.momentum is not None:
        way = replace(way, momentum=args.momentum)
    if args.topology is not None and way.topology:
        way = replace(way, topology=args.topology)
    return way


def command(args: argparse.Namespace, algorithm: str, seed: int, output: Path) -> list[str]:
    way = chosen(args, algorithm)
    ranks, batch = (1, args.batch_size * args.ranks) if algorithm == "sgd" else (args.ranks, args.batch_size)
    options = {
        "algorithm": algorithm,
        "topology": way.topology or None,
        "base": way.base,
        "lr": way.rate,
        "momentum": way.momentum,
        "label-shards": args.label_shards,
        "epochs": args.epochs,
        "batch-size": batch,
        "limit": args.limit,
        "seed": seed,
        "evaluations": 1,
        "data": args.data,
        "output": output,
    }
    given = [
        part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))
    ]
    return ["bfrun", "-np", str(ranks), sys.executable, str(ROW), *given]


def total(args: argparse.Namespace, algorithm: str, seed: int) -> dict[str, Any]:
    """What a job has come to."""
    output = args.output / f"{algorithm}-{seed}"
    job = subprocess.run(
        command(args, algorithm, seed, output),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if job.returncode != 0:
        sys.exit(job.stdout)
    return json.loads((output / "run.json").read_text())["total"]


def row(args: argparse.Namespace, algorithm: str, runs: list[dict[str, Any]]) -> str:
    way = chosen(args, algorithm)
    middle = [100 * run["mean_model"] for run in runs]
    spread = f" ({min(middle):.2f} to {max(middle):.2f})" if len(runs) > 1 else ""
    cells = [
        algorithm,
        way.topology,
        f"{way.rate:g}",
        f"{100 * mean(mean(run['ranks']) for run in runs):.2f}",
        f"{100 * mean(min(run['ranks']) for run in runs):.2f}",
        f"{mean(middle):.2f}{spread}",
        f"{mean(run['consensus_distance'] for run in runs):.2g}",
        f"{median(run['samples_per_second'] for run in runs):,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    args = parse_arguments()
    print("| algorithm | graph | learning rate | ranks, mean | least | mean model | distance | samples/s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    runs: dict[str, list[dict[str, Any]]] = {algorithm: [] for algorithm in args.algorithms}
    for seed in args.seeds:
        for algorithm in args.algorithms:
            runs[algorithm].append(total(args, algorithm, seed))
            if seed == args.seeds[-1]:
                print(row(args, algorithm, runs[algorithm]), flush=True)


if __name__ == "__main__":
    main()
