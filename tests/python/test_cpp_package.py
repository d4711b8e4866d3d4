"""What is installed serves C++ projects of their own, as the README and docs/cpp.md say."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from ranks import BUILD, REPOSITORY, compiler_of_the_build, environment, find_bfrun
from ranks import run_program as run
from test_readme import CMAKE_SNIPPETS, CPP_SNIPPETS

VERSION = (REPOSITORY / "VERSION").read_text().strip()
SHARED_PROJECT = CMAKE_SNIPPETS[0]
STATIC_PROJECT = SHARED_PROJECT.replace("REQUIRED", "REQUIRED COMPONENTS static").replace(
    "bluefog::bluefog", "bluefog::bluefog_static"
)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Everything installed, in a folder whose path the build does not know."""
    folder = tmp_path_factory.mktemp("installed") / "prefix"
    run("cmake", "--install", BUILD, "--prefix", folder)
    return folder


def only(folder: pathlib.Path, pattern: str) -> pathlib.Path:
    (found,) = folder.glob(pattern)
    return found


def write_project(folder: pathlib.Path, cmake_lists: str) -> None:
    (folder / "consensus.cpp").write_text(CPP_SNIPPETS[0])
    (folder / "CMakeLists.txt").write_text(cmake_lists)


def build_project(folder: pathlib.Path, package: pathlib.Path) -> pathlib.Path:
    build = folder / "build"
    run("cmake", "-G", "Ninja", "-S", folder, "-B", build, f"-DCMAKE_PREFIX_PATH={package}")
    run("cmake", "--build", build)
    return build / "consensus"


def assert_reaches_consensus(
    program: pathlib.Path, bfrun: str | pathlib.Path | None = None, **variables: str
) -> None:
    output = run(bfrun or find_bfrun(), "-np", "2", "--tag-output", program, **variables)
    assert [float(value) for value in re.findall(r"rank \d: (\S+)", output)] == [0.5] * 2


def needed_libraries(program: pathlib.Path) -> list[str]:
    return re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", program))


def test_a_project_that_finds_the_installed_package(tmp_path: pathlib.Path, prefix: pathlib.Path) -> None:
    write_project(tmp_path, SHARED_PROJECT)
    program = build_project(tmp_path, prefix)
    assert "libbluefog.so.1" in needed_libraries(program)
    assert_reaches_consensus(program, prefix / "bin" / "bfrun")


def test_a_project_that_links_the_static_library(tmp_path: pathlib.Path, prefix: pathlib.Path) -> None:
    write_project(tmp_path, STATIC_PROJECT)
    program = build_project(tmp_path, prefix)
    assert "libbluefog.so.1" not in needed_libraries(program)
    assert_reaches_consensus(program, prefix / "bin" / "bfrun")


def test_a_program_that_uses_pkg_config(tmp_path: pathlib.Path, prefix: pathlib.Path) -> None:
    write_project(tmp_path, "")
    folder = only(prefix, "lib*/**/pkgconfig")
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "bluefog", PKG_CONFIG_PATH=str(folder)))
    program = tmp_path / "consensus"
    run(compiler_of_the_build(), "-std=c++20", tmp_path / "consensus.cpp", "-o", program, *flags)
    assert_reaches_consensus(program, prefix / "bin" / "bfrun", LD_LIBRARY_PATH=str(folder.parent))


def test_without_its_component_the_static_library_is_not_there(
    tmp_path: pathlib.Path, prefix: pathlib.Path
) -> None:
    check = (
        "if(TARGET bluefog::bluefog_static OR TARGET OpenSSL::SSL)\n  message(FATAL_ERROR found)\nendif()\n"
    )
    write_project(tmp_path, SHARED_PROJECT + check)
    run("cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")


@pytest.mark.parametrize(
    ("component", "problem"),
    [("torch", "component torch needs LibTorch"), ("nonsense", "there is no component nonsense")],
)
def test_a_component_that_cannot_be_had_is_named(
    component: str, problem: str, tmp_path: pathlib.Path, prefix: pathlib.Path
) -> None:
    write_project(tmp_path, SHARED_PROJECT.replace("REQUIRED", f"REQUIRED COMPONENTS {component}"))
    command = [
        "cmake",
        "-G",
        "Ninja",
        "-S",
        tmp_path,
        "-B",
        tmp_path / "build",
        f"-DCMAKE_PREFIX_PATH={prefix}",
    ]
    job = subprocess.run(
        [*command, "-DCMAKE_DISABLE_FIND_PACKAGE_Torch=ON"], env=environment(), capture_output=True, text=True
    )
    assert job.returncode != 0
    assert problem in " ".join(job.stderr.split())


