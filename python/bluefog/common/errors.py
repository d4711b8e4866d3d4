"""The exceptions that BlueFog raises.

A message names, as far as they apply, the operation, the tensor's name, the own rank, the peer, the elapsed
time and what to do. After any of these the job goes on: later operations work.
"""

from __future__ import annotations

__all__ = [
    "BlueFogError",
    "InvalidArgumentError",
    "MismatchError",
    "NotInitializedError",
    "OperationTimeoutError",
    "PeerLostError",
    "ShutdownError",
    "SuspendedError",
    "TopologyMissingError",
    "UnknownWindowError",
]


class BlueFogError(Exception):
    """Base of every error of BlueFog."""


class InvalidArgumentError(BlueFogError, ValueError):
    """An argument is wrong by itself, whatever other ranks do."""


class TopologyMissingError(InvalidArgumentError, RuntimeError):
    """An operation needs a topology that has not been set."""


class UnknownWindowError(InvalidArgumentError, KeyError):
    """No window has this name: it was not created, or has been freed."""

    __str__ = Exception.__str__  # that of KeyError would quote the message


class NotInitializedError(BlueFogError, ValueError):
    """``init()`` has not been called."""


class SuspendedError(BlueFogError, ValueError):
    """An operation was started between ``suspend()`` and ``resume()``."""


class MismatchError(BlueFogError, ValueError):
    """Ranks disagree about one operation: shape, dtype, edges, weights, root.

    Also when a rank that the operation needed has given it up for a reason of its own, which the message
    tells: a wrong argument, its user's interrupt or deadline, its shutdown.
    """


class PeerLostError(BlueFogError, RuntimeError):
    """A rank that the operation needed is dead or has left the job.

    Attributes:
        peer: the rank that was lost.
    """

    def __init__(self, message: str, peer: int = -1) -> None:
        super().__init__(message)
        self.peer = peer


class OperationTimeoutError(BlueFogError, TimeoutError):
    """A deadline passed although every rank lives."""


class ShutdownError(BlueFogError, RuntimeError):
    """BlueFog was shut down, before or during the operation."""
