"""What styles have in common that communicate while gradients are computed."""

from __future__ import annotations

from typing import Any, Callable

import torch

from bluefog.torch.forwards import ForwardHooks
from bluefog.torch.optimizers._base import Adapt, BaseStep, Closure
from bluefog.torch.optimizers._counter import StepCounter
from bluefog.torch.optimizers._mixing import Mixer
from bluefog.torch.optimizers._warnings import warn_user


class Overlapped:
    """A round begins at the J-th forward of a root module after the last round; step() ends it, then adapts.

    Styles say what a round is by `_begin_round` and `_end_round`.
    """

    kind: str

    def __init__(self, mixer: Mixer, models: list[torch.nn.Module], steps_per_communication: int) -> None:
        self._mixer = mixer
        self._counter = StepCounter(steps_per_communication, "forward")
        self._forwards = [0] * len(models)
        self._forward_seen = False
        self._round_open = False
        self._synchronized = False
        self.skip_synchronize = False
        self.is_local = False
        self._hooks = None if mixer.alone else ForwardHooks(models, self._before_forward)

    def step(self, adapt: Adapt, closure: Closure | None) -> Any:
        if self._mixer.alone:
            return adapt(closure)
        adapt = self._bracketed(adapt)
        if self._synchronized_already():
            return adapt(closure)
        return combine_then_adapt(self._combine, adapt, closure)

    def synchronize(self) -> None:
        """Ends the round now instead of in step()."""
        if not self._mixer.alone:
            self._combine()
            self._synchronized = True

    def close(self) -> None:
        if self._hooks is not None:
            self._hooks.remove()

    def state_dict(self) -> dict[str, Any]:
        return {"forwards": list(self._forwards)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        forwards = state.get("forwards", [0] * len(self._forwards))
        if len(forwards) != len(self._forwards):
            raise ValueError(
                f"this state is of {len(forwards)} models, this optimizer has {len(self._forwards)}"
            )
        self._forwards = list(forwards)

    def _begin_round(self) -> None:
        raise NotImplementedError

    def _end_round(self) -> None:
        raise NotImplementedError

    def _bracketed(self, adapt: Adapt) -> Adapt:
        return adapt

    def serve(self, adapt: BaseStep) -> None:
        self._close_round()
        self._begin_round()
        self._end_round()

    def _before_forward(self, index: int) -> None:
        if self.is_local:
            return
        count = self._forwards[index] + 1
        self._counter.check(count)
        if count >= self._counter.allowed:
            self._open_round()
        self._forwards[index] = count  # not if the round could not begin: there will be no forward
        self._forward_seen = True

    def _combine(self) -> None:
        if not self._forward_seen:  # a compiled forward, or one of an inner module: a step stands for one
            self._forwards = [count + 1 for count in self._forwards]
        self._forward_seen = False
        if max(self._forwards) >= self._counter.allowed:
            self._open_round()
        self._close_round()

    def _open_round(self) -> None:
        if not self._round_open:
            self._mixer.announce_round()
            self._begin_round()
            self._round_open = True

    def _close_round(self) -> None:
        if self._round_open:
            self._forget_round()
            self._end_round()

    def _forget_round(self) -> None:
        self._round_open = False
        self._forwards = [0] * len(self._forwards)

    def _synchronized_already(self) -> bool:
        synchronized, self._synchronized = self._synchronized, False
        if synchronized and not self.skip_synchronize:
            warn_user(
                "step() after synchronize() does not average a second time; put it inside skip_synchronize()"
            )
        return synchronized or self.skip_synchronize


def combine_then_adapt(combine: Callable[[], None], adapt: Adapt, closure: Closure | None) -> Any:
    """Combines after the gradients were computed and before the base step uses them, once."""
    if closure is None:
        combine()
        return adapt()
    combined = False

    def evaluate_then_combine() -> Any:
        # Gradients belong to the old parameters, the update to the mixed ones.
        nonlocal combined
        loss = closure()
        if not combined:
            combined = True
            combine()
        return loss

    result = adapt(evaluate_then_combine)
    if not combined:
        combine()
    return result
