"""Jobs over hosts that are network namespaces of this machine. As root."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1] / "tests/cluster"
sys.path.append(str(TESTS))

from network import Network  # noqa: E402

__all__ = ["TESTS", "Network", "json_lines", "run_program"]


def run_program(
    network: Network,
    ranks_per_host: int,
    program: list[str],
    *options: str,
    hosts: int | None = None,
    interface: str = "eth0",
) -> str:
    """What the job prints. bfrun runs on the first host; the program is a file here, with its arguments."""
    names = network.hosts[:hosts]
    slots = ",".join(f"{name}:{ranks_per_host}" for name in ["localhost", *names[1:]])
    command = ["ip", "netns", "exec", names[0], "bfrun", "-H", slots, "-np", str(len(names) * ranks_per_host)]
    command += ["--ssh-command", "ip netns exec {host} sh -c {command}", "--network-interface", interface]
    command += [*options, sys.executable, str(HERE / program[0]), *program[1:]]
    job = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if job.returncode != 0:
        raise SystemExit(job.returncode)
    return job.stdout


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
