"""bfrun over several hosts, through a stand-in for ssh: each mistake is one line, and nobody is left."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import pytest
from bfrun_hosts import Hosts, executable, hosts
from bfrun_job import PATIENCE, Job, find_bfrun, job
from ranks import REPOSITORY

__all__ = ["hosts", "job"]  # the fixtures

VERSION = (REPOSITORY / "VERSION").read_text().strip()


def complaint(job: Job, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit code and the one line."""
    result = job.run(*arguments, **variables)
    assert result.stdout == ""
    job.wait_until_nobody_is_left()
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.returncode, result.stderr


def test_help_shows_what_is_for_users(job: Job) -> None:
    text = job.run("--help").stdout
    for option in (
        "--hosts",
        "--hostfile",
        "--ssh-port",
        "--ssh-command",
        "--network-interface",
        "--forward",
    ):
        assert option in text
    assert "--agent" not in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["-H", "a:1,b:1"],
            "-np is 3, but the hosts have 2 slots; name more hosts or slots, or say --oversubscribe",
        ),
        (["-H", "a:x"], '"x" in "a:x" is no number of slots'),
        (["-H", "a:0"], '"0" in "a:0" is no number of slots'),
        (["-H", "a,,b"], "a host's name is missing"),
        (["-H", "-oProxyCommand=x"], "is no host name"),
        (["-H", "a;b"], '"a;b" is no host name'),
        (["--hostfile", "none"], "the host file none cannot be read"),
        (["--hostfile", "bad"], "bad:2: "),
        (["-hostfile", "bad"], "bad:2: "),
        (["-H", "a:4", "--hostfile", "bad"], "exclude each other"),
        (["--ssh-port", "22"], "--ssh-port is for jobs on several hosts"),
        (["-H", "a:4", "-p", "22", "--ssh-command", "mine"], "has no {port}"),
        (["-H", "a:4", "--ssh-command", "'mine"], "a quote is not closed"),
        (["-H", "a:4", "-x", "NO_SUCH_VARIABLE"], "there is no such variable"),
        (["-H", "a:4", "-x", "RANK=4"], "bfrun sets this itself"),
        (["--network-interface", "nowhere0"], "localhost has no network interface nowhere0"),
    ],
)
def test_mistakes_about_hosts(job: Job, arguments: list[str], text: str) -> None:
    (job.directory / "bad").write_text("a:2\nb slots=many\n")
    code, line = complaint(job, "-np", "3", *arguments, "true")
    assert code == 2
    assert text in line


def test_a_port_out_of_range(job: Job) -> None:
    assert job.run("-np", "1", "-H", "a", "-p", "70000", "true").returncode == 2


def test_a_host_that_refuses(job: Job, hosts: Hosts) -> None:
    pathlib.Path(hosts.socket).unlink()
    code, line = complaint(job, "-np", "2", *hosts.arguments("localhost,b"), "true")
    assert code == 1
    assert line == (
        "bfrun: cannot start rank 1 on b: ssh: connect to host b port 22: Connection refused; "
        "it must be reached by ssh without a password: try 'ssh b true'\n"
    )


def test_a_host_whose_name_nobody_knows(job: Job) -> None:
    """As ssh says it, which need not be installed; a cluster test has the real one."""
    ssh = job.directory / "ssh"
    ssh.write_text(
        "#!/bin/sh\necho 'ssh: Could not resolve hostname nowhere: Name or service not known' >&2\nexit 255\n"
    )
    ssh.chmod(0o755)
    path = f"{job.directory}:{os.environ['PATH']}"
    code, line = complaint(job, "-np", "1", "-H", "nowhere", "true", PATH=path)
    assert code == 1
    assert line.startswith("bfrun: cannot start rank 0 on nowhere: ssh: Could not resolve hostname nowhere: ")


def test_a_machine_without_ssh(job: Job) -> None:
    code, line = complaint(job, "-np", "1", "-H", "nowhere", "true", PATH=str(job.directory))
    assert (code, line) == (1, "bfrun: cannot run ssh for nowhere: No such file or directory\n")


def test_an_ssh_that_does_not_exist(job: Job) -> None:
    code, line = complaint(job, "-np", "2", "-H", "localhost,b", "--ssh-command", "no-such-ssh", "true")
    assert code == 1
    assert line == "bfrun: cannot run no-such-ssh for b: No such file or directory\n"


def test_a_host_without_bfrun(job: Job, hosts: Hosts) -> None:
    arguments = [*hosts.arguments("localhost:2,b:2"), "--remote-bfrun", "no-such-bfrun"]
    code, line = complaint(job, "-np", "4", *arguments, "true")
    assert code == 1
    assert line.startswith("bfrun: cannot start ranks 2-3 on b: there is no bfrun (")
    assert line.endswith("); install BlueFog there, or say where it is with --remote-bfrun\n")


