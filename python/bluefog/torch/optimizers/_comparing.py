"""What ranks tell each other about their optimizers, before these mix anything."""

from __future__ import annotations

import torch

from bluefog.common.errors import MismatchError
from bluefog.torch import _runtime
from bluefog.torch.ops.tensors import code_of
from bluefog.torch.optimizers._warnings import warn_user

__all__ = ["compare_with_other_ranks", "exchange", "numbers"]


def exchange(numbers: list[int], name: str) -> torch.Tensor:
    """The numbers of every rank, a row each."""
    own = torch.tensor([numbers], device="cpu")
    gathered = _runtime.context().allgather(own.data_ptr(), code_of(own), list(own.shape), name=name)
    return _runtime.tensor_from_gathered(gathered, own.dtype)


class _Numbers:
    """Numbers the optimizers, equally on all ranks.

    A rank may have made some that others have not, when an error on one of them made all join anew: the first
    of a membership takes the largest number that any rank has come to.
    """

    def __init__(self) -> None:
        self._next = 0
        self._agreed_in = 0

    def next(self) -> int:
        joined = _runtime.basics.times_joined
        if joined != self._agreed_in and _runtime.context().size() > 1:
            self._next = int(exchange([self._next], "optimizer.numbers").max())
        self._agreed_in = joined
        self._next += 1
        return self._next - 1


numbers = _Numbers()


def compare_with_other_ranks(layout_hash: int, checksum: int, name: str) -> None:
    """Raises if ranks laid out different buckets; warns if their new parameters have different values."""
    every = exchange([layout_hash, checksum], name)
    if (every[:, 0] != layout_hash).any():
        different = (every[:, 0] != layout_hash).nonzero().flatten().tolist()
        raise MismatchError(
            "the optimizer's parameters differ between ranks in name, order, shape, dtype or memory format, "
            f"or cannot be mixed on one of them: rank {_runtime.context().rank()} does not agree with "
            f"{different}"
        )
    if (every[:, 1] != checksum).any():
        warn_user(
            "the parameters differ between ranks as the optimizer is made distributed; call bluefog.torch."
            "broadcast_parameters(model.state_dict(), root_rank=0) before, to start from the same ones"
        )
