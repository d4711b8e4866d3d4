"""Jobs in namespaces, as containers give them: little or no /dev/shm, no network, own process numbers."""

from __future__ import annotations

import os
import subprocess

import pytest
from ranks import REPOSITORY, environment, find_bfrun

EXAMPLE = REPOSITORY / "build/release/tools/bfperf/bfperf"
JOB = f"{find_bfrun()} -np 4 {EXAMPLE} --bytes 8388608 --repetitions 2"

IN_NAMESPACE = {
    "a /dev/shm of 64 KiB": ("--mount", "mount -t tmpfs -o size=64k tmpfs /dev/shm"),
    "no /dev/shm that can be written": ("--mount", "mount -t tmpfs -o ro tmpfs /dev/shm"),
    "no network, loopback down": ("--net", "true"),
    "process numbers of its own": ("--pid", "mount -t proc proc /proc"),
    "a host name of its own": ("--uts", "hostname elsewhere"),
}


def run_in_namespace(flag: str, preparation: str, command: str) -> subprocess.CompletedProcess[str]:
    unshare = ["unshare", "--mount", "--fork", flag, "sh", "-c", f"{preparation} && {command}"]
    return subprocess.run(
        unshare, env=environment(), text=True, capture_output=True, timeout=120, check=False
    )


@pytest.mark.parametrize("situation", IN_NAMESPACE)
def test_a_job_mixes_right_values_with(situation: str) -> None:
    flag, preparation = IN_NAMESPACE[situation]
    job = run_in_namespace(flag, preparation, JOB)
    assert job.returncode == 0, job.stdout + job.stderr
    assert "slices" in job.stdout and "ring" in job.stdout


def test_two_jobs_with_equal_process_numbers_do_not_meet() -> None:
    """Both bfruns are process 1 or 2 of their namespaces, and share the abstract sockets of this host."""
    command = ["unshare", "--mount", "--fork", "--pid", "sh", "-c", f"mount -t proc proc /proc && {JOB}"]
    jobs = [
        subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    for job in jobs:
        output, _ = job.communicate(timeout=120)
        assert job.returncode == 0, output


def test_nothing_is_left_in_dev_shm() -> None:
    before = set(os.listdir("/dev/shm"))
    job = run_in_namespace("--uts", "true", JOB)
    assert job.returncode == 0, job.stdout + job.stderr
    assert set(os.listdir("/dev/shm")) <= before
