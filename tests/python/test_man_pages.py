"""The manual pages name every option that the programs have, and no other."""

from __future__ import annotations

import re
import subprocess

import pytest
from ranks import BUILD


def options_of_help(program: str, *commands: str) -> set[str]:
    options: set[str] = set()
    for command in ([], *([command] for command in commands)):
        line = [str(BUILD / "tools" / program / program), *command, "--help"]
        text = subprocess.run(line, check=True, capture_output=True, text=True).stdout
        for first, second in re.findall(r"^  (-[\w-]+)(?:,(--[\w-]+))?", text, re.MULTILINE):
            options |= {first, second} - {""}
    return options


def options_of_page(program: str) -> set[str]:
    """Those in the tags of the list of options."""
    page = (BUILD / "man" / f"{program}.1").read_text().replace("\\-", "-")
    section = page.partition("\n.SH OPTIONS\n")[2].partition("\n.SH ")[0]
    tags = re.findall(r"^\.TP\n(.*)$", section, re.MULTILINE)
    return {option for tag in tags for option in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", tag)}


@pytest.mark.parametrize(
    ("program", "commands", "own_spellings"),
    [("bfrun", (), {"-np"}), ("bfsim", ("run", "table", "noise"), set())],
)
def test_a_page_has_the_options_of_help(
    program: str, commands: tuple[str, ...], own_spellings: set[str]
) -> None:
    assert options_of_page(program) == options_of_help(program, *commands) | own_spellings


@pytest.mark.parametrize("program", ["bfrun", "bfsim"])
def test_a_page_names_its_version(program: str) -> None:
    page = (BUILD / "man" / f"{program}.1").read_text()
    version = (BUILD / "include/bluefog/version.hpp").read_text()
    assert f'"BlueFog {re.findall(r"BLUEFOG_VERSION .(.*).$", version, re.MULTILINE)[0]}"' in page
