"""Runs the checks of the scripts that are given as arguments, on all ranks, and reports how each ended."""

from __future__ import annotations

import importlib
import sys

from job import outcomes_of, report

if __name__ == "__main__":
    report({script: outcomes_of(importlib.import_module(f"jobs.{script}")) for script in sys.argv[1:]})
