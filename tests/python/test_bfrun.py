"""bfrun, seen from outside: what ranks find, its command line, and tagged output."""

from __future__ import annotations

import os
import pty
import signal
import subprocess

import pytest
from bfrun_job import PATIENCE, Job, find_bfrun, job, python, shell, wait_until
from ranks import REPOSITORY

__all__ = ["job"]  # the fixture

# ---- what ranks find


def test_environment_of_ranks(job: Job) -> None:
    result = job.run("-np", "3", *shell("env > $DIR/env.$BLUEFOG_RANK"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    rendezvous, ports = set(), set()
    for rank in range(3):
        env = dict(line.split("=", 1) for line in (job.directory / f"env.{rank}").read_text().splitlines())
        for name in ("BLUEFOG_RANK", "BLUEFOG_LOCAL_RANK", "RANK", "LOCAL_RANK", "PMI_RANK"):
            assert env[name] == str(rank), name
        for name in ("BLUEFOG_SIZE", "BLUEFOG_LOCAL_SIZE", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "PMI_SIZE"):
            assert env[name] == "3", name
        assert env["MASTER_ADDR"] == "127.0.0.1"
        assert env["OMP_WAIT_POLICY"] == "passive"
        assert "BLUEFOG_TIMELINE" not in env
        assert "BLUEFOG_LOG_LEVEL" not in env
        assert "PYTHONUNBUFFERED" not in env
        rendezvous.add(env["BLUEFOG_RENDEZVOUS"])
        ports.add(int(env["MASTER_PORT"]))
    assert len(rendezvous) == 1 and rendezvous.pop().startswith("unix:@bluefog-")
    assert len(ports) == 1 and 0 < ports.pop() < 65536


def test_every_setting_is_in_the_documents(job: Job) -> None:
    settings = {
        line.removeprefix("bfrun: ").split("=")[0]
        for line in job.run("-np", "1", "--verbose", "true").stderr.splitlines()
        if line.startswith("bfrun: BLUEFOG_")
    }
    documented = (REPOSITORY / "docs/configuration.md").read_text()
    assert len(settings) > 10
    assert [name for name in sorted(settings) if f"`{name}`" not in documented] == []


@pytest.mark.parametrize("size", [1, 2, 5])
def test_omp_threads_share_the_usable_cpus(job: Job, size: int) -> None:
    cpus = os.sched_getaffinity(0)
    result = job.run("-np", str(size), *shell("echo $OMP_NUM_THREADS"))
    threads = {int(line) for line in result.stdout.split()}
    assert len(threads) == 1
    # A control group's quota may allow less than the affinity does.
    assert 1 <= threads.pop() <= max(1, len(cpus) // size)


def test_omp_threads_follow_the_affinity(job: Job) -> None:
    one = min(os.sched_getaffinity(0))
    job.process = process = subprocess.Popen(
        [find_bfrun(), "-np", "1", *shell("echo $OMP_NUM_THREADS")],
        stdout=subprocess.PIPE,
        text=True,
        env=job.environment(),
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
    )
    assert process.communicate(timeout=PATIENCE)[0] == "1\n"


def test_the_user_has_the_last_word_on_openmp(job: Job) -> None:
    result = job.run(
        "-np",
        "2",
        *shell("echo $OMP_NUM_THREADS $OMP_WAIT_POLICY"),
        OMP_NUM_THREADS="7",
        OMP_WAIT_POLICY="active",
    )
    assert result.stdout == "7 active\n7 active\n"


def test_encrypt_option(job: Job) -> None:
    command = shell("echo $BLUEFOG_ENCRYPT")
    assert job.run("-np", "2", "--encrypt", *command).stdout.split() == ["1", "1"]
    assert job.run("-np", "2", *command).stdout.split() == []


def test_timeline_option(job: Job) -> None:
    result = job.run("-np", "1", "--timeline-filename", "/tmp/t_", *shell("echo $BLUEFOG_TIMELINE"))
    assert result.stdout == "/tmp/t_\n"


def test_verbose_shows_command_and_settings(job: Job) -> None:
    result = job.run("--verbose", "-np", "1", *shell("echo $BLUEFOG_LOG_LEVEL"), BLUEFOG_OP_TIMEOUT="77")
    assert result.stdout == "debug\n"
    assert "bfrun: command: sh -c echo $BLUEFOG_LOG_LEVEL\n" in result.stderr
    assert "bfrun: BLUEFOG_OP_TIMEOUT=77\n" in result.stderr
    assert "usable CPUs: " in result.stderr


def test_bind_to_core_gives_each_rank_one_cpu_in_turn(job: Job) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    size = len(cpus) + 1
    program = python(
        "import os; print(os.environ['RANK'], *os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'])"
    )
    result = job.run("-np", str(size), "--bind-to", "core", *program)
    bound = sorted(tuple(map(int, line.split())) for line in result.stdout.splitlines())
    assert bound == [(rank, cpus[rank % len(cpus)], 1) for rank in range(size)]


def test_bind_to_numa_gives_each_rank_cpus_of_one_node(job: Job) -> None:
    program = python("import os; print(os.environ['RANK'], *sorted(os.sched_getaffinity(0)))")
    result = job.run("-np", "2", "--bind-to=numa", *program)
    usable = os.sched_getaffinity(0)
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        _, *cpus = map(int, line.split())
        assert cpus and set(cpus) <= usable


def test_standard_input_belongs_to_rank_0(job: Job) -> None:
    program = shell('read line; echo "$RANK got $line"')
    result = job.run("-np", "3", *program, stdin_text="hello\n")
    assert sorted(result.stdout.splitlines()) == ["0 got hello", "1 got ", "2 got "]


def test_ranks_inherit_the_terminal(job: Job) -> None:
    ours, theirs = pty.openpty()
    job.process = subprocess.Popen(
        [find_bfrun(), "-np", "2", *shell("[ -t 1 ] && [ -t 2 ] && touch $DIR/terminal.$RANK")],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        text=True,
        env=job.environment(),
    )
    assert job.process.wait(PATIENCE) == 0
    os.close(ours)
    os.close(theirs)
    assert (job.directory / "terminal.0").exists() and (job.directory / "terminal.1").exists()


# ---- the command line


@pytest.mark.parametrize("spelling", [["-np", "2"], ["-np=2"], ["--num-proc", "2"], ["--num-proc=2"]])
def test_spellings_of_the_number_of_ranks(job: Job, spelling: list[str]) -> None:
    assert job.run(*spelling, "echo", "x").stdout == "x\nx\n"


@pytest.mark.parametrize("dashes", [[], ["--"]])
def test_arguments_of_the_command_are_its_own(job: Job, dashes: list[str]) -> None:
    arguments = ["-np", "7", "--verbose", "-v", "--", "--tag-output", "a  b", "", "*"]
    program = python("import sys; print(sys.argv[1:])")
    assert job.run("-np", "1", *dashes, *program, *arguments).stdout == f"{arguments}\n"


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version(job: Job, flag: str) -> None:
    result = job.run(flag)
    version = (REPOSITORY / "VERSION").read_text().strip()
    assert (result.returncode, result.stdout) == (0, f"bfrun (BlueFog) {version}\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-np", "0", "true"], "-np is 0"),
        (["-np", "-3", "true"], "-np is -3"),
        (["-np", "two", "true"], "two"),
        (["-np", "2"], "no command"),
        (["-np", "2", "--"], "no command"),
        (["true"], "-np N is required"),
        (["-np"], "--num-proc"),
        (["-np", "2", "--bogus", "true"], "--bogus"),
        (["-np", "2", "--bind-to", "socket", "true"], "socket"),
        (["-np", "2", "--on-rank-death=shrug", "true"], "shrug"),
    ],
)
def test_mistakes_in_the_command_line(job: Job, arguments: list[str], complaint: str) -> None:
    result = job.run(*arguments)
    assert result.returncode == 2
    assert complaint in result.stderr.splitlines()[0]
    assert result.stdout == ""


