"""Step times of 4 hosts of 2 ranks each, and the bytes that the kernel counts between hosts.

usage: sudo PATH="$PATH" python benchmarks/over_hosts/step_times.py

Hosts are network namespaces on one switch, whose ports are limited; computing is sleep.
"""

from __future__ import annotations

import argparse

from virtual_job import Network, json_lines, run_program

WAYS = [
    "no communication",
    "DDP (gloo)",
    "static exponential-2, ATC",
    "one-peer exponential-2, ATC",
    "one-peer exponential-2, AWC",
    "hierarchical sharded one-peer, ATC",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabits", type=int, default=1000, help="rate of each host's port")
    parser.add_argument("--parameters", type=int, default=25_000_000, help="of float32")
    parser.add_argument("--seconds", type=float, default=1.0, help="computing in a step")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--ranks-per-host", type=int, default=2)
    parser.add_argument("--congestion-control", default="cubic", help="of all connections between hosts")
    arguments = parser.parse_args()

    program = ["paced_training.py", "--parameters", str(arguments.parameters)]
    program += ["--seconds", str(arguments.seconds), "--steps", str(arguments.steps)]
    with Network(arguments.hosts) as network:
        network.shape(arguments.megabits)
        network.use_congestion_control(arguments.congestion_control)
        print("| way | step | models sent over the network in a step, all hosts |\n|---|---|---|")
        for result in json_lines(run_program(network, arguments.ranks_per_host, [*program, *WAYS])):
            models = result["bytes_sent_per_step"] / (arguments.parameters * 4)
            print(f"| {result['way']} | {result['seconds']:.2f} s | {models:.2f} |", flush=True)


if __name__ == "__main__":
    main()
