"""The C++ example that trains on Fashion-MNIST, on a small made-up data set of the same format."""

from __future__ import annotations

import gzip
import re
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ranks import BUILD, environment, find_bfrun
from stripes import idx_bytes, write_stripes

PROGRAM = str(BUILD / "examples/cpp/asynchronous_fashion_mnist")
SHORT = ["--seconds", "1", "--lr", "0.005"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_stripes(tmp_path)
    return tmp_path


def train(*command: str) -> tuple[list[int], list[float], float]:
    """Steps of the ranks, accuracies of their models, and that of the mean model."""
    job = subprocess.run(command, env=environment(), text=True, capture_output=True, timeout=60, check=False)
    assert job.returncode == 0, job.stdout + job.stderr
    found = re.fullmatch(
        r"\S+: ([\d ]+) steps of the ranks in \S+ s: accuracy ([\d. ]+) %, of the mean model (\S+) %\n",
        job.stdout,
    )
    assert found, job.stdout
    return (
        [int(steps) for steps in found[1].split()],
        [float(percent) for percent in found[2].split()],
        float(found[3]),
    )


def writes_to_stderr(*command: str) -> list[str]:
    """What a program that must fail writes: each write keeps its bounds in such a socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, subprocess.Popen(command, env=environment(), stderr=theirs) as program:
        theirs.close()
        ours.settimeout(30)
        writes = list(iter(lambda: ours.recv(1 << 16).decode(), ""))
    assert program.returncode == 1
    return writes


@pytest.mark.parametrize("mixing", ["put", "get", "push-sum", "pairwise"])
def test_a_slow_rank_has_what_the_others_learn(mixing: str, data: Path) -> None:
    slow = ["--slow-rank", "2", "--slow-factor", "10"]
    options = ["--data", str(data), "--mixing", mixing, *SHORT, *slow]
    steps, accuracies, of_mean = train(find_bfrun(), "-np", "3", PROGRAM, *options)
    assert len(steps) == len(accuracies) == 3
    assert 1 <= steps[2] <= 10 and min(steps[:2]) > 2 * steps[2]
    assert min(accuracies) > 90 and of_mean > 90


def test_as_few_steps_without_others_are_not_enough(data: Path) -> None:
    steps, accuracies, _ = train(PROGRAM, "--data", str(data), *SHORT, "--step-time", "0.1")
    assert 1 <= steps[0] <= 10 and accuracies[0] < 90


def test_one_rank_alone_learns_from_files_that_are_not_packed(data: Path) -> None:
    for path in data.iterdir():
        path.write_bytes(gzip.decompress(path.read_bytes()))
    steps, accuracies, of_mean = train(PROGRAM, "--data", str(data), "--seconds", "0.5", "--step-time", "0")
    assert steps[0] > 10 and accuracies == [of_mean] and of_mean > 80


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--batch-size", "0"], "--batch-size must be positive"),
        (["--batch-size", "-3"], "--batch-size must be positive"),
        (["--batch-size", "many"], "--batch-size"),
        (["--seconds", "nan"], "--seconds must"),
        (["--step-time", "-1"], "--step-time must"),
        (["--slow-factor", "inf"], "--slow-factor must"),
        (["--lr", "0"], "--lr must"),
        (["--momentum", "1"], "--momentum must"),
        (["--mixing", "none"], "--mixing: none not in {put,get,push-sum,pairwise}"),
        (["--slow-rank", "1"], "--slow-rank 1: ranks are 0 to 0"),
        (["--slow-rank", "-1"], "--slow-rank -1: ranks are 0 to 0"),
        (["--faster"], "--faster"),
        (["--data", "/nowhere"], "put train-images-idx3-ubyte.gz"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], complaint: str) -> None:
    writes = writes_to_stderr(PROGRAM, *arguments)
    assert len(writes) == 1
    assert re.fullmatch(rf"asynchronous_fashion_mnist: .*{re.escape(complaint)}.*\n", writes[0])


PACKED = gzip.compress(idx_bytes(np.zeros(203, np.uint8)))
DAMAGED_CHECKSUM = bytes([PACKED[-8] ^ 1])


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("labels-idx1", b"", "ends too early"),
        ("labels-idx1", b"none of these", "not an IDX file of unsigned bytes in 1 dimension"),
        ("labels-idx1", PACKED[:-10], "unexpected end of file"),
        ("labels-idx1", PACKED[:-4], "unexpected end of file"),
        ("labels-idx1", PACKED[:-8] + DAMAGED_CHECKSUM + PACKED[-7:], "incorrect data check"),
        ("labels-idx1", idx_bytes(np.zeros(203, np.uint8))[:-1], "ends too early"),
        ("labels-idx1", idx_bytes(np.zeros(203, np.uint8)) + b"x", "longer than its header says"),
        ("labels-idx1", idx_bytes(np.zeros(202, np.uint8)), "202 labels for 203 images"),
        ("labels-idx1", idx_bytes(np.full(203, 10, np.uint8)), "there is no class 10"),
        ("images-idx3", idx_bytes(np.zeros((203, 28), np.uint8)), "unsigned bytes in 3 dimension"),
        ("images-idx3", idx_bytes(np.zeros((203, 28, 27), np.uint8)), "items of extent 27 instead of 28"),
        ("images-idx3", idx_bytes(np.zeros((1, 28, 28), np.uint8))[:4] + b"\xff" * 4, "ends too early"),
    ],
)
def test_files_that_hold_something_else_are_one_line(
    name: str, content: bytes, complaint: str, data: Path
) -> None:
    path = data / f"t10k-{name}-ubyte.gz"
    path.write_bytes(content)
    writes = writes_to_stderr(PROGRAM, "--data", str(data))
    assert len(writes) == 1
    start = re.escape(f"asynchronous_fashion_mnist: {path}: ")
    assert re.fullmatch(rf"{start}.*{re.escape(complaint)}.*\n", writes[0])


def test_fewer_images_than_ranks_are_one_clear_line(tmp_path: Path) -> None:
    write_stripes(tmp_path, training_images=2)
    job = subprocess.run(
        [find_bfrun(), "-np", "3", PROGRAM, "--data", str(tmp_path)],
        env=environment(),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert job.returncode != 0 and job.stdout == ""
    complaints = {line for line in job.stderr.splitlines() if not line.startswith("bfrun:")}
    assert complaints == {f"asynchronous_fashion_mnist: {tmp_path}: too few images for 3 rank(s)"}
