"""Optimizers around the core's synchronous algorithms (``bluefog/decentralized.hpp``), which say what each
one does. Here parameters and gradients are brought to their buckets, and back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Callable

import torch

from bluefog import _core
from bluefog.torch import _runtime
from bluefog.torch.gradient_buckets import GradientBucket
from bluefog.torch.optimizers._base import BaseStep, Closure
from bluefog.torch.optimizers._mixing import Mixer, code_of_dtype, dtype_of_code
from bluefog.torch.rooms import on_host


class Synchronous:
    """Communicates in step(), before the base step or after it, as the algorithm wants."""

    follows: frozenset[str] = frozenset()

    def __init__(
        self,
        mixer: Mixer,
        optimizer: torch.optim.Optimizer,
        kind: str,
        *,
        changes_gradients: bool = False,
        depends_on_rate: bool = False,
        schedule: Any | None = None,
        steps_per_round: int = 1,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self._mixer = mixer
        self._optimizer = optimizer
        self.kind = kind
        self.is_local = False
        self._changes_gradients = changes_gradients
        self._depends_on_rate = depends_on_rate
        self._options: dict[str, Any] = {
            "schedule": schedule,
            "steps_per_round": steps_per_round,
            "settings": settings or {},
        }
        self._algorithms: list[_core.DecentralizedAlgorithm] = []
        self._gradients: list[GradientBucket] = []
        self._buckets = 0  # that belong to an algorithm
        self.parameters_added()

    def step(self, adapt: BaseStep, closure: Closure | None) -> Any:
        if self._mixer.alone:
            return adapt(closure)
        _runtime.context()  # raises while this rank is suspended, before anything is adapted
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._refresh()
        rate = self._rate()
        if self._is_round():
            self._mixer.announce_round()
        with self._gradients_in_buckets(adapt.unscale_gradients):
            self._begin_step(rate)
        adapt()
        self._end_step()
        return loss

    def serve(self, adapt: BaseStep) -> None:
        is_over = False
        while not is_over:
            is_over = self._is_round()
            self._refresh()
            with self._gradients_in_buckets(lambda: False):
                self._begin_step(self._rate())
            if self._changes_gradients:
                adapt()
            self._end_step()

    def parameters_added(self) -> None:
        buckets = self._mixer.buckets[self._buckets :]
        if self._mixer.alone or not buckets:
            return
        gradients = [GradientBucket(bucket) for bucket in buckets] if self._changes_gradients else []
        with on_host(bucket.room for bucket in buckets):
            algorithm = _runtime.context().decentralized_algorithm(
                self.kind,
                [bucket.address for bucket in buckets],
                [gradient.address for gradient in gradients],
                [code_of_dtype(bucket.mixing_dtype) for bucket in buckets],
                [bucket.count for bucket in buckets],
                f"{self._mixer.name}.{self._buckets}",
                **self._options,
            )
        if self._algorithms:  # go on together
            algorithm.resume(self._algorithms[0].round, self._algorithms[0].steps_in_round)
        self._algorithms.append(algorithm)
        self._gradients += gradients
        self._buckets = len(self._mixer.buckets)

    def drain(self) -> None:
        pass  # nothing is in flight between steps

    def close(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        """What the algorithm remembers on this rank: of a job of one rank, nothing."""
        if not self._algorithms:
            return {}
        return {
            "round": self._algorithms[0].round,
            "steps_in_round": self._algorithms[0].steps_in_round,
            "vectors": [tensor.clone() for tensor in self._vectors()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not self._algorithms:
            return
        if "vectors" not in state:  # another rank's, whose memory is of no use here
            with self._on_host():
                for algorithm in self._algorithms:
                    algorithm.restart(state.get("round", 0))
            return
        vectors = list(self._vectors())
        saved = state["vectors"]
        if [(v.numel(), v.dtype) for v in vectors] != [(v.numel(), v.dtype) for v in saved]:
            raise ValueError(
                "the saved state of the algorithm does not fit these parameters: they differ in number, "
                "order, shape or dtype, or BLUEFOG_BUCKET_SIZE does"
            )
        for algorithm in self._algorithms:
            algorithm.resume(state["round"], state["steps_in_round"])
        for vector, value in zip(vectors, saved):
            vector.copy_(value)

    def _refresh(self) -> None:
        self._mixer.refresh()
        self.parameters_added()

    def _is_round(self) -> bool:
        """Whether ranks mix in this step."""
        steps = self._algorithms[0].steps_in_round if self._algorithms else 0
        return steps + 1 >= int(self._options["steps_per_round"])

    def _begin_step(self, rate: float) -> None:
        with self._on_host():
            for algorithm in self._algorithms:
                algorithm.begin_step(rate)

    def _end_step(self) -> None:
        self._mixer.refresh()  # some optimizers assign p.data
        with self._on_host():
            for algorithm in self._algorithms:
                algorithm.end_step()
        for bucket in self._mixer.buckets:
            bucket.mark_changed()

    def _on_host(self) -> AbstractContextManager[None]:
        """The core's algorithms compute on the host, on parameters and gradients of a GPU too."""
        rooms = [bucket.room for bucket in self._mixer.buckets]
        return on_host(rooms + [gradients.room for gradients in self._gradients])

    def _vectors(self) -> Iterator[torch.Tensor]:
        for algorithm in self._algorithms:
            for address, code, count in algorithm.state():
                dtype = dtype_of_code(code)
                memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
                yield torch.frombuffer(memory, dtype=dtype)

    def _rate(self) -> float:
        rates = {float(group["lr"]) for group in self._optimizer.param_groups if "lr" in group}
        if self._depends_on_rate and len(rates) != 1:
            raise ValueError(
                f"this algorithm takes one learning rate for all parameters, not {sorted(rates)}; give all "
                "parameter groups the same"
            )
        return next(iter(rates), 0.0)

    @contextmanager
    def _gradients_in_buckets(self, prepare: Callable[[], bool]) -> Iterator[None]:
        """`prepare` says whether this rank's gradients count."""
        if not self._changes_gradients:
            yield
            return
        counts = prepare()
        for bucket in self._gradients:
            bucket.take(counts)
        yield
        for bucket in self._gradients:
            bucket.give()
