"""bfrun over hosts that have networks of their own, with and without ssh."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest
from bfrun_job import Job, find_bfrun, job, python, shell
from network import Network, run
from test_bfrun_endings import FAMILY, WAIT
from ways_in import Sshd, entering_command

__all__ = ["job"]  # the fixture

# Rank 0 listens at the master's address, the others connect and say who they are.
MEET = python(
    "import os, socket\n"
    "rank, size = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])\n"
    "master = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])\n"
    "if rank == 0:\n"
    "    with socket.create_server(master) as listener:\n"
    "        open(os.environ['DIR'] + '/listening', 'w').close()\n"
    "        print(*sorted(listener.accept()[0].makefile().readline().strip() for _ in range(1, size)))\n"
    "else:\n"
    "    while not os.path.exists(os.environ['DIR'] + '/listening'): pass\n"
    "    with socket.create_connection(master, 10) as connection:\n"
    "        connection.sendall(f'{rank}@{connection.getsockname()[0]}\\n'.encode())\n"
)


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network(3)
    yield network
    network.close()


class Launch:
    """bfrun on the first host; others find it on PATH only, and lack the directory that ours is in."""

    def __init__(self, job: Job, network: Network) -> None:
        self.job = job
        self.network = network
        self.here = job.directory / "here"
        self.elsewhere = job.directory / "elsewhere"
        for directory in (self.here, self.elsewhere):
            directory.mkdir()
            shutil.copy(find_bfrun(), directory / "bfrun")
        self.ssh = entering_command(job, self.here, f"{self.elsewhere}:{os.environ['PATH']}")

    def start(self, hosts: list[str], *arguments: str) -> None:
        self.job.process = subprocess.Popen(
            ["ip", "netns", "exec", self.network.hosts[0], str(self.here / "bfrun"), "-H", ",".join(hosts)]
            + ["--ssh-command", self.ssh, "-x", "DIR", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self.job.environment(),
            cwd=self.job.directory,
        )


@pytest.fixture
def launch(job: Job, network: Network) -> Launch:
    return Launch(job, network)


def test_ranks_of_all_hosts_reach_the_master_here(launch: Launch) -> None:
    _, b, c = launch.network.hosts
    launch.start(["localhost:1", f"{b}:1", f"{c}:2"], "-np", "4", *MEET)
    assert launch.job.finish() == (0, "1@10.77.0.2 2@10.77.0.3 3@10.77.0.3\n", "")


def test_ranks_of_all_hosts_reach_a_master_elsewhere(launch: Launch) -> None:
    _, b, c = launch.network.hosts
    launch.start([f"{c}:1", "localhost:1", f"{b}:1"], "-np", "3", *MEET)
    assert launch.job.finish() == (0, "1@10.77.0.1 2@10.77.0.2\n", "")


def test_an_interface_is_used_for_addresses(launch: Launch) -> None:
    _, b, _ = launch.network.hosts
    for hosts, address in ((["localhost", b], "10.78.0.1"), ([b, "localhost"], "10.78.0.2")):
        launch.start(hosts, "--network-interface", "data0", "-np", "2", *shell("echo $MASTER_ADDR"))
        assert launch.job.finish() == (0, f"{address}\n" * 2, "")


def test_an_interface_that_one_host_lacks(launch: Launch) -> None:
    _, b, c = launch.network.hosts
    run("ip", "link", "delete", "data0", namespace=c)
    launch.start(["localhost", b, c], "--network-interface", "data0", "-np", "3", "true")
    code, _, err = launch.job.finish()
    expected = (
        f"bfrun: {c} has no network interface data0; --network-interface may name one of these: eth0, lo\n"
    )
    assert (code, err) == (2, expected)
    launch.job.wait_until_nobody_is_left()


def test_an_interface_that_is_down_on_one_host(launch: Launch) -> None:
    _, b, _ = launch.network.hosts
    run("ip", "link", "set", "data0", "down", namespace=b)
    launch.start(["localhost", b], "--network-interface", "data0", "-np", "2", "true")
    code, _, err = launch.job.finish()
    assert code == 2
    assert err.startswith(f"bfrun: {b}'s network interface data0 is down or has no address; ")


def test_a_host_that_has_no_bfrun_at_all(launch: Launch) -> None:
    _, b, _ = launch.network.hosts
    (launch.elsewhere / "bfrun").unlink()
    launch.ssh = entering_command(launch.job, launch.here, "/usr/bin:/bin")
    launch.start([b], "-np", "1", "true")
    code, _, err = launch.job.finish()
    assert code == 1
    assert err.startswith(f"bfrun: cannot start rank 0 on {b}: there is no bfrun (")


def test_a_command_that_only_this_host_has(launch: Launch) -> None:
    _, b, _ = launch.network.hosts
    shutil.copy("/bin/true", launch.here / "mine")
    launch.start(["localhost", b], "-np", "2", str(launch.here / "mine"))
    code, _, err = launch.job.finish()
    assert (code, err) == (
        127,
        f"bfrun: {b}: cannot run {launch.here / 'mine'}: No such file or directory\n",
    )
    launch.job.wait_until_nobody_is_left()


def test_nobody_survives_on_any_network(launch: Launch) -> None:
    _, b, c = launch.network.hosts
    launch.start(["localhost", b, c], "-np", "3", *shell(FAMILY + WAIT))
    for rank in range(3):
        launch.job.pid_in(f"pid.{rank}")
    assert launch.job.process is not None
    launch.job.process.kill()
    launch.job.wait_until_nobody_is_left()


# ---- with ssh


@pytest.fixture
def sshd(job: Job) -> Iterator[Sshd]:
    sshd = Sshd(job, "127.0.0.1", ["elsewhere", "another"])
    yield sshd
    sshd.close()


def over_ssh(sshd: Sshd, hosts: str, *arguments: str) -> list[str]:
    return ["-H", hosts, "-p", str(sshd.port), "-x", "DIR", *arguments]


def test_a_job_over_ssh(job: Job, sshd: Sshd) -> None:
    program = shell('echo "$RANK of $WORLD_SIZE, $LOCAL_RANK of $LOCAL_WORLD_SIZE in $(pwd)"; echo err >&2')
    arguments = over_ssh(sshd, "localhost:1,elsewhere:2,another:1", "-np", "4", *program)
    result = job.run(*arguments, PATH=sshd.path())
    here = job.directory
    assert (result.returncode, result.stderr) == (0, "err\n" * 4)
    assert sorted(result.stdout.splitlines()) == [
        f"0 of 4, 0 of 1 in {here}",
        f"1 of 4, 0 of 2 in {here}",
        f"2 of 4, 1 of 2 in {here}",
        f"3 of 4, 0 of 1 in {here}",
    ]
    job.wait_until_nobody_is_left()


def test_a_rank_killed_behind_ssh_ends_the_job(job: Job, sshd: Sshd) -> None:
    arguments = over_ssh(sshd, "localhost,elsewhere", "-np", "2", *shell(FAMILY + WAIT))
    job.start(*arguments, PATH=sshd.path())
    pids = [job.pid_in(f"pid.{rank}") for rank in range(2)]
    os.kill(pids[1], signal.SIGKILL)
    code, _, err = job.finish()
    assert code == 128 + signal.SIGKILL
    assert err == (
        f"bfrun: rank 1 on elsewhere (pid {pids[1]}) was killed by signal 9 (SIGKILL); the job is stopped\n"
    )
    job.wait_until_nobody_is_left()


def test_ctrl_c_reaches_ranks_behind_ssh(job: Job, sshd: Sshd) -> None:
    program = "trap 'touch $DIR/trapped; exit 0' INT; touch $DIR/ready; while :; do sleep 0.01; done"
    process = job.start(*over_ssh(sshd, "elsewhere", "-np", "1", *shell(program)), PATH=sshd.path())
    job.wait_for_files("ready")
    process.send_signal(signal.SIGINT)
    assert job.finish()[0] == 130
    assert (job.directory / "trapped").exists()
    job.wait_until_nobody_is_left()


def test_nobody_survives_bfrun_behind_ssh(job: Job, sshd: Sshd) -> None:
    process = job.start(
        *over_ssh(sshd, "localhost,elsewhere", "-np", "2", *shell(FAMILY + WAIT)), PATH=sshd.path()
    )
    for rank in range(2):
        job.pid_in(f"pid.{rank}")
    process.kill()
    job.wait_until_nobody_is_left()


def pids_named(job: Job, name: str) -> list[int]:
    return [pid for pid in job.children_of_bfrun() if name in command_line(pid)]


def command_line(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text()


def test_nobody_survives_a_killed_ssh(job: Job, sshd: Sshd) -> None:
    job.start(*over_ssh(sshd, "localhost,elsewhere", "-np", "2", *shell(FAMILY + WAIT)), PATH=sshd.path())
    for rank in range(2):
        job.pid_in(f"pid.{rank}")
    [ssh] = pids_named(job, "BatchMode")
    assert "--agent" in command_line(ssh)
    os.kill(ssh, signal.SIGKILL)
    code, _, err = job.finish()
    assert code == 128 + signal.SIGKILL
    assert err.startswith(f"bfrun: elsewhere (rank 1) is lost: its ssh (pid {ssh}) was killed by signal 9")
    job.wait_until_nobody_is_left()


def test_nobody_survives_a_killed_sshd(job: Job, sshd: Sshd) -> None:
    job.start(*over_ssh(sshd, "localhost,elsewhere", "-np", "2", *shell(FAMILY + WAIT)), PATH=sshd.path())
    for rank in range(2):
        job.pid_in(f"pid.{rank}")
    [session] = run("pgrep", "-P", str(sshd.process.pid)).split()
    os.kill(int(session), signal.SIGKILL)
    code, _, err = job.finish()
    assert code == 1
    assert len(err.splitlines()) == 1 and err.startswith("bfrun: elsewhere (rank 1) is lost: its ssh (pid ")
    job.wait_until_nobody_is_left()


def test_a_key_that_sshd_refuses(job: Job, sshd: Sshd) -> None:
    (sshd.directory / "authorized_keys").write_text("")
    result = job.run(*over_ssh(sshd, "elsewhere", "-np", "1", "true"), PATH=sshd.path())
    assert result.returncode == 1
    assert re.fullmatch(
        r"bfrun: cannot start rank 0 on elsewhere: .*Permission denied \(publickey.*\)\.; "
        r"it must be reached by ssh without a password: try 'ssh elsewhere true'\n",
        result.stderr,
    )


def test_a_host_that_ssh_does_not_know(job: Job, sshd: Sshd) -> None:
    (sshd.directory / "known_hosts").write_text("")
    result = job.run(*over_ssh(sshd, "elsewhere", "-np", "1", "true"), PATH=sshd.path())
    assert result.returncode == 1
    assert "cannot start rank 0 on elsewhere: Host key verification failed.; " in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_port_where_nobody_listens(job: Job, sshd: Sshd) -> None:
    sshd.close()
    result = job.run(*over_ssh(sshd, "elsewhere", "-np", "1", "true"), PATH=sshd.path())
    assert result.returncode == 1
    assert re.fullmatch(
        r"bfrun: cannot start .* on elsewhere: ssh: .*Connection refused; .*\n", result.stderr
    )


def test_a_cut_line_ends_the_ranks_at_both_ends(job: Job, network: Network) -> None:
    here, there, _ = network.hosts
    # How often the other host's kernel sends what nobody acknowledges; by default for a quarter of an hour.
    run("sysctl", "-w", "net.ipv4.tcp_retries2=3", namespace=there)
    sshd = Sshd(job, "10.77.0.2", ["elsewhere"], there)
    try:
        job.process = subprocess.Popen(
            ["ip", "netns", "exec", here, find_bfrun()]
            + over_ssh(sshd, "localhost,elsewhere", "-np", "2", *shell(FAMILY + WAIT)),
            env=job.environment(PATH=sshd.path()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2):
            job.pid_in(f"pid.{rank}")
        network.cut(1)
        _, err = job.process.communicate(timeout=100)
        assert job.process.returncode == 1
        assert re.fullmatch(
            r"bfrun: elsewhere \(rank 1\) is lost: its ssh \(pid \d+\) exited with code 255 "
            r"\(.*Timeout, server .* not responding.*\); the job is stopped\n",
            err,
        )
        job.wait_until_nobody_is_left()
    finally:
        sshd.close()
