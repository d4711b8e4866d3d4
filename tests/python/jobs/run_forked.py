"""As run.py, for many ranks: one process imports torch and forks them all.

usage: run_forked.py RANKS SCRIPT
"""

from __future__ import annotations

import importlib
import os
import sys
from multiprocessing import get_context
from types import ModuleType

from job import outcomes_of, report


def run(rank: int, count: int, script: str, module: ModuleType) -> None:
    os.environ.update(BLUEFOG_RANK=str(rank), BLUEFOG_SIZE=str(count), BLUEFOG_JOB_ID=str(os.getppid()))
    report({script: outcomes_of(module)})


if __name__ == "__main__":
    count, script = int(sys.argv[1]), sys.argv[2]
    module = importlib.import_module(f"jobs.{script}")
    fork = get_context("fork")
    ranks = [fork.Process(target=run, args=(rank, count, script, module)) for rank in range(count)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    sys.exit(any(process.exitcode for process in ranks))
