"""Gradients side by side in shared memory, as the parameters are in their buckets."""

from __future__ import annotations

from typing import Any

import torch

from bluefog.torch.buckets import Bucket


class GradientBucket:
    """The gradients of a bucket's parameters, laid out as these are.

    Args:
        bucket: Of the parameters.
        tells_who_has_one: Behind the gradients is a number for each, 1 where there is a gradient. A mean over
            ranks of 0 then says that nobody has it, and give() leaves it None.
    """

    def __init__(self, bucket: Bucket, tells_who_has_one: bool = False) -> None:
        self._bucket = bucket
        flags = len(bucket.slots) * bucket.mixing_dtype.itemsize if tells_who_has_one else 0
        self.room = bucket.make_room(bucket.nbytes + flags)
        whole = self.room.part(0, bucket.nbytes + flags)
        self._whole = whole[: bucket.nbytes].view(bucket.dtype)
        self._flags = whole[bucket.nbytes :].view(bucket.mixing_dtype)
        self._places = [
            (member.tensor, self._place(whole, slot.offset, slot.nbytes, member))
            for slot in bucket.slots
            for member in slot.members[:1]
        ]
        self._tied = [
            (member.tensor, place)
            for slot, (_, place) in zip(bucket.slots, self._places)
            for member in slot.members[1:]
            if member.tensor is not slot.members[0].tensor
        ]

    @property
    def address(self) -> int:
        return self.room.address

    @property
    def count(self) -> int:
        """Elements of the bucket's mixing dtype."""
        return self._bucket.count + self._flags.numel()

    def take(self, counts: bool) -> None:
        """Copies the gradients here; a parameter without one has the gradient 0, and so have all unless
        they count.
        """
        present = [(p.grad, place) for p, place in self._places if p.grad is not None] if counts else []
        if len(present) < len(self._places):
            self._whole.zero_()
        for parameter, _ in self._places + self._tied:
            if parameter.grad is not None and parameter.grad.layout is not torch.strided:
                raise ValueError(
                    f"a parameter of shape {tuple(parameter.shape)} has a sparse gradient, which this "
                    "algorithm cannot mix; make the layer with sparse=False"
                )
        if present:
            torch._foreach_copy_([place for _, place in present], [grad for grad, _ in present])
        for parameter, place in self._tied:
            if counts and parameter.grad is not None:
                place.add_(parameter.grad)
        if self._flags.numel() > 0:
            has_one = [any(m.tensor.grad is not None for m in slot.members) for slot in self._bucket.slots]
            self._flags.copy_(torch.tensor(has_one))

    def give(self) -> None:
        """Copies them back to the parameters, all of which then have one, if any rank has."""
        for index, (parameter, _) in enumerate(self._places):
            if parameter.grad is None and parameter.requires_grad and self._someone_has(index):
                parameter.grad = torch.empty_like(parameter)
        present = [(p.grad, place) for p, place in self._places if p.grad is not None]
        if present:
            torch._foreach_copy_([grad for grad, _ in present], [place for _, place in present])
        for parameter, _ in self._tied:  # the first of those that share memory got it all
            if parameter.grad is not None:
                parameter.grad.zero_()

    def _someone_has(self, index: int) -> bool:
        return self._flags.numel() == 0 or self._flags[index].item() > 0

    def _place(self, whole: torch.Tensor, offset: int, nbytes: int, member: Any) -> torch.Tensor:
        flat = whole[offset : offset + nbytes].view(self._bucket.dtype)
        return flat.as_strided(member.shape, member.stride, flat.storage_offset())
