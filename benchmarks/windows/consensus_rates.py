"""Does a slow rank, or a thin link, slow the others of an asynchronous consensus?

usage: python benchmarks/windows/consensus_rates.py
       sudo PATH="$PATH" python benchmarks/windows/consensus_rates.py --over-hosts

Runs examples/cpp/push_sum_consensus with and without what is slow, in turns. All computing is sleep, so a
slow rank frees no core for the others. The rate of a rank is its median over the turns; printed are the mean
rates of the ranks that nothing slows, and the worst of their ratios. --over-hosts: hosts are network
namespaces on one switch, whose ports are limited, one of them more than the others.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "benchmarks/over_hosts"))

from virtual_job import Network, run_command  # noqa: E402

NUMBER = r"([0-9.e+-]+)"
RANK = re.compile(rf"^rank \d+: {NUMBER} iterations/s, {NUMBER} exchanges/s,", re.MULTILINE)
TOTAL = re.compile(rf"^total p off by {NUMBER}, total x by {NUMBER}; worst error {NUMBER}$", re.MULTILINE)


@dataclass
class Way:
    """Of running the example: what is slow, and which ranks that concerns."""

    name: str
    slowed: list[int] = field(default_factory=list)
    slow_rank: int = -1
    thin_host: int | None = None
    is_blocking: bool = False


@dataclass
class Result:
    """Of one run. Rates are by rank, a second."""

    way: str
    ranks: int
    iterations: list[float]
    exchanges: list[float]
    lost_p: float
    lost_x: float
    error: float


def parse(way: Way, output: str) -> Result:
    rates = [(float(iterations), float(exchanges)) for iterations, exchanges in RANK.findall(output)]
    (totals,) = TOTAL.findall(output)
    iterations, exchanges = map(list, zip(*rates, strict=True))
    return Result(way.name, len(rates), iterations, exchanges, *map(float, totals))


def take_turns(ways: list[Way], turns: int, run: Callable[[Way], str], log: Path | None) -> None:
    """Prints a table, whose ratios are against the first way, and appends all results to `log`."""
    results: dict[str, list[Result]] = {way.name: [] for way in ways}
    for _ in range(turns):
        for way in ways:
            result = parse(way, run(way))
            results[way.name].append(result)
            if log is not None:
                with log.open("a") as file:
                    file.write(json.dumps(asdict(result)) + "\n")

    def rates(way: Way, kind: str) -> list[float]:
        return [statistics.median(of_rank) for of_rank in zip(*(getattr(r, kind) for r in results[way.name]))]

    reference = rates(ways[0], "iterations")
    for way in ways:
        iterations, exchanges = rates(way, "iterations"), rates(way, "exchanges")
        fast = [rank for rank in range(len(reference)) if rank not in way.slowed]
        cells = [
            str(len(reference)),
            way.name,
            f"{statistics.mean(iterations[rank] for rank in fast):.2f}",
            f"{statistics.mean(exchanges[rank] for rank in fast):.2f}",
            ", ".join(f"{iterations[rank]:.2f}" for rank in way.slowed) or "-",
            f"{min(iterations[rank] / reference[rank] for rank in fast):.3f}",
            f"{max(r.error for r in results[way.name]):.1e}",
            f"{max(max(r.lost_p, r.lost_x) for r in results[way.name]):.1e}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def print_head() -> None:
    columns = [
        "ranks",
        "way",
        "iterations/s of fast ranks",
        "their exchanges/s",
        "iterations/s of slowed ranks",
    ]
    columns += ["worst ratio of a fast rank", "largest error", "mass lost"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))


def on_one_host(arguments: argparse.Namespace) -> None:
    slow = 2
    ways = [Way("all alike"), Way(f"rank {slow} slowed tenfold", [slow], slow)]
    for ranks in arguments.ranks:

        def run(way: Way) -> str:
            command = ["bfrun", "-np", str(ranks), *example(arguments, way)]  # noqa: B023
            return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

        take_turns(ways, arguments.turns, run, arguments.json)


def over_hosts(arguments: argparse.Namespace) -> None:
    hosts, slow = 4, 2
    thin = hosts - 1
    ways = [
        Way("links alike"),
        Way(f"link of rank {thin} five times thinner", [thin], thin_host=thin),
        Way(f"that, and rank {slow} slowed tenfold", [slow, thin], slow, thin),
        Way("links alike, blocking", is_blocking=True),
        Way(f"link of rank {thin} five times thinner, blocking", [thin], thin_host=thin, is_blocking=True),
    ]
    with Network(hosts) as network:
        network.use_congestion_control("cubic")

        def run(way: Way) -> str:
            network.shape(arguments.megabits)
            if way.thin_host is not None:
                network.shape_port(way.thin_host, arguments.megabits // 5)
            output: str = run_command(network, 1, example(arguments, way))
            return output

        take_turns(ways, arguments.turns, run, arguments.json)


def example(arguments: argparse.Namespace, way: Way) -> list[str]:
    command = [
        str(arguments.example),
        "--size",
        str(arguments.bytes // 8),
        "--seconds",
        str(arguments.seconds),
    ]
    command += ["--compute", str(arguments.compute), "--slow-rank", str(way.slow_rank)]
    return [*command, "--blocking"] if way.is_blocking else command


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    built = REPOSITORY / "build/release/examples/cpp/push_sum_consensus"
    parser.add_argument("--example", type=Path, default=built, help="the built program")
    parser.add_argument("--over-hosts", action="store_true", help="4 hosts of one rank; needs root")
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 7], help="of jobs on one host")
    parser.add_argument("--megabits", type=int, default=1000, help="rate of each host's port")
    parser.add_argument("--bytes", type=int, help="of a rank's vector; default: 8000, over hosts 1 MB")
    parser.add_argument("--compute", type=float, help="milliseconds; default: 2, over hosts 100")
    parser.add_argument("--seconds", type=float, help="of a run; default: 5, over hosts 10")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="append each run's result there, as a line of JSON")
    arguments = parser.parse_args()

    defaults = {"bytes": 1_000_000, "compute": 100, "seconds": 10} if arguments.over_hosts else {}
    for name, value in ({"bytes": 8000, "compute": 2, "seconds": 5} | defaults).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    print_head()
    (over_hosts if arguments.over_hosts else on_one_host)(arguments)


if __name__ == "__main__":
    main()
