"""bfrun over several hosts, through a stand-in for ssh: what ranks find, and output."""

from __future__ import annotations

import os
import re
import signal

from bfrun_hosts import Hosts, arguments_of, environment_of, executable, hosts
from bfrun_job import PATIENCE, Job, find_bfrun, job, python, shell, wait_until

__all__ = ["hosts", "job"]  # the fixtures

# ---- what ranks find


def environments(job: Job, size: int) -> list[dict[str, str]]:
    return [
        dict(line.split("=", 1) for line in (job.directory / f"env.{rank}").read_text().splitlines())
        for rank in range(size)
    ]


def test_environment_of_ranks_on_three_hosts(job: Job, hosts: Hosts) -> None:
    program = shell("env > $DIR/env.$RANK; pwd > $DIR/pwd.$RANK")
    result = job.run("-np", "6", *hosts.arguments("localhost:2,b:1,c:3"), *program, OMP_SCHEDULE="static")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    places = [("here", 0, 2), ("here", 1, 2), ("b", 0, 1), ("c", 0, 3), ("c", 1, 3), ("c", 2, 3)]
    ranks = environments(job, 6)
    for rank, (env, (host, local_rank, local_size)) in enumerate(zip(ranks, places)):
        assert env.get("FAKE_HOST", "here") == host
        for name in ("BLUEFOG_RANK", "RANK", "PMI_RANK"):
            assert env[name] == str(rank), name
        for name in ("BLUEFOG_SIZE", "WORLD_SIZE", "PMI_SIZE"):
            assert env[name] == "6", name
        for name in ("BLUEFOG_LOCAL_RANK", "LOCAL_RANK"):
            assert env[name] == str(local_rank), name
        for name in ("BLUEFOG_LOCAL_SIZE", "LOCAL_WORLD_SIZE"):
            assert env[name] == str(local_size), name
        assert env["OMP_SCHEDULE"] == "static"
        assert (job.directory / f"pwd.{rank}").read_text() == f"{job.directory}\n"
    assert len({(env["MASTER_ADDR"], env["MASTER_PORT"]) for env in ranks}) == 1
    assert len({env["BLUEFOG_RENDEZVOUS"] for env in ranks}) == 3  # one a host


def test_a_job_that_is_all_elsewhere(job: Job, hosts: Hosts) -> None:
    result = job.run("-np", "2", *hosts.arguments("b:2"), *shell("echo $FAKE_HOST $RANK"))
    assert (result.returncode, sorted(result.stdout.splitlines()), result.stderr) == (0, ["b 0", "b 1"], "")


def test_what_is_forwarded(job: Job, hosts: Hosts) -> None:
    here = {"PYTHONPATH": "/somewhere", "LD_LIBRARY_PATH": "/libs", "VIRTUAL_ENV": "/venv", "SECRET": "no"}
    asked = ["-x", "CHOSEN", "-x", "GIVEN=a=b c"]
    program = shell("env > $DIR/env.$RANK")
    result = job.run("-np", "1", *hosts.arguments("b"), *asked, *program, CHOSEN="\u00e9\n", **here)
    assert result.stderr == ""
    raw = (job.directory / "env.0").read_bytes()
    assert "CHOSEN=\u00e9\n".encode() in raw
    lines = raw.decode().splitlines()
    for line in ("GIVEN=a=b c", "PYTHONPATH=/somewhere", "LD_LIBRARY_PATH=/libs", "VIRTUAL_ENV=/venv"):
        assert line in lines
    assert f"PATH={os.environ['PATH']}" in lines
    assert f"HOME={hosts.directory / 'home'}" in lines  # the other host's own
    assert not any(line.startswith("SECRET") for line in lines)


def test_a_variable_for_the_ranks_of_this_machine(job: Job) -> None:
    assert job.run("-np", "1", "-x", "GIVEN=1", *shell("echo $GIVEN")).stdout == "1\n"


