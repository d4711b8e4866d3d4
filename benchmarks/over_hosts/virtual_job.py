"""Jobs over hosts that are network namespaces of this machine. As root."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1] / "tests/cluster"
sys.path.append(str(TESTS))

from network import Network  # noqa: E402

__all__ = [
    "TESTS",
    "Network",
    "add_training_options",
    "json_lines",
    "paced_training",
    "run_command",
    "run_program",
    "training_network",
]


def run_command(
    network: Network,
    ranks_per_host: int,
    program: list[str],
    *options: str,
    hosts: int | None = None,
    interface: str = "eth0",
) -> str:
    """What the job prints. bfrun runs on the first host, with these options."""
    names = network.hosts[:hosts]
    slots = ",".join(f"{name}:{ranks_per_host}" for name in ["localhost", *names[1:]])
    command = ["ip", "netns", "exec", names[0], "bfrun", "-H", slots, "-np", str(len(names) * ranks_per_host)]
    command += ["--ssh-command", "ip netns exec {host} sh -c {command}", "--network-interface", interface]
    job = subprocess.run([*command, *options, *program], stdout=subprocess.PIPE, text=True, check=False)
    if job.returncode != 0:
        raise SystemExit(job.returncode)
    return job.stdout


def run_program(
    network: Network,
    ranks_per_host: int,
    program: list[str],
    *options: str,
    hosts: int | None = None,
    interface: str = "eth0",
) -> str:
    """The same of a file of Python here, with its arguments."""
    command = [sys.executable, str(HERE / program[0]), *program[1:]]
    return run_command(network, ranks_per_host, command, *options, hosts=hosts, interface=interface)


def add_training_options(
    parser: argparse.ArgumentParser, *, megabits: int, parameters: int, seconds: float, steps: int
) -> None:
    """What describes a network and a paced training; the numbers are the defaults."""
    parser.add_argument("--megabits", type=int, default=megabits, help="rate of each host's port")
    parser.add_argument("--parameters", type=int, default=parameters, help="of float32")
    parser.add_argument("--seconds", type=float, default=seconds, help="computing in a step")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--congestion-control", default="cubic", help="of all connections between hosts")


@contextlib.contextmanager
def training_network(hosts: int, arguments: argparse.Namespace) -> Iterator[Network]:
    with Network(hosts) as network:
        network.shape(arguments.megabits)
        network.use_congestion_control(arguments.congestion_control)
        yield network


def paced_training(arguments: argparse.Namespace) -> list[str]:
    """The program, but for the ways to train."""
    program = ["paced_training.py", "--parameters", str(arguments.parameters)]
    return [*program, "--seconds", str(arguments.seconds), "--steps", str(arguments.steps)]


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
