"""Wrong calls on windows: a clear error on every rank concerned; engine and windows work afterwards."""

from __future__ import annotations

from collections.abc import Callable

import bluefog.torch as bf
import numpy as np
import torch
from bluefog.common.errors import InvalidArgumentError, MismatchError, UnknownWindowError
from job import assert_equal, assert_usable, raises
from jobs.bad_input_job import settle
from jobs.windows_job import create, fully_connected, others, put

ROGUE = 1


def on_rogue(wrong: object, right: object) -> object:
    return wrong if bf.rank() == ROGUE else right


def assert_window_works(name: str = "w") -> None:
    """Of ones and twos, on a fully connected graph."""
    x = torch.full((4,), float(bf.rank()))
    bf.barrier()
    put(x, name)
    result = bf.win_update(name, 0.0, dict.fromkeys(others(), 1.0), clone=True)
    assert_equal(result, torch.full((4,), float(sum(others()))))
    bf.barrier()


def check_names_of_no_window() -> None:
    x = torch.ones(3)
    calls: list[Callable[[], object]] = [
        lambda: bf.win_put(x, "w"),
        lambda: bf.win_put_nonblocking(x, "w"),
        lambda: bf.win_accumulate(x, "w"),
        lambda: bf.win_accumulate_nonblocking(x, "w"),
        lambda: bf.win_get("w"),
        lambda: bf.win_get_nonblocking("w"),
        lambda: bf.win_update("w"),
        lambda: bf.win_update_then_collect("w"),
        lambda: bf.win_free("w"),
        lambda: bf.get_win_version("w"),
        lambda: bf.win_associated_p("w"),
        lambda: bf.win_mutex("w").__enter__(),
        lambda: bf.win_lock("w").__enter__(),
    ]

    def all_raise() -> None:
        for call in calls:
            for error in (KeyError, ValueError, UnknownWindowError):
                with raises(error, "no window is named 'w'"):
                    call()

    all_raise()
    assert bf.win_free() is True
    create(x)
    assert bf.win_free("w") is True
    all_raise()
    for wrong in (None, 3):
        with raises(TypeError, "name: expected a str"):
            bf.win_update(wrong)
        with raises(TypeError, "name: expected a str"):
            bf.win_create(x, wrong)
    with raises(ValueError, "needs a name"):
        bf.win_create(x, "")
    assert_usable()


def check_tensors_that_windows_do_not_take() -> None:
    fully_connected()
    create(torch.zeros(4), zero_init=True)
    for wrong, text in (
        (torch.zeros(8)[::2], "contiguous"),
        (torch.zeros(4, 4).t()[:1], "contiguous"),
        (torch.zeros(4).to_sparse(), "dense"),
        (torch.zeros(4, device="meta"), "device meta"),
        (torch._neg_view(torch.zeros(4)), "contiguous"),
        (torch.zeros(4, dtype=torch.complex64), "not supported"),
    ):
        for _ in range(2):
            with raises(ValueError, text):
                bf.win_create(wrong, "wrong")
        for call in (bf.win_put, bf.win_put_nonblocking, bf.win_accumulate, bf.win_accumulate_nonblocking):
            with raises(ValueError, text):
                call(wrong, "w")
    for call in (bf.win_create, bf.win_put, bf.win_accumulate):
        with raises(TypeError, "torch.Tensor"):
            call([1.0], "w" if call is not bf.win_create else "wrong")
    assert bf.get_current_created_window_names() == ["w"]
    assert_window_works()
    assert_usable()


def check_sizes_and_dtypes_other_than_the_windows() -> None:
    """0.3 wrote beyond the end."""
    fully_connected()
    create(torch.zeros(4), zero_init=True)
    for wrong in (torch.zeros(5), torch.zeros(3), torch.zeros(0), torch.zeros(4, dtype=torch.float64)):
        for call in (bf.win_put, bf.win_put_nonblocking, bf.win_accumulate, bf.win_accumulate_nonblocking):
            with raises(ValueError, "the window is of 4 elements of float32"):
                call(wrong, "w", self_weight=0.5)
    assert_window_works()


