"""Prints what makes .venv depend on the interpreter that runs this: equal text means that .venv can stay.

Quick on purpose (imports no torch): it runs before every build.
"""

import importlib.metadata
import os
import sys


def version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


print(os.path.realpath(sys.executable), sys.prefix, sys.version.split()[0], "torch", version_of("torch"))
