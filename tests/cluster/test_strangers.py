"""Somebody without the key on the network, while ranks mix."""

from __future__ import annotations

import subprocess
import sys

from bfrun_job import job
from test_computing_hosts import finish, launch, network, start
from test_hosts import Launch

__all__ = ["job", "launch", "network"]  # fixtures

PORTS = range(5000, 5004)

# Scans, talks garbage, and holds a thousand connections to each host on which it says nothing.
STRANGER = f"""
import os, random, socket, sys, time
hosts, seconds = sys.argv[1:3], float(sys.argv[3])
def connect(host, port):
    return socket.create_connection((host, port), timeout=1)
open_ports = []
for host in hosts:
    for port in {list(PORTS)}:
        try:
            connect(host, port).close()
            open_ports.append((host, port))
        except OSError:
            pass
end = time.monotonic() + seconds
held, garbage, heard = [], 0, 0
while time.monotonic() < end:
    host, port = random.choice(open_ports)
    try:
        if len(held) < 2000:
            held.append(connect(host, port))
        with connect(host, port) as stranger:
            stranger.sendall(os.urandom(random.choice([1, 60, 5000])))
            stranger.shutdown(socket.SHUT_WR)
            heard = max(heard, len(stranger.recv(65536)))
            garbage += 1
    except OSError:
        pass
print(len(open_ports), len(held), garbage, heard)
"""

# Ranks 0 and 1 are on different hosts.
STEPS = """
def run_until(name):
    times, x = [], torch.full((250_000,), float(rank))
    while True:
        begin = time.perf_counter()
        stop = torch.tensor([float((directory / name).exists())])
        if bf.neighbor_allreduce(stop).item() == 1.0:
            return sorted(times)[len(times) // 2]
        assert bf.neighbor_allreduce(x).eq(0.5).all()
        times.append(time.perf_counter() - begin)
        if len(times) == 200:
            (directory / f"{name}.{rank}").touch()
quiet = run_until("quiet")
report([quiet, run_until("done")])
"""


def test_disturb_nobody(launch: Launch) -> None:
    a, b, c = launch.network.hosts
    del a
    directory = launch.job.directory
    start(
        launch,
        ["localhost:1", f"{b}:1"],
        2,
        STEPS,
        BLUEFOG_PORT_RANGE=f"{PORTS[0]}-{PORTS[-1]}",
        BLUEFOG_TRANSPORT="tcp",
    )
    launch.job.wait_for_files("quiet.0", "quiet.1")
    (directory / "quiet").touch()
    command = ["ip", "netns", "exec", c, sys.executable, "-c", STRANGER, "10.77.0.1", "10.77.0.2", "5"]
    stranger = subprocess.run(command, text=True, capture_output=True, timeout=60, check=True)
    (directory / "done").touch()
    reports = finish(launch, 2)
    ports, held, garbage, heard = map(int, stranger.stdout.split())
    assert ports == 2 and held == 2000 and garbage > 100
    assert heard <= 64, "a stranger hears nothing but random numbers"
    for rank, (quiet, disturbed) in enumerate(reports):
        print(f"rank {rank}: a step takes {quiet * 1e3:.2f} ms, {disturbed * 1e3:.2f} ms beside the stranger")
