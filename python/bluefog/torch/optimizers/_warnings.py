"""Warnings that show the user's line, however deep below it they arise."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_user"]

_PACKAGES = ("bluefog", "torch")


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the innermost line outside of BlueFog and torch, whose hooks call us."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PACKAGES:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
