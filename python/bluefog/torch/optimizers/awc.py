"""Adapt with combine: w <- Combine(w) - lr * g(w).

Averaging needs only the old parameters, so it starts with the forward and runs while gradients are
computed. (Chen and Sayed, "Diffusion adaptation strategies for distributed optimization and learning over
networks", 2012; there called the consensus strategy.)
"""

from __future__ import annotations

import torch

from bluefog.torch.optimizers._mixing import CommunicationType, Flight, Mixer
from bluefog.torch.optimizers._overlapped import Overlapped


class AdaptWithCombine(Overlapped):
    """Mixes from the forward to step().

    The result goes to the buckets' second buffers, because forward and backward still read the parameters.
    """

    kind = "adapt_with_combine"

    def __init__(self, mixer: Mixer, models: list[torch.nn.Module], steps_per_communication: int) -> None:
        super().__init__(mixer, models, steps_per_communication)
        self._flight: Flight | None = None
        self._versions: dict[int, int] = {}

    def parameters_added(self) -> None:
        pass  # the next round mixes their bucket too

    def drain(self) -> None:
        flight, self._flight = self._flight, None
        self._forget_round()
        if flight is not None:
            flight.wait()
            self._mixer.round_completed()

    def _begin_round(self) -> None:
        self._mixer.refresh()
        self._versions = {id(m.tensor): m.tensor._version for m in self._mixer.layout.members}
        if self._mixer.settings.communication_type is not CommunicationType.empty:
            self._flight = self._mixer.start(self._mixer.buckets, in_place=False)

    def _end_round(self) -> None:
        flight, self._flight = self._flight, None
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
        for bucket in buckets:
            bucket.take_second_buffer()
        self._mixer.round_completed()
