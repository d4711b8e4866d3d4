"""torchrun over hosts that have networks of their own, and Open MPI's mpirun."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from bfrun_job import Job, job
from launched_job import LONG, MEET, end, key_file, launch, output_of, reports, script, torchrun
from network import Network

__all__ = ["job"]  # the fixture


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network(2)
    yield network
    network.close()


def static(node: int) -> list[str]:
    return ["--nnodes", "2", "--node-rank", str(node), "--master-addr", "10.77.0.1", "--master-port", "29500"]


def c10d(node: int) -> list[str]:
    """torch would look for the master under this machine's name, which says nothing of its networks."""
    place = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29400", "--rdzv-id", "ours"]
    place += ["--rdzv-conf", f"is_host={1 - node}", "--local-addr", f"10.77.0.{node + 1}"]
    return ["--nnodes", "2", *place]


def start(
    job: Job, network: Network, node: int, arguments: list[str], **variables: str
) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", network.hosts[node], *torchrun(*arguments)]
    return launch(job, command, f"agent{node}", **variables)


def ranks_of_both(job: Job) -> list[object]:
    found = reports(job, 4)
    assert [report[1] for report in found] == [1.5] * 4  # type: ignore[index]
    return [report[0] for report in found]  # type: ignore[index]


@pytest.mark.parametrize("place", [static, c10d])
def test_torchrun_over_two_hosts(job: Job, network: Network, place) -> None:  # type: ignore[no-untyped-def]
    path, key = script(job, MEET), str(key_file(job))
    agents = [
        start(job, network, node, [*place(node), "--nproc-per-node", "2", path], BLUEFOG_JOB_KEY_FILE=key)
        for node in range(2)
    ]
    for node, agent in enumerate(agents):
        end(job, agent, f"agent{node}")
    assert ranks_of_both(job) == [[rank, 4, rank % 2, 2, rank // 2, 2] for rank in range(4)]
    job.wait_until_nobody_is_left()


def test_torchrun_starts_the_ranks_of_both_hosts_again(job: Job, network: Network) -> None:
    """Each agent has its own count of restarts; only that of the failed rank goes up."""
    source = """
is_first = not (directory / "failed").exists()
bf.init()
value = mean()
if is_first and bf.rank() == 3:
    (directory / "failed").touch()
    os._exit(3)
if is_first:
    time.sleep(600)  # until the agent ends it
bf.shutdown()
report([value, int(os.environ["TORCHELASTIC_RESTART_COUNT"])])
"""
    path, key = script(job, source), str(key_file(job))
    options = ["--max-restarts", "2", "--monitor-interval", "0.2", "--nproc-per-node", "2", path]
    agents = [
        start(job, network, node, [*c10d(node), *options], BLUEFOG_JOB_KEY_FILE=key) for node in range(2)
    ]
    for node, agent in enumerate(agents):
        end(job, agent, f"agent{node}")
    found = reports(job, 4)
    assert [value for value, _ in found] == [1.5] * 4  # type: ignore[misc]
    assert {count for _, count in found} == {0, 1}  # type: ignore[misc]
    job.wait_until_nobody_is_left()


def outputs_of_failed(job: Job, network: Network, *variables: dict[str, str]) -> list[str]:
    path = script(job, "bf.init()")
    agents = [
        start(
            job,
            network,
            node,
            [*static(node), "--nproc-per-node", "1", path],
            BLUEFOG_START_TIMEOUT="8",
            **own,
        )
        for node, own in enumerate(variables)
    ]
    assert all(agent.wait(timeout=LONG) != 0 for agent in agents)
    job.wait_until_nobody_is_left()
    return [output_of(job, f"agent{node}") for node in range(2)]


def test_without_a_key_hosts_do_not_meet(job: Job, network: Network) -> None:
    here, there = outputs_of_failed(job, network, {}, {})
    assert "still missing: rank 1." in here and "Without a key only ranks of one host meet" in here
    assert "rank 0 is on another host, 10.77.0.1, and ranks of several hosts meet only with a key" in there


def test_with_different_keys_hosts_do_not_meet(job: Job, network: Network) -> None:
    keys = [key_file(job, name) for name in ("one", "other")]
    here, there = outputs_of_failed(
        job, network, *[{"BLUEFOG_JOB_KEY_FILE": str(key), "OMP_NUM_THREADS": "1"} for key in keys]
    )
    assert "still missing: rank 1." in here and "connections from elsewhere were refused" in here
    assert "10.77.0.1:29501: it ends the connection before it has proved to be a rank of this job" in there
    for key in keys:
        assert key.read_bytes().hex() not in here + there


def test_a_host_that_cannot_be_reached_is_named(job: Job, network: Network) -> None:
    path, key = script(job, "bf.init()"), str(key_file(job))
    command = ["ip", "netns", "exec", network.hosts[1], sys.executable, path]
    rank = launch(
        job,
        command,
        BLUEFOG_RANK="1",
        BLUEFOG_SIZE="2",
        BLUEFOG_RENDEZVOUS="10.99.0.1:5000",
        BLUEFOG_JOB_KEY_FILE=key,
        BLUEFOG_START_TIMEOUT="1",
    )
    assert rank.wait(timeout=LONG) == 1
    assert "Rank 0's host has not been reached (10.99.0.1:5000: Network is unreachable)" in output_of(job)


def test_mpirun(job: Job) -> None:
    options = ["--allow-run-as-root", "--oversubscribe", "-np", "4"]
    end(job, launch(job, ["mpirun", *options, sys.executable, script(job, MEET)]))
    assert reports(job, 4) == [[[rank, 4, rank, 4, 0, 1], 1.5] for rank in range(4)]
    job.wait_until_nobody_is_left()


def test_two_mpiruns_at_once_are_two_jobs(job: Job, tmp_path: pathlib.Path) -> None:
    source = MEET.replace("report(reports[0])", "report(reports[0], f\"{os.environ['NAME']}-{bf.rank()}\")")
    command = [
        "mpirun",
        "--allow-run-as-root",
        "--oversubscribe",
        "-np",
        "2",
        sys.executable,
        script(job, source),
    ]
    jobs = [launch(job, command, name, NAME=name) for name in ("one", "other")]
    for name, process in zip(("one", "other"), jobs):
        end(job, process, name)
        for rank in range(2):
            report = json.loads((tmp_path / f"{name}-{rank}.json").read_text())
            assert report == [[rank, 2, rank, 2, 0, 1], 0.5]
