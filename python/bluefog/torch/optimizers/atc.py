"""Adapt then combine: w <- Combine(w - lr * g(w)).

Both halves happen in step(), never inside backward: there, clipping would come too late, and a second
backward would read changed parameters. (Chen and Sayed, "Diffusion adaptation strategies for distributed
optimization and learning over networks", 2012.)
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Callable

import torch

from bluefog.torch import _runtime
from bluefog.torch.buckets import Bucket
from bluefog.torch.optimizers._base import Adapt, BaseStep, Closure
from bluefog.torch.optimizers._counter import StepCounter
from bluefog.torch.optimizers._mixing import Flight, Mixer, MixingRound
from bluefog.torch.optimizers._settings import ALL_SETTINGS, CommunicationType
from bluefog.torch.rooms import Way

#: Base optimizers that update each parameter by itself, so that a bucket can be mixed while the next one is
#: adapted.
SEPARABLE = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.RMSprop,
    torch.optim.Adagrad,
    torch.optim.Adadelta,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.ASGD,
    torch.optim.Rprop,
)


class AdaptThenCombine:
    """Adapts and mixes in step(), in place, when there were J backwards since the last mixing."""

    follows = ALL_SETTINGS
    kind = "adapt_then_combine"

    def __init__(self, mixer: Mixer, base: torch.optim.Optimizer, steps_per_communication: int) -> None:
        self._mixer = mixer
        self._base = base
        self.is_local = False
        counter = StepCounter(steps_per_communication, "backward")
        self._backwards = BackwardCounter(counter, lambda: not self.is_local, self._gradient_arrived)
        self.parameters_added()

    def step(self, adapt: BaseStep, closure: Closure | None) -> Any:
        if self._mixer.alone:
            return adapt(closure)
        _runtime.context()  # raises while this rank is suspended, before anything is adapted
        self._mixer.refresh()
        if len(self._mixer.buckets) > 1 and type(self._base) in SEPARABLE:
            return self._step_by_bucket(adapt, closure)
        result = adapt(closure)
        if self._due():
            self._mix()
        return result

    def parameters_added(self) -> None:
        if not self._mixer.alone:
            self._backwards.watch(member.tensor for member in self._mixer.layout.members)

    def drain(self) -> None:
        pass  # nothing is in flight between steps

    def close(self) -> None:
        self._backwards.close()

    def state_dict(self) -> dict[str, Any]:
        return {"backwards": self._backwards.before_this_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._backwards.before_this_step = state.get("backwards", 0)

    def serve(self, adapt: BaseStep) -> None:
        self._mix()

    def _gradient_arrived(self, parameter: torch.Tensor, backwards: int) -> None:
        """In a backward: the parameter has the gradient of so many backwards since the last round."""

    def _step_by_bucket(self, adapt: BaseStep, closure: Closure | None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._due():
            self._adapt_and_mix_by_bucket(adapt)
        else:
            adapt()
        return loss

    def _due(self) -> bool:
        self.parameters_added()  # some may have been thawed
        due = self._backwards.step_is_due()
        if not due or self._mixer.settings.communication_type is CommunicationType.empty:
            return False
        self._mixer.announce_round()
        return True

    def _mix(self) -> None:
        self._mixer.refresh()  # some optimizers assign p.data
        mixing = self._mixer.next_round()
        mixing.mix(Way.in_place)
        self._finish(mixing)

    def _adapt_and_mix_by_bucket(self, adapt: BaseStep) -> None:
        adapt.unscale_gradients()  # of all buckets, while the base sees them
        mixing = self._mixer.next_round()
        flight = Flight()
        try:
            for bucket in self._mixer.buckets:
                with narrowed_to(self._base, bucket):
                    adapt()
                flight.join(mixing.start([bucket], Way.in_place))
            self._adapt_the_rest(adapt)
        finally:
            flight.wait()
        self._finish(mixing)

    def _adapt_the_rest(self, adapt: Adapt) -> None:
        """What is in no bucket."""
        mixed = {id(member.tensor) for member in self._mixer.layout.members}
        with _narrowed(self._base, lambda p: id(p) not in mixed):
            adapt()

    def _finish(self, mixing: MixingRound) -> None:
        for bucket in self._mixer.buckets:
            bucket.mark_changed()
        mixing.complete()


class BackwardCounter:
    """Counts backwards: the largest number of times that any parameter got its gradient.

    A head that takes part in some backwards only does not change the count, and one without any gradient
    still ends a step.
    """

    def __init__(
        self,
        counter: StepCounter,
        counts: Callable[[], bool],
        then: Callable[[torch.Tensor, int], None] | None = None,
    ) -> None:
        """then: gets every parameter that has its gradient, and its backwards since the last round."""
        self._counter = counter
        self._do_count = counts
        self._then = weakref.WeakMethod(then) if then is not None else None
        self.before_this_step = 0  # since the last time that a step was due
        self._counts: dict[int, int] = {}
        self._handles: dict[int, Any] = {}

    def watch(self, parameters: Iterator[torch.Tensor]) -> None:
        """Hooks the parameters that need a gradient and have no hook yet."""
        for parameter in parameters:
            if id(parameter) not in self._handles and parameter.requires_grad:
                hook = _accumulation_hook(weakref.ref(self))
                register: Any = parameter.register_post_accumulate_grad_hook
                self._handles[id(parameter)] = register(hook)

    def notify(self, parameter: torch.Tensor) -> None:
        if not self._do_count():
            return
        count = self._counts.get(id(parameter), 0) + 1
        self._counts[id(parameter)] = count
        self._counter.check(self.before_this_step + count)
        then = self._then() if self._then is not None else None
        if then is not None:
            then(parameter, self.before_this_step + count)

    def step_is_due(self) -> bool:
        """Ends a step; true if there have been enough backwards since the last time that it was."""
        self.before_this_step += max(1, max(self._counts.values(), default=0))
        self._counts.clear()
        if self.before_this_step < self._counter.allowed:
            return False
        self.before_this_step = 0
        return True

    def close(self) -> None:
        for handle in self._handles.values():
            handle.remove()
        self._handles.clear()


def _accumulation_hook(counter: weakref.ref[BackwardCounter]) -> Callable[[torch.Tensor], None]:
    def hook(parameter: torch.Tensor) -> None:
        target = counter()
        if target is not None:
            target.notify(parameter)

    return hook


def narrowed_to(base: torch.optim.Optimizer, bucket: Bucket) -> AbstractContextManager[None]:
    """Lets the base optimizer see the parameters of a bucket only."""
    own = {id(member.tensor) for member in bucket.members}
    return _narrowed(base, lambda p: id(p) in own)


@contextmanager
def _narrowed(base: torch.optim.Optimizer, keep: Callable[[torch.Tensor], bool]) -> Iterator[None]:
    """Lets the base optimizer see only some of its parameters."""
    whole = [group["params"] for group in base.param_groups]
    try:
        for group, parameters in zip(base.param_groups, whole):
            group["params"] = [p for p in parameters if keep(p)]
        yield
    finally:
        for group, parameters in zip(base.param_groups, whole):
            group["params"] = parameters
