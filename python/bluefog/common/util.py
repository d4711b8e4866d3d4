"""Small helpers without a home of their own."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator

__all__ = ["check_extension", "env", "extension_available", "is_running_from_ipython", "mpi_built"]


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


def mpi_built(verbose: bool = False) -> bool:
    """False: BlueFog does not use MPI. ``verbose`` says so on stdout."""
    if verbose:
        print("BlueFog is built without MPI.")
    return False


def check_extension(ext_name: str, *_: str) -> None:
    """Raises ImportError, which says why, if the module of that name ("bluefog.torch") cannot be imported.

    BlueFog 0.3 took the path of its extension beside; it has no effect.
    """
    importlib.import_module(ext_name)


def extension_available(ext_base_name: str, verbose: bool = False) -> bool:
    """True if the front end of that name ("torch") can be imported. ``verbose`` says why not, on stdout."""
    try:
        check_extension(f"bluefog.{ext_base_name}")
    except ImportError as error:
        if verbose:
            print(f"bluefog.{ext_base_name}: {error}")
        return False
    return True


def is_running_from_ipython() -> bool:
    """True inside IPython or a notebook."""
    try:
        from IPython import get_ipython  # type: ignore[import-not-found,attr-defined,unused-ignore]
    except ImportError:
        return False
    return get_ipython() is not None
