"""How many passes there were since the last communication."""

from __future__ import annotations

from bluefog.torch.optimizers._warnings import warn_user

__all__ = ["StepCounter"]


class StepCounter:
    """Warns once when there were more forwards or backwards before a step than
    ``num_steps_per_communication``.
    """

    def __init__(self, allowed: int, what: str) -> None:
        if not isinstance(allowed, int) or isinstance(allowed, bool) or allowed < 1:
            raise ValueError(f"num_steps_per_communication must be a positive integer, not {allowed!r}")
        self.allowed = allowed
        self._what = what
        self._warned = False

    def check(self, count: int) -> None:
        if count > self.allowed and not self._warned:
            self._warned = True
            warn_user(
                f"Unexpected behavior: {count} {self._what} passes since the last communication, more than "
                f"num_steps_per_communication={self.allowed}. Call optimizer.step() after each, or set it "
                f"to the number of {self._what} passes between communications."
            )
