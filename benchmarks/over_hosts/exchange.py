"""Two hosts exchange and average a tensor: BlueFog beside gloo and Open MPI.

usage: sudo PATH="$PATH" python benchmarks/over_hosts/exchange.py [--megabits 1000]

Hosts are network namespaces. BlueFog and gloo take turns in the same processes, and their jobs with those of
MPI. Medians of the slower rank's times. With --megabits the share of the link that the
tensors use is printed; without, the link is as fast as the machine.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from virtual_job import HERE, Network, json_lines, run_program

MPI_SETTINGS = {
    "oob_tcp_if_include": "eth0",
    "btl": "tcp,self",
    "pml": "ob1",
    "btl_tcp_if_include": "eth0",
}


def run_mpi(network: Network, arguments: list[str]) -> str:
    """mpirun on the first host; each host has a name of its own, which Open MPI asks for."""
    with tempfile.TemporaryDirectory() as directory:
        enter = Path(directory) / "enter"
        enter.write_text(
            f"#!/bin/sh\nhost=$1; shift\nexec ip netns exec {network.hosts[1]} unshare --uts "
            'sh -c "hostname $host; $*"\n'
        )
        enter.chmod(0o755)
        words = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "plm_rsh_agent", str(enter)]
        for name, value in MPI_SETTINGS.items():
            words += ["--mca", name, value]
        words += ["--host", "10.77.0.1:1,10.77.0.2:1", "-np", "2"]
        words += [sys.executable, str(HERE / "exchange_mpi.py"), *arguments]
        mpirun = f"hostname 10.77.0.1; exec {shlex.join(words)}"
        command = ["ip", "netns", "exec", network.hosts[0], "unshare", "--uts", "sh", "-c", mpirun]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabits", type=int, help="rate of each host's port; default: no limit")
    parser.add_argument("--bytes", type=int, default=16_000_000)
    parser.add_argument("--repetitions", type=int, default=15, help="in each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--no-mpi", action="store_true", help="where there is no Open MPI or no mpi4py")
    arguments = parser.parse_args()

    sizes = ["--bytes", str(arguments.bytes), "--repetitions", str(arguments.repetitions)]
    times: dict[str, list[float]] = defaultdict(list)
    with Network(2) as network:
        if arguments.megabits:
            network.shape(arguments.megabits)
        for _ in range(arguments.turns):
            outputs = [run_program(network, 1, ["exchange_ranks.py", *sizes])]
            if not arguments.no_mpi:
                outputs.append(run_mpi(network, sizes[1::2]))
            for (result,) in map(json_lines, outputs):
                for way, of_turn in result.items():
                    times[way] += of_turn
    own = statistics.median(times["BlueFog"])
    for way, all_turns in times.items():
        median = statistics.median(all_turns)
        line = f"{way:28s} median {median * 1e3:8.2f} ms   {median / own:5.2f} x BlueFog"
        if arguments.megabits:
            line += f"   {arguments.bytes * 8 / median / arguments.megabits / 1e6:.3f} of the link"
        print(line)


if __name__ == "__main__":
    main()
