"""The example of asynchronous consensus, with a slow rank. It fails by itself unless all ranks agree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ranks import REPOSITORY, environment, find_bfrun

EXAMPLE = REPOSITORY / "examples/python/push_sum_consensus.py"


def run_example(ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [find_bfrun(), "-np", str(ranks), sys.executable, str(EXAMPLE), *arguments]
    return subprocess.run(
        command, env=environment(), text=True, capture_output=True, timeout=120, check=False
    )


@pytest.mark.parametrize("ranks", [4, 7])
def test_all_agree_with_a_slow_rank_and_draw_it(ranks: int, tmp_path: Path) -> None:
    picture = tmp_path / "consensus.png"
    job = run_example(ranks, "--seconds", "2", "--slow-rank", "2", "--plot", str(picture))
    assert job.returncode == 0, job.stdout + job.stderr
    rates = [float(rate) for rate in re.findall(r"^rank \d+: (\S+) iterations/s", job.stdout, re.MULTILINE)]
    assert len(rates) == ranks
    assert rates[2] == min(rates), "the slow rank was slow"
    assert job.stdout.splitlines()[-1].startswith("total p off by ")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_slow_rank_that_is_none_is_one_clear_line() -> None:
    job = run_example(2, "--slow-rank", "2")
    assert job.returncode != 0
    assert "push_sum_consensus.py: --slow-rank 2: ranks are 0 to 1" in job.stderr.splitlines()
