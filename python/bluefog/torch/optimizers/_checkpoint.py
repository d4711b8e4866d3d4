"""What a distributed optimizer saves beside the state of its base."""

from __future__ import annotations

from typing import Any

from bluefog.torch import _runtime
from bluefog.torch.optimizers._warnings import warn_user

__all__ = ["KEY", "beginning", "fitting", "own_state", "without_memory"]

#: Of the part that is the algorithm's, in an optimizer's state_dict.
KEY = "bluefog"

#: In the state of a style: vectors that make sense only together with those of all other ranks.
_MEMORY = "vectors"


def own_state(kind: str, rounds: int, state: dict[str, Any]) -> dict[str, Any]:
    """The algorithm's part."""
    engine = _runtime.engine()
    return {"kind": kind, "rank": engine.rank(), "size": engine.size(), "round": rounds, "state": state}


def beginning() -> dict[str, Any]:
    """The part of any algorithm that has not mixed yet."""
    return {"round": 0, "state": {}}


def without_memory(own: dict[str, Any]) -> dict[str, Any]:
    """The algorithm's part without what is each rank's own, so that loading it starts that anew."""
    return {**own, "state": {k: value for k, value in own.get("state", {}).items() if k != _MEMORY}}


def fitting(own: dict[str, Any], kind: str) -> dict[str, Any]:
    """What of an algorithm's part can be loaded here, into the algorithm `kind`.

    Raises:
        ValueError: nothing, for the reason that the message gives.
    """
    leave_out = f'leave out state_dict["{KEY}"]'
    saved_kind = own.get("kind", kind)
    if saved_kind != kind:
        raise ValueError(
            f"this is the state of {saved_kind!r}, this optimizer is {kind!r}: wrap with that algorithm, or "
            f"{leave_out} to start this one anew"
        )
    rank, size = _runtime.engine().rank(), _runtime.engine().size()
    saved_rank, saved_size = own.get("rank", rank), own.get("size", size)
    if saved_size != size:
        warn_user(
            f"this state was saved by rank {saved_rank} of {saved_size}, and is loaded by rank {rank} of "
            f"{size}: the algorithm starts anew with it. The model should be the mean of all ranks, saved "
            "inside bluefog.torch.mean_model(model)"
        )
        return without_memory(own)
    if saved_rank != rank and own.get("state", {}).get(_MEMORY):
        raise ValueError(
            f"this is what the algorithm remembers on rank {saved_rank}, and this is rank {rank}: load on "
            f"each rank what it has saved itself, or {leave_out} on all ranks to start the algorithm anew"
        )
    return own
