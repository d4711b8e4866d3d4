"""bfrun, seen from outside: how jobs end, and that nobody is left."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from bfrun_job import PATIENCE, Job, find_bfrun, job, shell, state_and_parent, wait_until

__all__ = ["job"]  # the fixture

# A rank that leaves, beside itself, a child, a child in a session of its own, and a daemon without a parent.
FAMILY = """
sleep 1000 &
setsid sleep 1000 &
(setsid sh -c 'trap "" TERM INT HUP; touch $DIR/daemon.$RANK; sleep 1000' &)
while [ ! -e $DIR/daemon.$RANK ]; do sleep 0.01; done
echo $$ > $DIR/pid.$RANK
"""
WAIT = "exec sleep 1000"


def test_exit_code_of_the_first_failing_rank(job: Job) -> None:
    started = time.monotonic()
    result = job.run("-np", "3", *shell("if [ $RANK = 1 ]; then exit 3; fi; exec sleep 1000"))
    assert time.monotonic() - started < 10
    assert result.returncode == 3
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("bfrun: rank 1 (pid ")
    assert result.stderr.endswith(" exited with code 3; the job is stopped\n")
    job.wait_until_nobody_is_left()


def test_a_rank_that_ends_early_with_success_stops_nobody(job: Job) -> None:
    program = """
    if [ $RANK = 0 ]; then touch $DIR/first; exit 0; fi
    while [ ! -e $DIR/first ]; do sleep 0.01; done
    echo done
    """
    result = job.run("-np", "3", *shell(program))
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\ndone\n", "")


def test_a_killed_rank_ends_the_job_within_a_second(job: Job) -> None:
    job.start("-np", "3", *shell(FAMILY + "trap '' TERM; while :; do sleep 1; done"))
    pids = [job.pid_in(f"pid.{rank}") for rank in range(3)]
    killed = time.monotonic()
    os.kill(pids[2], signal.SIGKILL)
    code, _, err = job.finish()
    assert time.monotonic() - killed < 10  # a second, and what a busy machine adds
    assert code == 128 + signal.SIGKILL
    assert err == f"bfrun: rank 2 (pid {pids[2]}) was killed by signal 9 (SIGKILL); the job is stopped\n"
    job.wait_until_nobody_is_left()


def test_a_rank_gets_time_to_end_in_order(job: Job) -> None:
    program = shell("trap 'touch $DIR/saved; exit 0' TERM; touch $DIR/ready; while :; do sleep 0.01; done")
    failing = "if [ $RANK = 1 ]; then while [ ! -e $DIR/ready ]; do sleep 0.01; done; exit 5; fi; "
    result = job.run("-np", "2", *shell(failing + program[2]))
    assert result.returncode == 5
    assert (job.directory / "saved").exists()


def test_keep_lets_the_others_go_on(job: Job) -> None:
    """The job's exit code is that of the survivors; each death is one line."""
    program = """
    case $RANK in
      1) echo $$ > $DIR/pid.1; exec sleep 1000;;
      2) while [ ! -e $DIR/fail ]; do sleep 0.01; done; exit 4;;
      *) while [ ! -e $DIR/go ]; do sleep 0.01; done; echo done;;
    esac
    """
    process = job.start("-np", "3", "--on-rank-death=keep", *shell(program))
    assert process.stderr is not None
    killed = job.pid_in("pid.1")
    os.kill(killed, signal.SIGKILL)
    line = process.stderr.readline()
    assert line == f"bfrun: rank 1 (pid {killed}) was killed by signal 9 (SIGKILL); the other ranks go on\n"
    (job.directory / "fail").touch()
    line = process.stderr.readline()
    assert line.startswith("bfrun: rank 2 (pid ")
    assert line.endswith(") exited with code 4; the other ranks go on\n")
    assert process.poll() is None
    (job.directory / "go").touch()
    assert job.finish() == (0, "done\n", "")
    job.wait_until_nobody_is_left()


def test_keep_without_a_survivor_fails_as_the_first_death(job: Job) -> None:
    program = """
    if [ $RANK = 0 ]; then echo $$ > $DIR/pid.0; exec sleep 1000; fi
    while [ ! -e $DIR/go ]; do sleep 0.01; done
    exit 4
    """
    process = job.start("-np", "2", "--on-rank-death=keep", *shell(program))
    os.kill(job.pid_in("pid.0"), signal.SIGKILL)
    assert process.stderr is not None
    assert process.stderr.readline().endswith("; the other ranks go on\n")
    (job.directory / "go").touch()
    code, _, err = job.finish()
    assert code == 128 + signal.SIGKILL
    assert err.endswith(") exited with code 4; no rank is left\n")


def test_a_signal_ends_a_job_that_keeps_going(job: Job) -> None:
    program = "if [ $RANK = 0 ]; then exit 0; fi; if [ $RANK = 1 ]; then exit 4; fi; " + WAIT
    process = job.start("-np", "3", "--on-rank-death=keep", *shell(program))
    assert process.stderr is not None
    assert process.stderr.readline().endswith("exited with code 4; the other ranks go on\n")
    process.send_signal(signal.SIGTERM)
    assert job.finish()[0] == 128 + signal.SIGTERM
    job.wait_until_nobody_is_left()


def test_what_outlives_a_finished_job_is_ended(job: Job) -> None:
    result = job.run("-np", "2", *shell(FAMILY))
    assert result.returncode == 0
    assert "outlived the ranks" in result.stderr
    assert job.pids() == []


