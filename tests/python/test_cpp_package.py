"""The installed library serves a C++ project of its own, as the README says."""

from __future__ import annotations

import pathlib
import re
import subprocess

from ranks import REPOSITORY, environment
from test_readme import BUILD, CMAKE_SNIPPETS, CPP_SNIPPETS


def run(*command: str | pathlib.Path) -> str:
    job = subprocess.run(
        [str(part) for part in command],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=200,
        check=False,
    )
    assert job.returncode == 0, job.stdout
    return job.stdout


def test_a_project_that_finds_the_installed_package(tmp_path: pathlib.Path) -> None:
    prefix = tmp_path / "prefix"
    run("cmake", "--install", BUILD, "--prefix", prefix)
    (tmp_path / "consensus.cpp").write_text(CPP_SNIPPETS[0])
    (tmp_path / "CMakeLists.txt").write_text(CMAKE_SNIPPETS[0])
    build = tmp_path / "build"
    run("cmake", "-G", "Ninja", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", build)
    output = run(prefix / "bin" / "bfrun", "-np", "2", "--tag-output", build / "consensus")
    assert [float(value) for value in re.findall(r"rank \d: (\S+)", output)] == [0.5] * 2


def test_every_public_header_is_installed(tmp_path: pathlib.Path) -> None:
    run("cmake", "--install", BUILD, "--prefix", tmp_path, "--component", "library")
    headers = {path.name for path in (REPOSITORY / "include" / "bluefog").iterdir()} | {"version.hpp"}
    assert {path.name for path in (tmp_path / "include" / "bluefog").iterdir()} == headers