def test_an_argument_arrives_as_it_is(job: Job, hosts: Hosts) -> None:
    arguments = ["a  b", "", "*", "$HOME", "'", '"', "\\", "\n", "\udcff"]
    program = python("import sys; print(ascii(sys.argv[1:]))")
    result = job.run("-np", "1", *hosts.arguments("b"), *program, *arguments)
    assert result.stdout == f"{ascii(arguments)}\n"


def test_hosts_fill_in_order_and_merge(job: Job, hosts: Hosts) -> None:
    program = shell("echo $RANK ${FAKE_HOST:-here} $LOCAL_RANK")
    result = job.run("-np", "4", *hosts.arguments("b:1,127.0.0.1:1,b:1,localhost:3"), *program)
    assert sorted(result.stdout.splitlines()) == ["0 b 0", "1 b 1", "2 here 0", "3 here 1"]


def test_a_host_beyond_the_last_rank_is_not_asked(job: Job, hosts: Hosts) -> None:
    result = job.run("-np", "1", *hosts.arguments("b:1,c:1"), "true")
    assert result.returncode == 0
    assert [line.split("\0")[0] for line in hosts.commands()] == ["b"]


def test_hostfile(job: Job, hosts: Hosts) -> None:
    text = "# ours\n\nlocalhost slots=1   # this one\nb:2\nc slots=2 max_slots=4\n"
    (job.directory / "hosts").write_text(text)
    arguments = ["--hostfile", "hosts", *hosts.arguments("x")[2:]]
    result = job.run("-np", "4", *arguments, *shell("echo $RANK ${FAKE_HOST:-here}"))
    assert sorted(result.stdout.splitlines()) == ["0 here", "1 b", "2 b", "3 c"]


def test_oversubscription_by_choice(job: Job, hosts: Hosts) -> None:
    arguments = [*hosts.arguments("localhost:1,b:2"), "--oversubscribe"]
    result = job.run("-np", "5", *arguments, *shell("echo $RANK ${FAKE_HOST:-here}"))
    assert sorted(result.stdout.splitlines()) == ["0 here", "1 here", "2 b", "3 b", "4 b"]


def test_standard_input_belongs_to_a_rank_0_of_this_machine(job: Job, hosts: Hosts) -> None:
    program = shell('read line; echo "$RANK got $line"')
    result = job.run("-np", "2", *hosts.arguments("localhost,b"), *program, stdin_text="hello\n")
    assert sorted(result.stdout.splitlines()) == ["0 got hello", "1 got "]
    result = job.run("-np", "1", *hosts.arguments("b"), *program, stdin_text="hello\n")
    assert result.stdout == "0 got \n"


def test_master_address_is_one_that_a_rank_elsewhere_can_listen_at(job: Job, hosts: Hosts) -> None:
    program = python(
        "import os, socket\n"
        "if os.environ['RANK'] == '1':\n"
        "    socket.create_server((os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']))).close()\n"
        "    print('listened')\n"
    )
    result = job.run("-np", "2", *hosts.arguments("b:1,localhost:1"), *program)
    assert (result.stdout, result.stderr) == ("listened\n", "")


def test_an_interface_gives_the_addresses(job: Job, hosts: Hosts) -> None:
    arguments = [*hosts.arguments("localhost,b"), "--network-interface", "lo"]
    result = job.run("-np", "2", *arguments, *shell("echo $MASTER_ADDR $GLOO_SOCKET_IFNAME"))
    assert result.stdout == "127.0.0.1 lo\n127.0.0.1 lo\n"


def test_the_key_is_nowhere_to_be_seen(job: Job, hosts: Hosts) -> None:
    """Not on a command line, in no environment, in no line of --verbose."""
    program = shell("touch $DIR/ready.$RANK; while [ ! -e $DIR/go ]; do sleep 0.01; done")
    process = job.start("-np", "2", "--verbose", *hosts.arguments("localhost,b"), *program)
    job.wait_for_files("ready.0", "ready.1")
    seen = [text for pid in job.pids() for text in arguments_of(pid) + environment_of(pid)]
    (job.directory / "go").touch()
    code, out, err = job.finish()
    assert code == 0 and process.args
    assert len(seen) > 50
    key = re.compile("[0-9a-f]{32}|[A-Za-z0-9+/]{43}=")
    inherited = "\n".join(f"{name}={value}" for name, value in job.environment().items())
    for text in [*seen, *hosts.commands(), *out.splitlines(), *err.splitlines()]:
        assert not key.search(text) or text in inherited, text


