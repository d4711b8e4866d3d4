"""Step times of 4 hosts of 2 ranks each, and the bytes that the kernel counts between hosts.

usage: sudo PATH="$PATH" python benchmarks/over_hosts/step_times.py

Hosts are network namespaces on one switch, whose ports are limited; computing is sleep.
"""

from __future__ import annotations

import argparse

from virtual_job import (
    add_training_options,
    json_lines,
    paced_training,
    run_program,
    training_network,
)

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
    add_training_options(parser, megabits=1000, parameters=25_000_000, seconds=1.0, steps=6)
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--ranks-per-host", type=int, default=2)
    arguments = parser.parse_args()

    program = paced_training(arguments)
    with training_network(arguments.hosts, arguments) as network:
        print("| way | step | models sent over the network in a step, all hosts |\n|---|---|---|")
        for result in json_lines(run_program(network, arguments.ranks_per_host, [*program, *WAYS])):
            models = result["bytes_sent_per_step"] / (arguments.parameters * 4)
            print(f"| {result['way']} | {result['seconds']:.2f} s | {models:.2f} |", flush=True)


if __name__ == "__main__":
    main()
