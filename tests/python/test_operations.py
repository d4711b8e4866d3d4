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

#: Once more with tensors that go through pinned memory: those of a GPU, or without one those of the CPU.
STAGED = {"BLUEFOG_STAGING": "always", "JOB_DEVICE": "any"}
STAGED_COUNTS = {
    "staging_job": (2,),
    "neighbor_job": (3,),
    "collective_job": (2,),
    "gossip_job": (3,),
}


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    @once
    def of_job(job: tuple[int, bool]):
        count, staged = job
        scripts = [script for script, at in (STAGED_COUNTS if staged else COUNTS).items() if count in at]
        settings = STAGED if staged else {}
        return run_checks(count, tmp_path_factory.mktemp(f"ranks{count}"), *scripts, **settings)

    return of_job


CASES = [
    pytest.param(script, count, staged, name, id=f"{count}-{prefix}{script[:-4]}-{name[6:]}")
    for staged, prefix, all_counts in ((False, "", COUNTS), (True, "staged-", STAGED_COUNTS))
    for script, counts in all_counts.items()
    for count in counts
    for name in checks_of(script)
]


@pytest.mark.parametrize(("script", "count", "staged", "name"), CASES)
def test_on_all_ranks(outcomes, script, count, staged, name):
    reports = [report[script][name] for report in outcomes((count, staged))]
    failures = [f"rank {rank}: {report}" for rank, report in enumerate(reports) if report]
    assert not failures, "\n".join(failures)