def check_weights_outside_the_edges() -> None:
    bf.set_topology(bf.RingGraph(bf.size(), connect_style=2))  # i -> i + 1
    x = create(torch.zeros(4))
    ahead, behind = (bf.rank() + 1) % bf.size(), (bf.rank() - 1) % bf.size()
    strangers = [bf.rank(), bf.size(), -1, 2**40] + ([behind] if bf.size() > 2 else [])
    for stranger in strangers:
        for weights in ({stranger: 0.5}, [stranger], np.array([stranger])):
            for call in (bf.win_put, bf.win_put_nonblocking, bf.win_accumulate):
                with raises(ValueError, "dst_weights"):
                    call(x, "w", dst_weights=weights)
        with raises(ValueError, "ranks"):
            bf.win_mutex("w", ranks=[stranger]).__enter__()
    for stranger in [bf.rank(), bf.size(), -1] + ([ahead] if bf.size() > 2 else []):
        for call in (bf.win_get, bf.win_get_nonblocking):
            with raises(ValueError, "src_weights"):
                call("w", src_weights={stranger: 0.5})
        with raises(ValueError, "neighbor_weights"):
            bf.win_update("w", self_weight=0.5, neighbor_weights={stranger: 0.5})
        with raises(ValueError, "ranks"):
            bf.win_mutex("w", for_self=True, ranks=[stranger]).__enter__()
    bf.barrier()
    assert all(count == 0 for count in bf.get_win_version("w").values())
    assert_usable()


def check_weights_that_are_none() -> None:
    destinations = fully_connected()
    x = create(torch.zeros(4), zero_init=True)
    for wrong in ("half", float("nan"), float("inf"), [1.0]):
        for call in (bf.win_put, bf.win_accumulate_nonblocking):
            with raises(ValueError, "self_weight"):
                call(x, "w", self_weight=wrong)
            if destinations:
                with raises(ValueError, "dst_weights"):
                    call(x, "w", dst_weights=dict.fromkeys(destinations, wrong))
        with raises(ValueError, "self_weight"):
            bf.win_update("w", self_weight=wrong, neighbor_weights={})
    for wrong in ("0", [0.5], {"0": 1.0}, 3, destinations * 2 or "0"):
        with raises(ValueError, "dst_weights"):
            bf.win_put(x, "w", dst_weights=wrong)
        with raises(ValueError, "src_weights"):
            bf.win_get("w", src_weights=wrong)
        with raises(ValueError, "neighbor_weights"):
            bf.win_update("w", self_weight=1.0, neighbor_weights=wrong)
    with raises(ValueError, "both, or none"):
        bf.win_update("w", self_weight=1.0)
    with raises(ValueError, "both, or none"):
        bf.win_update("w", neighbor_weights={})
    assert_window_works()


def check_fractions_of_integers_and_sums_of_bools() -> None:
    destinations = fully_connected()
    x = create(torch.ones(4, dtype=torch.int32), "int")
    y = create(torch.ones(4, dtype=torch.bool), "bool")
    with raises(ValueError, "int32"):
        bf.win_update("int")
    with raises(ValueError, "(?i)fraction"):
        bf.win_update("int", 0.5, {})
    with raises(ValueError, "(?i)fraction"):
        bf.win_put(x, "int", self_weight=0.5)
    if destinations:
        with raises(ValueError, "(?i)fraction"):
            bf.win_get("int", src_weights={destinations[0]: 0.5})
    for call in (lambda: bf.win_update("bool"), lambda: bf.win_update_then_collect("bool")):
        with raises(ValueError, "(?i)bool"):
            call()
    with raises(ValueError, "(?i)bool"):
        bf.win_accumulate(y, "bool")
    assert_usable()


