"""Step times of 1, 2, 4 and 8 hosts of one rank each, as efficiencies: the same work a rank on all.

usage: sudo PATH="$PATH" python benchmarks/over_hosts/weak_scaling.py

Hosts are network namespaces on one switch, whose ports are limited; computing is sleep, so that the cores of
this machine do not matter. Efficiency: the shortest step of one host over the step of many.
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
    "DDP (gloo)",
    "static exponential-2, ATC",
    "one-peer exponential-2, ATC",
    "one-peer exponential-2, AWC",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training_options(parser, megabits=50, parameters=1 << 20, seconds=0.75, steps=12)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments = parser.parse_args()

    model = arguments.parameters * 4
    sending = model * 8 / arguments.megabits / 1e6
    print(
        f"a model of {model / 1e6:.1f} MB, which takes {sending:.2f} s at {arguments.megabits} Mbit/s; "
        f"computing takes {arguments.seconds} s"
    )
    program = paced_training(arguments)
    with training_network(max(arguments.hosts), arguments) as network:
        (alone,) = json_lines(run_program(network, 1, [*program, "no communication"], hosts=1))
        reference = alone["seconds"]
        print("| hosts | " + " | ".join(WAYS) + " |\n|---|" + "---|" * len(WAYS))
        for hosts in arguments.hosts:
            results = json_lines(run_program(network, 1, [*program, *WAYS], hosts=hosts))
            if hosts == 1:
                reference = min(reference, *(r["seconds"] for r in results))
            cells = [f"{reference / r['seconds']:.3f} ({r['seconds']:.2f} s)" for r in results]
            print(f"| {hosts} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
