"""cpack makes Debian packages that say what they need and hold what C++ projects use."""

from __future__ import annotations

import pathlib

import pytest
from ranks import BUILD
from test_cpp_package import (
    SHARED_PROJECT,
    VERSION,
    assert_reaches_consensus,
    build_project,
    run,
    write_project,
)

PACKAGES = {"libbluefog1", "libbluefog-dev", "bluefog-tools"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """The file of each package."""
    folder = tmp_path_factory.mktemp("packages")
    run("cpack", "--config", BUILD / "CPackConfig.cmake", "-G", "DEB", "-B", folder)
    return {path.name.partition("_")[0]: path for path in folder.glob("*.deb")}


def field(package: pathlib.Path, name: str) -> str:
    return run("dpkg-deb", "-f", package, name).strip()


def test_there_are_three_of_one_version(packages: dict[str, pathlib.Path]) -> None:
    assert set(packages) == PACKAGES
    assert {field(path, "Version") for path in packages.values()} == {VERSION.replace(".dev", "~dev")}


def test_they_depend_on_what_their_programs_link(packages: dict[str, pathlib.Path]) -> None:
    for name in ("libbluefog1", "bluefog-tools"):
        needed = {part.split()[0] for part in field(packages[name], "Depends").split(", ")}
        assert {part.removesuffix("t64") for part in needed} == {
            "libc6",
            "libgcc-s1",
            "libssl3",
            "libstdc++6",
        }
    version = field(packages["libbluefog1"], "Version")
    assert field(packages["libbluefog-dev"], "Depends") == f"libbluefog1 (= {version})"


def test_a_project_builds_and_runs_with_them(
    packages: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    root = tmp_path / "root"
    for path in packages.values():
        run("dpkg-deb", "-x", path, root)
    write_project(tmp_path, SHARED_PROJECT)
    assert_reaches_consensus(build_project(tmp_path, root / "usr"), root / "usr/bin/bfrun")
    assert (root / "usr/share/man/man1/bfrun.1").exists()