def test_options_of_mpirun_are_answered(job: Job) -> None:
    """BlueFog 0.3 handed these to mpirun."""
    old = ["--use-infiniband", "--extra-mpi-flags", "-mca btl tcp", "--prefix", "/usr/bin/"]
    result = job.run("-np", "1", *old, *shell("echo ran"))
    assert (result.returncode, result.stdout) == (0, "ran\n")
    lines = result.stderr.splitlines()
    assert [line.split(" of BlueFog 0.3 has no effect: ")[0] for line in lines] == [
        f"bfrun: warning: {name}" for name in ("--use-infiniband", "--extra-mpi-flags", "--prefix")
    ]
    assert "--network-interface" in lines[0]
    assert not any(option in job.run("--help").stdout for option in old[:2])


def test_a_setting_that_cannot_be_read_is_one_error(job: Job) -> None:
    result = job.run("-np", "4", "true", BLUEFOG_OP_TIMEOUT="soon")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1 and "BLUEFOG_OP_TIMEOUT" in result.stderr


def test_a_command_that_does_not_exist(job: Job) -> None:
    result = job.run("-np", "4", "no-such-command-anywhere")
    assert result.returncode == 127
    assert result.stderr == "bfrun: cannot run no-such-command-anywhere: No such file or directory\n"


