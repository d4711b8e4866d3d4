"""Adapt with combine: w <- Combine(w) - lr * g(w).

Averaging needs only the old parameters, so it starts with the forward and runs while gradients are
computed. (Chen and Sayed, "Diffusion adaptation strategies for distributed optimization and learning over
networks", 2012; there called the consensus strategy.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bluefog.torch.buckets import Bucket
from bluefog.torch.optimizers._base import (
    Adapt,
    Closure,
    ForwardHooks,
    StepCounter,
    combine_then_adapt,
)
from bluefog.torch.optimizers._mixing import CommunicationType, Flight, Mixer
from bluefog.torch.optimizers._warnings import warn_user


class AdaptWithCombine:
    """Starts to mix at the J-th forward of a root module after the last mixing; step() takes the result,
    then adapts.

    The result goes to the buckets' second buffers, because forward and backward still read the parameters.
    """

    def __init__(self, mixer: Mixer, models: list[torch.nn.Module], steps_per_communication: int) -> None:
        self._mixer = mixer
        self._counter = StepCounter(steps_per_communication, "forward")
        self._forwards = [0] * len(models)
        self._forward_seen = False
        self._round_open = False  # this round's mixing has been started
        self._flight: Flight | None = None
        self._versions: dict[int, int] = {}
        self._synchronized = False
        self.skip_synchronize = False
        self._hooks = None if mixer.alone else ForwardHooks(models, self._before_forward)

    def step(self, adapt: Adapt, closure: Closure | None) -> Any:
        if self._mixer.alone or self._synchronized_already():
            return adapt(closure)
        return combine_then_adapt(self._combine, adapt, closure)

    def synchronize(self) -> None:
        """Takes the mixed parameters now instead of in step()."""
        if not self._mixer.alone:
            self._combine()
            self._synchronized = True

    def parameters_added(self) -> None:
        pass  # the next round mixes their bucket too

    def drain(self) -> None:
        flight, self._flight = self._flight, None
        self._end_round()
        if flight is not None:
            flight.wait()
            self._mixer.round_completed()

    def close(self) -> None:
        if self._hooks is not None:
            self._hooks.remove()

    def _before_forward(self, index: int) -> None:
        self._forward_seen = True
        self._forwards[index] += 1
        self._counter.check(self._forwards[index])
        if not self._round_open and self._forwards[index] >= self._counter.allowed:
            self._prepare()
            if self._mixer.settings.communication_type is not CommunicationType.empty:
                self._flight = self._mixer.start(self._mixer.buckets, in_place=False)
            self._round_open = True

    def _prepare(self) -> None:
        self._mixer.refresh()
        self._versions = {id(m.tensor): m.tensor._version for m in self._mixer.layout.members}

    def _end_round(self) -> None:
        self._round_open = False
        self._forwards = [0] * len(self._forwards)

    def _synchronized_already(self) -> bool:
        synchronized, self._synchronized = self._synchronized, False
        if synchronized and not self.skip_synchronize:
            warn_user(
                "step() after synchronize() does not average a second time; put it inside skip_synchronize()"
            )
        return synchronized or self.skip_synchronize

    def _combine(self) -> None:
        if not self._forward_seen:  # a compiled forward, or one of an inner module: a step stands for one
            self._forwards = [count + 1 for count in self._forwards]
        self._forward_seen = False
        if self._round_open:
            self._land()
        elif max(self._forwards) >= self._counter.allowed:
            self._prepare()
            self._mix_now()

    def _mix_now(self) -> None:
        self._end_round()
        if self._mixer.settings.communication_type is CommunicationType.empty:
            return
        self._mixer.mix(in_place=False)
        self._take(self._mixer.buckets)

    def _land(self) -> None:
        flight, self._flight = self._flight, None
        self._end_round()
        if flight is None:
            return
        flight.wait()
        replaced = self._mixer.refresh()
        buckets = [bucket for bucket, _ in flight.operations]
        changed = [
            m.name for b in buckets for m in b.members if m.tensor._version != self._versions[id(m.tensor)]
        ]
        if replaced or changed:
            self._mixer.round_completed()
            raise RuntimeError(
                f"parameters {', '.join(replaced or changed)} were changed between the forward that started "
                "to average them and step(); such a change would be lost. Change parameters after step() "
                "and before the forward"
            )
        self._take(buckets)

    def _take(self, buckets: Sequence[Bucket]) -> None:
        for bucket in buckets:
            bucket.take_second_buffer()
        self._mixer.round_completed()
