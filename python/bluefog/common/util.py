"""Small helpers without a home of their own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["env", "extension_available", "is_running_from_ipython", "mpi_built"]


@contextlib.contextmanager
def env(**variables: str | None) -> Iterator[None]:
    """Sets environment variables inside the ``with`` block. Those given as None are left alone."""
    wanted = {name: str(value) for name, value in variables.items() if value is not None}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def mpi_built() -> bool:
    """False: BlueFog does not use MPI."""
    return False


def extension_available(ext_base_name: str) -> bool:
    """True if the front end of that name ("torch") can be imported."""
    import importlib

    try:
        importlib.import_module(f"bluefog.{ext_base_name}")
    except ImportError:
        return False
    return True


def is_running_from_ipython() -> bool:
    """True inside IPython or a notebook."""
    try:
        from IPython import get_ipython  # type: ignore[import-not-found,attr-defined,unused-ignore]
    except ImportError:
        return False
    return get_ipython() is not None
