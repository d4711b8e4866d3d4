"""For tests of bfrun over several hosts: a fake ssh whose hosts are this machine under other names."""

from __future__ import annotations

import os
import pathlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from bfrun_job import Job, state_and_parent, wait_until
from ranks import HERE

SERVER = """
import os, pathlib, sys, fake_ssh
name, value = sys.argv[3].split("=")
fake_ssh.serve(sys.argv[1], {**os.environ, name: value}, pathlib.Path(sys.argv[2]))
"""


class Hosts:
    """Hosts whose login shell has the variables of `environment` and starts in an empty home directory."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.directory = job.directory / "elsewhere"
        (self.directory / "home").mkdir(parents=True)
        self.socket = str(job.directory / "ssh.socket")
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.directory / "home")}
        self.server: subprocess.Popen[str] | None = None

    def start_server(self) -> None:
        # Only what it runs is of the job, and has the marker in its environment.
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER, self.socket, str(self.directory), self.job.marker],
            env={**self.environment, "PYTHONPATH": str(HERE)},
            start_new_session=True,
            text=True,
        )
        wait_until(pathlib.Path(self.socket).exists, "the fake sshd")

    def ssh_command(self) -> str:
        words = [sys.executable, str(HERE / "fake_ssh.py"), self.socket]
        return " ".join(map(shlex.quote, words))

    def arguments(self, hosts: str) -> list[str]:
        return ["-H", hosts, "--ssh-command", self.ssh_command(), "-x", "DIR"]

    def commands(self) -> list[str]:
        """What was run on other hosts."""
        file = self.directory / "commands"
        return file.read_text().splitlines() if file.exists() else []

    def pid_of_ssh(self, host: str) -> int:
        assert self.job.process is not None
        [pid] = [
            pid for pid in self.job.pids() if self.socket in arguments_of(pid) and host in arguments_of(pid)
        ]
        return pid

    def pids_of_bfrun(self, host: str) -> tuple[int, int]:
        """On another host: of bfrun --agent, and of the agent that it has forked."""
        pids = [pid for pid in self.job.pids() if arguments_of(pid)[1:] == ["--agent"]]
        pids = [pid for pid in pids if f"FAKE_HOST={host}" in environment_of(pid)]
        agents = [pid for pid in pids if state_and_parent(pid)[1] in pids]
        [keeper] = set(pids) - set(agents)
        [agent] = agents
        return keeper, agent

    def stop_server(self) -> None:
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()


def arguments_of(pid: int) -> list[str]:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


def environment_of(pid: int) -> list[str]:
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0")
    except OSError:
        return []


def executable(job: Job, text: str) -> str:
    path = job.directory / "program"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def hosts(job: Job) -> Iterator[Hosts]:
    hosts = Hosts(job)
    hosts.start_server()
    yield hosts
    hosts.stop_server()
