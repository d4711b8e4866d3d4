"""What jobs send between hosts, by the counters of the kernel's interfaces."""

from __future__ import annotations

import pytest
from bfrun_job import job
from test_computing_hosts import finish, launch, network, start
from test_hosts import Launch

__all__ = ["job", "launch", "network"]  # fixtures

COUNT = 1_000_000  # of float64

MEASURE = f"""
def bytes_sent():
    lines = pathlib.Path("/proc/self/net/dev").read_text().splitlines()
    return next(int(line.split(":")[1].split()[8]) for line in lines if line.strip().startswith("eth0:"))

def measure(schedule, round):
    x = bf.empty_shared({COUNT}, dtype=torch.float64)
    x.fill_(rank)
    bf.neighbor_allreduce(x, schedule=schedule, round=round, meet=True)  # opens the connections
    bf.barrier()
    before = bytes_sent()
    for _ in range(3):
        bf.neighbor_allreduce(x, schedule=schedule, round=round, meet=True)
    bf.barrier()
    return (bytes_sent() - before) / 3

one_peer = bf.one_peer_exponential(bf.size())
static = bf.static_schedule(bf.ExponentialTwoGraph(bf.size()))
report([measure(static, 0)] + [measure(one_peer, round) for round in range(3)])
"""


def tensors_to_other_hosts(distances: list[int], hosts: int, local: int) -> list[int]:
    """Of each host: a tensor counts once for every host that needs it, however many ranks do."""
    size = hosts * local
    crossings = {
        (rank, (rank + distance) % size // local)
        for rank in range(size)
        for distance in distances
        if (rank + distance) % size // local != rank // local
    }
    return [sum(rank // local == host for rank, _ in crossings) for host in range(hosts)]


def test_each_tensor_crosses_once_to_a_host_that_needs_it(launch: Launch) -> None:
    """Static exponential-2, where 7 edges lead each way, and each round of one-peer."""
    start(launch, ["localhost:4", f"{launch.network.hosts[1]}:4"], 8, MEASURE, "--network-interface", "eth0")
    sent = finish(launch, 8)
    for step, distances in enumerate([[1, 2, 4], [1], [2], [4]]):
        expected = [tensors * COUNT * 8 for tensors in tensors_to_other_hosts(distances, 2, 4)]
        assert [sent[0][step], sent[4][step]] == pytest.approx(expected, rel=0.03), distances
