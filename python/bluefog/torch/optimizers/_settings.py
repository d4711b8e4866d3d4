"""With whom an optimizer mixes, and by which weights: what users assign between steps."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union

from bluefog.torch.optimizers._warnings import warn_user

#: Rank -> weight, or ranks that all get the weight 1.
Weights = Union[Mapping[int, float], Iterable[int]]


class CommunicationType(enum.Enum):
    """With whom parameters are averaged."""

    neighbor_allreduce = "neighbor.allreduce"
    hierarchical_neighbor_allreduce = "hierarchical.neighbor.allreduce"
    allreduce = "allreduce"
    empty = "empty"


@dataclass
class MixingSettings:
    """How the next mixing round is done. Users change all but the last two between steps; ``round`` counts
    completed rounds.
    """

    communication_type: CommunicationType = CommunicationType.neighbor_allreduce
    self_weight: float | None = None
    src_weights: Mapping[int, float] | None = None
    dst_weights: Weights | None = None
    src_machine_weights: Mapping[int, float] | None = None
    dst_machine_weights: Weights | None = None
    enable_topo_check: bool = False
    schedule: Any | None = None
    round: int = 0

    def set_type(self, value: CommunicationType) -> None:
        if not isinstance(value, CommunicationType):
            raise AssertionError(f"communication_type must be a CommunicationType, not {value!r}")
        self.communication_type = value

    def neighbor_arguments(self) -> dict[str, Any]:
        """Keyword arguments of the engine's neighbor_allreduce for one round."""
        # What does not fit together is the engine's to refuse, so that the ranks that wait hear of it too.
        arguments: dict[str, Any] = {
            "self_weight": self.self_weight,
            "src_weights": self.src_weights,
            "dst_weights": self.dst_weights,
            "difference": True,
            "meet": True,
            "check_topology": self.enable_topo_check,
        }
        return self._with_schedule(arguments)

    def machine_arguments(self) -> dict[str, Any]:
        """Keyword arguments of the engine's hierarchical_neighbor_allreduce for one round."""
        return self._with_schedule(
            {
                "self_weight": self.self_weight,
                "src_machine_weights": self.src_machine_weights,
                "dst_machine_weights": self.dst_machine_weights,
                "difference": True,
            }
        )

    def _with_schedule(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.schedule is not None:
            arguments.update(schedule=self.schedule, round=self.round)
        return arguments


#: Names of the settings that users assign to an optimizer that mixes by neighbor_allreduce and the like.
ALL_SETTINGS = frozenset(
    {
        "communication_type",
        "self_weight",
        "src_weights",
        "dst_weights",
        "src_machine_weights",
        "dst_machine_weights",
        "enable_topo_check",
    }
)


def setting(name: str, doc: str) -> Any:
    """The attribute of an optimizer that is this field of its MixingSettings."""

    def get(optimizer: Any) -> Any:
        return getattr(optimizer._mixer.settings, name)

    def assign(optimizer: Any, value: Any) -> None:
        if name not in optimizer._style.follows:
            _warn_of_no_effect(name, optimizer._style)
        if name == "communication_type":
            optimizer._mixer.settings.set_type(value)
        else:
            setattr(optimizer._mixer.settings, name, value)

    return property(get, assign, doc=doc)


def renamed_setting(old: str, new: str) -> Any:
    """The attribute of an optimizer that is an old name of another."""
    message = f"{old} was renamed: assign {new} instead"

    def get(optimizer: Any) -> Any:
        warn_user(message, DeprecationWarning)
        return getattr(optimizer, new)

    def assign(optimizer: Any, value: Any) -> None:
        warn_user(message, DeprecationWarning)
        setattr(optimizer, new, value)

    return property(get, assign, doc=f"The old name of {new}.")


def _warn_of_no_effect(name: str, style: Any) -> None:
    followed = ", ".join(sorted(style.follows)) or "none of such attributes"
    warn_user(
        f"{name} has no effect on this optimizer: its algorithm, {style.kind}, follows {followed}. Give it a "
        "schedule= when it is made if it takes one; DistributedAdaptThenCombineOptimizer and "
        "DistributedAdaptWithCombineOptimizer take weights in every step"
    )
