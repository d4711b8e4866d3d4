"""Runs a script as ranks under bfrun and collects what each of them reports."""

from __future__ import annotations

import ast
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PACKAGE = REPOSITORY / "python"
BUILD = REPOSITORY / "build" / "release"


def find_bfrun() -> str:
    """The launcher: BLUEFOG_BFRUN, else the one on PATH, else the one that was built here."""
    built = BUILD / "tools/bfrun/bfrun"
    found = (
        os.environ.get("BLUEFOG_BFRUN") or shutil.which("bfrun") or (str(built) if built.exists() else None)
    )
    if found is None:
        pytest.fail("no bfrun: build it, or set BLUEFOG_BFRUN to its path")
    return found


def environment(**variables: str) -> dict[str, str]:
    """The environment of a rank: ours without BLUEFOG_*, the package and the jobs importable."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BLUEFOG_")}
    paths = [str(PACKAGE), str(HERE), *filter(None, [inherited.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), **variables}


def run_program(*command: object, timeout: float = 200, **variables: str) -> str:
    """Runs a program with the environment of a rank. Returns what it wrote; fails, with that, unless it ends
    well.
    """
    job = subprocess.run(
        [str(part) for part in command],
        env=environment(**variables),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    assert job.returncode == 0, job.stdout
    return job.stdout


def compiler_of_the_build() -> str:
    cache = (BUILD / "CMakeCache.txt").read_text()
    return str(re.findall(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.MULTILINE)[0])


def compile_program(source: pathlib.Path) -> pathlib.Path:
    """Builds a C++ program over the library of the build, beside its source."""
    program = source.with_suffix("")
    paths = [f"-I{REPOSITORY}/include", f"-I{BUILD}/include", f"-L{BUILD}/src", f"-Wl,-rpath,{BUILD}/src"]
    options = ["-std=c++20", "-Wall", "-Wextra", "-Werror", *paths]
    run_program(compiler_of_the_build(), *options, source, "-o", program, "-lbluefog", "-pthread")
    return program


def run_python(source: str, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs Python source in a process of its own, without bfrun."""
    return subprocess.run(
        [sys.executable, "-c", source],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_ranks(
    count: int, directory: pathlib.Path, *command: str, timeout: float = 280, **variables: str
) -> list[Any]:
    """Runs Python with these arguments as `count` ranks.

    Returns what each rank wrote with job.report(). Fails, with the output, if the job does not end well.
    """
    return _run(
        count, directory, [find_bfrun(), "-np", str(count), sys.executable, *command], timeout, variables
    )


def run_forked_checks(count: int, directory: pathlib.Path, script: str) -> list[Any]:
    """As run_checks, for many ranks: forks of one process that has imported torch."""
    forked = [sys.executable, str(HERE / "jobs" / "run_forked.py"), str(count), script]
    return _run(count, directory, forked, 280, {"OMP_NUM_THREADS": "1"})


def _run(
    count: int, directory: pathlib.Path, job: list[str], timeout: float, variables: dict[str, str]
) -> list[Any]:
    settings = environment(JOB_DIRECTORY=str(directory), BLUEFOG_OP_TIMEOUT="60", **variables)
    output = directory / "output.txt"
    with output.open("w") as stream:
        try:
            code = subprocess.run(
                job, env=settings, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, timeout=timeout
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    if code != 0:
        ending = f"ended with code {code}" if code is not None else f"did not end within {timeout} s"
        pytest.fail(f"{' '.join(job)} {ending}:\n{output.read_text()}")
    return [json.loads((directory / f"{rank}.json").read_text()) for rank in range(count)]


def checks_of(script: str) -> list[str]:
    """Names of the functions check_* in jobs/<script>.py."""
    tree = ast.parse((HERE / "jobs" / f"{script}.py").read_text())
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [name for name in functions if name.startswith("check_")]


def run_checks(count: int, directory: pathlib.Path, *scripts: str, **variables: str) -> list[Any]:
    """Runs all checks of these scripts of jobs/ in one job.

    Each rank gives {script: {check: "" or traceback}}.
    """
    return run_ranks(count, directory, str(HERE / "jobs" / "run.py"), *scripts, **variables)


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Calls the function once for each argument, also if it fails: no job is worth a second run."""
    results: dict[Any, tuple[Any, BaseException | None]] = {}

    @functools.wraps(function)
    def call(argument: Any) -> Any:
        if argument not in results:
            try:
                results[argument] = (function(argument), None)
            except (Exception, pytest.fail.Exception) as error:
                results[argument] = (None, error)
        value, error = results[argument]
        if error is not None:
            raise error
        return value

    return call
