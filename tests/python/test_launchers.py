"""Unchanged scripts under torchrun, and started by hand."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from bfrun_job import Job, job, wait_until
from launched_job import (
    EXAMPLE,
    LONG,
    MEET,
    by_hand,
    end,
    free_port,
    launch,
    output_of,
    reports,
    script,
    torchrun,
    wait_for_reports,
)
from ranks import PACKAGE, REPOSITORY
from test_fashion_mnist import data

__all__ = ["data", "job"]  # fixtures

ONE_HOST = [[[rank, 4, rank, 4, 0, 1], 1.5] for rank in range(4)]


def test_torchrun_starts_the_ranks_of_one_host(job: Job) -> None:
    end(job, launch(job, torchrun("--standalone", "--nproc-per-node", "4", script(job, MEET))))
    assert reports(job, 4) == ONE_HOST
    assert "bluefog" not in output_of(job)
    job.wait_until_nobody_is_left()


def test_who_shares_a_host_is_not_for_torchrun_to_say(job: Job) -> None:
    """Two agents that take themselves for two hosts."""
    path = script(job, MEET)
    place = ["--nnodes", "2", "--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    agents = [
        launch(job, torchrun(*place, "--node-rank", str(node), "--nproc-per-node", "2", path), f"agent{node}")
        for node in range(2)
    ]
    for node, agent in enumerate(agents):
        end(job, agent, f"agent{node}")
    assert reports(job, 4) == ONE_HOST


def test_torchrun_starts_all_ranks_again_when_one_fails(job: Job) -> None:
    source = """
bf.init()
attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
value = mean()
if attempt == 0 and bf.rank() == 1:
    os._exit(3)
if attempt == 0:
    time.sleep(600)  # until the agent ends it
bf.shutdown()
report([attempt, value])
"""
    arguments = ["--standalone", "--max-restarts", "1", "--nproc-per-node", "3", script(job, source)]
    end(job, launch(job, torchrun(*arguments)))
    assert reports(job, 3) == [[1, 1.0]] * 3
    job.wait_until_nobody_is_left()


@pytest.mark.parametrize("names", ["ours", "torch's"])
def test_ranks_that_are_started_by_hand_meet(job: Job, names: str) -> None:
    port = str(free_port())
    path = script(job, MEET)
    if names == "ours":
        ranks = by_hand(job, path, 4, BLUEFOG_RENDEZVOUS=f"localhost:{port}")
    else:
        ranks = [
            launch(
                job,
                [sys.executable, path],
                f"rank{rank}",
                RANK=str(rank),
                WORLD_SIZE="4",
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=port,
            )
            for rank in range(4)
        ]
    for rank, process in enumerate(ranks):
        end(job, process, f"rank{rank}")
    assert reports(job, 4) == ONE_HOST


def test_cpp_programs_meet_too(job: Job) -> None:
    bfperf = str(REPOSITORY / "build/release/tools/bfperf/bfperf")
    command = [bfperf, "--bytes", "65536", "--repetitions", "2"]
    environments = [
        {"BLUEFOG_RANK": str(rank), "BLUEFOG_SIZE": "2", "BLUEFOG_JOB_ID": "ours"} for rank in range(2)
    ]
    ranks = [launch(job, command, f"rank{i}", **environments[i]) for i in range(2)]
    for rank, process in enumerate(ranks):
        end(job, process, f"rank{rank}")


def test_a_rank_that_does_not_come_is_named_in_time(job: Job) -> None:
    path = script(job, "bf.init()")
    place = {"BLUEFOG_RENDEZVOUS": f"127.0.0.1:{free_port()}", "BLUEFOG_START_TIMEOUT": "1"}
    rank = launch(job, [sys.executable, path], BLUEFOG_RANK="1", BLUEFOG_SIZE="3", **place)
    assert rank.wait(timeout=LONG) == 1
    assert "OperationTimeoutError: rank 1 of 3 joining at 127.0.0.1, port " in output_of(job)
    assert "still missing: ranks 0, 2. Did it call init()?" in output_of(job)


def test_a_key_that_others_may_read_is_refused(job: Job) -> None:
    key = job.directory / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o644)
    [rank, _] = by_hand(job, script(job, "bf.init()"), 2, BLUEFOG_JOB_ID="x", BLUEFOG_JOB_KEY_FILE=str(key))
    assert rank.wait(timeout=LONG) == 1
    assert f"{key} may be read or changed by others: chmod 600 {key}" in output_of(job, "rank0")


def test_the_others_go_on_when_the_leader_is_killed(job: Job) -> None:
    """Whichever rank leads: each is killed in a job of its own, and the two others mix."""
    source = """