@contextlib.contextmanager
def disposition(of: signal.Signals, action: signal.Handlers) -> Iterator[None]:
    """What programs that start meanwhile inherit."""
    previous = signal.signal(of, action)
    yield
    signal.signal(of, previous)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_ranks_and_end_the_job(job: Job, sent: signal.Signals) -> None:
    trap = f"trap 'touch $DIR/trapped.$RANK; exit 0' {sent.name[3:]};"
    program = trap + "touch $DIR/ready.$RANK; while :; do sleep 0.01; done"
    with disposition(sent, signal.SIG_DFL):  # also if the tests run under nohup
        process = job.start("-np", "2", *shell(program))
    job.wait_for_files("ready.0", "ready.1")
    process.send_signal(sent)
    code, _, err = job.finish()
    assert code == 128 + sent
    own_lines = [
        line for line in err.splitlines(keepends=True) if line.startswith("bfrun:")
    ]  # shells write too
    assert "".join(own_lines) == f"bfrun: received signal {int(sent)} ({sent.name}); the job is stopped\n"
    assert (job.directory / "trapped.0").exists() and (job.directory / "trapped.1").exists()
    job.wait_until_nobody_is_left()


def test_a_job_under_nohup_outlives_the_terminal(job: Job) -> None:
    with disposition(signal.SIGHUP, signal.SIG_IGN):
        process = job.start(
            "-np", "1", *shell("touch $DIR/ready; while [ ! -e $DIR/go ]; do sleep 0.01; done")
        )
    job.wait_for_files("ready")
    process.send_signal(signal.SIGHUP)
    (job.directory / "go").touch()
    assert job.finish() == (0, "", "")


def test_ctrl_c_ends_even_ranks_that_ignore_it(job: Job) -> None:
    process = job.start("-np", "2", *shell("trap '' INT TERM;" + FAMILY + WAIT))
    for rank in range(2):
        job.pid_in(f"pid.{rank}")
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, _, _ = job.finish()
    assert time.monotonic() - sent < 10
    assert code == 130
    job.wait_until_nobody_is_left()


def seconds_after_second_ctrl_c(job: Job) -> float:
    program = (
        "rm -f $DIR/trapped; trap 'touch $DIR/trapped' INT; touch $DIR/ready; while :; do sleep 0.01; done"
    )
    process = job.start("-np", "1", *shell(program))
    job.wait_for_files("ready")
    process.send_signal(signal.SIGINT)
    job.wait_for_files("trapped")
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, _, _ = job.finish()
    took = time.monotonic() - sent
    assert code == 130
    job.wait_until_nobody_is_left()
    (job.directory / "ready").unlink()
    return took


def test_a_second_ctrl_c_kills_at_once(job: Job) -> None:
    # The first alone would take 0.6. A busy machine may delay some attempts.
    assert any(seconds_after_second_ctrl_c(job) < 0.5 for _ in range(10))


def test_ctrl_c_while_bfrun_was_started_with_it_ignored(job: Job) -> None:
    """So a shell without job control starts what it puts into the background."""
    program = "trap 'touch $DIR/trapped; exit 0' INT; touch $DIR/ready; while :; do sleep 0.01; done"
    job.process = subprocess.Popen(
        [find_bfrun(), "-np", "1", *shell(program)],
        env=job.environment(),
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        text=True,
    )
    job.wait_for_files("ready")
    job.process.send_signal(signal.SIGINT)
    assert job.process.wait(PATIENCE) == 130
    assert (job.directory / "trapped").exists()


def test_nobody_survives_the_sigkill_of_bfrun(job: Job) -> None:
    process = job.start("-np", "3", *shell(FAMILY + WAIT))
    for rank in range(3):
        job.pid_in(f"pid.{rank}")
    assert len(job.pids()) >= 2 + 3 * 4
    process.kill()
    job.wait_until_nobody_is_left()


def test_nobody_survives_the_sigkill_of_the_agent(job: Job) -> None:
    job.start("-np", "3", *shell(FAMILY + WAIT))
    for rank in range(3):
        job.pid_in(f"pid.{rank}")
    agent = job.agent()
    os.kill(agent, signal.SIGKILL)
    code, _, err = job.finish()
    assert code == 128 + signal.SIGKILL
    assert err == f"bfrun: its agent (pid {agent}) was killed by signal 9 (SIGKILL); the job is stopped\n"
    job.wait_until_nobody_is_left()


def test_children_that_bfrun_inherited_are_left_alone(job: Job) -> None:
    """`bash -c 'bfrun > >(tee log)'` replaces the shell by bfrun, whose child tee then is."""
    program = f"sleep 1000 & echo $! > $DIR/sleeper; exec {find_bfrun()} -np 1 true"
    job.process = subprocess.Popen(["sh", "-c", program], env=job.environment(), text=True)
    assert job.process.wait(PATIENCE) == 0
    assert job.pids() == [job.pid_in("sleeper")]


def test_no_zombies_while_the_job_runs(job: Job) -> None:
    orphans = "for i in 1 2 3 4 5; do (setsid true &); done; if [ $RANK = 0 ]; then exit 0; fi;"
    process = job.start("-np", "2", *shell(orphans + "touch $DIR/ready;" + WAIT))
    job.wait_for_files("ready")
    agent = job.agent()

    def children() -> list[str]:
        pids = [
            int(directory.name) for directory in pathlib.Path("/proc").iterdir() if directory.name.isdigit()
        ]
        return [state for state, parent in map(state_and_parent, pids) if parent == agent]

    wait_until(
        lambda: [state == "Z" for state in children()] == [False], "one child of the agent, the living rank"
    )
    process.send_signal(signal.SIGTERM)
    assert job.finish()[0] == 143
