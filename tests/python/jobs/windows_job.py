"""Checks of windows: what puts, accumulates, gets and updates give, against values that torch computes."""

from __future__ import annotations

import bluefog.torch as bf
import torch
from job import assert_close, assert_equal
from jobs.neighbor_job import FLOATING, uniform, value, weighted_sum

INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
ALL = [*FLOATING, *INTEGERS, torch.bool]


def others() -> list[int]:
    return [rank for rank in range(bf.size()) if rank != bf.rank()]


def fully_connected() -> list[int]:
    """Sets that topology. All other ranks."""
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    return others()


def create(tensor: torch.Tensor, name: str = "w", **options: object) -> torch.Tensor:
    assert bf.win_create(tensor, name, **options) is True
    return tensor


def put(tensor: torch.Tensor, name: str = "w", **options: object) -> None:
    """All ranks do, and go on when all have."""
    assert bf.win_put(tensor, name, **options) is True
    bf.barrier()


def buffers(name: str = "w") -> dict[int, torch.Tensor]:
    """Those of the in-neighbours, which stay as they are."""
    return {rank: bf.win_update(name, 0.0, {rank: 1.0}, clone=True) for rank in bf.in_neighbor_ranks()}


def free() -> None:
    bf.barrier()
    assert bf.win_free()


# --- what an update gives


def check_put_and_update_mix_as_neighbor_allreduce_does() -> None:
    graphs = [bf.ExponentialGraph, bf.RingGraph, bf.StarGraph, bf.FullyConnectedGraph]
    shapes = [(23,), (), (3, 0), (2, 3, 500)]
    for graph, shape, dtype in zip(graphs, shapes, FLOATING):
        for is_weighted in (False, True):
            bf.set_topology(graph(bf.size()), is_weighted)
            x = create(value(bf.rank(), dtype, shape))
            expected = bf.neighbor_allreduce(x)
            put(x)
            result = bf.win_update("w")
            assert result is x
            assert_equal(x, expected)
            free()


def check_every_floating_dtype_and_large_tensors() -> None:
    """0.3 had no float16, and failed with more than 2000 elements on some systems."""
    fully_connected()
    for dtype in FLOATING:
        x = create(value(bf.rank(), dtype, (100_003,)), "large")
        expected = bf.neighbor_allreduce(x)
        put(x, "large")
        assert_equal(bf.win_update("large"), expected)
        free()


def check_own_weights_of_an_update() -> None:
    sources = fully_connected()
    create(value(bf.rank()))
    put(value(bf.rank()))
    last = sources[-1:]
    for self_weight, weights in (
        (0.25, {rank: 0.1 * (rank + 1) for rank in sources}),
        (0.5, dict.fromkeys(last, 0.5)),  # a strict subset, where there are more than two ranks
        (0.5, {}),
        (2, dict.fromkeys(sources, 3)),  # ints are numbers
    ):
        result = bf.win_update("w", self_weight, weights, clone=True)
        assert_close(result, weighted_sum({bf.rank(): self_weight, **weights}))
    assert_equal(bf.win_update("w", self_weight=1.0, neighbor_weights={}), value(bf.rank()))


def check_a_clone_leaves_the_registered_tensor_alone() -> None:
    fully_connected()
    x = create(value(bf.rank()))
    put(x)
    results = [bf.win_update("w", clone=True) for _ in range(2)]
    for result in results:
        assert result.data_ptr() != x.data_ptr()
        assert_equal(result, uniform(list(range(bf.size()))))
    assert_equal(x, value(bf.rank()))


def check_a_reset_clears_the_buffers_that_took_part() -> None:
    sources = fully_connected()
    create(torch.zeros(23, dtype=torch.float64))
    put(value(bf.rank()))
    last = sources[-1:]
    bf.win_update("w", 0.0, dict.fromkeys(last, 1.0), reset=True)
    for rank, buffer in buffers().items():
        assert_equal(buffer, torch.zeros_like(buffer) if rank in last else value(rank))
    bf.win_update("w", reset=True)
    assert all(not buffer.any() for buffer in buffers().values())


def check_collecting_adds_everything_once() -> None:
    sources = fully_connected()
    x = create(value(bf.rank()), zero_init=True)
    for _ in range(3):
        bf.win_accumulate(value(bf.rank()), "w")
    bf.barrier()
    expected = weighted_sum({bf.rank(): 1.0, **dict.fromkeys(sources, 3.0)})
    for _ in range(2):  # the second time there is nothing
        assert bf.win_update_then_collect("w") is x
        assert_close(x, expected)


