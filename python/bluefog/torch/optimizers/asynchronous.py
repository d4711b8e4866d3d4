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
from bluefog.torch.optimizers._base import Adapt, Closure
from bluefog.torch.optimizers._mixing import Mixer, code_of_dtype
from bluefog.torch.optimizers._overlapped import Overlapped

#: Which settings an algorithm follows.
_FOLLOWED: dict[str, frozenset[str]] = {
    "window_put": frozenset({"dst_weights"}),
    "window_get": frozenset({"src_weights"}),
    "push_sum": frozenset({"self_weight", "dst_weights"}),
    "pairwise": frozenset(),
}


class Asynchronous(Overlapped):
    """An exchange by windows from the forward to step()."""

    def __init__(
        self,
        mixer: Mixer,
        models: list[torch.nn.Module],
        steps_per_communication: int,
        kind: str,
        name: str | None,
        force_barrier: bool,
    ) -> None:
        super().__init__(mixer, models, steps_per_communication)
        self.force_barrier = force_barrier
        self.kind = kind
        self.follows = _FOLLOWED[kind]
        self._name = mixer.name if name is None else name
        self._mixings: list[_core.AsynchronousMixing] = []
        self._buckets = 0  # that have windows
        self.parameters_added()

    def parameters_added(self) -> None:
        buckets = self._mixer.buckets[self._buckets :]
        if self._mixer.alone or not buckets:
            return
        self._mixings.append(
            _runtime.context().asynchronous_mixing(
                self.kind,
                [bucket.address for bucket in buckets],
                [code_of_dtype(bucket.mixing_dtype) for bucket in buckets],
                [bucket.count for bucket in buckets],
                f"{self._name}.{self._buckets}",
            )
        )
        self._buckets = len(self._mixer.buckets)

    def unregister(self) -> None:
        """Frees the windows. Collective; the optimizer only adapts afterwards."""
        self._close_round()
        mixings, self._mixings = self._mixings, []
        for mixing in mixings:
            mixing.close()
        self.close()

    def drain(self) -> None:
        self._close_round()

    def _begin_round(self) -> None:
        _runtime.context()  # raises while this rank is suspended
        self._mixer.refresh()
        self.parameters_added()
        settings = self._mixer.settings
        for mixing in self._mixings:
            mixing.begin_exchange(
                self_weight=settings.self_weight,
                src_weights=settings.src_weights,
                dst_weights=settings.dst_weights,
            )

    def _end_round(self) -> None:
        if self.force_barrier:
            _runtime.engine().barrier()  # of a round that has begun
        for mixing in self._mixings:
            mixing.end_exchange()

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