import signal
bf.init()
victim = int(os.environ["VICTIM"])
mean()
if bf.rank() == victim:
    os.kill(os.getpid(), signal.SIGKILL)
[peer] = {0, 1, 2} - {victim, bf.rank()}
for step in range(50):
    x = torch.tensor([float(bf.rank())])
    x = bf.neighbor_allreduce(x, self_weight=0.5, src_weights={peer: 0.5}, dst_weights=[peer])
bf.shutdown()
report(x.item(), f"{victim}-{bf.rank()}")
"""
    path = script(job, source)
    for victim in range(3):
        place = {"BLUEFOG_RENDEZVOUS": f"127.0.0.1:{free_port()}", "VICTIM": str(victim)}
        ranks = by_hand(job, path, 3, **place)
        assert [rank.wait(timeout=LONG) for rank in ranks] == [
            -signal.SIGKILL if rank == victim else 0 for rank in range(3)
        ], [output_of(job, f"rank{rank}") for rank in range(3)]
        others = [rank for rank in range(3) if rank != victim]
        values = [json.loads((job.directory / f"{victim}-{rank}.json").read_text()) for rank in others]
        assert values == [sum(others) / 2] * 2


def test_a_rank_that_ends_first_takes_nothing_from_the_others(job: Job) -> None:
    source = """
first = int(os.environ["FIRST"])
bf.init()
value = mean()
if bf.rank() != first:
    while not (directory / "gone").exists():
        time.sleep(0.01)
bf.shutdown()
report(value, f"{first}-{bf.rank()}")
"""
    path = script(job, source)
    for first in range(2):
        ranks = by_hand(job, path, 2, BLUEFOG_JOB_ID=f"first {first}", FIRST=str(first))
        end(job, ranks[first], f"rank{first}")
        (job.directory / "gone").touch()
        end(job, ranks[1 - first], f"rank{1 - first}")
        (job.directory / "gone").unlink()


def test_children_of_the_leader_hold_none_of_its_descriptors(job: Job) -> None:
    source = """
bf.init()
child = os.fork()
if child == 0:
    held = []
    for fd in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{fd}"
        held += [os.readlink(path)] if os.path.lexists(path) else []  # the listing's own is gone
    held = [name for name in held if name.startswith(("socket:", "/memfd:", "anon_inode:[pidfd"))]
    report(held, f"child{bf.rank()}")
    os._exit(0)
os.waitpid(child, 0)
mean()
bf.shutdown()
"""
    ranks = by_hand(job, script(job, source), 2, BLUEFOG_JOB_ID="fork")
    for rank, process in enumerate(ranks):
        end(job, process, f"rank{rank}")
        assert json.loads((job.directory / f"child{rank}.json").read_text()) == []


def test_sigusr1_tells_that_a_rank_waits(job: Job) -> None:
    source = "report(1, 'there')\nbf.init()\n"
    place = f"127.0.0.1:{free_port()}"
    rank = launch(
        job,
        [sys.executable, script(job, source)],
        BLUEFOG_RANK="1",
        BLUEFOG_SIZE="2",
        BLUEFOG_RENDEZVOUS=place,
    )
    wait_for_reports(job, "there")

    def asked() -> bool:
        caught = next(
            line
            for line in pathlib.Path(f"/proc/{rank.pid}/status").read_text().splitlines()
            if "SigCgt" in line
        )
        return bool(int(caught.split()[1], 16) & 1 << (signal.SIGUSR1 - 1))

    wait_until(asked, "a handler of SIGUSR1")
    rank.send_signal(signal.SIGUSR1)
    expected = f"rank 1 waits for all 2 ranks to join at {place}"
    wait_until(lambda: expected in output_of(job), "the report")
    rank.kill()
    rank.wait()


def test_the_quickstart_trains_under_torchrun(job: Job, data: pathlib.Path) -> None:
    output = job.directory / "run"
    arguments = ["--data", str(data), "--epochs", "1", "--no-plot", "--output", str(output)]
    command = torchrun("--standalone", "--nproc-per-node", "2", str(EXAMPLE), *arguments)
    process: subprocess.Popen[str] = launch(job, command, PYTHONPATH=str(PACKAGE))
    end(job, process)
    record = json.loads((output / "run.json").read_text())
    assert record["config"]["ranks"] == 2 and len(record["evaluations"][-1]["ranks"]) == 2
