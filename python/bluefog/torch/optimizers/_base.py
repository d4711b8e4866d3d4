"""The wrapper around a torch optimizer: one base optimizer, its state and its class's step, and a mixing
style.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Callable, Protocol

import torch
from torch.optim import optimizer as torch_optimizer

from bluefog.torch.optimizers import _checkpoint
from bluefog.torch.optimizers._mixing import Mixer
from bluefog.torch.optimizers._settings import renamed_setting, setting
from bluefog.torch.optimizers._step_function import StepFunction, step_of
from bluefog.torch.timeline import ModelActivities

Closure = Callable[[], Any]
#: Runs the base optimizer's update, for all parameters or for the given ones only.
Adapt = Callable[..., Any]

#: torch puts hooks around the step of a class by a wrapper that always has this code. (Its mark ``hooked``
#: does not tell: torch.compile of torch 2.1 sets it on steps without.)
_CODE_OF_HOOKED_STEPS = torch.optim.Optimizer.profile_hook_step(lambda optimizer: None).__code__


class BaseStep:
    """The base optimizer's step, without what hooks and schedulers put around it."""

    def __init__(self, optimizer: DistributedOptimizer) -> None:
        self._optimizer = optimizer

    def __call__(self, closure: Closure | None = None) -> Any:
        return self._optimizer._adapt(closure)

    @property
    def is_scaled(self) -> bool:
        """Whether a GradScaler makes this step."""
        return getattr(self._optimizer, "found_inf", None) is not None

    def unscale_gradients(self) -> bool:
        """Does what a GradScaler asked for, once; False if it found an inf, so that no step will be made."""
        return self._optimizer._unscale_gradients()


class Style(Protocol):
    """How adapting (the base step) and combining (mixing) are put together; see awc.py and atc.py."""

    #: Of the algorithm, in checkpoints.
    kind: str
    #: Names of the settings that have an effect on it; others warn when they are assigned.
    follows: frozenset[str]
    #: Inside no_sync().
    is_local: bool

    def step(self, adapt: BaseStep, closure: Closure | None) -> Any:
        """One step of the user's optimizer."""

    def parameters_added(self) -> None:
        """The optimizer got further parameters."""

    def drain(self) -> None:
        """Gives up what is in flight, because the parameters are about to be replaced."""

    def close(self) -> None:
        """Removes all hooks."""

    def serve(self, adapt: BaseStep) -> None:
        """Takes part in a round of the others, without a gradient of this rank's own."""

    def state_dict(self) -> dict[str, Any]:
        """What the algorithm remembers on this rank, beside the round of mixing."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what state_dict() gave, of the same kind. ValueError, and nothing changed, if it does not
        fit.
        """


