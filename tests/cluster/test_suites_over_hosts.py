"""The C++ suites of operations, whose ranks are processes on hosts with networks of their own.

They give the same bits as in shared memory, for their reference is the same.
"""

from __future__ import annotations

import re

import pytest
from bfrun_job import Job, job
from network import Network
from ranks import BUILD
from test_hosts import Launch

__all__ = ["job"]  # the fixture

REDUCTIONS = ("reductions_test", "Matrix/Reductions.*")
COLLECTIVES = (
    "collectives_test",
    "Matrix/Collectives.*:Matrix/Meetings.*-*NobodyLeaves*",
)  # has shared memory
MACHINES = ("hierarchical_test", "Jobs/HierarchicalMixing.*")


def run_suite(job: Job, layout: list[int], suite: tuple[str, str], **variables: str) -> int:
    """On so many hosts, with so many ranks on each; returns how many tests have passed."""
    program, names = suite
    with Network(len(layout)) as network:
        launch = Launch(job, network)
        hosts = ["localhost", *network.hosts[1:]]
        places = [f"{host}:{ranks}" for host, ranks in zip(hosts, layout, strict=True)]
        settings = [word for name, value in variables.items() for word in ("-x", f"{name}={value}")]
        command = [str(BUILD / "tests" / "multi" / program), f"--gtest_filter={names}", "--gtest_brief=1"]
        launch.start(places, "-np", str(sum(layout)), "--tag-output", *settings, *command)
        code, out, err = job.finish(patience=300)
    assert code == 0, out[-5000:] + err[-5000:]
    passed = re.findall(r"^\[(\d+)\].*\[  PASSED  \] (\d+) tests?\.$", out, re.MULTILINE)
    assert sorted(int(rank) for rank, _ in passed) == list(range(sum(layout)))
    [count] = {int(count) for _, count in passed}
    assert count > 0
    return count


@pytest.mark.parametrize("layout", [[1, 1, 1, 1], [2, 2], [4, 4], [1, 3]], ids=str)
def test_reductions(job: Job, layout: list[int]) -> None:
    run_suite(job, layout, REDUCTIONS)


@pytest.mark.parametrize("layout", [[1, 1, 1], [2, 2], [1, 3]], ids=str)
def test_collectives(job: Job, layout: list[int]) -> None:
    run_suite(job, layout, COLLECTIVES)


@pytest.mark.parametrize("layout", [[2, 2], [1, 3], [4, 4]], ids=str)
def test_means_of_machines(job: Job, layout: list[int]) -> None:
    run_suite(job, layout, MACHINES)


@pytest.mark.parametrize("suite", [REDUCTIONS, COLLECTIVES], ids=["reductions", "collectives"])
def test_one_host_forced_onto_tcp(job: Job, suite: tuple[str, str]) -> None:
    run_suite(job, [3], suite, BLUEFOG_TRANSPORT="tcp")


def test_encrypted(job: Job) -> None:
    run_suite(job, [2, 2], REDUCTIONS, BLUEFOG_ENCRYPT="1")
