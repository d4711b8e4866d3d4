"""Mixing of machines on four ranks: each check of jobs/hierarchical_job.py is a test, on every transport."""

from __future__ import annotations

import pytest
from ranks import checks_of, once, run_checks

JOB = "hierarchical_job"
TRANSPORTS = ("auto", "shm", "tcp")


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    @once
    def on_transport(transport: str):
        settings = {"BLUEFOG_TRANSPORT": transport, "BLUEFOG_NODES_PER_MACHINE": "2"}
        return run_checks(4, tmp_path_factory.mktemp(transport), JOB, **settings)

    return on_transport


@pytest.mark.parametrize("name", checks_of(JOB))
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_on_every_rank(outcomes, transport, name):
    for rank, report in enumerate(outcomes(transport)):
        assert report[JOB][name] == "", f"rank {rank}: {report[JOB][name]}"
