"""What ranks tell each other when optimizers are made: numbers and layouts must be equal."""

from __future__ import annotations

import torch

from bluefog import _core
from bluefog.common.errors import MismatchError
from bluefog.torch import _runtime
from bluefog.torch.optimizers._warnings import warn_user

_NO_LAYOUT = -1  # hashes are not negative


def compare_layouts(layout_hash: int, checksum: int, name: str) -> None:
    """Raises if ranks laid out different buckets; warns if their new parameters have different values."""
    every = _exchange([layout_hash, checksum], name)
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


def tell_no_layout(name: str) -> None:
    """Instead of compare_layouts(), on a rank that has none to compare: the others wait for it."""
    _exchange([_NO_LAYOUT, 0], name)


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
            self._next = int(_exchange([self._next], "optimizer.numbers").max())
        self._agreed_in = joined
        self._next += 1
        return self._next - 1


numbers = _Numbers()


def _exchange(numbers: list[int], name: str) -> torch.Tensor:
    """The numbers of every rank, a row each."""
    own = torch.tensor([numbers], device="cpu")
    code = int(_core.DType.int64.value)
    gathered = _runtime.context().allgather(own.data_ptr(), code, list(own.shape), name=name)
    return _runtime.tensor_from_gathered(gathered, own.dtype)
