"""For tests of other launchers than bfrun: starts them, and reads what their ranks report."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys

from bfrun_job import PATIENCE, Job, wait_until
from ranks import HERE, PACKAGE, REPOSITORY

#: Importing torch on busy CPUs takes its time.
LONG = 6 * PATIENCE

PROLOGUE = f"""
import sys
sys.path[:0] = [{str(PACKAGE)!r}, {str(HERE)!r}]
import json, os, pathlib, time
import torch
import bluefog.torch as bf
torch.set_num_threads(1)
directory = pathlib.Path(os.environ["DIR"])
def report(value, name=None):
    path = directory / f"{{bf.rank() if name is None else name}}"
    path.with_suffix(".new").write_text(json.dumps(value))
    path.with_suffix(".new").rename(path.with_suffix(".json"))
def mean():
    return bf.allreduce(torch.tensor([float(bf.rank())])).item()
def who():
    return [bf.rank(), bf.size(), bf.local_rank(), bf.local_size(), bf.machine_rank(), bf.machine_size()]
"""

#: Three generations of the job, and what each rank is told.
MEET = """
reports = []
for _ in range(3):
    bf.init()
    reports.append([who(), mean()])
    bf.shutdown()
assert reports == reports[:1] * 3, reports
report(reports[0])
"""


def script(job: Job, source: str) -> str:
    path = job.directory / "script.py"
    path.write_text(PROLOGUE + source)
    return str(path)


def free_port() -> int:
    """One with some room behind it."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        if port < 65000:
            return port


def torchrun(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *arguments]


def launch(job: Job, command: list[str], name: str = "launcher", **variables: str) -> subprocess.Popen[str]:
    """Output goes to the file <name>.txt."""
    settings = {"BLUEFOG_OP_TIMEOUT": "60", "OMP_NUM_THREADS": "1", **variables}
    with (job.directory / f"{name}.txt").open("w") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            text=True,
            env=job.environment(**settings),
            cwd=job.directory,
        )


def by_hand(job: Job, path: str, size: int, **variables: str) -> list[subprocess.Popen[str]]:
    """Each rank on its own, as a user would start it."""
    return [
        launch(
            job,
            [sys.executable, path],
            name=f"rank{rank}",
            **{"BLUEFOG_RANK": str(rank), "BLUEFOG_SIZE": str(size), **variables},
        )
        for rank in range(size)
    ]


def output_of(job: Job, name: str = "launcher") -> str:
    return (job.directory / f"{name}.txt").read_text()


def end(job: Job, process: subprocess.Popen[str], name: str = "launcher") -> None:
    code = process.wait(timeout=LONG)
    assert code == 0, f"ended with {code}: {output_of(job, name)}"


def reports(job: Job, size: int) -> list[object]:
    paths = [job.directory / f"{rank}.json" for rank in range(size)]
    return [json.loads(path.read_text()) for path in paths]


def wait_for_reports(job: Job, *names: str) -> None:
    wait_until(lambda: all((job.directory / f"{name}.json").exists() for name in names), f"reports {names}")


def key_file(job: Job, name: str = "key") -> pathlib.Path:
    path = job.directory / name
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return path


EXAMPLE = REPOSITORY / "examples/python/fashion_mnist.py"