def check_windows_that_neighbors_see_otherwise() -> None:
    """Nobody has a window then."""
    if bf.size() == 1:
        return
    fully_connected()
    x = torch.zeros(4)
    ahead = (bf.rank() + 1) % bf.size()
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: bf.win_create(on_rogue(torch.zeros(5), x), "w"), r"\[5\]|\[4\]"),
        (lambda: bf.win_create(on_rogue(torch.zeros(2, 2), x), "w"), r"\[2, 2\]|\[4\]"),
        (lambda: bf.win_create(on_rogue(x.double(), x), "w"), "float64"),
        (lambda: bf.win_create(on_rogue(torch.zeros(8)[::2], x), "w"), "contiguous"),
        (lambda: bf.win_create(on_rogue(x.to(torch.complex64), x), "w"), "not supported"),
        (lambda: bf.win_create(x, "w", src_ranks=[ahead], dst_ranks=None), "come together"),
        (lambda: bf.win_create(x, "w", src_ranks=[bf.rank()], dst_ranks=[]), "itself"),
        (lambda: bf.win_create(x, "w", src_ranks=[bf.size()], dst_ranks=[]), "not of the group"),
        (lambda: bf.win_create(x, "w", src_ranks=[ahead, ahead], dst_ranks=[]), "twice"),
        (lambda: bf.win_create(x, "w", src_ranks=3, dst_ranks=[]), "src_ranks: expected ranks"),
        (lambda: bf.win_create(x, "w", group=[0, 0]), "group"),
    ]
    for call, text in cases:
        for _ in range(2):
            with raises(ValueError, text):
                call()
            bf.barrier()
            assert bf.get_current_created_window_names() == []
    with raises(InvalidArgumentError, "group"):
        bf.win_create(x, "w", group=[])
    create(x)
    assert_window_works()
    assert_usable()


def check_edges_that_one_end_knows_only() -> None:
    """The rogue wants to put to rank 0, which expects nothing, and may learn it later."""
    if bf.size() == 1:
        return
    try:
        assert bf.win_create(torch.zeros(4), "w", src_ranks=[], dst_ranks=on_rogue([0], [])), bf.rank()
        assert bf.rank() != ROGUE
    except MismatchError as error:
        assert bf.rank() in (0, ROGUE) and "rank" in str(error)
    settle()
    bf.win_free()
    fully_connected()
    create(torch.zeros(4))
    assert_window_works()


def check_a_name_that_only_one_rank_has_in_use() -> None:
    if bf.size() == 1:
        return
    fully_connected()
    x = torch.zeros(4)
    if bf.rank() == 0:
        assert bf.win_create(x, "w", group=[0])
        assert not bf.win_create(x, "w")
        bf.win_free("w")
    else:
        with raises(ValueError, "is open already"):
            bf.win_create(x, "w")
    assert_usable()


def check_who_frees_first_serves_the_others_still() -> None:
    if bf.size() == 1:
        return
    fully_connected()
    x = create(torch.zeros(4), zero_init=True)
    bf.barrier()
    if bf.rank() != 0:
        bf.win_free("w")  # returns when rank 0 frees it, too
    else:
        for call in (bf.win_put, bf.win_accumulate, lambda _, name: bf.win_get(name)):
            call(x, "w")
        bf.win_update("w")
        bf.win_free("w")
    assert_usable()


def check_a_window_is_not_freed_under_an_operation() -> None:
    if bf.size() == 1:
        return
    fully_connected()
    x = create(torch.zeros(4), zero_init=True)
    bf.barrier()
    if bf.rank() == 0:
        with bf.win_mutex("w", for_self=True):
            bf.barrier()
            bf.barrier()
    else:
        bf.barrier()
        handle = bf.win_put_nonblocking(x, "w", require_mutex=True, dst_weights=[0])
        for name in ("w", None):
            with raises(ValueError, "in flight"):
                bf.win_free(name)
        assert not bf.win_poll(handle)
        bf.barrier()
        bf.win_wait(handle)
    bf.barrier()
    assert_window_works()
    assert bf.win_free("w")
