"""How a program that many ranks run says that it can't go on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn


def give_up(why: str) -> NoReturn:
    """Ends this rank, with one line. In one write: ranks share the terminal."""
    sys.stderr.write(f"{Path(sys.argv[0]).name}: {why}\n")
    sys.exit(1)
