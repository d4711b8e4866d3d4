"""Hosts whose names or clocks are not as one would like them: jobs run all the same."""

from __future__ import annotations

import subprocess
import sys

from bfrun_job import Job, find_bfrun, job
from launched_job import end, key_file, reports, script
from launched_job import launch as launch_on
from network import Network
from test_computing_hosts import finish, start
from test_hosts import Launch, launch, network
from ways_in import entering_command

__all__ = ["job", "launch", "network"]  # the fixtures

NAMES = "127.0.0.1 localhost\n{own} node0\n"
"""Of /etc/hosts. Debian's installer gives a host 127.0.1.1 for its own name."""


def on_host(job: Job, network: Network, host: int, address_of_node0: str, *command: str) -> list[str]:
    """The command on a host that is called node<host>, and for which node0 has this address."""
    names = job.directory / f"hosts.{host}"
    names.write_text(NAMES.format(own=address_of_node0))
    enter = f'hostname node{host} && mount --bind {names} /etc/hosts && exec "$@"'
    prefix = [
        "ip",
        "netns",
        "exec",
        network.hosts[host],
        "unshare",
        "--uts",
        "--mount",
        "sh",
        "-c",
        enter,
        "sh",
    ]
    return [*prefix, *command]


def test_a_host_that_takes_its_own_name_for_loopback(job: Job, network: Network) -> None:
    """Its ranks listen where others reach them, whatever it calls itself."""
    path = script(job, "bf.init()\nreport([mean(), os.environ['MASTER_ADDR']])\n")
    ssh = f"ip netns exec {network.hosts[1]} sh -c {{command}}"
    options = ["-H", "node0:2,node1:2", "--ssh-command", ssh, "-np", "4", "-x", "DIR"]
    command = [find_bfrun(), *options, sys.executable, path]
    process = launch_on(job, on_host(job, network, 0, "127.0.1.1", *command))
    end(job, process)
    assert reports(job, 4) == [[1.5, "10.77.0.1"]] * 4
    job.wait_until_nobody_is_left()


def test_a_master_that_takes_its_own_name_for_loopback(job: Job, network: Network) -> None:
    """Without bfrun, the others have its name from elsewhere."""
    path = script(job, "bf.init()\nreport(mean())\n")
    places = {"MASTER_ADDR": "node0", "MASTER_PORT": "29500", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    places["BLUEFOG_JOB_KEY_FILE"] = str(key_file(job))
    ranks: list[subprocess.Popen[str]] = []
    for rank in range(4):
        host = rank // 2
        address = "127.0.1.1" if host == 0 else "10.77.0.1"
        command = on_host(job, network, host, address, sys.executable, path)
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank % 2)}
        ranks.append(launch_on(job, command, f"rank{rank}", **places, **own))
    for rank, process in enumerate(ranks):
        end(job, process, f"rank{rank}")
    assert reports(job, 4) == [1.5] * 4


def test_clocks_an_hour_apart(launch: Launch) -> None:
    """And those that count from the start of a host have nothing in common anyway."""
    _, b, _ = launch.network.hosts
    late = launch.job.directory / "late"
    late.mkdir()
    bfrun = late / "bfrun"
    bfrun.write_text(f'#!/bin/sh\nexec faketime -f +1h {launch.elsewhere}/bfrun "$@"\n')
    bfrun.chmod(0o755)
    launch.ssh = entering_command(launch.job, launch.here, f"{late}:/usr/local/bin:/usr/bin:/bin")
    source = "report([bf.allreduce(torch.tensor([float(rank)])).item(), time.time()])"
    start(launch, ["localhost:1", f"{b}:1"], 2, source)
    here, there = finish(launch, 2)
    assert (here[0], there[0]) == (0.5, 0.5)
    assert 3000 < there[1] - here[1] < 4200