# --- what buffers hold


def check_buffers_start_as_copies_or_zeros() -> None:
    fully_connected()
    x = create(value(bf.rank()), "copies")
    y = create(value(bf.rank()), "zeros", zero_init=True)
    assert_equal(bf.win_update("copies"), value(bf.rank()))
    assert_equal(bf.win_update("zeros"), value(bf.rank()) / bf.size())
    assert x.data_ptr() != y.data_ptr()


def check_destinations_and_their_factors() -> None:
    destinations = fully_connected()
    create(torch.zeros(23, dtype=torch.float64))
    put(value(bf.rank()), dst_weights={rank: 1.5 + rank for rank in destinations})
    for rank, buffer in buffers().items():
        assert_equal(buffer, (1.5 + bf.rank()) * value(rank))
    bf.barrier()
    put(2 * value(bf.rank()), dst_weights=[rank for rank in destinations if rank == 0])  # factors 1
    for rank, buffer in buffers().items():
        assert_equal(buffer, 2 * value(rank) if bf.rank() == 0 else (1.5 + bf.rank()) * value(rank))
    bf.barrier()
    put(value(bf.rank()), dst_weights=[])
    assert all(version == 0 for version in bf.get_win_version("w").values())


def check_self_weight_scales_what_was_sent_afterwards() -> None:
    fully_connected()
    x = create(value(bf.rank()))
    for send in (bf.win_put, bf.win_accumulate):
        sent = value(bf.rank())
        send(sent, "w", 0.25)
        assert_equal(sent, 0.25 * value(bf.rank()))
    assert_equal(x, value(bf.rank()))
    bf.barrier()
    twice = weighted_sum(dict.fromkeys(others(), 2.0))
    assert_equal(bf.win_update("w", 0.0, dict.fromkeys(others(), 1.0)), twice)
    bf.barrier()
    x.copy_(value(bf.rank()))
    put(x, self_weight=2)
    assert_equal(x, 2 * value(bf.rank()))


def check_any_tensor_of_the_right_size_can_be_put() -> None:
    fully_connected()
    create(torch.zeros(4, 6, dtype=torch.float64))
    sent = value(bf.rank(), shape=(30,))
    put(sent[3:27].view(2, 12))
    for rank, buffer in buffers().items():
        assert_equal(buffer, value(rank, shape=(30,))[3:27].view(4, 6))


def check_accumulating_adds_to_what_is_there() -> None:
    fully_connected()
    create(torch.zeros(23, dtype=torch.float64))
    put(value(bf.rank()))
    bf.win_accumulate(value(bf.rank()), "w")
    bf.win_accumulate(value(bf.rank()), "w", dst_weights=dict.fromkeys(others(), 0.5))
    bf.barrier()
    for rank, buffer in buffers().items():
        assert_close(buffer, 2.5 * value(rank))


def check_changes_in_place_are_seen_by_updates_and_gets() -> None:
    sources = fully_connected()
    for x in (torch.zeros(5000, dtype=torch.float64), bf.empty_shared(5000, dtype=torch.float64)):
        create(x)
        with bf.win_lock("w"):
            x.fill_(bf.rank() + 1)
        bf.barrier()
        assert bf.win_get("w", src_weights={rank: 0.5 for rank in sources}) is True
        assert bf.get_win_version("w") == dict.fromkeys(sources, 1)
        for rank, buffer in buffers().items():
            assert_equal(buffer, torch.full_like(x, 0.5 * (rank + 1)))
        bf.win_get("w", sources[:1])
        assert_equal(bf.win_update("w", 1.0, {}), torch.full_like(x, bf.rank() + 1))
        free()


def check_versions_count_puts_and_gets_since_the_last_update() -> None:
    sources = fully_connected()
    x = create(value(bf.rank()))
    assert bf.get_win_version("w") == dict.fromkeys(sources, 0)
    bf.barrier()
    put(x)
    put(x)
    bf.win_accumulate(x, "w")  # does not count
    bf.win_get("w", src_weights=sources[:1])
    bf.barrier()
    expected = dict.fromkeys(sources, 2)
    expected.update(dict.fromkeys(sources[:1], 3))
    assert bf.get_win_version("w") == expected
    bf.win_update("w", 1.0, {})
    assert bf.get_win_version("w") == dict.fromkeys(sources, 0)


