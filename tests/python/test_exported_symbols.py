"""The libraries show the API of the public headers, and nothing else."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest
from ranks import BUILD, PACKAGE, REPOSITORY

WORDS_OF_HEADERS = {
    word
    for header in (REPOSITORY / "include" / "bluefog").rglob("*.hpp")
    for word in re.findall(r"\w+", re.sub(r"//.*", "", header.read_text()))
}


def symbols(*options: str, library: pathlib.Path) -> list[str]:
    """The demangled names that a program can link; local ones are those of small letters."""
    command = ["nm", "-C", "--defined-only", *options, str(library)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [match[2] for line in lines if (match := re.match(r"\w+ ([A-Zuvw]) (.*)", line))]


def entity(symbol: str) -> str:
    """Its qualified name, without what is before it and its parameters; an operator goes by its class."""
    name = re.sub(r"^(vtable|typeinfo name|typeinfo) for ", "", symbol)
    return re.split(r"::operator\b|[(\[]", name)[0]


@pytest.mark.parametrize(
    ("options", "library"), [(("-D",), "libbluefog.so"), ((), "libbluefog.a")], ids=["shared", "static"]
)
def test_a_library_shows_its_api_only(options: tuple[str, ...], library: str) -> None:
    shown = symbols(*options, library=BUILD / "src" / library)
    assert "bluefog::Context::rank() const" in shown
    strangers = []
    for symbol in shown:
        first, *names = entity(symbol).split("::")
        if first != "bluefog" or not {name.lstrip("~") for name in names} <= WORDS_OF_HEADERS:
            strangers.append(symbol)
    assert strangers == []


def test_internal_namespaces_are_not_shown() -> None:
    shown = symbols("-D", library=BUILD / "src" / "libbluefog.so")
    rooms = [path.name for path in (REPOSITORY / "src").iterdir() if path.is_dir()]
    assert [s for s in shown for room in rooms if entity(s).startswith(f"bluefog::{room}::")] == []


def test_the_python_module_shows_its_entry_only() -> None:
    (module,) = (PACKAGE / "bluefog").glob("_core*.so")
    assert symbols("-D", library=module) == ["PyInit__core"]


def test_the_python_module_needs_no_libstdcxx() -> None:
    """A Python that brings one, as conda's does, may bring an older one than the compiler's."""
    (module,) = (PACKAGE / "bluefog").glob("_core*.so")
    headers = subprocess.run(
        ["objdump", "-p", str(module)], check=True, capture_output=True, text=True
    ).stdout
    needed = re.findall(r"NEEDED\s+(\S+)", headers)
    assert "libssl.so.3" in needed
    assert not [name for name in needed if name.startswith("libstdc++")]
