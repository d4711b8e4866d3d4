"""bfrun over several hosts, through a stand-in for ssh: how jobs end, and that nobody is left anywhere."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from bfrun_hosts import Hosts, executable, hosts
from bfrun_job import Job, job, shell
from test_bfrun_endings import FAMILY, WAIT

__all__ = ["hosts", "job"]  # the fixtures

PLACES = "localhost:1,b:2,c:1"


def start_families(job: Job, hosts: Hosts, **variables: str) -> list[int]:
    """Four ranks on three hosts, each with descendants that try to get away; their process numbers."""
    job.start("-np", "4", *hosts.arguments(PLACES), *shell(FAMILY + WAIT), **variables)
    return [job.pid_in(f"pid.{rank}") for rank in range(4)]


@pytest.mark.parametrize("rank", [0, 2])
def test_a_killed_rank_ends_the_job_on_all_hosts(job: Job, hosts: Hosts, rank: int) -> None:
    pids = start_families(job, hosts)
    killed = time.monotonic()
    os.kill(pids[rank], signal.SIGKILL)
    code, _, err = job.finish()
    assert time.monotonic() - killed < 10  # a second, and what a busy machine adds
    assert code == 128 + signal.SIGKILL
    host = "localhost" if rank == 0 else "b"
    assert err == (
        f"bfrun: rank {rank} on {host} (pid {pids[rank]}) was killed by signal 9 (SIGKILL); "
        "the job is stopped\n"
    )
    job.wait_until_nobody_is_left()


def test_exit_code_of_the_first_failing_rank(job: Job, hosts: Hosts) -> None:
    program = shell("if [ $RANK = 3 ]; then exit 7; fi; exec sleep 1000")
    result = job.run("-np", "4", *hosts.arguments(PLACES), *program)
    assert result.returncode == 7
    assert re.fullmatch(
        r"bfrun: rank 3 on c \(pid \d+\) exited with code 7; the job is stopped\n", result.stderr
    )
    job.wait_until_nobody_is_left()


def test_ranks_elsewhere_get_time_to_end_in_order(job: Job, hosts: Hosts) -> None:
    program = """
    if [ $RANK = 0 ]; then while [ ! -e $DIR/ready ]; do sleep 0.01; done; exit 5; fi
    trap 'touch $DIR/saved; exit 0' TERM; touch $DIR/ready; while :; do sleep 0.01; done
    """
    result = job.run("-np", "2", *hosts.arguments("b,c"), *shell(program))
    assert result.returncode == 5
    assert (job.directory / "saved").exists()


def test_keep_lets_all_hosts_go_on(job: Job, hosts: Hosts) -> None:
    program = """
    echo $$ > $DIR/pid.$RANK
    if [ $RANK = 3 ]; then while [ ! -e $DIR/fail ]; do sleep 0.01; done; exit 4; fi
    while [ ! -e $DIR/go ]; do sleep 0.01; done; echo done
    """
    process = job.start("-np", "4", "--on-rank-death=keep", *hosts.arguments(PLACES), *shell(program))
    pids = [job.pid_in(f"pid.{rank}") for rank in range(4)]
    assert process.stderr is not None
    os.kill(pids[1], signal.SIGKILL)
    assert process.stderr.readline() == (
        f"bfrun: rank 1 on b (pid {pids[1]}) was killed by signal 9 (SIGKILL); the other ranks go on\n"
    )
    (job.directory / "fail").touch()
    assert process.stderr.readline().endswith(" exited with code 4; the other ranks go on\n")
    (job.directory / "go").touch()
    assert job.finish() == (0, "done\ndone\n", "")
    job.wait_until_nobody_is_left()


def test_keep_goes_on_without_a_lost_host(job: Job, hosts: Hosts) -> None:
    program = "echo $$ > $DIR/pid.$RANK; while [ ! -e $DIR/go ]; do sleep 0.01; done; echo done"
    process = job.start("-np", "4", "--on-rank-death=keep", *hosts.arguments(PLACES), *shell(program))
    for rank in range(4):
        job.pid_in(f"pid.{rank}")
    os.kill(hosts.pid_of_ssh("b"), signal.SIGKILL)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("bfrun: b (ranks 1-2) is lost: ")
    assert line.endswith("; the other ranks go on\n")
    (job.directory / "go").touch()
    assert job.finish() == (0, "done\ndone\n", "")
    job.wait_until_nobody_is_left()


def test_keep_without_a_survivor_on_any_host(job: Job, hosts: Hosts) -> None:
    program = "while [ ! -e $DIR/go.$RANK ]; do sleep 0.01; done; exit $((4 + RANK))"
    process = job.start("-np", "2", "--on-rank-death=keep", *hosts.arguments("b,c"), *shell(program))
    assert process.stderr is not None
    (job.directory / "go.1").touch()
    assert process.stderr.readline().endswith(" exited with code 5; the other ranks go on\n")
    (job.directory / "go.0").touch()
    code, _, err = job.finish()
    assert code == 5
    assert err.endswith(" exited with code 4; no rank is left\n")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_ranks_of_all_hosts(job: Job, hosts: Hosts, sent: signal.Signals) -> None:
    trap = f"trap 'touch $DIR/trapped.$RANK; exit 0' {sent.name[3:]};"
    program = trap + "touch $DIR/ready.$RANK; while :; do sleep 0.01; done"
    process = job.start("-np", "3", *hosts.arguments("localhost,b,c"), *shell(program))
    job.wait_for_files("ready.0", "ready.1", "ready.2")
    process.send_signal(sent)
    code, _, err = job.finish()
    assert code == 128 + sent
    assert f"bfrun: received signal {int(sent)} ({sent.name}); the job is stopped\n" in err
    assert all((job.directory / f"trapped.{rank}").exists() for rank in range(3))
    job.wait_until_nobody_is_left()


def test_ctrl_c_while_hosts_are_asked(job: Job, hosts: Hosts) -> None:
    program = executable(job, f"#!/bin/sh\ntouch {job.directory}/started\nexec sleep 1000\n")
    process = job.start("-np", "2", *hosts.arguments("localhost,b"), "--remote-bfrun", program, "true")
    job.wait_for_files("started")
    process.send_signal(signal.SIGINT)
    code, _, err = job.finish()
    assert (code, err) == (130, "bfrun: received signal 2 (SIGINT); the job is stopped\n")


def test_a_second_ctrl_c_kills_on_all_hosts(job: Job, hosts: Hosts) -> None:
    program = "trap 'touch $DIR/trapped.$RANK' INT; touch $DIR/ready.$RANK; while :; do sleep 0.01; done"
    process = job.start("-np", "2", *hosts.arguments("b,c"), *shell(program))
    job.wait_for_files("ready.0", "ready.1")
    process.send_signal(signal.SIGINT)
    job.wait_for_files("trapped.0", "trapped.1")
    process.send_signal(signal.SIGINT)
    assert job.finish()[0] == 130
    job.wait_until_nobody_is_left()


def test_what_outlives_the_ranks_of_a_host_is_ended(job: Job, hosts: Hosts) -> None:
    result = job.run("-np", "2", *hosts.arguments("localhost,b"), *shell("[ $RANK = 0 ] || {" + FAMILY + "}"))
    assert result.returncode == 0
    assert re.fullmatch(r"bfrun: b: ending \d process\(es\) that outlived the ranks\n", result.stderr)
    assert job.pids() == []


# ---- sudden deaths


def test_nobody_survives_the_sigkill_of_bfrun(job: Job, hosts: Hosts) -> None:
    start_families(job, hosts)
    assert job.process is not None
    job.process.kill()
    job.wait_until_nobody_is_left()


def test_nobody_survives_the_sigkill_of_an_ssh(job: Job, hosts: Hosts) -> None:
    start_families(job, hosts)
    pid = hosts.pid_of_ssh("b")
    os.kill(pid, signal.SIGKILL)
    code, _, err = job.finish()
    assert code == 128 + signal.SIGKILL
    assert err == (
        f"bfrun: b (ranks 1-2) is lost: its ssh (pid {pid}) was killed by signal 9 (SIGKILL); "
        "the job is stopped\n"
    )
    job.wait_until_nobody_is_left()


def test_nobody_survives_the_sigkill_of_an_agent_elsewhere(job: Job, hosts: Hosts) -> None:
    start_families(job, hosts)
    _, agent = hosts.pids_of_bfrun("b")
    os.kill(agent, signal.SIGKILL)
    code, _, err = job.finish()
    assert code == 1
    assert re.fullmatch(
        r"bfrun: b \(ranks 1-2\) is lost: its ssh \(pid \d+\) exited with code 137 "
        r"\(bfrun: the agent was killed by signal 9 \(SIGKILL\)\); the job is stopped\n",
        err,
    )
    job.wait_until_nobody_is_left()


def test_nobody_survives_the_sigkill_of_bfrun_elsewhere(job: Job, hosts: Hosts) -> None:
    start_families(job, hosts)
    keeper, _ = hosts.pids_of_bfrun("b")
    os.kill(keeper, signal.SIGKILL)
    code, _, err = job.finish()
    assert code == 1
    assert len(err.splitlines()) == 1 and err.startswith("bfrun: b (ranks 1-2) is lost: ")
    job.wait_until_nobody_is_left()


def test_nobody_survives_the_sigkill_of_the_agent_here(job: Job, hosts: Hosts) -> None:
    start_families(job, hosts)
    [agent] = [
        pid
        for pid in job.children_of_bfrun()
        if pid != hosts.pid_of_ssh("b") and pid != hosts.pid_of_ssh("c")
    ]
    os.kill(agent, signal.SIGKILL)
    code, _, err = job.finish()
    assert code == 128 + signal.SIGKILL
    assert err == (
        f"bfrun: localhost (rank 0) is lost: its agent (pid {agent}) was killed by signal 9 (SIGKILL); "
        "the job is stopped\n"
    )
    job.wait_until_nobody_is_left()


def test_a_frozen_host_is_given_up(job: Job, hosts: Hosts) -> None:
    """Neither process nor connection ends, but no sign of life comes any more."""
    start_families(job, hosts, BLUEFOG_HEARTBEAT="0.25")
    _, agent = hosts.pids_of_bfrun("b")
    os.kill(agent, signal.SIGSTOP)
    code, _, err = job.finish()
    assert code == 128 + signal.SIGKILL
    assert err == "bfrun: b (ranks 1-2) is lost: no sign of life for 7.5 s; the job is stopped\n"
    os.kill(agent, signal.SIGCONT)
    job.wait_until_nobody_is_left()
