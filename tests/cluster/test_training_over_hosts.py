"""The same training on one host and on several: equal bits, so equal accuracies."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

from bfrun_job import Job, job
from network import Network
from ranks import PACKAGE
from test_fashion_mnist import EXAMPLES, data
from test_hosts import Launch

__all__ = ["data", "job"]  # the fixtures

RANKS = 8


def measurements(output: pathlib.Path) -> dict[str, Any]:
    """Of a run, without the times."""
    run = json.loads((output / "run.json").read_text())
    for kind in ("evaluations", "distances"):
        for entry in run[kind]:
            del entry["seconds"]
    return {kind: run[kind] for kind in ("evaluations", "distances")}


def test_four_hosts_train_as_one_does(job: Job, data: pathlib.Path) -> None:
    program = [
        sys.executable,
        str(EXAMPLES / "fashion_mnist.py"),
        "--data",
        str(data),
        "--no-plot",
        "--epochs",
        "2",
    ]
    settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PACKAGE)}
    options = [
        "-np",
        str(RANKS),
        *(word for name, value in settings.items() for word in ("-x", f"{name}={value}")),
    ]

    here, there = job.directory / "one", job.directory / "four"
    job.start(*options, *program, "--output", str(here))
    code, _, err = job.finish(patience=120)
    assert code == 0, err

    with Network(4) as network:
        network.shape(1000)
        launch = Launch(job, network)
        hosts = [f"{host}:2" for host in ["localhost", *network.hosts[1:]]]
        launch.start(hosts, *options, *program, "--output", str(there))
        code, _, err = job.finish(patience=120)
    assert code == 0, err

    assert measurements(there) == measurements(here)
    assert len(measurements(here)["evaluations"]) > 2
