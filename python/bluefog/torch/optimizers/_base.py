"""The wrapper around a torch optimizer: one base optimizer, its state and its class's step, and a mixing
style.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Callable, Protocol

import torch
from torch.optim import optimizer as torch_optimizer

from bluefog.torch.optimizers._mixing import CommunicationType, Mixer, MixingSettings, Weights
from bluefog.torch.optimizers._warnings import warn_user

Closure = Callable[[], Any]
#: Runs the base optimizer's update, for all parameters or for the given ones only.
Adapt = Callable[..., Any]

_STATE_KEY = "bluefog"


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


def _renamed(old: str, new: str) -> property:
    message = f"{old} was renamed: assign {new} instead"

    def get(self: DistributedOptimizer) -> Any:
        warn_user(message, DeprecationWarning)
        return getattr(self, new)

    def assign(self: DistributedOptimizer, value: Any) -> None:
        warn_user(message, DeprecationWarning)
        setattr(self, new, value)

    return property(get, assign, doc=f"The old name of {new}.")


class DistributedOptimizer:
    """Mixed in before the class of the base optimizer; see `wrap`.

    State, parameter groups and defaults are those of the base, so whatever holds the base (a learning-rate
    scheduler made before) and whatever holds the wrapper see the same. Attributes that are not the
    wrapper's own are the base's.
    """

    _OWN = frozenset(
        {"_base", "_style", "_mixer", "step", "_opt_called", "grad_scale", "found_inf", "__weakref__"}
    )
    # GradScaler then always calls step() and leaves unscaling and skipping to it: a rank that found an inf
    # has to mix all the same, since its neighbours wait for it.
    _step_supports_amp_scaling = True

    _base: torch.optim.Optimizer
    _style: Style
    _mixer: Mixer

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

    @property
    def communication_type(self) -> CommunicationType:
        """With whom the next mixing round averages; AssertionError for what is no CommunicationType."""
        return self._mixer.settings.communication_type

    @communication_type.setter
    def communication_type(self, value: CommunicationType) -> None:
        self._mixer.settings.set_type(value)

    @property
    def self_weight(self) -> float | None:
        """Weight of the own parameters in the next mixing rounds; with src_weights, and None by default."""
        return self._mixer.settings.self_weight

    @self_weight.setter
    def self_weight(self, value: float | None) -> None:
        self._mixer.settings.self_weight = value

    @property
    def src_weights(self) -> Any | None:
        """{rank: weight} of the parameters received in the next mixing rounds."""
        return self._mixer.settings.src_weights

    @src_weights.setter
    def src_weights(self, value: Any | None) -> None:
        self._mixer.settings.src_weights = value

    @property
    def dst_weights(self) -> Weights | None:
        """Ranks to send to in the next mixing rounds: a list, or {rank: factor applied before sending}."""
        return self._mixer.settings.dst_weights

    @dst_weights.setter
    def dst_weights(self, value: Weights | None) -> None:
        self._mixer.settings.dst_weights = value

    @property
    def src_machine_weights(self) -> Any | None:
        """{machine: weight} of the means received in the next mixing rounds; with self_weight and
        dst_machine_weights, for hierarchical_neighbor_allreduce.
        """
        return self._mixer.settings.src_machine_weights

    @src_machine_weights.setter
    def src_machine_weights(self, value: Any | None) -> None:
        self._mixer.settings.src_machine_weights = value

    @property
    def dst_machine_weights(self) -> Weights | None:
        """Machines to send to in the next mixing rounds: a list, or {machine: factor}."""
        return self._mixer.settings.dst_machine_weights

    @dst_machine_weights.setter
    def dst_machine_weights(self, value: Weights | None) -> None:
        self._mixer.settings.dst_machine_weights = value

    @property
    def enable_topo_check(self) -> bool:
        """Check with every destination that it expects what is sent to it."""
        return self._mixer.settings.enable_topo_check

    @enable_topo_check.setter
    def enable_topo_check(self, value: bool) -> None:
        self._mixer.settings.enable_topo_check = bool(value)

    neighbor_weights = _renamed("neighbor_weights", "src_weights")
    send_neighbors = _renamed("send_neighbors", "dst_weights")
    neighbor_machine_weights = _renamed("neighbor_machine_weights", "src_machine_weights")
    send_neighbor_machines = _renamed("send_neighbor_machines", "dst_machine_weights")

    def step(self, closure: Closure | None = None) -> Any:
        """Adapts by the base optimizer and combines with other ranks, in the order of this optimizer's style.

        Args:
            closure: Computes the loss and the gradients again, and returns the loss; for base
                optimizers that take one.

        Returns:
            What the base optimizer's step returns.
        """
        base = self._base
        setattr(base, "_opt_called", True)  # noqa: B010  # a scheduler that was made before the wrapper looks for it
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
        number of mixing rounds, which says where the schedule is, and what it remembers.
        """
        own = {
            "kind": self._style.kind,
            "round": self._mixer.settings.round,
            "state": self._style.state_dict(),
        }
        return {**self._base.state_dict(), _STATE_KEY: own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what state_dict() gave, or the state of a plain optimizer of the base's class.

        Raises:
            ValueError: It is of another algorithm, or of other parameters; nothing is changed.
        """
        own = state_dict.get(_STATE_KEY)
        kind = self._style.kind if own is None else own.get("kind", self._style.kind)
        if kind != self._style.kind:
            raise ValueError(
                f"this is the state of {kind!r}, this optimizer is {self._style.kind!r}: wrap with "
                f'that algorithm, or leave out state_dict["{_STATE_KEY}"] to start this one anew'
            )
        before = self._base.state_dict()
        self._base.load_state_dict({key: value for key, value in state_dict.items() if key != _STATE_KEY})
        if own is not None:
            try:
                self._style.load_state_dict(own.get("state", {}))
            except ValueError:
                self._base.load_state_dict(before)
                raise
        self._style.drain()
        if own is not None:
            self._mixer.settings.round = own["round"]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._base.__setstate__(state)

    def _adapt(self, closure: Closure | None = None) -> Any:
        """The step of the base's class, without hooks and without what schedulers put around the
        instance's.
        """
        if not self._unscale_gradients():
            return None
        step = bare_step(self._base)
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
    return step.__wrapped__ if getattr(step, "hooked", False) else step


class StepCounter:
    """Warns once when there were more forwards or backwards before a step than
    ``num_steps_per_communication``.
    """

    def __init__(self, allowed: int, what: str) -> None:
        if not isinstance(allowed, int) or isinstance(allowed, bool) or allowed < 1:
            raise ValueError(f"num_steps_per_communication must be a positive integer, not {allowed!r}")
        self.allowed = allowed
        self._what = what
        self._warned = False

    def check(self, count: int) -> None:
        if count > self.allowed and not self._warned:
            self._warned = True
            warn_user(
                f"Unexpected behavior: {count} {self._what} passes since the last communication, more than "
                f"num_steps_per_communication={self.allowed}. Call optimizer.step() after each, or set it "
                f"to the number of {self._what} passes between communications."
            )


def wrap(
    base: torch.optim.Optimizer,
    make_style: Callable[[Mixer], Style],
    make_mixer: Callable[[], Mixer],
    mixin: type[DistributedOptimizer] = DistributedOptimizer,
) -> torch.optim.Optimizer | Any:
    """An instance of a subclass of the base's class that mixes in every step, made without running
    ``__init__``.
    """
    if not isinstance(base, torch.optim.Optimizer):
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, not {type(base).__name__}")
    if isinstance(base, DistributedOptimizer):
        raise ValueError("this optimizer is distributed already")
    if isinstance(base, (torch.optim.LBFGS, torch.optim.SparseAdam)):
        raise ValueError(
            f"{type(base).__name__} cannot be made distributed: it evaluates the model several times a "
            "step, or "
            "updates parts of parameters only"
        )
    kind = types.new_class(type(base).__name__, (mixin, type(base)))
    wrapper: Any = object.__new__(kind)
    object.__setattr__(wrapper, "_base", base)
    mixer = make_mixer()
    wrapper._mixer = mixer
    style = make_style(mixer)
    wrapper._style = style
    weakref.finalize(wrapper, style.close)
    return wrapper


def settings_for(communication_type: CommunicationType, schedule: Any | None) -> MixingSettings:
    settings = MixingSettings(schedule=schedule)
    settings.set_type(communication_type)
    return settings
