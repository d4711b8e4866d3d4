"""Asynchronous consensus over four hosts, one of them slow and another behind a thin link."""

from __future__ import annotations

import re

from bfrun_job import Job, job
from network import Network
from ranks import BUILD
from test_hosts import Launch

__all__ = ["job"]  # the fixture

PROGRAM = BUILD / "examples" / "cpp" / "push_sum_consensus"
TOTALS = re.compile(r"^total p off by (\S+), total x by (\S+); worst error (\S+)$", re.MULTILINE)


def test_all_agree_and_no_mass_is_lost(job: Job) -> None:
    with Network(4) as network:
        network.shape(500)
        network.shape_port(3, 100)
        launch = Launch(job, network)
        hosts = [f"{host}:1" for host in ["localhost", *network.hosts[1:]]]
        program = [str(PROGRAM), "--size", "20000", "--seconds", "4", "--compute", "5", "--slow-rank", "1"]
        launch.start(hosts, "-np", "4", *program)
        code, out, err = job.finish(patience=60)
    assert code == 0, out + err
    [totals] = TOTALS.findall(out)
    lost_p, lost_x, error = map(float, totals)
    assert lost_p <= 1e-12 and lost_x <= 1e-12, out
    assert error <= 1e-6, out
