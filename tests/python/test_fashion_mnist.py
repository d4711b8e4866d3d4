"""The examples that train on Fashion-MNIST, on a small made-up data set of the same format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ranks import REPOSITORY, environment, find_bfrun
from stripes import write_stripes

EXAMPLES = REPOSITORY / "examples/python"
TABLE = REPOSITORY / "benchmarks/optimizers/fashion_mnist_table.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_stripes(folder)
    return folder


def run_example(
    ranks: int, output: Path, *arguments: str, example: str = "fashion_mnist.py"
) -> subprocess.CompletedProcess[str]:
    command = [
        find_bfrun(),
        "-np",
        str(ranks),
        sys.executable,
        str(EXAMPLES / example),
        "--output",
        str(output),
        *arguments,
    ]
    return subprocess.run(
        command, env=environment(), text=True, capture_output=True, timeout=200, check=False
    )


def record_of(job: subprocess.CompletedProcess[str], output: Path) -> dict:
    assert job.returncode == 0, job.stdout + job.stderr
    return json.loads((output / "run.json").read_text())


def without_times(record: dict) -> list:
    return [
        [(e["step"], e["ranks"], e["mean_model"]) for e in record["evaluations"]],
        [(d["step"], d["value"]) for d in record["distances"]],
    ]


def test_loader_processes_change_nothing(data: Path, tmp_path: Path) -> None:
    records = {}
    for name, arguments in {
        "none": [],
        "fork": ["--num-workers", "2", "--mp-context", "fork"],
        "spawn": ["--num-workers", "2", "--mp-context", "spawn"],
    }.items():
        job = run_example(2, tmp_path / name, "--data", str(data), "--epochs", "1", "--no-plot", *arguments)
        records[name] = record_of(job, tmp_path / name)
    assert without_times(records["fork"]) == without_times(records["none"])
    assert without_times(records["spawn"]) == without_times(records["none"])


def test_leaves_a_picture_and_a_record_of_three_ranks(data: Path, tmp_path: Path) -> None:
    job = run_example(
        3, tmp_path, "--data", str(data), "--epochs", "2", "--topology", "ring", "--algorithm", "atc"
    )
    record = record_of(job, tmp_path)
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    assert record["config"]["ranks"] == 3 and record["config"]["topology"] == "ring"
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2]
    last = record["evaluations"][-1]
    assert last["images"] == 203 and len(last["ranks"]) == 3
    assert all(0 <= accuracy <= 1 for accuracy in [*last["ranks"], last["mean_model"]])
    assert record["total"]["samples"] == 1200 and record["total"]["samples_per_second"] > 0
    assert "epoch 2: accuracy of ranks" in job.stdout


def test_an_algorithm_for_unlike_data_trains_on_shards_of_labels(data: Path, tmp_path: Path) -> None:
    arguments = ["--topology", "ring", "--algorithm", "gradient-tracking", "--label-shards", "1"]
    job = run_example(3, tmp_path, "--data", str(data), "--epochs", "3", "--no-plot", *arguments)
    record = record_of(job, tmp_path)
    assert record["config"]["style"] == "gradient-tracking"
    assert record["evaluations"][-1]["mean_model"] > 0.9


def test_an_algorithm_that_cannot_stand_the_topology_is_one_clear_line(data: Path, tmp_path: Path) -> None:
    job = run_example(3, tmp_path, "--data", str(data), "--algorithm", "exact-diffusion")
    assert job.returncode != 0
    assert "--topology one-peer: ExactDiffusion: the schedule" in job.stderr
    assert "Traceback" not in job.stderr


def test_impossible_numbers_are_one_clear_line_of_each_rank(data: Path, tmp_path: Path) -> None:
    job = run_example(1, tmp_path, "--data", str(data), "--batch-size", "0")
    assert job.returncode != 0
    assert "argument --batch-size: invalid positive value: '0'" in job.stderr
    job = run_example(2, tmp_path, "--data", str(data), "--limit", "1")
    assert job.returncode != 0
    assert "fashion_mnist.py: --limit 1 leaves some of 2 ranks without an image" in job.stderr.splitlines()


def test_missing_data_is_one_clear_line(tmp_path: Path) -> None:
    job = run_example(1, tmp_path, "--data", str(tmp_path / "nothing"))
    assert job.returncode != 0
    lines = [line for line in job.stderr.splitlines() if line.startswith("fashion_mnist.py:")]
    assert (
        len(lines) == 1 and "train-images-idx3-ubyte.gz" in lines[0] and str(tmp_path / "nothing") in lines[0]
    )


def test_asynchronous_training_goes_on_beside_a_slow_rank(data: Path, tmp_path: Path) -> None:
    slow = ["--slow-rank", "2", "--step-time", "0.02", "--slow-factor", "10"]
    times = ["--seconds", "2", "--snapshot-time", "1"]
    job = run_example(
        3, tmp_path, "--data", str(data), *slow, *times, example="asynchronous_fashion_mnist.py"
    )
    record = record_of(job, tmp_path)
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    assert [evaluation["seconds"] for evaluation in record["evaluations"]] == [0, 1, 2]
    assert record["evaluations"][0]["mean_model"] < 0.4 and record["distances"][0]["value"] < 1e-5
    steps = record["total"]["steps"]
    assert 1 <= steps[2] <= 10 and min(steps[:2]) > 2 * steps[2]
    assert min(record["total"]["ranks"]) > 0.8 and record["total"]["mean_model"] > 0.8


def test_rows_of_the_table_start_alike_and_see_the_same_data(data: Path, tmp_path: Path) -> None:
    """So two that make the same steps are equal but for rounding."""
    algorithms = ["--algorithms", "ddp", "gradient-allreduce"]
    options = ["--ranks", "2", "--label-shards", "2", "--epochs", "1", "--output", str(tmp_path)]
    path = os.pathsep.join([str(Path(find_bfrun()).resolve().parent), os.environ["PATH"]])
    table = subprocess.run(
        [sys.executable, str(TABLE), "--data", str(data), *algorithms, *options],
        env=environment(PATH=path),
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert table.returncode == 0, table.stdout + table.stderr
    rows = [line.strip("| ").split(" | ") for line in table.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["ddp", "gradient-allreduce"]
    ddp, ours = ([float(cell) for cell in row[3:7]] for row in rows)
    assert ddp[2] > 20 and ours == pytest.approx(ddp, abs=1)
