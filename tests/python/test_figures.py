"""The figures of algorithms, through optimizers of torch."""

from __future__ import annotations

import pytest
from ranks import checks_of, once, run_forked_checks

SCRIPT = "figures_job"


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    return once(lambda script: run_forked_checks(16, tmp_path_factory.mktemp(script), script))


@pytest.mark.parametrize("name", checks_of(SCRIPT))
def test_on_every_rank(outcomes, name):
    for rank, report in enumerate(outcomes(SCRIPT)):
        assert report[SCRIPT][name] == "", f"rank {rank}: {report[SCRIPT][name]}"
