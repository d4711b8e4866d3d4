"""The operations of bluefog.torch on one to four ranks: each check of the scripts in jobs/ is a test.

All checks for one number of ranks run in one job; importing torch takes longer than most of them.
"""

from __future__ import annotations

import pytest
from ranks import checks_of, once, run_checks

COUNTS = {
    "neighbor_job": (1, 2, 3, 4),
    "collective_job": (1, 2, 3, 4),
    "tensors_job": (1, 2, 3),
    "basics_job": (1, 2, 3),
    "utility_job": (1, 3),
    "optimizer_state_job": (2, 3),
    "gossip_job": (2, 3, 4),
    "consensus_job": (1, 3),
    "suspend_job": (2, 3),
    "bad_input_job": (3,),
    "interrupt_job": (2,),
}


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    @once
    def of_job(count: int):
        scripts = [script for script, counts in COUNTS.items() if count in counts]
        return run_checks(count, tmp_path_factory.mktemp(f"ranks{count}"), *scripts)

    return of_job


CASES = [
    pytest.param(script, count, name, id=f"{count}-{script[:-4]}-{name[6:]}")
    for script, counts in COUNTS.items()
    for count in counts
    for name in checks_of(script)
]


@pytest.mark.parametrize(("script", "count", "name"), CASES)
def test_on_all_ranks(outcomes, script, count, name):
    reports = [report[script][name] for report in outcomes(count)]
    failures = [f"rank {rank}: {report}" for rank, report in enumerate(reports) if report]
    assert not failures, "\n".join(failures)
