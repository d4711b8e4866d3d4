"""The README's snippets run as printed."""

from __future__ import annotations

import pathlib
import re
import sys

import pytest
from ranks import REPOSITORY, compile_program, find_bfrun, run_program

README = (REPOSITORY / "README.md").read_text()
PYTHON_SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
CPP_SNIPPETS = re.findall(r"```cpp\n(.*?)```", README, re.DOTALL)
CMAKE_SNIPPETS = re.findall(r"```cmake\n(.*?)```", README, re.DOTALL)


def run_ranks(ranks: int, *command: object, **variables: str) -> str:
    return run_program(find_bfrun(), "-np", ranks, "--tag-output", *command, **variables)


def test_the_readme_has_the_promised_snippets() -> None:
    assert len(PYTHON_SNIPPETS) == 3
    assert len(CPP_SNIPPETS) == 1
    assert len(CMAKE_SNIPPETS) == 1


@pytest.mark.parametrize("number", [0, 1])
def test_training_snippet_learns(number: int, tmp_path: pathlib.Path) -> None:
    assert_learns(PYTHON_SNIPPETS[number], tmp_path)


@pytest.mark.parametrize("ranks_of_a_machine", ["1", "2"])
def test_the_dynamic_snippet_learns_under_both_names_and_on_small_machines(
    ranks_of_a_machine: str, tmp_path: pathlib.Path
) -> None:
    snippet = PYTHON_SNIPPETS[1]
    if ranks_of_a_machine == "2":
        for old, new in (("send_neighbors", "dst_weights"), ("neighbor_weights", "src_weights")):
            assert snippet.count(f"optimizer.{old} =") == 1
            snippet = snippet.replace(f"optimizer.{old} =", f"optimizer.{new} =")
    assert_learns(snippet, tmp_path, BLUEFOG_NODES_PER_MACHINE=ranks_of_a_machine)


def assert_learns(snippet: str, directory: pathlib.Path, **variables: str) -> None:
    script = directory / "snippet.py"
    script.write_text(snippet)
    output = run_ranks(4, sys.executable, script, **variables)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", output)]
    assert len(losses) == 4
    assert max(losses) < 0.69, "no better than guessing between two classes"


def test_consensus_snippet_prints_the_mean(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(PYTHON_SNIPPETS[2])
    values = [float(value) for value in re.findall(r"rank \d: (\S+)", run_ranks(4, sys.executable, script))]
    assert values == pytest.approx([1.5] * 4, abs=1e-5)


def test_cpp_snippet_builds_and_prints_the_mean(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "consensus.cpp"
    source.write_text(CPP_SNIPPETS[0])
    values = re.findall(r"rank \d: (\S+)", run_ranks(4, compile_program(source)))
    assert [float(value) for value in values] == [1.5] * 4
