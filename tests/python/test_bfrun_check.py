"""bfrun --check, through a stand-in for ssh: what it says of hosts that are ready, and of others."""

from __future__ import annotations

import pathlib
import re
import socket
import sys

import pytest
from bfrun_hosts import Hosts, executable, hosts
from bfrun_job import Job, find_bfrun, job
from test_bfrun_hosts_mistakes import VERSION, greeting_of_version

__all__ = ["hosts", "job"]  # the fixtures

READY = "bfrun: the check has found nothing in the way of a job\n"
NOT_READY = "bfrun: the check has found problems; the lines above say which\n"
PAIR = r"\d+(\.\d\d)? MB/s each way, a small exchange takes \d+\.\d\d ms, tcp [0-9a-f.:]+ to [0-9a-f.:]+"


def check(job: Job, hosts: Hosts, names: str, *more: str, **variables: str) -> tuple[int, list[str], str]:
    """Exit code, what the hosts have found, and what bfrun says itself."""
    result = job.run("--check", *hosts.arguments(names), *more, **variables)
    job.wait_until_nobody_is_left()
    return result.returncode, sorted(result.stdout.splitlines()), result.stderr


def test_hosts_that_are_ready(job: Job, hosts: Hosts) -> None:
    code, lines, err = check(job, hosts, "localhost:2,b:1,c:3")
    assert (code, err) == (0, READY)
    pattern = {
        "localhost: ": r"2 ranks on \d+ CPUs?, [0-9.]+ GiB of memory(; hint: ranks will share CPUs)?",
        "b: ": r"1 rank on \d+ CPUs?, [0-9.]+ GiB of memory",
        "c: ": r"3 ranks on \d+ CPUs?, [0-9.]+ GiB of memory(; hint: ranks will share CPUs)?",
        "localhost: to b: ": PAIR,
        "localhost: to c: ": PAIR,
        "b: to c: ": PAIR,
    }
    told = [line for line in lines if ": hint: " not in line]
    assert len(told) == len(pattern)
    for begin, rest in pattern.items():
        assert any(re.fullmatch(begin + rest, line) for line in told), (begin, told)


def test_a_command_line_with_check_added(job: Job, hosts: Hosts) -> None:
    """Fewer ranks than slots: a host that gets none is not asked."""
    (job.directory / "train.py").touch()
    code, lines, err = check(job, hosts, "a:2,b:2", "-np", "2", sys.executable, "train.py", "--epochs", "3")
    assert (code, err) == (0, READY)
    assert [line.split(":")[0] for line in lines] == ["a", "a"]
    assert f"a: the command is {sys.executable}, with bluefog {VERSION}" in lines
    assert not [command for command in hosts.commands() if command.startswith("b")]


def test_every_host_that_does_not_answer_is_named(job: Job, hosts: Hosts) -> None:
    (job.directory / "other").mkdir()
    other = job.directory / "other" / "bfrun"
    other.write_text(greeting_of_version("0.9.7"))
    other.chmod(0o755)
    choices = f"missing) exit 127;; silent) exec cat >/dev/null;; old) exec {other};;"
    program = executable(
        job, f"#!/bin/sh\ncase $FAKE_HOST in {choices} *) exec {find_bfrun()} --agent;; esac\n"
    )
    code, lines, err = check(
        job, hosts, "missing,silent,old,a,b", "--remote-bfrun", program, BLUEFOG_START_TIMEOUT="3"
    )
    assert code == 1
    problems = err.splitlines()
    assert problems[0].startswith("bfrun: missing: there is no bfrun (")
    assert problems[1] == "bfrun: silent: no answer within 3 s"
    assert problems[2].startswith(f"bfrun: old: it has BlueFog 0.9.7, this is {VERSION}; ")
    assert problems[3:] == [NOT_READY.strip()]
    assert any(re.fullmatch("a: to b: " + PAIR, line) for line in lines)


def test_no_host_answers(job: Job, hosts: Hosts) -> None:
    pathlib.Path(hosts.socket).unlink()
    code, lines, err = check(job, hosts, "a,b")
    assert (code, lines) == (1, [])
    assert [line.split(";")[0] for line in err.splitlines()] == [
        "bfrun: a: ssh: connect to host a port 22: Connection refused",
        "bfrun: b: ssh: connect to host b port 22: Connection refused",
        "bfrun: the check has found problems",
    ]


def test_a_program_that_hosts_lack(job: Job, hosts: Hosts) -> None:
    code, lines, err = check(job, hosts, "a,b", "no-such-program")
    assert (code, err) == (1, NOT_READY)
    for host in "ab":
        expected = "there is no program no-such-program on PATH, which is forwarded from where bfrun runs"
        assert f"{host}: PROBLEM: {expected}" in lines


def test_a_file_that_one_host_lacks(job: Job, hosts: Hosts) -> None:
    """bfrun on `b` removes it, for both hosts share the test's disk."""
    (job.directory / "train.py").touch()
    remove = f"[ $FAKE_HOST = b ] && rm -f {job.directory}/train.py"
    program = executable(job, f"#!/bin/sh\n{remove}\nexec {find_bfrun()} $@\n")
    code, lines, err = check(job, hosts, "b", "--remote-bfrun", program, "true", "train.py")
    assert (code, err) == (1, NOT_READY)
    assert f"b: PROBLEM: there is no train.py that can be read in {job.directory}" in lines


def test_python_of_another_version_of_bluefog(job: Job, hosts: Hosts) -> None:
    fake = job.directory / "python3"
    fake.write_text("#!/bin/sh\necho a warning\necho 0.3.0\n")
    fake.chmod(0o755)
    code, lines, _ = check(job, hosts, "a", str(fake))
    assert code == 1
    assert (
        f"a: PROBLEM: the module bluefog of {fake} is 0.3.0, bfrun is {VERSION}; install the same version on "
        "all hosts"
    ) in lines
    fake.write_text("#!/bin/sh\necho ModuleNotFoundError >&2\nexit 1\n")
    code, lines, _ = check(job, hosts, "a", str(fake))
    assert code == 0
    assert f"a: the command is {fake}, which cannot import bluefog (ModuleNotFoundError)" in lines


def test_settings_of_the_job_do_not_hinder_the_check(job: Job, hosts: Hosts) -> None:
    """Ranks per pretended machine, binding and timelines are for the ranks of the job."""
    more = ["--bind-to", "core", "--timeline-filename", str(job.directory / "t"), "--tag-output"]
    code, _, err = check(job, hosts, "a:2,b:2", *more, BLUEFOG_NODES_PER_MACHINE="2")
    assert (code, err) == (0, READY)
    assert not list(job.directory.glob("t*.json"))


def test_a_range_of_ports_that_is_taken(job: Job, hosts: Hosts) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = check(job, hosts, "a,b", BLUEFOG_PORT_RANGE=str(port))
    assert code == 1
    assert "BLUEFOG_PORT_RANGE" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--check", "true"], "--check is for jobs on several hosts: -H or --hostfile names them"),
        (["--check", "-H", "a:1", "-np", "2", "true"], "-np is 2, but the hosts have 1 slots"),
        (["--check", "-H", "a", "-np", "0"], "-np is 0, but must lie between"),
        (["--check-rank", "nonsense"], "no JSON"),
    ],
)
def test_mistakes(job: Job, arguments: list[str], text: str) -> None:
    result = job.run(*arguments)
    assert result.returncode == 2
    assert text in result.stderr


def test_help(job: Job) -> None:
    text = job.run("--help").stdout
    assert "--check " in text
    assert "--check-rank" not in text
