"""Adapt then combine that begins inside backward, for models whose mixing takes long on their network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from bluefog.torch.buckets import Bucket
from bluefog.torch.optimizers._base import BaseStep, Closure, bare_step
from bluefog.torch.optimizers._mixing import Flight, Mixer, MixingRound
from bluefog.torch.optimizers._settings import CommunicationType
from bluefog.torch.optimizers.atc import SEPARABLE, AdaptThenCombine
from bluefog.torch.rooms import Way


class AdaptThenCombineInBackward(AdaptThenCombine):
    """In the J-th backward each bucket whose gradients are complete is adapted and mixed in its second
    buffer, for backward still reads the parameters; step() waits and takes the results.

    So what comes between backward and step() (clipping, changes of gradients or parameters) comes too late.
    """

    begins_in_backward = True

    def __init__(self, mixer: Mixer, base: torch.optim.Optimizer, steps_per_communication: int) -> None:
        if type(base) not in SEPARABLE:
            raise ValueError(
                f"step_in_backward=True is for optimizers that update each parameter by itself, which is not "
                f"known of {type(base).__name__}; leave it out"
            )
        self._steps_per_communication = steps_per_communication
        self._awaited: dict[int, set[int]] = {}  # parameters without a gradient yet, by id of their bucket
        self._bucket_of: dict[int, Bucket] = {}  # by id of the parameter
        self._round: MixingRound | None = None
        self._flight = Flight()
        self._stand_ins: dict[int, list[tuple[torch.Tensor, torch.nn.Parameter]]] = {}  # by id of the bucket
        super().__init__(mixer, base, steps_per_communication)

    def step(self, adapt: BaseStep, closure: Closure | None) -> Any:
        if self._mixer.alone:
            return adapt(closure)
        if closure is not None:
            raise ValueError("step_in_backward=True takes no closure: the step begins inside its backward")
        if self._round is None:
            return super().step(adapt, None)
        mixing, flight = self._forget_round()
        if adapt.is_scaled:
            flight.wait()
            mixing.complete()
            raise RuntimeError(
                "step_in_backward=True does not go with a GradScaler, which unscales gradients after "
                "backward; leave step_in_backward out"
            )
        self._backwards.step_is_due()
        on_their_way = {id(bucket) for bucket, _ in flight.operations}
        for bucket in self._mixer.buckets:
            if id(bucket) not in on_their_way:
                flight.join(self._adapt_and_start(bucket, mixing))
        self._adapt_the_rest(adapt)
        flight.wait()
        for bucket, _ in flight.operations:
            bucket.take_second_buffer()
        mixing.complete()
        return None

    def drain(self) -> None:
        if self._round is not None:
            mixing, flight = self._forget_round()
            flight.wait()
            mixing.complete()

    def _gradient_arrived(self, parameter: torch.Tensor, backwards: int) -> None:
        if self._mixer.settings.communication_type is CommunicationType.empty:
            return
        if backwards > self._steps_per_communication and self._round is not None:
            raise RuntimeError(
                "a second backward before step(), after the first has begun to adapt the parameters: "
                "step_in_backward=True does not allow it; leave it out, or set num_steps_per_communication"
            )
        if backwards != self._steps_per_communication:
            return
        if self._round is None:
            self._open_round()
        bucket = self._bucket_of[id(parameter)]
        awaited = self._awaited[id(bucket)]
        awaited.discard(id(parameter))
        if not awaited:
            self._flight.join(self._adapt_and_start(bucket, self._round))

    def _open_round(self) -> None:
        self._mixer.refresh()
        self._mixer.announce_round()
        self._round = self._mixer.next_round()
        for bucket in self._mixer.buckets:
            self._awaited[id(bucket)] = {id(m.tensor) for m in bucket.members if m.tensor.requires_grad}
            self._bucket_of.update({id(m.tensor): bucket for m in bucket.members})

    def _adapt_and_start(self, bucket: Bucket, mixing: MixingRound | None) -> Flight:
        assert mixing is not None
        bucket.fill_second_buffer()
        if id(bucket) not in self._stand_ins:
            self._stand_ins[id(bucket)] = [
                (parameter, torch.nn.Parameter(place, requires_grad=False))
                for parameter, place in bucket.places_in_second_buffer()
            ]
        with _standing_in(self._base, self._stand_ins[id(bucket)]):
            bare_step(self._base)(self._base)
        return mixing.start([bucket], Way.in_second_buffer)

    def _forget_round(self) -> tuple[MixingRound, Flight]:
        mixing, flight = self._round, self._flight
        assert mixing is not None
        self._round, self._flight = None, Flight()
        return mixing, flight


@contextmanager
def _standing_in(
    base: torch.optim.Optimizer, pairs: Sequence[tuple[torch.Tensor, torch.nn.Parameter]]
) -> Iterator[None]:
    """Lets the base optimizer see other tensors instead of some parameters, with their gradients and its
    state of them, and nothing else. Graphs that saved the parameters are not disturbed.
    """
    stand_ins = {id(parameter): stand_in for parameter, stand_in in pairs}
    whole = [group["params"] for group in base.param_groups]
    for parameter, stand_in in pairs:
        stand_in.grad = parameter.grad
        if parameter in base.state:
            base.state[stand_in] = base.state[parameter]
    try:
        for group, parameters in zip(base.param_groups, whole):
            group["params"] = [stand_ins[id(p)] for p in parameters if id(p) in stand_ins]
        yield
    finally:
        for group, parameters in zip(base.param_groups, whole):
            group["params"] = parameters
        for parameter, stand_in in pairs:
            stand_in.grad = None
            if stand_in in base.state:
                base.state[parameter] = base.state.pop(stand_in)
