"""Wrapped optimizers: each check of jobs/optimizers_*_job.py, run by all ranks of a job, is a test."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from ranks import checks_of, once, run_checks

TINY_BUCKETS = {"BLUEFOG_BUCKET_SIZE": "64"}
SMALL_BUCKETS = {"BLUEFOG_BUCKET_SIZE": "4096"}
SEVERAL_HOSTS = {"BLUEFOG_TRANSPORT": "tcp"}
#: Parameters are mixed through pinned memory: those of a GPU, or without one those of the CPU.
STAGED = {"BLUEFOG_STAGING": "always", "JOB_DEVICE": "any"}


class Job(NamedTuple):
    """Ranks of one job run the checks of optimizers_<script>_job.py, one script after the other."""

    ranks: int
    scripts: tuple[str, ...]
    settings: dict[str, str] = {}


FOR_FOUR = ("atc", "atc_in_backward", "awc", "algorithms", "gradient")
JOBS = {
    "one": Job(1, ("alone",)),
    "two": Job(2, ("buckets",)),
    "tiny": Job(2, ("training", "mistakes"), TINY_BUCKETS),
    "three": Job(3, ("wrapper",)),
    "four": Job(4, (*FOR_FOUR, "join", "windows"), SMALL_BUCKETS),
    "over_hosts": Job(4, ("awc",), SEVERAL_HOSTS),
    "staged_two": Job(2, ("training",), {**TINY_BUCKETS, **STAGED}),
    "staged_four": Job(4, FOR_FOUR, {**SMALL_BUCKETS, **STAGED}),
}


def module_of(script: str) -> str:
    return f"optimizers_{script}_job"


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    @once
    def of_job(name: str):
        job = JOBS[name]
        modules = [module_of(script) for script in job.scripts]
        return run_checks(job.ranks, tmp_path_factory.mktemp(name), *modules, **job.settings)

    return of_job


CASES = [
    pytest.param(job, module_of(script), check, id=f"{job}-{script}-{check[6:]}")
    for job in JOBS
    for script in JOBS[job].scripts
    for check in checks_of(module_of(script))
]


@pytest.mark.parametrize(("job", "module", "check"), CASES)
def test_on_every_rank(outcomes, job, module, check):
    for rank, report in enumerate(outcomes(job)):
        assert report[module][check] == "", f"rank {rank}: {report[module][check]}"
