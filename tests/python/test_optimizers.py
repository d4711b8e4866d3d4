"""Wrapped optimizers: each check of jobs/optimizers_*_job.py, run by all ranks of a job, is a test."""

from __future__ import annotations

import pytest
from ranks import checks_of, once, run_checks

#: Script -> number of ranks, and settings.
JOBS: dict[str, tuple[int, dict[str, str]]] = {
    "optimizers_alone_job": (1, {}),
    "optimizers_buckets_job": (2, {}),
    "optimizers_wrapper_job": (3, {}),
    "optimizers_training_job": (2, {"BLUEFOG_BUCKET_SIZE": "64"}),
    "optimizers_mistakes_job": (2, {"BLUEFOG_BUCKET_SIZE": "64"}),
    "optimizers_atc_job": (4, {"BLUEFOG_BUCKET_SIZE": "4096"}),
    "optimizers_awc_job": (4, {}),
    "optimizers_algorithms_job": (4, {"BLUEFOG_BUCKET_SIZE": "4096"}),
    "optimizers_join_job": (4, {"BLUEFOG_BUCKET_SIZE": "4096"}),
    "optimizers_gradient_job": (4, {"BLUEFOG_BUCKET_SIZE": "4096"}),
    "optimizers_windows_job": (4, {"BLUEFOG_BUCKET_SIZE": "4096"}),
}


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    @once
    def of_job(script: str):
        count, settings = JOBS[script]
        return run_checks(count, tmp_path_factory.mktemp(script), script, **settings)

    return of_job


CASES = [
    pytest.param(script, name, id=f"{script[11:-4]}-{name[6:]}")
    for script in JOBS
    for name in checks_of(script)
]


@pytest.mark.parametrize(("script", "name"), CASES)
def test_on_every_rank(outcomes, script, name):
    for rank, report in enumerate(outcomes(script)):
        assert report[script][name] == "", f"rank {rank}: {report[script][name]}"