def test_a_command_that_is_not_executable(job: Job) -> None:
    (job.directory / "text").write_text("no program")
    result = job.run("-np", "2", "./text")
    assert result.returncode == 126
    assert result.stderr == "bfrun: cannot run ./text: Permission denied\n"


def test_more_ranks_than_cpus(job: Job) -> None:
    size = 4 * (os.cpu_count() or 1) + 3
    result = job.run("-np", str(size), *shell("echo $RANK"))
    assert result.returncode == 0
    assert sorted(map(int, result.stdout.split())) == list(range(size))


# ---- tagged output


def test_tagged_lines_are_whole(job: Job) -> None:
    program = python(
        "import os, sys\n"
        "for line in range(300):\n"
        "    for piece in ('out', str(line), 'x' * 200 + '\\n'): sys.stdout.write(piece + ' ')\n"
        "    sys.stderr.write(f'err {line}\\n')\n"
    )
    result = job.run("-np", "3", "--tag-output", *program)
    assert result.returncode == 0
    for rank in range(3):
        out = [line for line in result.stdout.splitlines() if line.startswith(f"[{rank}] ")]
        # each line but the first begins with the space after the newline before it
        text = [line.removeprefix(f"[{rank}] ").strip() for line in out]
        assert [line for line in text if line] == [f"out {line} {'x' * 200}" for line in range(300)]
        err = [line for line in result.stderr.splitlines() if line.startswith(f"[{rank}] ")]
        assert err == [f"[{rank}] err {line}" for line in range(300)]


def test_tagged_partial_line_is_not_lost(job: Job) -> None:
    result = job.run("-np", "1", "--tag-output", *shell("printf 'one\\ntwo'"))
    assert result.stdout == "[0] one\n[0] two\n"


def test_tagged_line_arrives_while_the_rank_goes_on(job: Job) -> None:
    program = python(
        "import os, time\n"
        "print('early')\n"
        "while not os.path.exists(os.environ['DIR'] + '/seen'): time.sleep(0.01)\n"
    )
    process = job.start("-np", "1", "--tag-output", *program)
    assert process.stdout is not None
    assert process.stdout.readline() == "[0] early\n"
    (job.directory / "seen").touch()
    assert process.wait(PATIENCE) == 0


def test_tagged_output_into_a_closed_pipe_ends(job: Job) -> None:
    process = job.start("-np", "2", "--tag-output", "yes")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("[")
    process.stdout.close()
    assert process.wait(PATIENCE) == 128 + signal.SIGPIPE
    job.wait_until_nobody_is_left()


def test_a_paused_reader_of_tagged_output_does_not_stop_supervision(job: Job) -> None:
    process = job.start("-np", "2", "--tag-output", *shell("echo $$ > $DIR/pid.$RANK; exec yes"))
    pid = job.pid_in("pid.1")
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(job.pids()) <= 2, "the end of the ranks")  # bfrun and its agent still have output
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE)
    job.wait_until_nobody_is_left()
