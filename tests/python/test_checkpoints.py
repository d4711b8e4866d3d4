"""What one job has saved, another resumes: to the bit with as many ranks, from the mean with others."""

from __future__ import annotations

import pytest
from ranks import checks_of, once, run_checks

#: Script -> number of ranks.
JOBS = {"saving_job": 4, "resuming_job": 4, "resuming_smaller_job": 2}


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    saved = tmp_path_factory.mktemp("saved")

    @once
    def of_job(script: str):
        if script != "saving_job":
            of_job("saving_job")
        return run_checks(JOBS[script], tmp_path_factory.mktemp(script), script, CHECKPOINTS=str(saved))

    return of_job


@pytest.mark.parametrize(
    ("script", "name"), [(script, name) for script in JOBS for name in checks_of(script)]
)
def test_on_every_rank(outcomes, script, name):
    for rank, report in enumerate(outcomes(script)):
        assert report[script][name] == "", f"rank {rank}: {report[script][name]}"