# ---- output


def test_lines_of_several_hosts_are_whole(job: Job, hosts: Hosts) -> None:
    program = python(
        "import os, sys\n"
        "for line in range(300):\n"
        "    for piece in (os.environ['RANK'], str(line), 'x' * 200 + '\\n'):\n"
        "        sys.stdout.write(piece + ' '); sys.stdout.flush()\n"
    )
    result = job.run("-np", "4", *hosts.arguments("localhost:1,b:1,c:2"), *program)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    for rank in range(4):
        mine = [line for line in lines if line.startswith(f"{rank} ")]
        assert mine == [f"{rank} {line} {'x' * 200}" for line in range(300)]
    assert len(lines) == 4 * 300


def test_tags_name_the_rank_of_the_job(job: Job, hosts: Hosts) -> None:
    arguments = ["--tag-output", *hosts.arguments("localhost:1,b:2")]
    result = job.run("-np", "3", *arguments, *shell("echo out; echo err >&2; printf rest"))
    assert sorted(result.stdout.splitlines()) == [
        f"[{rank}] {text}" for rank in range(3) for text in ("out", "rest")
    ]
    assert sorted(result.stderr.splitlines()) == [f"[{rank}] err" for rank in range(3)]


def test_much_output_arrives_whole(job: Job, hosts: Hosts) -> None:
    """More than may be under way without bfrun's saying that it has taken some."""
    result = job.run("-np", "2", *hosts.arguments("localhost,b"), *shell("yes $RANK | head -c 8000000"))
    assert result.returncode == 0
    assert [result.stdout.count(f"{rank}\n") for rank in range(2)] == [4_000_000] * 2


def test_a_progress_bar_shows_at_once(job: Job, hosts: Hosts) -> None:
    program = shell("printf '10%%\\r'; while [ ! -e $DIR/go ]; do sleep 0.01; done")
    process = job.start("-np", "1", *hosts.arguments("b"), *program)
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 100) == b"10%\r"
    (job.directory / "go").touch()
    assert process.wait(PATIENCE) == 0


def test_output_into_a_closed_pipe_ends(job: Job, hosts: Hosts) -> None:
    process = job.start("-np", "2", *hosts.arguments("b:2"), "yes")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE) == 128 + signal.SIGPIPE
    job.wait_until_nobody_is_left()


def test_a_paused_reader_does_not_stop_supervision(job: Job, hosts: Hosts) -> None:
    """A rank of one host dies while output of the other is held up; its ranks end all the same."""
    program = shell("echo $$ > $DIR/pid.$RANK; exec yes")
    process = job.start("-np", "2", *hosts.arguments("b,c"), *program)
    pids = [job.pid_in(f"pid.{rank}") for rank in range(2)]
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(pids[1], signal.SIGKILL)
    wait_until(lambda: pids[0] not in job.pids(), "the end of the other host's rank")
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE)
    job.wait_until_nobody_is_left()


def test_what_a_login_shell_writes_does_no_harm(job: Job, hosts: Hosts) -> None:
    wrapper = executable(
        job, f"#!/bin/sh\necho Welcome to $FAKE_HOST; echo news >&2\nexec {find_bfrun()} $@\n"
    )
    result = job.run("-np", "1", *hosts.arguments("b"), "--remote-bfrun", wrapper, "echo", "x")
    assert (result.returncode, result.stdout, result.stderr) == (0, "x\n", "")


def test_verbose_names_the_hosts(job: Job, hosts: Hosts) -> None:
    result = job.run("-np", "2", "--verbose", *hosts.arguments("localhost,b"), "true")
    assert "bfrun: b: command: true\n" in result.stderr
    assert "bfrun: localhost: command: true\n" in result.stderr