def check_every_dtype_is_put_and_got() -> None:
    fully_connected()
    for dtype in ALL:
        mine = value(bf.rank(), shape=(2500,)).to(dtype)
        x = create(mine, str(dtype))
        put(x, str(dtype))
        bf.win_get(str(dtype))
        if dtype is torch.bool:
            continue
        weights = dict.fromkeys(others(), 1)
        result = bf.win_update(str(dtype), 0, weights, clone=True)
        rows = [value(rank, shape=(2500,)).to(dtype) for rank in others()]
        assert_equal(result, torch.stack(rows).sum(0).to(dtype) if rows else torch.zeros_like(x))


def check_windows_of_integers_sum() -> None:
    """0.3 moved integers, but its win_update failed."""
    fully_connected()
    total = bf.size() * (bf.size() + 1) // 2
    for dtype in INTEGERS:
        x = create(torch.full((2500,), bf.rank() + 1, dtype=dtype), str(dtype), zero_init=True)
        put(x, str(dtype))
        result = bf.win_update(str(dtype), 1, dict.fromkeys(others(), 1), clone=True)
        assert_equal(result, torch.full_like(x, total))
        bf.barrier()
        bf.win_accumulate(torch.full_like(x, 100), str(dtype))
        bf.barrier()
        expected = torch.full_like(x, total) + torch.full_like(x, 100) * (bf.size() - 1)  # may wrap around
        assert_equal(bf.win_update_then_collect(str(dtype)), expected)


# --- several windows and operations


def check_windows_do_not_mix() -> None:
    fully_connected()
    names = ["b", "a", "a.1"]
    for name in names:
        create(torch.zeros(10), name)
        assert bf.win_create(torch.zeros(3), name) is False  # whatever its shape
    assert bf.get_current_created_window_names() == sorted(names)
    for index, name in enumerate(names):
        bf.win_put(torch.full((10,), float(index)), name)
    bf.barrier()
    for index, name in enumerate(names):
        assert all((buffer == index).all() for buffer in buffers(name).values())
    bf.barrier()
    assert bf.win_free("a")
    assert bf.get_current_created_window_names() == ["a.1", "b"]
    create(torch.ones(4), "a")
    assert bf.win_free() and bf.win_free()
    assert bf.get_current_created_window_names() == []


def check_many_operations_of_one_kind_are_in_flight() -> None:
    """0.3 crashed with two."""
    fully_connected()
    create(torch.zeros(5000), zero_init=True)
    values = [torch.full((5000,), float(number)) for number in range(8)]
    handles = [bf.win_put_nonblocking(x, "w") for x in values]
    handles += [bf.win_accumulate_nonblocking(x, "w", 0.5) for x in values]
    assert len(set(handles)) == 16 and all(isinstance(handle, int) for handle in handles)
    assert [bf.win_wait(handle) for handle in handles] == [True] * 16
    assert all((x == number / 2).all() for number, x in enumerate(values))
    bf.barrier()
    for buffer in buffers().values():
        assert_equal(buffer, torch.full((5000,), 7.0 + sum(range(8))))
    gets = [bf.win_get_nonblocking("w") for _ in range(4)]
    while not all(bf.win_poll(handle) for handle in gets):
        pass
    assert all(bf.win_wait(handle) for handle in gets)
    assert all(not buffer.any() for buffer in buffers().values())


def check_dropped_handles_keep_what_was_sent() -> None:
    fully_connected()
    create(torch.zeros(100_000))
    for number in range(10):
        bf.win_put_nonblocking(torch.full((100_000,), float(number)), "w")
    bf.win_wait(bf.win_put_nonblocking(torch.full((100_000,), 10.0), "w"))
    bf.barrier()
    assert all((buffer == 10).all() for buffer in buffers().values())


def check_a_value_is_seen_wholly_or_not_at_all() -> None:
    """Every rank puts constant tensors, and reads what the others put and hold, without any agreement."""
    fully_connected()
    x = create(torch.zeros(50_000))
    for step in range(30):
        bf.win_put_nonblocking(torch.full((50_000,), float(step)), "w")
        if step % 3 == 0:
            bf.win_get("w")
        result = bf.win_update("w", 1.0, dict.fromkeys(others(), 1.0))
        assert (result == result[0]).all(), f"step {step}"
    assert (x == x[0]).all()


def check_the_names_are_aliases() -> None:
    for name in ("put", "get", "accumulate"):
        for form in ("", "_nonblocking"):
            assert getattr(bf, f"win_{name}{form}") is getattr(bf, f"neighbor_win_{name}{form}")
