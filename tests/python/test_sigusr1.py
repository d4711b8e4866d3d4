"""kill -USR1: a rank tells which operations it has in flight, whatever it is doing."""

from __future__ import annotations

import pathlib
import signal
import textwrap
from typing import Any

from ranks import run_python, run_ranks

# Of two ranks, rank 1 sends the signal to rank 0, and reads in the job's output what rank 0 says.
PREAMBLE = """
    import json, os, pathlib, signal, time
    import bluefog.torch as bf
    import torch
    from job import report

    directory = pathlib.Path(os.environ["JOB_DIRECTORY"])
    bf.init()
    pids = bf.allgather(torch.tensor([os.getpid()]))

    def ask_until_it_says(text):
        deadline = time.monotonic() + 60
        while True:
            os.kill(int(pids[0]), signal.SIGUSR1)
            for line in (directory / "output.txt").read_text().split("\\n")[:-1]:  # whole lines
                if "report: " + text in line:
                    return line.partition("report: ")[2]
            assert time.monotonic() < deadline, text
            time.sleep(0.01)
"""


def reports(tmp_path: pathlib.Path, source: str, ranks: int = 2, **variables: str) -> list[Any]:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(PREAMBLE) + textwrap.dedent(source))
    return run_ranks(ranks, tmp_path, str(path), **variables)


def test_a_rank_that_is_blocked_in_an_operation(tmp_path):
    source = """
        said = ""
        if bf.rank() == 1:
            said = ask_until_it_says('allreduce "awaited"')
        bf.allreduce(torch.ones(3), name="awaited")
        report(said)
    """
    said = reports(tmp_path, source)[1]
    assert said.startswith('allreduce "awaited" (call 0) on rank 0 has been in flight for ')
    assert "; these ranks have not made the call: 1. " in said
    assert said.endswith('In flight on rank 0: allreduce "awaited" (call 0); on rank 1: nothing')


def test_a_rank_that_computes_in_python(tmp_path):
    source = """
        said = ""
        if bf.rank() == 0:
            handle = bf.allreduce_nonblocking(torch.ones(3), name="beside")
            while not (directory / "enough").exists():  # never inside BlueFog
                sum(range(1000))
        else:
            said = ask_until_it_says('allreduce "beside" (call 0) on rank 0 has been in flight for ')
            (directory / "enough").touch()
            handle = bf.allreduce_nonblocking(torch.ones(3), name="beside")
        bf.synchronize(handle)
        report(said)
    """
    said = reports(tmp_path, source, BLUEFOG_LOG_LEVEL="fatal")[1]
    assert "; these ranks have not made the call: 1. " in said


def test_a_rank_with_more_in_flight_than_it_can_show_its_peers(tmp_path):
    source = """
        more_than_its_slots = 1100
        said = ""
        if bf.rank() == 1:
            last = f"allreduce (call {more_than_its_slots - 1}) on rank 0"
            said = ask_until_it_says(last + " waits for its turn: too many are in flight")
        means = [bf.allreduce_nonblocking(torch.ones(3)) for _ in range(more_than_its_slots)]
        for mean in means:
            bf.synchronize(mean)
        report(said)
    """
    assert reports(tmp_path, source)[1]


def test_a_rank_asked_as_soon_as_it_has_called(tmp_path):
    source = """
        deadline = time.monotonic() + 60
        said = ""
        while "waits for its turn" not in said:  # for others, to begin with them
            assert time.monotonic() < deadline, said
            handle = bf.allreduce_nonblocking(torch.ones(3))
            os.kill(os.getpid(), signal.SIGUSR1)
            bf.synchronize(handle)
            said = (directory / "output.txt").read_text()
        report(said)
    """
    (said,) = reports(tmp_path, source, ranks=1)
    assert "waits for its turn: it was called just now" in said


def test_a_rank_with_nothing_in_flight(tmp_path):
    source = """
        said = ""
        if bf.rank() == 0:
            while not (directory / "enough").exists():
                time.sleep(0.01)
        else:
            said = ask_until_it_says("rank 0: no operation is in flight")
            (directory / "enough").touch()
        report(said)
    """
    said = reports(tmp_path, source)[1]
    assert said == "rank 0: no operation is in flight; calls made so far: 2"


def test_a_rank_that_waits_for_others_to_join(tmp_path):
    source = """
        import os, pathlib, signal, time
        directory, rank = pathlib.Path(os.environ["JOB_DIRECTORY"]), os.environ["BLUEFOG_RANK"]
        if rank == "0":
            import bluefog.torch as bf
            (directory / "pid").write_text(f"{os.getpid()}\\n")
        else:
            while not (directory / "pid").exists() or not (directory / "pid").read_text().endswith("\\n"):
                time.sleep(0.01)
            pid = int((directory / "pid").read_text())
            status = pathlib.Path(f"/proc/{pid}/status")

            def handles_the_signal():
                caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
                return int(caught.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1

            while not handles_the_signal():  # it would be killed
                time.sleep(0.01)
            output = directory / "output.txt"
            while "report: rank 0 waits for all 2 ranks to join" not in output.read_text():
                os.kill(pid, signal.SIGUSR1)
                time.sleep(0.01)
            import bluefog.torch as bf
        bf.init()
        (directory / f"{rank}.json").write_text("true")
    """
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(source))
    assert run_ranks(2, tmp_path, str(path)) == [True, True]


def test_a_handler_of_the_user_stays():
    source = """
import os, signal
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
import bluefog.torch as bf
bf.init()
os.kill(os.getpid(), signal.SIGUSR1)
while not seen:
    pass
print(seen == [signal.SIGUSR1])
"""
    result = run_python(source)
    assert (result.returncode, result.stdout) == (0, "True\n"), result.stderr
    assert "report: " not in result.stderr


def test_the_signal_can_be_left_alone():
    source = "import os, signal, bluefog.torch as bf; bf.init(); os.kill(os.getpid(), signal.SIGUSR1)"
    assert run_python(source, BLUEFOG_SIGUSR1="0").returncode == -signal.SIGUSR1
    assert run_python(source).returncode == 0
