"""Averaging gradients over all ranks, while backward still computes others."""

from __future__ import annotations

import weakref
from typing import Any, Callable

import torch

from bluefog.torch import _runtime
from bluefog.torch.buckets import Bucket
from bluefog.torch.gradient_buckets import GradientBucket
from bluefog.torch.optimizers._backward import BackwardWatch
from bluefog.torch.optimizers._base import BaseStep, Closure
from bluefog.torch.optimizers._counter import StepCounter
from bluefog.torch.optimizers._mixing import Flight, Mixer, code_of_dtype
from bluefog.torch.rooms import Way


class GradientAllreduce:
    """In the J-th backward after the last round each bucket of gradients starts on its way when it is full;
    when that backward ends, every ``grad`` is the mean over all ranks.

    So what comes between backward and step(), clipping or a GradScaler, sees the mean. A step() without J
    backwards before it averages what there is. What a backward that failed has left is sent as zeros, and
    forgotten, when the next one begins: the other ranks wait for all buckets of a round.
    """

    kind = "gradient_allreduce"
    follows: frozenset[str] = frozenset()

    def __init__(self, mixer: Mixer, models: list[torch.nn.Module], steps_per_communication: int) -> None:
        self._mixer = mixer
        self._counter = StepCounter(steps_per_communication, "backward")
        self._buckets: list[_Averaging] = []
        self._of_parameter: dict[int, _Averaging] = {}
        self._handles: dict[int, Any] = {}
        self._backwards = 0  # since the last step
        self._averaged = False  # since the last step
        self._flight = Flight()
        self.skip_synchronize = False
        self.is_local = False
        self._is_serving = False
        self._watch = (
            None if mixer.alone else BackwardWatch(models, self._backward_began, self._backward_ended)
        )
        self.parameters_added()

    def step(self, adapt: BaseStep, closure: Closure | None) -> Any:
        if self._mixer.alone:
            return adapt(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not self._averaged and not self.skip_synchronize:
            self._average()
        self._backwards, self._averaged = 0, False
        result = adapt()
        return result if closure is None else loss

    def synchronize(self) -> None:
        """Averages now what step() would average."""
        if not self._mixer.alone and not self._averaged:
            self._average()

    def parameters_added(self) -> None:
        new = self._mixer.buckets[len(self._buckets) :]
        if self._mixer.alone or not new:
            return
        for bucket in new:
            self._buckets.append(_Averaging(bucket))
            self._of_parameter.update((id(member.tensor), self._buckets[-1]) for member in bucket.members)
        self._hook_parameters()

    def _hook_parameters(self) -> None:
        """Those that need a gradient and have no hook yet: some may have been thawed."""
        for averaging in self._buckets:
            for member in averaging.bucket.members:
                if member.tensor.requires_grad and id(member.tensor) not in self._handles:
                    register: Any = member.tensor.register_post_accumulate_grad_hook
                    self._handles[id(member.tensor)] = register(_hook(weakref.ref(self)))

    def serve(self, adapt: BaseStep) -> None:
        for averaging in self._buckets:
            for member in averaging.bucket.members:
                member.tensor.grad = None
        self._is_serving = True
        try:
            self._average()
        finally:
            self._is_serving = False
        self._averaged = False
        adapt()

    def drain(self) -> None:
        self._flight.wait()
        self._flight = Flight()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        for handle in self._handles.values():
            handle.remove()
        self._handles.clear()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass

    def gradient_arrived(self, parameter: torch.Tensor) -> None:
        if self.is_local or self._watch is None:
            return
        self._watch.gradient_arrived()
        if self._backwards + 1 != self._counter.allowed:
            return
        averaging = self._of_parameter[id(parameter)]
        if averaging.started:
            raise RuntimeError(
                f"a parameter of shape {tuple(parameter.shape)} got a second part of its gradient in one "
                "backward after its bucket was on its way to the other ranks, as reentrant checkpointing "
                "does; use checkpoint(..., use_reentrant=False)"
            )
        averaging.awaited.discard(id(parameter))
        self._start_full_buckets()

    def _start_full_buckets(self) -> None:
        # In one order, last bucket first, for that is the order of gradients.
        for averaging in reversed(self._buckets):
            if averaging.started:
                continue
            if averaging.awaited:
                return
            self._start(averaging)

    def _start(self, averaging: _Averaging, counts: bool = True) -> None:
        averaging.gradients.take(counts)
        if not self._is_serving and not any(other.started for other in self._buckets):
            self._mixer.announce_round()
        averaging.started = True
        bucket = averaging.bucket
        source, target, ready = averaging.gradients.room.begin(Way.in_place)
        handle = _runtime.context().allreduce_async(
            source,
            target,
            code_of_dtype(bucket.mixing_dtype),
            [averaging.gradients.count],
            mean=True,
            name=f"{self._mixer.name}.gradients.{self._buckets.index(averaging)}",
            keep=averaging,
            ready=ready,
        )
        self._flight.join(Flight([(bucket, handle)]))

    def _backward_began(self, one_has_failed: bool) -> None:
        if one_has_failed and any(averaging.started for averaging in self._buckets):
            self._finish_round(counts=False)
        self._hook_parameters()
        for averaging in self._buckets:
            averaging.start_over()

    def _backward_ended(self) -> None:
        self._backwards += 1
        self._counter.check(self._backwards)
        self._averaged = False
        if self._backwards == self._counter.allowed:
            self._average()

    def _average(self) -> None:
        self._refresh()
        self._finish_round()
        for averaging in self._buckets:
            averaging.gradients.room.land()
            averaging.gradients.give()
        self._averaged = True

    def _finish_round(self, counts: bool = True) -> None:
        for averaging in reversed(self._buckets):
            if not averaging.started:
                self._start(averaging, counts)
        flight, self._flight = self._flight, Flight()
        for averaging in self._buckets:
            averaging.started = False
        if self._watch is not None:
            self._watch.forget()
        flight.wait()

    def _refresh(self) -> None:
        self._mixer.refresh()
        self.parameters_added()


class _Averaging:
    """A bucket of gradients, and which of them backward has yet to compute."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.gradients = GradientBucket(bucket, tells_who_has_one=True)
        self.started = False
        self.awaited: set[int] = set()

    def start_over(self) -> None:
        self.started = False
        self.awaited = {id(member.tensor) for member in self.bucket.members if member.tensor.requires_grad}


def _hook(style: weakref.ref[GradientAllreduce]) -> Callable[[torch.Tensor], None]:
    def hook(parameter: torch.Tensor) -> None:
        target = style()
        if target is not None:
            target.gradient_arrived(parameter)

    return hook
