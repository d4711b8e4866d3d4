"""Every optimizer on Fashion-MNIST, beside one process and DDP: accuracy, distance between ranks, pace.

usage: python benchmarks/optimizers/fashion_mnist_table.py [--label-shards 2]

One job after another trains the example's CNN from the same initial parameters, on as many samples. One
process takes the batch of all ranks together. With --label-shards images are sorted by label, cut in so many
pieces a rank, and the pieces dealt out. Prints a table row by row; leaves each run's JSON file in --output.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

ROW = Path(__file__).with_name("fashion_mnist_row.py")


@dataclass(frozen=True)
class Way:
    """How an algorithm trains: over which graph, with which learning rate if ranks have like data, with which
    if each knows few labels, and what it wraps.
    """

    topology: str
    rate: float
    skewed_rate: float
    base: str = "sgd"
    momentum: float = 0.9
    steps_per_communication: int | None = None


WAYS = {
    "sgd": Way("", 0.1, 0.1),
    "ddp": Way("", 0.1, 0.1),
    "gradient-allreduce": Way("", 0.1, 0.1),
    "awc": Way("one-peer", 0.1, 0.1),
    "atc": Way("one-peer", 0.1, 0.1),
    "gradient-tracking": Way("one-peer", 0.1, 0.1),
    "exact-diffusion": Way("ring", 0.1, 0.1),
    "qg-momentum": Way("one-peer", 0.1, 0.1),
    "decentlam": Way("one-peer", 0.1, 0.1),
    "gradient-push": Way("one-peer", 0.1, 0.1),
    "gossip-pga": Way("ring", 0.1, 0.1),
    "local-sgd": Way("", 0.1, 0.1),
    "slowmo": Way("", 0.1, 0.1),
    "diloco": Way("", 0.001, 0.001, base="adamw"),
    "noloco": Way("", 0.001, 0.001, base="adamw"),
    "win-put": Way("exp2", 0.1, 0.1),
    "pull-get": Way("exp2", 0.1, 0.1),
    "push-sum": Way("exp2", 0.1, 0.1),
    "ad-psgd": Way("exp2", 0.1, 0.1),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--algorithms", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--label-shards", type=int, help="none: every rank sees all labels")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="a table's row is their mean")
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
    rate = way.rate if args.label_shards is None else way.skewed_rate
    rate = args.learning_rate if args.learning_rate is not None else rate
    return Way(
        args.topology if args.topology is not None and way.topology else way.topology,
        rate,
        rate,
        way.base,
        args.momentum if args.momentum is not None else way.momentum,
        way.steps_per_communication,
    )


def command(args: argparse.Namespace, algorithm: str, seed: int, output: Path) -> list[str]:
    way = chosen(args, algorithm)
    ranks, batch = (1, args.batch_size * args.ranks) if algorithm == "sgd" else (args.ranks, args.batch_size)
    options = {
        "algorithm": algorithm,
        "topology": way.topology or None,
        "base": way.base,
        "lr": way.rate,
        "momentum": way.momentum,
        "steps-per-communication": way.steps_per_communication,
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


def totals(args: argparse.Namespace, algorithm: str) -> list[dict[str, Any]]:
    """What each seed's job has come to."""
    found = []
    for seed in args.seeds:
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
        found.append(json.loads((output / "run.json").read_text())["total"])
    return found


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
        f"{mean(run['samples_per_second'] for run in runs):,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    args = parse_arguments()
    print("| algorithm | graph | learning rate | ranks, mean | least | mean model | distance | samples/s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for algorithm in args.algorithms:
        print(row(args, algorithm, totals(args, algorithm)), flush=True)


if __name__ == "__main__":
    main()
