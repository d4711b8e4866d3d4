"""Optimizers whose ranks do not wait for each other: parameters travel through windows, at each rank's own
pace.

What a rank sends goes on its way with the forward and arrives while gradients are computed; ``step()`` takes
in what has come, then adapts. The algorithms are the core's (``bluefog/asynchronous.hpp``); here are the
hooks.
"""

from __future__ import annotations

from typing import Any

import torch

from bluefog import _core
from bluefog.torch import _runtime
from bluefog.torch.optimizers._base import (
    Adapt,
    Closure,
    ForwardHooks,
    StepCounter,
    combine_then_adapt,
)
from bluefog.torch.optimizers._mixing import Mixer, code_of_dtype


class Asynchronous:
    """Begins an exchange at the J-th forward of a root module since the last; step() ends it, then adapts."""

    def __init__(
        self,
        mixer: Mixer,
        models: list[torch.nn.Module],
        steps_per_communication: int,
        kind: str,
        name: str | None,
        force_barrier: bool,
    ) -> None:
        self._mixer = mixer
        self._counter = StepCounter(steps_per_communication, "forward")
        self._forwards = [0] * len(models)
        self._forward_seen = False
        self._exchanging = False
        self._synchronized = False
        self.skip_synchronize = False
        self.force_barrier = force_barrier
        self._kind = kind
        self._name = mixer.name if name is None else name
        self._mixings: list[_core.AsynchronousMixing] = []
        self._buckets = 0  # that have windows
        self._open_windows()
        self._hooks = None if mixer.alone else ForwardHooks(models, self._before_forward)

    def step(self, adapt: Adapt, closure: Closure | None) -> Any:
        if self._mixer.alone:
            return adapt(closure)
        return combine_then_adapt(self._combine, self._bracketed(adapt), closure)

    def synchronize(self) -> None:
        """Takes in what has come now instead of in step()."""
        if not self._mixer.alone:
            self._combine()
            self._synchronized = True

    def unregister(self) -> None:
        """Frees the windows. Collective; the optimizer only adapts afterwards."""
        self._end_exchange()
        mixings, self._mixings = self._mixings, []
        for mixing in mixings:
            mixing.close()
        self.close()

    def parameters_added(self) -> None:
        self._open_windows()

    def drain(self) -> None:
        self._end_exchange()

    def close(self) -> None:
        if self._hooks is not None:
            self._hooks.remove()

    def _open_windows(self) -> None:
        buckets = self._mixer.buckets[self._buckets :]
        if self._mixer.alone or not buckets:
            return
        self._mixings.append(
            _runtime.context().asynchronous_mixing(
                self._kind,
                [bucket.address for bucket in buckets],
                [code_of_dtype(bucket.mixing_dtype) for bucket in buckets],
                [bucket.count for bucket in buckets],
                f"{self._name}.{self._buckets}",
            )
        )
        self._buckets = len(self._mixer.buckets)

    def _before_forward(self, index: int) -> None:
        self._forward_seen = True
        self._forwards[index] += 1
        self._counter.check(self._forwards[index])
        if not self._exchanging and self._forwards[index] >= self._counter.allowed:
            self._begin_exchange()

    def _begin_exchange(self) -> None:
        self._mixer.refresh()
        settings = self._mixer.settings
        for mixing in self._mixings:
            mixing.begin_exchange(
                self_weight=settings.self_weight,
                src_weights=settings.src_weights,
                dst_weights=settings.dst_weights,
            )
        self._exchanging = True

    def _combine(self) -> None:
        synchronized, self._synchronized = self._synchronized, False
        if synchronized or self.skip_synchronize:
            return
        if not self._forward_seen:  # a compiled forward, or one of an inner module: a step stands for one
            self._forwards = [count + 1 for count in self._forwards]
        self._forward_seen = False
        if not self._exchanging and max(self._forwards) >= self._counter.allowed:
            self._begin_exchange()
        self._end_exchange()

    def _end_exchange(self) -> None:
        if not self._exchanging:
            return
        self._exchanging = False
        self._forwards = [0] * len(self._forwards)
        if self.force_barrier:
            _runtime.context().barrier()
        for mixing in self._mixings:
            mixing.end_exchange()
        self._mixer.round_completed()

    def _bracketed(self, adapt: Adapt) -> Adapt:
        def step(closure: Closure | None = None) -> Any:
            for mixing in self._mixings:
                mixing.begin_step()
            try:
                return adapt(closure)
            finally:
                for mixing in self._mixings:
                    mixing.end_step()

        return step
