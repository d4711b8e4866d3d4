"""Step times of 1, 2, 4 and 8 hosts of one rank each, as efficiencies: the same work a rank on all.

usage: sudo PATH="$PATH" python benchmarks/over_hosts/weak_scaling.py

Hosts are network namespaces on one switch, whose ports are limited; computing is sleep, so that the cores of
this machine do not matter. Efficiency: the shortest step of one host over the step of many.
"""

from __future__ import annotations

import argparse

from virtual_job import Network, json_lines, run_program

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
    parser.add_argument("--megabits", type=int, default=50, help="rate of each host's port")
    parser.add_argument("--parameters", type=int, default=1 << 20, help="of float32")
    parser.add_argument("--seconds", type=float, default=0.75, help="computing in a step")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--congestion-control", default="cubic", help="of all connections between hosts")
    arguments = parser.parse_args()

    model = arguments.parameters * 4
    sending = model * 8 / arguments.megabits / 1e6
    print(
        f"a model of {model / 1e6:.1f} MB, which takes {sending:.2f} s at {arguments.megabits} Mbit/s; "
        f"computing takes {arguments.seconds} s"
    )
    program = ["paced_training.py", "--parameters", str(arguments.parameters)]
    program += ["--seconds", str(arguments.seconds), "--steps", str(arguments.steps)]
    with Network(max(arguments.hosts)) as network:
        network.shape(arguments.megabits)
        network.use_congestion_control(arguments.congestion_control)
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
