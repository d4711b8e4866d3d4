"""Ranks of several hosts, through a stand-in for ssh, compute together."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
from bfrun_hosts import Hosts, hosts
from bfrun_job import Job, job, python
from ranks import HERE, PACKAGE

__all__ = ["hosts", "job"]  # the fixtures

PATHS = os.pathsep.join([str(PACKAGE), str(HERE), os.environ.get("PYTHONPATH", "")])
PROLOGUE = """
import json, os, pathlib, time
import torch
import bluefog.torch as bf
directory, rank = pathlib.Path(os.environ["DIR"]), int(os.environ["BLUEFOG_RANK"])
def report(value):
    (directory / f"{rank}.json").write_text(json.dumps(value))
"""


def start(job: Job, hosts: Hosts, where: str, size: int, source: str, *options: str, **settings: str) -> None:
    arguments = [*options, "-np", str(size), *hosts.arguments(where)]
    variables = {"PYTHONPATH": PATHS, "BLUEFOG_OP_TIMEOUT": "60", **settings}
    job.start(*arguments, *python(PROLOGUE + source), **variables)


def finish(job: Job, ranks: range | list[int]) -> list[Any]:
    assert job.process is not None
    _, err = job.process.communicate(timeout=120)
    assert job.process.returncode == 0, err
    return [json.loads((job.directory / f"{rank}.json").read_text()) for rank in ranks]


@pytest.mark.parametrize("where", ["localhost:2,b:2", "b:2,c:2", "b:1,localhost:3"])
def test_ranks_mix_over_hosts(job: Job, hosts: Hosts, where: str) -> None:
    source = """
bf.init()
mean = bf.allreduce(torch.tensor([float(rank)])).item()
x = torch.full((100_000,), float(rank))
schedule = bf.one_peer_exponential(bf.size())
for step in range(2):
    x = bf.neighbor_allreduce(x, schedule=schedule, round=step)
report([mean, x.min().item(), x.max().item(), bf.local_rank(), bf.local_size()])
"""
    start(job, hosts, where, 4, source)
    sizes = [int(part.split(":")[1]) for part in where.split(",")]
    places = [[local, size] for size in sizes for local in range(size)]
    assert finish(job, range(4)) == [[1.5, 1.5, 1.5, *place] for place in places]


def test_machines_of_different_sizes_mix_their_means(job: Job, hosts: Hosts) -> None:
    source = """
bf.init()
x = torch.full((100_000,), float(rank))
local = bf.allreduce(x, is_hierarchical_local=True)
bf.set_machine_topology(bf.FullyConnectedGraph(bf.machine_size()))
y = bf.hierarchical_neighbor_allreduce(x)
report([local[0].item(), local[-1].item(), y[0].item(), y[-1].item(), bf.local_rank(), bf.local_size(),
        bf.machine_rank(), bf.machine_size(), bf.is_homogeneous()])
"""
    start(job, hosts, "localhost:2,b:1", 3, source)
    assert finish(job, range(3)) == [
        [0.5, 0.5, 1.25, 1.25, 0, 2, 0, 2, False],
        [0.5, 0.5, 1.25, 1.25, 1, 2, 0, 2, False],
        [2.0, 2.0, 1.25, 1.25, 0, 1, 1, 2, False],
    ]


def test_they_leave_and_meet_again(job: Job, hosts: Hosts) -> None:
    source = """
means = []
for _ in range(5):
    bf.init()
    means.append(bf.allreduce(torch.tensor([float(rank)])).item())
    bf.shutdown()
report(means)
"""
    start(job, hosts, "localhost:2,b:2", 4, source)
    assert finish(job, range(4)) == [[1.5] * 5] * 4


def test_missing_ranks_of_other_hosts_are_named(job: Job, hosts: Hosts) -> None:
    source = """
