"""Averaging gradients over all ranks, while backward still computes others."""

from __future__ import annotations

import weakref
from typing import Any, Callable

import torch

from bluefog.torch import _runtime
from bluefog.torch.buckets import Bucket
from bluefog.torch.gradient_buckets import GradientBucket
from bluefog.torch.optimizers._base import BaseStep, Closure
from bluefog.torch.optimizers._counter import StepCounter
from bluefog.torch.optimizers._mixing import Flight, Mixer, code_of_dtype


class GradientAllreduce:
    """In the J-th backward after the last round each bucket of gradients starts on its way when it is full;
    when that backward ends, every ``grad`` is the mean over all ranks.

    So what comes between backward and step(), clipping or a GradScaler, sees the mean. A step() without J
    backwards before it averages what there is.
    """

    kind = "gradient_allreduce"

    def __init__(self, mixer: Mixer, steps_per_communication: int) -> None:
        self._mixer = mixer
        self._counter = StepCounter(steps_per_communication, "backward")
        self._buckets: list[_Averaging] = []
        self._of_parameter: dict[int, _Averaging] = {}
        self._handles: list[Any] = []
        self._backwards = 0  # since the last step
        self._in_backward = False
        self._averaged = False  # since the last step
        self._flight = Flight()
        self.skip_synchronize = False
        self.is_local = False
        self._is_serving = False
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
        self._backwards, self._averaged, self._in_backward = 0, False, False
        result = adapt()
        return result if closure is None else loss

    def synchronize(self) -> None:
        """Averages now what step() would average."""
        if not self._mixer.alone and not self._averaged:
            self._average()

    def parameters_added(self) -> None:
        if self._mixer.alone:
            return
        for bucket in self._mixer.buckets[len(self._buckets) :]:
            self._buckets.append(_Averaging(bucket))
            for member in bucket.members:
                self._of_parameter[id(member.tensor)] = self._buckets[-1]
                if member.tensor.requires_grad:
                    register: Any = member.tensor.register_post_accumulate_grad_hook
                    self._handles.append(register(_hook(weakref.ref(self))))

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
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass

    def gradient_arrived(self, parameter: torch.Tensor) -> None:
        if self.is_local:
            return
        if not self._in_backward:
            self._in_backward = True
            torch.autograd.Variable._execution_engine.queue_callback(self._backward_ended)
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

    def _start(self, averaging: _Averaging) -> None:
        if not self._is_serving and not any(other.started for other in self._buckets):
            self._mixer.announce_round()
        averaging.started = True
        averaging.gradients.take(True)
        bucket = averaging.bucket
        handle = _runtime.context().allreduce_async(
            averaging.gradients.address,
            averaging.gradients.address,
            code_of_dtype(bucket.mixing_dtype),
            [averaging.gradients.count],
            mean=True,
            name=f"{self._mixer.name}.gradients.{self._buckets.index(averaging)}",
            keep=averaging,
        )
        self._flight.join(Flight([(bucket, handle)]))

    def _backward_ended(self) -> None:
        self._in_backward = False
        self._backwards += 1
        self._counter.check(self._backwards)
        self._averaged = False
        if self._backwards == self._counter.allowed:
            self._average()

    def _average(self) -> None:
        for averaging in reversed(self._buckets):
            if not averaging.started:
                self._start(averaging)
        flight, self._flight = self._flight, Flight()
        for averaging in self._buckets:
            averaging.start_over()
        flight.wait()
        for averaging in self._buckets:
            averaging.gradients.give()
        self._averaged = True


class _Averaging:
    """A bucket of gradients, and which of them backward has yet to compute."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.gradients = GradientBucket(bucket, tells_who_has_one=True)
        self.start_over()

    def start_over(self) -> None:
        self.started = False
        self.awaited = {id(member.tensor) for member in self.bucket.members if member.tensor.requires_grad}


def _hook(style: weakref.ref[GradientAllreduce]) -> Callable[[torch.Tensor], None]:
    def hook(parameter: torch.Tensor) -> None:
        target = style()
        if target is not None:
            target.gradient_arrived(parameter)

    return hook
