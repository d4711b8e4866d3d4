"""Adapt with combine: w <- Combine(w) - lr * g(w).

Averaging needs only the old parameters, so it starts with the forward and runs while gradients are
computed. (Chen and Sayed, "Diffusion adaptation strategies for distributed optimization and learning over
networks", 2012; there called the consensus strategy.)
"""

from __future__ import annotations

import torch

from bluefog.torch.optimizers._mixing import Flight, Mixer, MixingRound
from bluefog.torch.optimizers._overlapped import Overlapped
from bluefog.torch.optimizers._settings import ALL_SETTINGS, CommunicationType
from bluefog.torch.rooms import Way


class AdaptWithCombine(Overlapped):
    """Mixes from the forward to step(), into the buckets' second buffers, because forward and backward still
    read the parameters. Or, if all ranks are on this host, in step(): there is no network to hide, and
    copying the second buffers in costs more than mixing in place does.

    Args:
        overlap: Mixes from the forward on; None: if there are several hosts, or parameters are staged.
    """

    follows = ALL_SETTINGS
    kind = "adapt_with_combine"

    def __init__(
        self,
        mixer: Mixer,
        models: list[torch.nn.Module],
        steps_per_communication: int,
        overlap: bool | None = None,
    ) -> None:
        super().__init__(mixer, models, steps_per_communication)
        hides_something = mixer.stages or not mixer.shares_memory_with_all()
        self._overlaps = hides_something if overlap is None else bool(overlap)
        self._mixing: MixingRound | None = None
        self._flight: Flight | None = None
        self._versions: dict[int, int] = {}

    def parameters_added(self) -> None:
        pass  # the next round mixes their bucket too

    def drain(self) -> None:
        mixing, self._mixing = self._mixing, None
        self._forget_round()
        if mixing is not None:
            self._discard(mixing)

    def _begin_round(self) -> None:
        self._mixer.refresh()
        self._versions = {id(m.tensor): m.tensor._version for m in self._mixer.layout.members}
        if self._mixer.settings.communication_type is CommunicationType.empty:
            return
        self._mixing = self._mixer.next_round()
        if self._overlaps:
            self._flight = self._mixing.start(self._mixer.buckets, Way.into_second_buffer)

    def _end_round(self) -> None:
        mixing, self._mixing = self._mixing, None
        if mixing is None:
            return
        self._check_unchanged(mixing)
        if self._overlaps:
            self._land()
        else:
            mixing.mix(Way.in_place)
            for bucket in self._mixer.buckets:
                bucket.mark_changed()
        mixing.complete()

    def _land(self) -> None:
        """Waits for what is in flight, and takes it in."""
        flight, self._flight = self._flight, None
        assert flight is not None
        flight.wait()
        for bucket, _ in flight.operations:
            bucket.take_second_buffer()

    def _discard(self, mixing: MixingRound) -> None:
        """Takes part in the round for the others' sake."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.wait()
        else:
            mixing.mix(Way.into_second_buffer)
        mixing.complete()

    def _check_unchanged(self, mixing: MixingRound) -> None:
        replaced = self._mixer.refresh()
        members = self._mixer.layout.members
        changed = replaced or [
            m.name
            for m in members
            if m.tensor._version != self._versions.get(id(m.tensor), m.tensor._version)
        ]
        if changed:
            self._discard(mixing)
            raise RuntimeError(
                f"parameters {', '.join(changed)} were changed between the forward that started "
                "to average them and step(); such a change would be lost. Change parameters after step() "
                "and before the forward"
            )
