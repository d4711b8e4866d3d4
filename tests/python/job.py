"""What the scripts in jobs/ share: checks that all ranks run together, and reports to the test."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import traceback
from types import ModuleType
from typing import Any

import bluefog.torch as bf
import pytest
import torch


def report(value: Any) -> None:
    """Hands a JSON value to the test."""
    path = pathlib.Path(os.environ["JOB_DIRECTORY"]) / f"{bf.rank()}.json"
    path.write_text(json.dumps(value))


def device() -> torch.device:
    """Where this rank's tensors are in jobs that may use a GPU: there if there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", bf.local_rank() % torch.cuda.device_count())


def outcomes_of(module: ModuleType) -> dict[str, str]:
    """Runs every function check_* of the module on all ranks. Returns {name: "" or the traceback}.

    Each gets an engine of its own, so that one that fails on one rank only cannot disturb the next.
    """
    only = os.environ.get("JOB_CHECKS", "").split()
    outcomes = {}
    for name, check in list(vars(module).items()):  # a check that compiles adds names
        if not name.startswith("check_") or (only and name not in only):
            continue
        bf.init()
        if os.environ.get("JOB_DEVICE") == "any":
            torch.set_default_device(device())
        torch.manual_seed(bf.rank())
        try:
            check()
            bf.barrier()
            outcomes[name] = ""
        except BaseException:
            outcomes[name] = traceback.format_exc()
            print(f"rank {bf.rank()}: {name}: {outcomes[name]}", file=sys.stderr, flush=True)
        bf.shutdown()
    return outcomes


def raises(error: type[BaseException], text: str | None = None) -> Any:
    """As pytest.raises: the block raises `error` whose message has `text` in it."""
    return pytest.raises(error, match=text)


def assert_equal(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Same values, shape and dtype, to the bit."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Same values to within rounding, same shape and dtype."""
    torch.testing.assert_close(actual, expected)


def assert_usable() -> None:
    """The engine still works on all ranks."""
    total = bf.allreduce(torch.tensor([float(bf.rank())], dtype=torch.float64), average=False)
    assert total.item() == bf.size() * (bf.size() - 1) / 2
