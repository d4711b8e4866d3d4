"""The snippets of docs/cpp-quick-start.md run as printed; the one for LibTorch does so in test_torch_cpp."""

from __future__ import annotations

import pathlib
import re

import pytest
import quick_start
from ranks import compile_program, find_bfrun
from ranks import run_program as run


def build(folder: pathlib.Path, text: str) -> pathlib.Path:
    (folder / "program.cpp").write_text(text)
    return compile_program(folder / "program.cpp")


def test_there_are_the_snippets_that_are_known_here() -> None:
    assert len(quick_start.SNIPPETS) == 8
    assert "#include <bluefog/torch.hpp>" in quick_start.SNIPPETS[quick_start.LIBTORCH]


def test_the_first_program_prints_the_mean(tmp_path: pathlib.Path) -> None:
    program = build(tmp_path, quick_start.SNIPPETS[quick_start.AVERAGE])
    said = run(find_bfrun(), "-np", 2, "--tag-output", program)
    assert [float(value) for value in re.findall(r"rank \d: (\S+)", said)] == [pytest.approx(0.5)] * 2


def test_the_snippets_without_a_framework_do_what_they_say(tmp_path: pathlib.Path) -> None:
    numbers = set(range(len(quick_start.SNIPPETS))) - {quick_start.AVERAGE, quick_start.LIBTORCH}
    program = build(tmp_path, quick_start.program(*sorted(numbers)))
    said = run(find_bfrun(), "-np", 2, "--tag-output", program)
    assert sorted(re.findall(r"rank (\d) has run all", said)) == ["0", "1"]
