"""bfrun --check over hosts that have networks of their own."""

from __future__ import annotations

import re
import time

from bfrun_job import job
from network import run
from test_bfrun_check import NOT_READY, READY
from test_hosts import Launch, launch, network

__all__ = ["job", "launch", "network"]  # the fixtures

UNREACHABLE = (
    "is there a firewall (BLUEFOG_PORT_RANGE names ports to open), or another network (--network-interface)?"
)


def check(launch: Launch, *arguments: str) -> tuple[int, list[str], str]:
    """Exit code, what is said of pairs, and what bfrun says itself."""
    launch.start(["localhost:2", *launch.network.hosts[1:]], "--check", *arguments)
    code, out, err = launch.job.finish()
    launch.job.wait_until_nobody_is_left()
    return code, sorted(line for line in out.splitlines() if " to " in line), err


def test_each_pair_by_its_addresses(launch: Launch) -> None:
    _, b, c = launch.network.hosts
    code, pairs, err = check(launch)
    assert (code, err) == (0, READY)
    for begin, end in (
        (f"localhost: to {b}: ", ", tcp 10.77.0.1 to 10.77.0.2"),
        (f"localhost: to {c}: ", ", tcp 10.77.0.1 to 10.77.0.3"),
        (f"{b}: to {c}: ", ", tcp 10.77.0.2 to 10.77.0.3"),
    ):
        [line] = [line for line in pairs if line.startswith(begin)]
        assert line.endswith(end)


def test_a_host_whose_packets_vanish(launch: Launch) -> None:
    """The others are measured all the same; ssh, which takes another way here, still reaches it."""
    _, b, c = launch.network.hosts
    launch.network.cut(2)
    begin = time.monotonic()
    code, pairs, err = check(launch, "-x", "BLUEFOG_START_TIMEOUT=2")
    assert (code, err) == (1, NOT_READY)
    assert re.search(f"localhost: to {b}: [0-9.]+ MB/s each way", "\n".join(pairs))
    for host, other in (("localhost", c), (b, c), (c, "localhost"), (c, b)):
        [line] = [line for line in pairs if line.startswith(f"{host}: PROBLEM: to {other}: ")]
        assert UNREACHABLE in line
    assert time.monotonic() - begin < 30


def test_a_network_on_which_hosts_do_not_reach_each_other(launch: Launch) -> None:
    code, pairs, err = check(launch, "--network-interface", "data0", "-x", "BLUEFOG_START_TIMEOUT=2")
    assert (code, err) == (1, NOT_READY)
    assert len(pairs) == 6
    assert [line for line in pairs if "10.78.0." not in line or UNREACHABLE not in line] == []


def test_a_slow_host(launch: Launch) -> None:
    _, b, c = launch.network.hosts
    limits = ["rate", "50mbit", "burst", "16384", "latency", "50ms"]
    run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *limits, namespace=c)
    launch.start(["localhost", b, c], "--check")
    code, out, err = launch.job.finish()
    assert (code, err) == (0, READY)
    for host, other in (("localhost", b), (b, "localhost")):
        [line] = [line for line in out.splitlines() if line.startswith(f"{host}: hint: ")]
        assert re.match(f"{host}: hint: its link to {other} is [0-9.]+ times as fast as that to {c}; ", line)
