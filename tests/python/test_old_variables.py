"""Environment variables of BlueFog 0.3: each still means what it did, or is answered by one warning."""

from __future__ import annotations

import re

import pytest
from ranks import run_python, run_ranks

#: What still means what it did, and what it is set to here.
HONOURED = {
    "BLUEFOG_TIMELINE": "",
    "BLUEFOG_LOG_LEVEL": "warning",
    "BLUEFOG_LOG_HIDE_TIME": "1",
    "BLUEFOG_FUSION_THRESHOLD": "4096",
    "BLUEFOG_NODES_PER_MACHINE": "1",
    "BLUEFOG_START_TIMEOUT": "99",
}
ANSWERED = """
BLUEFOG_CYCLE_TIME BLUEFOG_MPI_THREAD_LEVEL BLUEFOG_MAX_WIN_SENT_LENGTH
BLUEFOG_OPS_ON_CPU BLUEFOG_WIN_ON_GPU
BLUEFOG_ALLREDUCE_BY_MPI BLUEFOG_ALLGATHER_BY_MPI BLUEFOG_BROADCAST_BY_MPI BLUEFOG_NEIGHBOR_ALLREDUCE_BY_MPI
BLUEFOG_NEIGHBOR_ALLGATHER_BY_MPI BLUEFOG_WIN_OPS_BY_MPI BLUEFOG_NUM_FINALIZER_THREADS
BLUEFOG_SLEEP_USEC_FOR_WIN_PASSIVE BLUEFOG_WITH_NCCL BLUEFOG_NCCL_HOME BLUEFOG_NCCL_INCLUDE BLUEFOG_NCCL_LIB
BLUEFOG_NCCL_LINK BLUEFOG_CUDA_HOME BLUEFOG_CUDA_INCLUDE BLUEFOG_CUDA_LIB BLUEFOG_MPICXX_SHOW
BLUEFOG_WITHOUT_PYTORCH BLUEFOG_WITH_TENSORFLOW BLUEFOG_WITHOUT_TENSORFLOW
""".split()


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What two ranks print that join three times with all these variables set."""
    directory = tmp_path_factory.mktemp("variables")
    script = directory / "script.py"
    script.write_text(
        "import bluefog.torch as bf\n"
        "from job import report\n"
        "bf.init()\nbf.init()\nbf.shutdown()\nbf.init()\n"
        "report(bf.allreduce(__import__('torch').ones(1)).item())\n"
    )
    assert run_ranks(2, directory, str(script), **dict.fromkeys(ANSWERED, "1")) == [1.0, 1.0]
    return (directory / "output.txt").read_text()


def test_one_warning_answers_all(output):
    lines = [line for line in output.splitlines() if "environment variables of BlueFog 0.3" in line]
    assert len(lines) == 1, output
    for name in ANSWERED:
        assert lines[0].count(f"{name} (") == 1
    assert "BLUEFOG_CYCLE_TIME (there are no cycles to wait for" in lines[0]


def test_nothing_else_is_said_about_them(output):
    words = output.split()
    assert {name: words.count(name) for name in ANSWERED} == dict.fromkeys(ANSWERED, 1), output


def test_a_variable_that_is_not_set_is_not_mentioned():
    from bluefog.torch.old_variables import ANSWERS, warning_about

    assert sorted(ANSWERS) == sorted(ANSWERED)
    assert warning_about({"BLUEFOG_OP_TIMEOUT": "1", "PATH": "/bin", **HONOURED}) is None
    warning = warning_about({"BLUEFOG_WIN_ON_GPU": ""})
    assert warning == (
        "environment variables of BlueFog 0.3 without effect: "
        f"BLUEFOG_WIN_ON_GPU ({ANSWERS['BLUEFOG_WIN_ON_GPU']})"
    )


def test_the_others_are_honoured_without_a_word(tmp_path):
    source = """
import bluefog.torch as bf
from bluefog.torch._runtime import context
bf.init()
print(sorted(context().config().items()))
"""
    variables = {**HONOURED, "BLUEFOG_TIMELINE": f"{tmp_path}/timeline-"}
    done = run_python(source, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    for pair in variables.items():
        assert str(pair) in done.stdout
    assert (tmp_path / "timeline-0.json").exists()


def log_of(**variables: str) -> str:
    """What a rank logs that finds a misspelt variable, a warning."""
    source = "import bluefog.torch as bf\nbf.init()\nbf.shutdown()\n"
    done = run_python(source, BLUEFOG_LOG_LEVLE="debug", **variables)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_level_of_the_log_counts():
    assert "warning: " in log_of() and "debug: " not in log_of()
    for level in ("debug", "DEBUG"):
        assert "debug: " in log_of(BLUEFOG_LOG_LEVEL=level)
    for level in ("error", "fatal"):
        assert log_of(BLUEFOG_LOG_LEVEL=level) == ""


def test_log_lines_have_times_unless_they_are_hidden():
    time = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] "
    line = r"\[bluefog rank 0\] warning: the environment variable BLUEFOG_LOG_LEVLE is unknown.*\n"
    assert re.fullmatch(time + line, log_of())
    assert re.fullmatch(line, log_of(BLUEFOG_LOG_HIDE_TIME="1"))