class DistributedOptimizer:
    """Mixed in before the class of the base optimizer; see `wrap`.

    State, parameter groups and defaults are those of the base, so whatever holds the base (a learning-rate
    scheduler made before) and whatever holds the wrapper see the same. Attributes that are not the
    wrapper's own are the base's.
    """

    _OWN = frozenset(
        {
            "_base",
            "_style",
            "_mixer",
            "_activities",
            "_step_function",
            "step",
            "_opt_called",
            "grad_scale",
            "found_inf",
            "__weakref__",
        }
    )
    # GradScaler then always calls step() and leaves unscaling and skipping to it: a rank that found an inf
    # has to mix all the same, since its neighbours wait for it.
    _step_supports_amp_scaling = True

    _base: torch.optim.Optimizer
    _style: Style
    _mixer: Mixer
    _activities: ModelActivities
    _step_function: Callable[..., Any] | None = None

    state = property(lambda self: self._base.state, lambda self, value: setattr(self._base, "state", value))
    param_groups = property(
        lambda self: self._base.param_groups, lambda self, value: setattr(self._base, "param_groups", value)
    )
    defaults = property(
        lambda self: self._base.defaults, lambda self, value: setattr(self._base, "defaults", value)
    )

    def __getattr__(self, name: str) -> Any:
        if name in self._OWN:  # not there yet, or not at all
            raise AttributeError(name)
        return getattr(self._base, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._OWN or isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            setattr(self._base, name, value)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a distributed optimizer cannot be copied or pickled; use its state_dict()")

    communication_type = setting(
        "communication_type",
        "With whom the next mixing round averages; AssertionError for what is no CommunicationType.",
    )
    self_weight = setting(
        "self_weight",
        "Weight of the own parameters in the next mixing rounds; with src_weights, and None by default.",
    )
    src_weights = setting(
        "src_weights", "{rank: weight} of the parameters received in the next mixing rounds."
    )
    dst_weights = setting(
        "dst_weights",
        "Ranks to send to in the next mixing rounds: a list, or {rank: factor applied before sending}.",
    )
    src_machine_weights = setting(
        "src_machine_weights",
        "{machine: weight} of the means received in the next mixing rounds; with self_weight and "
        "dst_machine_weights, for hierarchical_neighbor_allreduce.",
    )
    dst_machine_weights = setting(
        "dst_machine_weights",
        "Machines to send to in the next mixing rounds: a list, or {machine: factor}.",
    )
    enable_topo_check = setting(
        "enable_topo_check", "Check with every destination that it expects what is sent to it."
    )
    neighbor_weights = renamed_setting("neighbor_weights", "src_weights")
    send_neighbors = renamed_setting("send_neighbors", "dst_weights")
    neighbor_machine_weights = renamed_setting("neighbor_machine_weights", "src_machine_weights")
    send_neighbor_machines = renamed_setting("send_neighbor_machines", "dst_machine_weights")

    def step(self, closure: Closure | None = None) -> Any:
        """Adapts by the base optimizer and combines with other ranks, in the order of this optimizer's style.

        Args:
            closure: Computes the loss and the gradients again, and returns the loss; for base
                optimizers that take one.

        Returns:
            What the base optimizer's step returns.
        """
        base = self._base
        self._tell_schedulers()
        arguments: tuple[Any, ...] = (self, closure) if closure is not None else (self,)
        keywords: dict[str, Any] = {}
        for hook in chain(
            torch_optimizer._global_optimizer_pre_hooks.values(), base._optimizer_step_pre_hooks.values()
        ):
            changed = hook(self, arguments, keywords)
            if changed is not None:
                arguments, keywords = changed
        closure = keywords.get("closure", arguments[1] if len(arguments) > 1 else None)
        with torch.autograd.profiler.record_function(f"Optimizer.step#{type(self).__name__}.step"):
            base_step = BaseStep(self)
            local = self._style.is_local
            result = base_step(closure) if local else self._style.step(base_step, closure)
        for hook in chain(
            base._optimizer_step_post_hooks.values(), torch_optimizer._global_optimizer_post_hooks.values()
        ):
            hook(self, arguments, keywords)
        return result

    def synchronize(self) -> None:
        """Finishes the averaging now instead of in step(), for AWC; call step() inside skip_synchronize()
        then.
        """
        self._awc("synchronize").synchronize()

    @contextmanager
    def skip_synchronize(self) -> Iterator[None]:
        """A step() inside only adapts; for use after synchronize()."""
        style = self._awc("skip_synchronize")
        style.skip_synchronize = True
        try:
            yield
        finally:
            style.skip_synchronize = False

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Forwards, backwards and steps inside communicate nothing, and are not counted: gradients
        accumulate, a ``step()`` only adapts. DistributedDataParallel has it on the model.
        """
        before, self._style.is_local = self._style.is_local, True
        try:
            yield
        finally:
            self._style.is_local = before

    def register_step_function(self, function: StepFunction) -> None:
        """From now on ``function(optimizer, parameter, gradient, group)``, which changes the parameter in
        place, is the update. Only BlueFog 0.3 needed one for most optimizers.
        """
        if getattr(self._style, "begins_in_backward", False):
            raise ValueError("step_in_backward=True runs the base optimizer's own step; leave it out")
        self._step_function = step_of(function)

    def turn_on_timeline(self) -> bool:
        """From now on the models' forwards and backwards are on record in the timeline, as activities FORWARD
        and GRADIENT COMPT. in a row of each model. With ``BLUEFOG_TIMELINE`` they are from the start.

        The hooks are on the modules that were given to the factory, and see training-mode forwards with
        gradients; of a model that is compiled, give the compiled one, for what is traced has no hooks.

        Returns:
            False, with an error in the log, if the timeline is off.
        """
        return self._activities.turn_on()

    def turn_off_timeline(self) -> None:
        """Removes the hooks of turn_on_timeline(). Rounds of mixing stay on record."""
        self._activities.turn_off()

    def _serve(self) -> None:
        self._style.serve(BaseStep(self))

    def _awc(self, method: str) -> Any:
        if not hasattr(self._style, "synchronize"):
            raise AttributeError(
                f"{method}() is for optimizers that start to average before step(); this one does not"
            )
        return self._style

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters of the models given at construction. Collective: every rank adds the same ones."""
        self._base.add_param_group(param_group)
        try:
            self._mixer.adopt_new()
        except BaseException:
            del self._base.param_groups[-1]
            raise
        self._style.parameters_added()

    def state_dict(self) -> dict[str, Any]:
        """The base optimizer's state, and under "bluefog" this rank's part of the algorithm's: its kind, the
        number of mixing rounds, which says where the schedule is, what it remembers, and of which rank of how
        many it is. Every rank saves its own.
        """
        own = _checkpoint.own_state(self._style.kind, self._mixer.settings.round, self._style.state_dict())
        return {**self._base.state_dict(), _checkpoint.KEY: own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what state_dict() gave on this rank, or the state of a plain optimizer of the base's class,
        which has no "bluefog": the algorithm and its schedule then start anew.

        With another number of ranks than it was saved with, what the algorithm remembers starts anew; a
        warning says so. The parameters should then be the mean of all ranks': save them inside
        ``bluefog.torch.mean_model()``.

        Raises:
            ValueError: It is of another algorithm, of other parameters, or holds what the algorithm
                remembers on another rank; nothing is changed.
        """
        own = state_dict.get(_checkpoint.KEY)
        own = _checkpoint.beginning() if own is None else _checkpoint.fitting(own, self._style.kind)
        before = self._base.state_dict()
        self._base.load_state_dict({k: value for k, value in state_dict.items() if k != _checkpoint.KEY})
        # Styles that have something in flight refuse no state.
        self._style.drain()
        try:
            self._style.load_state_dict(own.get("state", {}))
        except ValueError:
            self._base.load_state_dict(before)
            raise
        self._mixer.settings.round = own["round"]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._base.__setstate__(state)

    def _tell_schedulers(self) -> None:
        """One that was made before the wrapper looks at the base for whether there was a step."""
        self._base._opt_called = True  # type: ignore[attr-defined]
        if hasattr(self._base, "_step_count"):  # what torch before 2.4 looks at
            self._base._step_count += 1

    def _adapt(self, closure: Closure | None = None) -> Any:
        """The step of the base's class, without hooks and without what schedulers put around the
        instance's.
        """
        if not self._unscale_gradients():
            return None
        step = self._step_function or bare_step(self._base)
        return step(self._base) if closure is None else step(self._base, closure)

    def _unscale_gradients(self) -> bool:
        """Does what a GradScaler asked for; False if it found an inf, so that the base step is left out."""
        if float(getattr(self, "found_inf", 0.0) or 0.0) > 0:
            return False
        scale = getattr(self, "grad_scale", None)
        if scale is not None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.div_(float(scale))
            self.grad_scale = None  # once, however many parts the base step has
        return True


class DistributedWindowOptimizer(DistributedOptimizer):
    """What optimizers over windows have beside."""

    @property
    def force_barrier(self) -> bool:
        """All ranks meet in every step() that takes in what has come; for comparisons with synchronous
        methods.
        """
        return bool(self._asynchronous.force_barrier)

    @force_barrier.setter
    def force_barrier(self, value: bool) -> None:
        self._asynchronous.force_barrier = bool(value)

    def unregister_window(self) -> None:
        """Frees the windows; step() only adapts afterwards. Collective. Without it they are freed with the
        optimizer, and nobody waits for that.
        """
        self._asynchronous.unregister()

    @property
    def _asynchronous(self) -> Any:
        return self._style


def bare_step(base: torch.optim.Optimizer) -> Any:
    """The step of the base's class, a function, without hooks and what schedulers put around it."""
    step: Any = type(base).step
    return step.__wrapped__ if getattr(step, "__code__", None) is _CODE_OF_HOOKED_STEPS else step
