"""Ranks compute over hosts that have networks of their own."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import time
from typing import Any

import pytest
from bfrun_job import job, python, state_and_parent
from network import run
from ranks import HERE, PACKAGE
from test_hosts import Launch, launch, network

__all__ = ["job", "launch", "network"]  # the fixtures

PROLOGUE = f"""
import sys
sys.path[:0] = [{str(PACKAGE)!r}, {str(HERE)!r}]
import json, os, pathlib, time
import torch
import bluefog.torch as bf
from bluefog.common.errors import PeerLostError
torch.set_num_threads(1)
directory, rank = pathlib.Path(os.environ["DIR"]), int(os.environ["BLUEFOG_RANK"])
def report(value):
    (directory / f"{{rank}}.new").write_text(json.dumps(value))
    (directory / f"{{rank}}.new").rename(directory / f"{{rank}}.json")
bf.init()
"""

TRAIN = """
torch.manual_seed(rank)
model = torch.nn.Sequential(torch.nn.Linear(20, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
bf.broadcast_parameters(model.state_dict(), root_rank=0)
schedule = bf.one_peer_exponential(bf.size())
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
optimizer = bf.DistributedNeighborAllreduceOptimizer(optimizer, model=model, schedule=schedule)
for step in range(20):
    data = torch.randn(16, 20)
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(data), (data.sum(dim=1) > 0).long()).backward()
    optimizer.step()
report([parameter.detach().view(torch.int32).flatten().tolist() for parameter in model.parameters()])
"""


# Ranks 0 and 2, 1 and 3 are pairs. The first goes on until both of it have seen what `seen` says.
PAIRS = """
def mix(x):
    peer = (rank + 2) % 4
    return bf.neighbor_allreduce(x, self_weight=0.5, src_weights={peer: 0.5}, dst_weights=[peer])
def mix_until(seen):
    rounds, done = 0, False
    while not done:
        x = mix(torch.tensor([float(rank + rounds), float(seen())]))
        assert x[0].item() == 1.0 + rounds, (x, rounds)
        rounds, done = rounds + 1, x[1].item() == 1.0
    return rounds
def mix_for_ever():
    while True:
        assert mix(torch.full((1000,), float(rank))).eq(2.0).all()
        (directory / f"mixed.{rank}").touch()
"""


def start(launch: Launch, hosts: list[str], size: int, source: str, *options: str, **settings: str) -> None:
    variables = {"BLUEFOG_OP_TIMEOUT": "60", **settings}
    given = [word for name, value in variables.items() for word in ("-x", f"{name}={value}")]
    launch.start(hosts, "-np", str(size), *given, *options, *python(PROLOGUE + source))


def finish(launch: Launch, size: int) -> list[Any]:
    assert launch.job.process is not None
    _, err = launch.job.process.communicate(timeout=120)
    assert launch.job.process.returncode == 0, err
    return [json.loads(path(launch, rank).read_text()) for rank in range(size)]


def path(launch: Launch, rank: int) -> pathlib.Path:
    return launch.job.directory / f"{rank}.json"


def test_consensus_is_the_exact_mean(launch: Launch) -> None:
    source = """
schedule = bf.one_peer_exponential(bf.size())
x = torch.full((300_000,), float(rank))
for step in range(2):
    x = bf.neighbor_allreduce(x, schedule=schedule, round=step)
report([x.min().item(), x.max().item()])
"""
    start(launch, ["localhost:2", f"{launch.network.hosts[1]}:2"], 4, source)
    assert finish(launch, 4) == [[1.5, 1.5]] * 4


def test_training_has_the_bits_of_one_host(launch: Launch) -> None:
    _, b, c = launch.network.hosts
    results = []
    for hosts in (["localhost:4"], ["localhost:2", f"{b}:2"], ["localhost:1", f"{b}:2", f"{c}:1"]):
        start(launch, hosts, 4, TRAIN)
        results.append(finish(launch, 4))
    assert results[1] == results[0]
    assert results[2] == results[0]


def test_an_address_that_every_host_has(launch: Launch) -> None:
    """It leads to a rank of the own host, at the very port: that one proves to be another, and is left."""
    a, b, _ = launch.network.hosts
    for i, host in enumerate((a, b)):
        run("ip", "address", "flush", "dev", "eth0", namespace=host)
        run("ip", "address", "add", "172.17.0.1/16", "dev", "eth0", namespace=host)
        run("ip", "address", "add", f"10.77.0.{i + 1}/24", "dev", "eth0", namespace=host)
    source = "report(bf.allreduce(torch.tensor([float(rank)])).item())"
    options = ["--network-interface", "eth0", "--tag-output"]
    settings = {"BLUEFOG_PORT_RANGE": "5000-5001", "BLUEFOG_LOG_LEVEL": "debug"}
    start(launch, ["localhost:2", f"{b}:2"], 4, source, *options, **settings)
    assert launch.job.process is not None
    _, err = launch.job.process.communicate(timeout=120)
    assert launch.job.process.returncode == 0, err
    assert [json.loads(path(launch, rank).read_text()) for rank in range(4)] == [1.5] * 4
    assert "is reached at 10.77.0." in err and "is reached at 172.17.0.1" not in err


def test_a_cut_link_is_felt_by_those_who_need_it(launch: Launch) -> None:
    """The host of rank 3 is cut off."""
    _, b, c = launch.network.hosts
    source = """
if rank % 2 == 0:
    report(mix_until(lambda: all((directory / f"{other}.json").exists() for other in (1, 3))))
else:
    try:
        mix_for_ever()
    except PeerLostError as error:
        report(str(error))
"""
    start(launch, ["localhost:2", f"{b}:1", f"{c}:1"], 4, PAIRS + source, BLUEFOG_HEARTBEAT="0.5")
    launch.job.wait_for_files("mixed.1", "mixed.3")
    launch.network.cut(2)
    reports = finish(launch, 4)
    assert "rank 3 is lost (it gave no sign of life for 2500 ms)" in reports[1]
    assert "rank 1 is lost (it gave no sign of life for 2500 ms)" in reports[3]
    assert min(reports[0], reports[2]) > 0
    launch.job.wait_until_nobody_is_left()


@pytest.mark.parametrize("victim", ["rank", "agent"])
def test_a_death_is_felt_by_those_who_need_it(launch: Launch, victim: str) -> None:
    """Rank 3 is killed, or the agent of its host."""
    _, b, c = launch.network.hosts
    source = """
if rank % 2 == 0:
    report(mix_until(lambda: (directory / "1.json").exists()))
else:
    report(os.getpid())
    (directory / f"{rank}.json").rename(directory / f"pid.{rank}")
    try:
        mix_for_ever()
    except PeerLostError as error:
        report([str(error), time.monotonic()])
"""
    start(launch, ["localhost:2", f"{b}:1", f"{c}:1"], 4, PAIRS + source, "--on-rank-death", "keep")
    launch.job.wait_for_files("mixed.1", "mixed.3")
    pid = int((launch.job.directory / "pid.3").read_text())
    killed = time.monotonic()
    os.kill(pid if victim == "rank" else state_and_parent(pid)[1], signal.SIGKILL)
    assert launch.job.process is not None
    _, err = launch.job.process.communicate(timeout=120)
    assert launch.job.process.returncode == 0, err
    text, felt = json.loads(path(launch, 1).read_text())
    assert "rank 3 is lost (" in text
    assert not path(launch, 3).exists()
    print(f"rank 1 has learned of it after {felt - killed:.3f} s: {text}")
    launch.job.wait_until_nobody_is_left()
