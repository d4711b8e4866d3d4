"""Workers that a rank forks, as data loaders do."""

from __future__ import annotations

import json
import sys
from typing import Callable

import pytest
from bfrun_job import Job, job
from ranks import HERE, environment

__all__ = ["job"]  # the fixture


@pytest.fixture
def survivors(job: Job) -> list[dict]:
    """What ranks 1 and 2 report of a job whose rank 0 was killed while a worker of its data loader lives."""
    variables = environment(JOB_DIRECTORY=str(job.directory), BLUEFOG_OP_TIMEOUT="100")
    process = job.start(
        "-np",
        "3",
        "--on-rank-death=keep",
        sys.executable,
        str(HERE / "jobs" / "fork_job.py"),
        **{name: variables[name] for name in ("PYTHONPATH", "JOB_DIRECTORY", "BLUEFOG_OP_TIMEOUT")},
    )
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    ends = [line for line in err.splitlines() if line.startswith("bfrun: rank ")]
    assert len(ends) == 1 and "bfrun: rank 0 (pid " in ends[0], out + err  # nobody but the killed rank failed
    assert "was killed by signal 9 (SIGKILL)" in ends[0]
    return [json.loads((job.directory / f"{rank}.json").read_text()) for rank in (1, 2)]


def test_a_worker_that_outlives_its_killed_rank_disturbs_nobody(
    survivors: list[dict], record_property: Callable[[str, object], None]
) -> None:
    for rank, seen in enumerate(survivors, start=1):
        worker = seen["worker"]
        assert worker["has written"] and seen["worker lives"] and seen["worker wrote again"], (
            "the fault did not happen"
        )
        assert seen["trainer"] == {"untouched": True, "after a step": True}
        assert seen["untouched"]
        assert worker["holds"] == [] and not worker["is a rank"]
        assert seen["lost"] is not None and "rank 0 has died" in seen["lost"], seen["lost"]
        milliseconds = 1000 * seen["seconds until learned"]
        print(f"rank {rank} learned of the death of rank 0 after {milliseconds:.1f} ms")
        record_property(f"rank_{rank}_learned_after_ms", milliseconds)
        # Asserted far above what it takes, for machines that are busy, and far below every deadline.
        assert milliseconds < 20_000
