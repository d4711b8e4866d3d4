"""Making a torch optimizer distributed."""

from __future__ import annotations

import types
import weakref
from typing import Any, Callable

import torch

from bluefog.torch.optimizers._base import DistributedOptimizer, Style
from bluefog.torch.optimizers._mixing import Mixer
from bluefog.torch.optimizers._settings import CommunicationType, MixingSettings
from bluefog.torch.timeline import ModelActivities, timeline_is_on

__all__ = ["settings_for", "wrap"]


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
    wrapper._activities = ModelActivities(mixer.models, mixer.name)
    weakref.finalize(wrapper, wrapper._activities.turn_off)
    if timeline_is_on():
        wrapper.turn_on_timeline()
    return wrapper


def settings_for(communication_type: CommunicationType, schedule: Any | None) -> MixingSettings:
    settings = MixingSettings(schedule=schedule)
    settings.set_type(communication_type)
    return settings