def test_every_public_header_is_installed(prefix: pathlib.Path) -> None:
    source = REPOSITORY / "include"
    headers = {path.relative_to(source) for path in source.rglob("*.hpp")}
    installed = {path.relative_to(prefix / "include") for path in (prefix / "include").rglob("*.hpp")}
    assert installed == headers | {pathlib.Path("bluefog/version.hpp")}


def test_the_version_is_that_of_the_file_version_everywhere(prefix: pathlib.Path) -> None:
    folder = only(prefix, "lib*/**/pkgconfig")
    assert run("pkg-config", "--modversion", "bluefog", PKG_CONFIG_PATH=str(folder)).strip() == VERSION
    assert run(prefix / "bin" / "bfrun", "--version").split()[-1] == VERSION
    assert run(sys.executable, "-m", "bluefog", "--version").strip() == VERSION
    assert f'#define BLUEFOG_VERSION "{VERSION}"' in (prefix / "include/bluefog/version.hpp").read_text()
    release = re.match(r"\d+\.\d+\.\d+", VERSION)
    assert release is not None, "VERSION is no semantic version"
    package = only(prefix, "lib*/**/bluefog-config-version.cmake").read_text()
    assert f'set(PACKAGE_VERSION "{release.group()}")' in package
    assert f"## {VERSION}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_a_system_that_runs_mpi_programs_and_compiles_none(tmp_path: pathlib.Path) -> None:
    """Debian's openmpi-bin has mpicxx; the headers that it names come with libopenmpi-dev."""
    mpi = tmp_path / "bin" / "mpicxx"
    mpi.parent.mkdir()
    headers = tmp_path / "no-headers"
    mpi.write_text(f"#!/bin/sh\ncase $1 in -show*) echo -I{headers} -L{headers} -lmpi ;; *) exit 1 ;; esac\n")
    mpi.chmod(0o755)
    build = tmp_path / "build"
    without = ["-DBLUEFOG_BUILD_TESTS=OFF", "-DBLUEFOG_BUILD_EXAMPLES=OFF"]
    path = f"{mpi.parent}:{os.environ['PATH']}"
    run("cmake", "-G", "Ninja", "-S", REPOSITORY, "-B", build, *without, PATH=path)
    assert f"{mpi}\n" in (build / "CMakeCache.txt").read_text(), "CMake has not looked at it"


def test_a_project_that_finds_the_developers_tree(tmp_path: pathlib.Path) -> None:
    write_project(tmp_path, SHARED_PROJECT)
    package = pathlib.Path(run(sys.executable, "-m", "bluefog", "--cmake-dir").strip())
    assert package.is_relative_to(REPOSITORY)
    assert_reaches_consensus(build_project(tmp_path, package))


@pytest.fixture(scope="module")
def wheel_installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder into which pip has unpacked a wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip"]
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "-w", folder, REPOSITORY]
    build = {
        "SKBUILD_BUILD_DIR": f"{REPOSITORY}/build/wheel",  # kept, so that a second run compiles what changed
        "CXX": compiler_of_the_build(),  # under this name ccache knows its outputs
    }
    run(*pip, *wheel, timeout=1500, **build)
    run(*pip, "install", "--no-deps", "--target", folder / "site", only(folder, "bluefog-*.whl"))
    return folder / "site"


@pytest.mark.timeout(1800)
def test_a_project_that_finds_the_wheel(tmp_path: pathlib.Path, wheel_installed: pathlib.Path) -> None:
    def ask(option: str) -> str:
        asked = [sys.executable, "-m", "bluefog", option]
        return run(*asked, PYTHONPATH=str(wheel_installed)).strip()

    write_project(tmp_path, SHARED_PROJECT)
    package = pathlib.Path(ask("--cmake-dir"))
    assert package.is_relative_to(wheel_installed)
    assert_reaches_consensus(build_project(tmp_path, package), wheel_installed / "bin" / "bfrun")
    assert (pathlib.Path(ask("--include-dir")) / "bluefog" / "bluefog.hpp").exists()
    assert ask("--version") == VERSION


@pytest.mark.timeout(1800)
def test_a_wheel_holds_no_torch_and_no_second_name_of_a_library(wheel_installed: pathlib.Path) -> None:
    libraries = [path for path in (wheel_installed / "bluefog").rglob("*.so*") if path.is_file()]
    assert sorted(path.name.split(".")[0] for path in libraries) == ["_core", "libbluefog"]
    needed = {name for path in libraries for name in needed_libraries(path)}
    assert not [name for name in needed if "torch" in name or "c10" in name]
