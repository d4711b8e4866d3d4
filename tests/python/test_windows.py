"""Windows on one to four ranks, over shared memory and TCP: each check of the scripts in jobs/ is a test."""

from __future__ import annotations

import json
import os
import signal

import pytest
from bfrun_hosts import Hosts, hosts
from bfrun_job import Job, job, python
from launched_job import PROLOGUE
from ranks import HERE, PACKAGE, checks_of, once, run_checks

__all__ = ["hosts", "job"]  # the fixtures

SCRIPTS = (
    "windows_job",
    "windows_graphs_job",
    "windows_life_job",
    "windows_errors_job",
    "windows_locks_job",
)

#: Transport and number of ranks -> scripts, which run in one job.
JOBS = {
    ("auto", 1): ("windows_job", "windows_graphs_job", "windows_life_job", "windows_errors_job"),
    ("auto", 2): SCRIPTS,
    ("auto", 4): ("windows_job", "windows_graphs_job", "windows_errors_job"),
    ("tcp", 3): SCRIPTS,
}


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    @once
    def of_job(where: tuple[str, int]):
        transport, count = where
        directory = tmp_path_factory.mktemp(f"windows-{transport}-{count}")
        return run_checks(count, directory, *JOBS[where], BLUEFOG_TRANSPORT=transport)

    return of_job


CASES = [
    pytest.param(where, script, name, id=f"{where[0]}-{where[1]}-{script[:-4]}-{name[6:]}")
    for where, scripts in JOBS.items()
    for script in scripts
    for name in checks_of(script)
]


@pytest.mark.parametrize(("where", "script", "name"), CASES)
def test_on_all_ranks(outcomes, where, script, name):
    reports = [report[script][name] for report in outcomes(where)]
    failures = [f"rank {rank}: {report}" for rank, report in enumerate(reports) if report]
    assert not failures, "\n".join(failures)


def start(job: Job, source: str, *arguments: str, **variables: str) -> None:
    paths = os.pathsep.join([str(PACKAGE), str(HERE)])
    settings = {"PYTHONPATH": paths, "BLUEFOG_OP_TIMEOUT": "60", "OMP_NUM_THREADS": "1", **variables}
    job.start(*arguments, *python(PROLOGUE + source), **settings)


def finish(job: Job, ranks: range) -> list[object]:
    assert job.process is not None
    _, err = job.process.communicate(timeout=120)
    assert job.process.returncode == 0, err
    return [json.loads((job.directory / f"{rank}.json").read_text()) for rank in ranks]


def test_ranks_of_one_host_and_of_another(job: Job, hosts: Hosts) -> None:
    """Two share memory, and the third is reached by TCP: the checks of results, all in one job."""
    source = """
from job import outcomes_of
from jobs import windows_graphs_job, windows_job
outcomes = {**outcomes_of(windows_job), **outcomes_of(windows_graphs_job)}
bf.init()
report([name + outcome for name, outcome in outcomes.items() if outcome])
"""
    start(job, source, "-np", "3", *hosts.arguments("localhost:2,b:1"))
    assert finish(job, range(3)) == [[]] * 3


DEATH = """
from bluefog.common.errors import PeerLostError
bf.init()
bf.set_topology(bf.FullyConnectedGraph(3))
rank = bf.rank()
x = torch.full((20_000,), float(rank + 1))
bf.win_create(x, "w", zero_init=True)
bf.win_create(torch.ones(3), "other")
bf.barrier()
def wait_for(name):
    while not (directory / name).exists():
        time.sleep(0.002)
if rank == 2:
    with bf.win_mutex("w"), bf.win_mutex("w", for_self=True), bf.win_lock("w"):
        report(os.getpid(), "pid")
        time.sleep(1000)
wait_for("pid.json")
waiting = bf.win_put_nonblocking(torch.ones(20_000), "w", dst_weights=[2], require_mutex=True)
getting = bf.win_get_nonblocking("other")
assert not bf.win_poll(waiting)
report("waits", f"waits{rank}")
for handle in (waiting, getting):  # the former waits for a mutex that rank 2 holds until it is killed
    try:
        bf.win_wait(handle)
    except PeerLostError as error:
        assert error.peer == 2 and "rank 2" in str(error), error
    else:
        assert handle is getting
with bf.win_mutex("w", for_self=True, ranks=[2]):  # that rank 2 held
    pass
for call in (
    lambda: bf.win_put(x, "w"),
    lambda: bf.win_get("w"),
    lambda: bf.win_accumulate(x, "w", dst_weights=[2]),
    lambda: bf.win_mutex("w", ranks=[2]).__enter__(),
):
    try:
        call()
    except PeerLostError as error:
        assert error.peer == 2, error
    else:
        raise AssertionError("no error")
other = 1 - rank
bf.win_put(x, "w", dst_weights=[other], require_mutex=True)
bf.barrier(group=[0, 1])
seen = bf.win_update("w", 0.0, {other: 1.0}, clone=True)
assert (seen == other + 1).all()
bf.win_get("w", src_weights=[other])
bf.win_update("w", require_mutex=True)
bf.barrier(group=[0, 1])
bf.win_free()
assert bf.get_current_created_window_names() == []
bf.win_create(x, "w", group=[0, 1])
bf.win_put(x, "w")
bf.barrier(group=[0, 1])
bf.win_free()
report(bf.allreduce(torch.ones(1), average=False, group=[0, 1]).item())
"""


@pytest.mark.parametrize("transport", ["auto", "tcp"])
def test_a_rank_dies_that_holds_locks_while_others_put_into_it(job: Job, transport: str) -> None:
    start(job, DEATH, "-np", "3", "--on-rank-death", "keep", BLUEFOG_TRANSPORT=transport)
    job.wait_for_files("pid.json", "waits0.json", "waits1.json")
    os.kill(json.loads((job.directory / "pid.json").read_text()), signal.SIGKILL)
    assert finish(job, range(2)) == [2.0, 2.0]


def test_a_rank_leaves_while_others_put_into_it(job: Job) -> None:
    source = """
from bluefog.common.errors import PeerLostError
bf.init()
x = torch.ones(20_000)
bf.win_create(x, "w")
if bf.rank() == 1:
    bf.win_put(x, "w")
    bf.shutdown()
    report("left")
else:
    try:
        while True:
            bf.win_put(x, "w")
            bf.win_get("w")
    except PeerLostError as error:
        assert error.peer == 1 and "has left the job" in str(error), error
    bf.win_update("w")
    bf.win_free()
    bf.win_create(x, "w", group=[0])
    bf.win_put(x, "w")
    report("stayed")
"""
    start(job, source, "-np", "2")
    assert finish(job, range(2)) == ["stayed", "left"]
