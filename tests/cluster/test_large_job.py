"""Sixty-four ranks on eight hosts: they start, and each knows few others."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from bfrun_job import Job, job, python
from network import Network
from ranks import PACKAGE
from test_hosts import Launch

__all__ = ["job"]  # the fixture

HOSTS = 8
RANKS_OF_A_HOST = 8

# Without torch, whose import takes longer than everything else here.
PROGRAM = f"""
import sys
sys.path.insert(0, {str(PACKAGE)!r})
import ctypes, json, os, pathlib, time
begin = time.monotonic()
from bluefog import _core
context = _core.Context()
joined = time.monotonic()
size = context.size()
schedule = _core.one_peer_exponential(size)
x = ctypes.c_double(context.rank())
for round in range(schedule.period):
    place = ctypes.addressof(x)
    context.neighbor_allreduce(place, place, _core.DType.float64.value, (1,), schedule=schedule, round=round)

def connections():
    sockets = set()
    for descriptor in pathlib.Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    established = "01"
    lines = pathlib.Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(line[9] in sockets and line[3] == established for line in fields)

# Where two ranks have dialled each other at once, one of the two connections is closed again.
counts = [connections()]
while time.monotonic() < joined + 10 and (len(counts) < 20 or counts[-1] != counts[-20]):
    time.sleep(0.05)
    counts.append(connections())
report = dict(mean=x.value, joining=joined - begin, connections=counts[-1])
file = pathlib.Path(os.environ["DIR"]) / f"{{context.rank()}}.json"
file.write_text(json.dumps(report))
"""


@pytest.fixture
def launch(job: Job) -> Iterator[Launch]:
    with Network(HOSTS) as network:
        yield Launch(job, network)


def test_ranks_connect_to_their_neighbours_only(launch: Launch) -> None:
    size = HOSTS * RANKS_OF_A_HOST
    names = ["localhost", *launch.network.hosts[1:]]
    launch.start([f"{name}:{RANKS_OF_A_HOST}" for name in names], "-np", str(size), *python(PROGRAM))
    code, _, err = launch.job.finish()
    assert (code, err) == (0, "")
    reports = [json.loads((launch.job.directory / f"{rank}.json").read_text()) for rank in range(size)]
    assert [report["mean"] for report in reports] == [(size - 1) / 2] * size
    distances = [2**power for power in range(6)]
    far_peers = [
        {peer for d in distances for peer in ((rank + d) % size, (rank - d) % size)}
        - {rank // RANKS_OF_A_HOST * RANKS_OF_A_HOST + i for i in range(RANKS_OF_A_HOST)}
        for rank in range(size)
    ]
    # One for small messages, and one for tensors.
    for rank, report in enumerate(reports):
        assert report["connections"] <= 2 * len(far_peers[rank]), rank
    print(f"{size} ranks have joined {max(report['joining'] for report in reports):.1f} s after their start")
