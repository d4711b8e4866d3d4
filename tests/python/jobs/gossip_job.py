"""Checks of pair_gossip: averages of two ranks, of which the others know nothing."""

from __future__ import annotations

import bluefog.torch as bf
import numpy as np
import torch
from bluefog.common.errors import InvalidArgumentError, MismatchError
from job import assert_close, assert_equal, assert_usable, raises

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def of_rank(rank: int, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(rank)
    normal = torch.randn(shape or (1000,), generator=generator, dtype=torch.float64, device="cpu")
    return normal.to(torch.empty(0).device, dtype)


def partner() -> int | None:
    """Ranks 0 and 1, 2 and 3, ... are pairs; the last rank of an odd number has none."""
    other = bf.rank() ^ 1
    return other if other < bf.size() else None


def check_the_mean_is_the_same_on_both_ranks_to_the_bit() -> None:
    if (other := partner()) is not None:
        for dtype in FLOATS:
            mine, theirs = of_rank(bf.rank(), dtype=dtype), of_rank(other, dtype=dtype)
            before = mine.clone()
            result = bf.pair_gossip(mine, other)
            wide = torch.float64 if dtype is torch.float64 else torch.float32
            assert_equal(result, ((mine.to(wide) + theirs.to(wide)) / 2).to(dtype))
            assert_equal(mine, before)
    assert_usable()


def check_each_rank_has_its_own_weights() -> None:
    if (other := partner()) is not None:
        mine, theirs = of_rank(bf.rank()), of_rank(other)
        own_weight, pair_weight = (0.25, 2.0) if bf.rank() % 2 else (np.float64(1), -1)
        result = bf.pair_gossip(mine, other, own_weight, pair_weight=pair_weight)
        assert_close(result, float(own_weight) * mine + pair_weight * theirs)
    assert_usable()


def check_weights_on_one_rank_and_the_mean_on_the_other() -> None:
    if (other := partner()) is not None:
        mine, theirs = of_rank(bf.rank()), of_rank(other)
        if bf.rank() % 2:
            assert_equal(bf.pair_gossip(mine, other, 0.0, 1.0), theirs)
        else:
            assert_equal(bf.pair_gossip(mine, other), (mine + theirs) / 2)
    assert_usable()


def check_all_shapes_and_strides() -> None:
    if (other := partner()) is not None:
        for shape in ((), (0,), (3, 0), (2, 3, 4)):
            mine, theirs = of_rank(bf.rank(), *shape), of_rank(other, *shape)
            if shape == ():
                mine, theirs = mine[0].clone(), theirs[0].clone()
            assert_equal(bf.pair_gossip(mine, other), (mine + theirs) / 2)
        mine, theirs = of_rank(bf.rank(), 3, 4).t(), of_rank(other, 3, 4).t()
        assert_equal(bf.pair_gossip(mine.requires_grad_(), other), (mine.detach() + theirs) / 2)


def check_other_ranks_need_not_know() -> None:
    """Only the ranks 0 and 1 average; the operations of all ranks before and after still match."""
    for _ in range(3):
        if bf.rank() < 2:
            result = bf.pair_gossip(torch.tensor([float(bf.rank())]), 1 - bf.rank())
            assert result.item() == 0.5
        assert_usable()


def check_a_rank_averages_with_several_at_once() -> None:
    """Rank 0 with each of the others, who meet only rank 0."""
    mine = torch.full((5,), float(bf.rank()))
    others = range(1, bf.size()) if bf.rank() == 0 else [0]
    handles = {other: bf.pair_gossip_nonblocking(mine, other) for other in reversed(others)}
    for other, handle in handles.items():
        assert_equal(bf.synchronize(handle), torch.full((5,), (bf.rank() + other) / 2))
    assert_usable()


def check_names_match_calls_in_any_order() -> None:
    if (other := partner()) is not None:
        names = ["a", "b"] if bf.rank() % 2 else ["b", "a"]
        shapes = {"a": (3,), "b": (4, 2)}
        handles = [
            bf.pair_gossip_nonblocking(of_rank(bf.rank(), *shapes[name]), other, name=name) for name in names
        ]
        for name, handle in zip(names, handles):
            expected = (of_rank(bf.rank(), *shapes[name]) + of_rank(other, *shapes[name])) / 2
            assert_equal(handle.wait(), expected)


def check_pairs_of_a_random_walk_keep_the_mean() -> None:
    generator = torch.Generator("cpu").manual_seed(7)  # the same on all ranks
    x = torch.tensor([float(bf.rank())], dtype=torch.float64)
    for _ in range(20):
        order = torch.randperm(bf.size(), generator=generator, device="cpu").tolist()
        place = order.index(bf.rank()) ^ 1
        if place < bf.size():
            x = bf.pair_gossip(x, order[place])
    mean = (bf.size() - 1) / 2
    assert_close(bf.allreduce(x), torch.tensor([mean], dtype=torch.float64))
    assert abs(x.item() - mean) < 0.1 * bf.size()


def check_negotiation_may_be_skipped_or_not() -> None:
    for skip in (True, False):
        bf.set_skip_negotiate_stage(skip)
        if (other := partner()) is not None:
            assert bf.pair_gossip(torch.tensor(float(bf.rank())), other).item() == (bf.rank() + other) / 2


def check_targets_that_are_no_other_rank() -> None:
    for function in (bf.pair_gossip, bf.pair_gossip_nonblocking):
        for wrong in (bf.size(), -1, 2**40):
            with raises(InvalidArgumentError, f"target_rank is {wrong}, but the ranks are 0 to"):
                function(torch.ones(2), wrong)
        with raises(InvalidArgumentError, "this rank itself"):
            function(torch.ones(2), bf.rank())
        for wrong in ("1", 1.0, None):
            with raises(InvalidArgumentError, "target_rank: expected an integer, not"):
                function(torch.ones(2), wrong)
    assert_usable()


def check_wrong_weights_are_an_error_on_both_ranks() -> None:
    for wrong, text in (
        ({"self_weight": 0.5}, "come together"),
        ({"pair_weight": 0.5}, "come together"),
        ({"self_weight": float("nan"), "pair_weight": 0.5}, "self_weight must be a finite number"),
        ({"self_weight": 0.5, "pair_weight": "half"}, "pair_weight must be a finite number"),
    ):
        if (other := partner()) is not None:
            error = InvalidArgumentError if bf.rank() % 2 else MismatchError
            with raises(error, text):
                bf.pair_gossip(torch.ones(2), other, **(wrong if bf.rank() % 2 else {}))
        assert_usable()


def check_tensors_that_do_not_match() -> None:
    if (other := partner()) is not None:
        with raises(MismatchError, r"\[3\]|\[2\]"):
            bf.pair_gossip(torch.ones(2 + bf.rank() % 2), other)
        with raises(MismatchError, "float64"):
            bf.pair_gossip(torch.ones(2, dtype=torch.float64 if bf.rank() % 2 else torch.float32), other)
        with raises(ValueError, "int32"):
            bf.pair_gossip(torch.ones(2, dtype=torch.int32), other)
        with raises(TypeError, "torch.Tensor"):
            bf.pair_gossip([1.0], other)
    assert_usable()
