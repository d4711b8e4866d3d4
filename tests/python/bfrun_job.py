"""For tests of bfrun: one job, and the processes that belong to it."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from ranks import find_bfrun

PATIENCE = 20.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.005)


class Job:
    """One bfrun whose processes, and all that they start, can be told by a variable in their environment."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.marker = f"BFRUN_TEST_MARKER={uuid.uuid4()}"
        self.process: subprocess.Popen[str] | None = None

    def environment(self, **variables: str) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BLUEFOG_", "OMP_", "PYTHONUNBUFFERED"))
        }
        name, value = self.marker.split("=")
        return {**inherited, name: value, "DIR": str(self.directory), **variables}

    def start(
        self, *arguments: str, stdin: int = subprocess.DEVNULL, **variables: str
    ) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [find_bfrun(), *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**variables),
            cwd=self.directory,
        )
        return self.process

    def run(
        self, *arguments: str, stdin_text: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        stdin = subprocess.DEVNULL if stdin_text is None else subprocess.PIPE
        process = self.start(*arguments, stdin=stdin, **variables)
        out, err = process.communicate(stdin_text, timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def finish(self, patience: float = PATIENCE) -> tuple[int, str, str]:
        assert self.process is not None
        out, err = self.process.communicate(timeout=patience)
        return self.process.returncode, out, err

    def pids(self) -> list[int]:
        """Living processes of the job; a zombie's environment reads as empty."""
        found = []
        for directory in pathlib.Path("/proc").iterdir():
            if not directory.name.isdigit():
                continue
            try:
                environment = (directory / "environ").read_bytes()
            except OSError:
                continue
            if self.marker.encode() in environment.split(b"\0"):
                found.append(int(directory.name))
        return found

    def wait_for_files(self, *names: str) -> None:
        for name in names:
            wait_until((self.directory / name).exists, f"the file {name}")

    def wait_until_nobody_is_left(self) -> None:
        wait_until(lambda: not self.pids(), f"the end of all processes of the job; left: {self.pids()}")

    def pid_in(self, name: str) -> int:
        file = self.directory / name
        wait_until(lambda: file.exists() and file.read_text().endswith("\n"), f"a number in {name}")
        return int(file.read_text())

    def children_of_bfrun(self) -> list[int]:
        assert self.process is not None
        return [pid for pid in self.pids() if state_and_parent(pid)[1] == self.process.pid]

    def agent(self) -> int:
        [agent] = self.children_of_bfrun()
        return agent


def state_and_parent(pid: int) -> tuple[str, int]:
    """("Z", 1) for a zombie whose parent is process 1; ("gone", 0) if there is no such process any more."""
    try:
        state, parent, *_ = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "gone", 0
    return state, int(parent)


@pytest.fixture
def job(tmp_path: pathlib.Path) -> Iterator[Job]:
    job = Job(tmp_path)
    yield job
    left = job.pids()
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if job.process is not None:
        job.process.wait()
        for stream in (job.process.stdout, job.process.stderr, job.process.stdin):
            if stream is not None:
                stream.close()


def shell(text: str) -> tuple[str, str, str]:
    return ("sh", "-c", text)


def python(text: str) -> tuple[str, str, str]:
    return (sys.executable, "-c", text)
