"""Wrapped optimizers: each check of jobs/optimizers_*_job.py, run by all ranks of a job, is a test."""

from __future__ import annotations

import pytest
from ranks import checks_of, once, run_checks

TINY_BUCKETS = {"BLUEFOG_BUCKET_SIZE": "64"}
SMALL_BUCKETS = {"BLUEFOG_BUCKET_SIZE": "4096"}
SEVERAL_HOSTS = {"BLUEFOG_TRANSPORT": "tcp"}
#: Parameters are mixed through pinned memory: those of a GPU, or without one those of the CPU.
STAGED = {"BLUEFOG_STAGING": "always", "JOB_DEVICE": "any"}

#: Name -> script (optimizers_<it>_job.py), number of ranks, and settings.
JOBS: dict[str, tuple[str, int, dict[str, str]]] = {
    "alone": ("alone", 1, {}),
    "buckets": ("buckets", 2, {}),
    "wrapper": ("wrapper", 3, {}),
    "training": ("training", 2, TINY_BUCKETS),
    "mistakes": ("mistakes", 2, TINY_BUCKETS),
    "atc": ("atc", 4, SMALL_BUCKETS),
    "atc_in_backward": ("atc_in_backward", 4, SMALL_BUCKETS),
    "awc": ("awc", 4, {}),
    "awc_over_hosts": ("awc", 4, SEVERAL_HOSTS),
    "algorithms": ("algorithms", 4, SMALL_BUCKETS),
    "join": ("join", 4, SMALL_BUCKETS),
    "gradient": ("gradient", 4, SMALL_BUCKETS),
    "windows": ("windows", 4, SMALL_BUCKETS),
    "training_staged": ("training", 2, {**TINY_BUCKETS, **STAGED}),
    "atc_staged": ("atc", 4, {**SMALL_BUCKETS, **STAGED}),
    "atc_in_backward_staged": ("atc_in_backward", 4, {**SMALL_BUCKETS, **STAGED}),
    "awc_staged": ("awc", 4, STAGED),
    "algorithms_staged": ("algorithms", 4, {**SMALL_BUCKETS, **STAGED}),
    "gradient_staged": ("gradient", 4, {**SMALL_BUCKETS, **STAGED}),
}


def script_of(name: str) -> str:
    return f"optimizers_{name}_job"


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    @once
    def of_job(job: str):
        script, count, settings = JOBS[job]
        return run_checks(count, tmp_path_factory.mktemp(job), script_of(script), **settings)

    return of_job


CASES = [
    pytest.param(job, script_of(script), name, id=f"{job}-{name[6:]}")
    for job, (script, _, _) in JOBS.items()
    for name in checks_of(script_of(script))
]


@pytest.mark.parametrize(("job", "script", "name"), CASES)
def test_on_every_rank(outcomes, job, script, name):
    for rank, report in enumerate(outcomes(job)):
        assert report[script][name] == "", f"rank {rank}: {report[script][name]}"