import threading
from bluefog.common.errors import OperationTimeoutError
def wait_for_rank_0():
    while not (directory / "0.json").exists():
        time.sleep(0.01)
    os._exit(0)
if rank == 0:
    text = "ranks 1, 2, 3"
    while "ranks 1, 2, 3" in text:  # until rank 1 has joined
        try:
            bf.init()
        except OperationTimeoutError as error:
            text = str(error)
    report(text)
else:
    threading.Thread(target=wait_for_rank_0).start()
    if rank == 1:
        os.environ["BLUEFOG_START_TIMEOUT"] = "1000"
        bf.init()
"""
    start(job, hosts, "localhost:1,b:1,c:2", 4, source, BLUEFOG_START_TIMEOUT="1")
    [text] = finish(job, [0])
    assert "still missing: ranks 2, 3; none has joined on c" in text


def wait_for_line(job: Job, beginning: str) -> str:
    assert job.process is not None and job.process.stderr is not None
    for line in job.process.stderr:
        if line.startswith(beginning):
            return line
    raise AssertionError(f"no line begins with {beginning}")


LOSE_A_PEER = """
from bluefog.common.errors import PeerLostError
bf.init()
(directory / f"pid.{rank}").write_text(f"{os.getpid()}\\n")
def mix(peer, name=None):
    x = torch.tensor([float(rank)])
    weights = dict(self_weight=0.5, src_weights={peer: 0.5}, dst_weights=[peer])
    return bf.neighbor_allreduce(x, name=name, **weights).item()
def reason_of_loss(peer, expected):
    while True:  # its connection may end before its death is told; how often, differs between ranks
        try:
            mix(peer)
        except PeerLostError as error:
            assert f"rank {peer}" in str(error)
            if expected in str(error):
                return str(error)
def wait_for(name):
    while not (directory / name).exists():
        time.sleep(0.01)
"""


def test_a_killed_rank_is_known_with_its_reason(job: Job, hosts: Hosts) -> None:
    source = """
if rank == 3:
    time.sleep(1000)
wait_for("killed")
if rank < 2:
    report([reason_of_loss(3, "killed by signal 9"), mix(1 - rank, "last")])
else:
    report([reason_of_loss(3, "has died")])
"""
    options = ["--on-rank-death", "keep"]
    start(job, hosts, "localhost:2,b:2", 4, LOSE_A_PEER + source, *options)
    pids = [job.pid_in(f"pid.{rank}") for rank in range(4)]
    os.kill(pids[3], signal.SIGKILL)
    wait_for_line(job, f"bfrun: rank 3 on b (pid {pids[3]}) was killed")
    (job.directory / "killed").touch()
    reports = finish(job, range(3))
    for text, mean in reports[:2]:
        assert "rank 3 is lost (was killed by signal 9 (SIGKILL) on b)" in text
        assert mean == 0.5
    assert "rank 3 has died" in reports[2][0]


def test_the_ranks_of_a_killed_agent_are_lost(job: Job, hosts: Hosts) -> None:
    source = """
if rank >= 2:
    time.sleep(1000)
wait_for("killed")
report([reason_of_loss(3, "ranks 2-3"), reason_of_loss(2, "ranks 2-3"), mix(1 - rank, "last")])
"""
    options = ["--on-rank-death", "keep"]
    start(job, hosts, "localhost:2,b:2", 4, LOSE_A_PEER + source, *options)
    job.wait_for_files(*(f"pid.{rank}" for rank in range(4)))
    _, agent = hosts.pids_of_bfrun("b")
    os.kill(agent, signal.SIGKILL)
    wait_for_line(job, "bfrun: b (ranks 2-3) is lost")
    (job.directory / "killed").touch()
    for first, second, mean in finish(job, range(2)):
        assert "rank 3 is lost (b (ranks 2-3) is lost: " in first
        assert "rank 2 is lost (b (ranks 2-3) is lost: " in second
        assert mean == 0.5
    job.wait_until_nobody_is_left()
