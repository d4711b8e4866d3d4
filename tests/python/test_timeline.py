"""The timeline of a job is a file per rank that trace viewers read."""

from __future__ import annotations

import json
import subprocess
import sys

from ranks import environment, find_bfrun, run_python

SCRIPT = """
import torch
import bluefog.torch as bf

bf.init()
bf.neighbor_allreduce(torch.ones(3), name="weights")
with bf.timeline_context("weights", "my own"):
    bf.barrier()
assert bf.timeline_start_activity("weights", "again")
assert bf.timeline_end_activity("weights")
assert not bf.timeline_end_activity("weights")
"""


def test_operations_and_own_activities_are_on_record(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    job = [find_bfrun(), "-np", "2", "--timeline-filename", f"{tmp_path}/line", sys.executable, str(script)]
    subprocess.run(job, env=environment(), check=True, timeout=120)
    for rank in range(2):
        events = json.loads((tmp_path / f"line{rank}.json").read_text())
        rows = {event["pid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
        complete = {(rows[event["pid"]], event["name"]) for event in events if event["ph"] == "X"}
        assert ("weights", "neighbor_allreduce") in complete
        assert all(event["dur"] >= 0 for event in events if event["ph"] == "X")
        marks = [(event["ph"], event["name"]) for event in events if event["ph"] in "BE"]
        assert marks == [("B", "my own"), ("E", ""), ("B", "again"), ("E", "")]


def test_without_a_timeline_activities_say_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import bluefog.torch as bf\nbf.init()\n"
        "assert bf.timeline_start_activity('x', 'y') is False\n"
        "assert bf.timeline_end_activity('x') is False\n"
        "with bf.timeline_context('x', 'y'):\n    pass\n"
    )
    done = run_python(script.read_text())
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the timeline is off: start with bfrun --timeline-filename") == 1
