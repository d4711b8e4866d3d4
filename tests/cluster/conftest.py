"""These tests need namespaces, so they run as root; `make test-cluster` collects nothing else."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