def greeting_of_version(version: str) -> str:
    return (
        "#!/usr/bin/env python3\n"
        "import json, os, sys\n"
        f"greeting = {{'event': 'greeting', 'version': {version!r}, 'addresses': [], 'interfaces': [],\n"
        "            'reached_at': '', 'reached_from': '', 'free_port': 1}\n"
        "text = json.dumps(greeting).encode()\n"
        "mark = b'\\0\\1bfrun agent\\2'\n"
        "os.write(1, mark + b'\\3' + len(text).to_bytes(4, 'little') + text)\n"
        "assert sys.stdin.read() == '', 'it was told something'\n"
    )


def test_a_host_with_another_version(job: Job, hosts: Hosts) -> None:
    """It is found out before the key is sent."""
    program = executable(job, greeting_of_version("0.9.7"))
    code, line = complaint(job, "-np", "1", *hosts.arguments("b"), "--remote-bfrun", program, "true")
    assert code == 1
    assert line.startswith(f"bfrun: cannot start rank 0 on b: it has BlueFog 0.9.7, this is {VERSION}; ")


def test_a_host_with_a_version_that_knows_no_agents(job: Job, hosts: Hosts) -> None:
    program = executable(
        job, "#!/bin/sh\necho 'The following argument was not expected: --agent' >&2\nexit 2\n"
    )
    code, line = complaint(job, "-np", "1", *hosts.arguments("b"), "--remote-bfrun", program, "true")
    assert code == 1
    assert "not expected: --agent; is bfrun there of another version?" in line


def test_a_host_that_does_not_answer(job: Job, hosts: Hosts) -> None:
    program = executable(job, "#!/bin/sh\nexec sleep 1000\n")
    arguments = [*hosts.arguments("localhost,b"), "--remote-bfrun", program]
    process = job.start("-np", "2", *arguments, "true", BLUEFOG_START_TIMEOUT="1.5")
    code, _, err = job.finish()
    assert (code, err) == (1, "bfrun: cannot start rank 1 on b: no answer within 1.5 s\n")
    assert process.returncode == 1


def test_a_program_that_speaks_another_language(job: Job, hosts: Hosts) -> None:
    program = executable(job, "#!/bin/sh\nexec yes\n")
    code, line = complaint(job, "-np", "1", *hosts.arguments("b"), "--remote-bfrun", program, "true")
    assert (code, line) == (1, "bfrun: cannot start rank 0 on b: it writes other things than bfrun does\n")


@pytest.mark.parametrize(
    "orders", [b"", b"nonsense, and much of it", b"BFRUNJOB\xff\xff\xff\xff", b"BFRUNJOB\2\0\0\0{}"]
)
def test_an_agent_stands_any_orders(job: Job, orders: bytes) -> None:
    process = job.start("--agent", stdin=-1)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.buffer.write(orders)
    process.stdin.close()
    process.stdin = None
    assert process.stdout.read().startswith("\0\1bfrun agent\2")
    assert process.wait(PATIENCE) == 0
    job.wait_until_nobody_is_left()


def test_a_directory_that_another_host_lacks(job: Job, hosts: Hosts) -> None:
    """bfrun stays in a directory that is removed before the other host looks for it."""
    wrapper = executable(
        job, f"#!/bin/sh\nrmdir $OLD\nexec {find_bfrun()} $@\n".replace("$OLD", str(job.directory / "old"))
    )
    (job.directory / "old").mkdir()
    inside = f'cd old; exec {find_bfrun()} "$@"'
    job.process = subprocess.Popen(
        ["sh", "-c", inside, "sh", "-np", "1", *hosts.arguments("b"), "--remote-bfrun", wrapper, "true"],
        cwd=job.directory,
        env=job.environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    code, _, err = job.finish()
    assert (code, err) == (
        1,
        f"bfrun: b: cannot enter the directory {job.directory / 'old'}: No such file or directory\n",
    )


def test_a_command_that_another_host_lacks(job: Job, hosts: Hosts) -> None:
    code, line = complaint(job, "-np", "2", *hosts.arguments("b,c"), "no-such-command-anywhere")
    assert code == 127
    assert re.fullmatch("bfrun: [bc]: cannot run no-such-command-anywhere: No such file or directory\n", line)


def test_an_interface_that_another_host_lacks(job: Job, hosts: Hosts) -> None:
    arguments = [*hosts.arguments("b"), "--network-interface", "nowhere0"]
    code, line = complaint(job, "-np", "1", *arguments, "true")
    assert code == 2
    assert line.startswith(
        "bfrun: b has no network interface nowhere0; --network-interface may name one of these: "
    )
