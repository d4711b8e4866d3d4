"""Trains on Fashion-MNIST on one host, and on four: same accuracy?

usage: sudo PATH="$PATH" python benchmarks/over_hosts/accuracy.py --data data/fashion-mnist

Hosts are network namespaces on one switch, whose ports are limited. Prints accuracies, and whether all
of them and all consensus distances are equal to the bit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from virtual_job import HERE, Network, run_program

EXAMPLE = HERE.parents[1] / "examples/python/fashion_mnist.py"


def figures(output: str) -> tuple[dict[str, Any], list[Any]]:
    """The run, and those of its numbers that are no times."""
    run = json.loads((Path(output) / "run.json").read_text())
    numbers = [(entry["ranks"], entry["mean_model"]) for entry in run["evaluations"]]
    return run, [numbers, [entry["value"] for entry in run["distances"]]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the four .gz files")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--ranks-per-host", type=int, default=2)
    parser.add_argument("--megabits", type=int, default=1000, help="rate of each host's port")
    arguments = parser.parse_args()

    ranks = arguments.hosts * arguments.ranks_per_host
    settings = ["-x", "OMP_NUM_THREADS=1", "-x", "TQDM_DISABLE=1"]
    example = [str(EXAMPLE), "--no-plot", "--data", str(arguments.data.resolve()), "--output"]
    print("| hosts | accuracy of the ranks | of the mean model | training |\n|---|---|---|---|")
    results = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as several:
        command = ["bfrun", "-np", str(ranks), *settings, sys.executable, *example, one]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        with Network(arguments.hosts) as network:
            network.shape(arguments.megabits)
            run_program(network, arguments.ranks_per_host, [*example, several], *settings)
        for hosts, output in ((1, one), (arguments.hosts, several)):
            run, numbers = figures(output)
            results.append(numbers)
            last = run["epochs"][-1]
            accuracies = f"{100 * min(last['ranks']):.2f} to {100 * max(last['ranks']):.2f} %"
            seconds = run["evaluations"][-1]["seconds"]
            print(f"| {hosts} | {accuracies} | {100 * last['mean_model']:.2f} % | {seconds:.1f} s |")
    print("equal to the bit" if results[0] == results[1] else "DIFFERENT")


if __name__ == "__main__":
    main()
