"""Which share of communication is hidden behind forward and backward, from the timelines of all ranks.

usage: BLUEFOG_TRANSPORT=tcp bfrun -np 2 python benchmarks/hidden_communication.py

Of the time in which a rank has operations of mixing in flight, the share in which it computes a forward or a
backward. The model is that of training_step.py.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bluefog.torch as bf
import torch
from training_step import make_model, make_step, sgd

Interval = tuple[float, float]
COMPUTING = ("FORWARD", "GRADIENT COMPT.")
MIXING = ("neighbor_allreduce", "allreduce")


def ways() -> dict[str, Callable[..., Any]]:
    awc, atc = bf.DistributedAdaptWithCombineOptimizer, bf.DistributedAdaptThenCombineOptimizer
    return {
        "AWC, overlap": functools.partial(awc, overlap=True),
        "AWC, in step()": functools.partial(awc, overlap=False),
        "ATC": atc,
        "ATC, in backward": functools.partial(atc, step_in_backward=True),
        "gradient allreduce": bf.DistributedGradientAllreduceOptimizer,
    }


def train(wrap: Callable[..., Any], prefix: Path, arguments: argparse.Namespace) -> None:
    os.environ["BLUEFOG_TIMELINE"] = str(prefix)
    bf.init()
    model = make_model()
    step = make_step(model, wrap(sgd(model), model=model), arguments.batch_size)
    for _ in range(arguments.steps):
        step()
    bf.shutdown()


def union(intervals: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def length(intervals: Iterable[Interval]) -> float:
    return sum(end - begin for begin, end in intervals)


def common(first: Iterable[Interval], second: list[Interval]) -> float:
    return sum(max(0.0, min(b, d) - max(a, c)) for a, b in first for c, d in second)


def activities(path: Path) -> dict[str, list[Interval]]:
    """Begins and ends in microseconds, by activity."""
    found: dict[str, list[Interval]] = {}
    open_in_row: dict[Any, list[tuple[str, float]]] = {}
    for event in json.loads(path.read_text()):
        row = event.get("tid", 0), event.get("pid", 0)
        if event["ph"] == "X":
            found.setdefault(event["name"], []).append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] == "B":
            open_in_row.setdefault(row, []).append((event["name"], event["ts"]))
        elif event["ph"] == "E":
            name, begin = open_in_row[row].pop()
            found.setdefault(name, []).append((begin, event["ts"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=64, help="samples a step of each rank")
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    bf.init()
    rank, size = bf.rank(), bf.size()
    bf.shutdown()
    folder = Path(tempfile.gettempdir()) / f"bluefog-timelines-{os.environ['MASTER_PORT']}"
    folder.mkdir(exist_ok=True)
    for index, wrap in enumerate(ways().values()):
        train(wrap, folder / f"{index}-", arguments)
    del os.environ["BLUEFOG_TIMELINE"]
    bf.init()  # all have written
    bf.shutdown()
    if rank != 0:
        return
    print(f"{size} ranks, batch {arguments.batch_size}: share of the time of mixing in which a rank computes")
    for index, name in enumerate(ways()):
        mixing = computed = 0.0
        for other in range(size):
            seen = activities(folder / f"{index}-{other}.json")
            in_flight = union(interval for activity in MIXING for interval in seen.get(activity, []))
            computing = union(interval for activity in COMPUTING for interval in seen.get(activity, []))
            mixing += length(in_flight)
            computed += common(in_flight, computing)
        steps = size * arguments.steps
        print(f"  {name:20s} {computed / mixing:6.1%} of {mixing / steps / 1e3:6.1f} ms a step")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
