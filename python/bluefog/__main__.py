"""``python -m bluefog`` says where the package has what C++ projects need, one answer a line.

``cmake -DCMAKE_PREFIX_PATH=$(python -m bluefog --cmake-dir)`` makes ``find_package(bluefog)`` find it.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from bluefog import __version__

PACKAGE = pathlib.Path(__file__).resolve().parent


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bluefog", description="Where this installation keeps its files."
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--include-dir", action="store_true", help="print the folder of the C++ headers")
    parser.add_argument("--cmake-dir", action="store_true", help="print the folder of bluefog-config.cmake")
    given = parser.parse_args(arguments)
    if not any(vars(given).values()):
        parser.error("what shall be printed?")
    return given


def existing(pattern: str) -> pathlib.Path:
    """The file of this pattern inside the package; ends the program where there is none."""
    found = next(PACKAGE.glob(pattern), None)
    if found is None:
        sys.exit(f"error: {PACKAGE} has no {pattern}; in a developer's tree, make build puts it there")
    return found


def main(arguments: list[str] | None = None) -> None:
    given = parse_arguments(arguments)
    if given.version:
        print(__version__)
    if given.include_dir:
        print(existing("include/bluefog/bluefog.hpp").parents[1])
    if given.cmake_dir:
        print(existing("lib*/cmake/bluefog/bluefog-config.cmake").parent)


if __name__ == "__main__":
    main()
