"""Training on data that are not even: ranks that have run out keep the others company."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from bluefog.torch import _runtime
from bluefog.torch.optimizers._base import DistributedOptimizer, DistributedWindowOptimizer
from bluefog.torch.optimizers._mixing import code_of_dtype

__all__ = ["join"]


@contextmanager
def join(*optimizers: Any) -> Iterator[None]:
    """In the ``with`` block ranks may make different numbers of steps.

    A rank that leaves it takes part in the others' rounds, without gradients of its own, until all have left:
    its parameters are averaged as before, and schedules do not change. The optimizer that averages gradients
    counts its gradient as 0 and steps with the others. Each round costs an all-reduce of one number more,
    which only those wait for that have run out. Optimizers over windows need none of this; ranks meet at the
    end. Collective: every rank enters with the same optimizers, in the same order. A rank that leaves by an
    exception leaves at once.

    Args:
        optimizers: distributed ones, which are stepped in turn, each as often as the others.

    Raises:
        TypeError: one is not distributed.
        RuntimeError: one is in such a block already.
    """
    for optimizer in optimizers:
        if not isinstance(optimizer, DistributedOptimizer):
            raise TypeError(f"join takes distributed optimizers, not {type(optimizer).__name__}")
    joined = [o for o in optimizers if not isinstance(o, DistributedWindowOptimizer) and not o._mixer.alone]
    for optimizer in joined:
        if optimizer._mixer.company is not None:
            raise RuntimeError("this optimizer is in a join() block already")
    for optimizer in joined:
        optimizer._mixer.company = Company(f"{optimizer._mixer.name}.join")
    try:
        yield
        _serve_until_all_have_left(joined)
    finally:
        for optimizer in joined:
            optimizer._mixer.company = None
    if optimizers and not joined and _runtime.engine().size() > 1:
        _runtime.engine().barrier()


def _serve_until_all_have_left(optimizers: list[Any]) -> None:
    while optimizers:
        for optimizer in optimizers:  # each round before the next is announced, as its owner does
            if not optimizer._mixer.company.is_kept():
                return
            optimizer._serve()


class Company:
    """In every round each rank says whether it goes on by itself."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._in_flight: tuple[torch.Tensor, Any] | None = None

    def announce(self) -> None:
        """This rank begins a round of its own. Waits for nobody but the round before."""
        self._finish()
        self._start(1)

    def is_kept(self) -> bool:
        """Whether any rank begins a round now; this one does not."""
        self._finish()
        self._start(0)
        return self._finish() > 0

    def _start(self, own: int) -> None:
        going_on = torch.tensor([own], device="cpu")
        address = going_on.data_ptr()
        handle = _runtime.context().allreduce_async(
            address, address, code_of_dtype(going_on.dtype), [1], mean=False, name=self._name, keep=going_on
        )
        self._in_flight = (going_on, handle)

    def _finish(self) -> int:
        if self._in_flight is None:
            return 0
        going_on, handle = self._in_flight
        self._in_flight = None
        handle.wait()
        return int(going_on.item())
