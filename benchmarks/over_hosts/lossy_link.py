"""Several connections to a peer against one, on a link that delays and loses packets.

usage: sudo PATH="$PATH" python benchmarks/over_hosts/lossy_link.py

Two hosts exchange and average a tensor. Jobs of one connection and of several take turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections import defaultdict

from virtual_job import TESTS, Network, json_lines, run_program


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--milliseconds", type=float, default=10, help="delay, each way")
    parser.add_argument("--percent", type=float, default=0.1, help="of packets that are lost")
    parser.add_argument("--bytes", type=int, default=4_000_000)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--congestion-control", nargs="+", default=["reno", "cubic", "bbr"])
    parser.add_argument("--repetitions", type=int, default=4, help="in each turn")
    parser.add_argument("--turns", type=int, default=2)
    arguments = parser.parse_args()

    program = ["exchange_ranks.py", "--bytes", str(arguments.bytes)]
    program += ["--repetitions", str(arguments.repetitions), "--only", "bluefog"]
    times: dict[tuple[str, int], list[float]] = defaultdict(list)
    with Network(2) as network:
        link = [sys.executable, str(TESTS / "lossy_link.py"), *network.hosts]
        link += [str(arguments.milliseconds), str(arguments.percent)]
        with subprocess.Popen(link, stdout=subprocess.PIPE, text=True) as relay:
            assert relay.stdout is not None and relay.stdout.readline() == "ready\n"
            for _ in range(arguments.turns):
                for control in arguments.congestion_control:
                    for connections in arguments.connections:
                        settings = [
                            f"BLUEFOG_TCP_CONNECTIONS={connections}",
                            f"BLUEFOG_TCP_CONGESTION={control}",
                        ]
                        options = [word for setting in settings for word in ("-x", setting)]
                        output = run_program(network, 1, program, *options, interface="tun0")
                        (result,) = json_lines(output)
                        times[control, connections] += result["BlueFog"]
            relay.kill()
    print("| congestion control | connections | median | x of one connection |\n|---|---|---|---|")
    for (control, connections), all_turns in times.items():
        median = statistics.median(all_turns)
        one = statistics.median(times[control, arguments.connections[0]])
        print(f"| {control} | {connections} | {median * 1e3:.0f} ms | {one / median:.2f} |")


if __name__ == "__main__":
    main()
