"""Checks of allreduce, allgather, broadcast, barrier and of handles."""

from __future__ import annotations

import os
import threading
import time

import bluefog.torch as bf
import torch
from bluefog.common.errors import OperationTimeoutError
from job import assert_close, assert_equal, raises

FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
EVERYTHING = [*FLOATING, *INTEGERS, torch.bool]


def small(rank: int, dtype: torch.dtype) -> torch.Tensor:
    return (torch.arange(20).reshape(4, 5) % 3 + rank).to(dtype)


def check_allreduce_gives_the_mean() -> None:
    for dtype in FLOATING:
        expected = torch.stack([small(rank, torch.float64) for rank in range(bf.size())]).mean(0).to(dtype)
        assert_close(bf.allreduce(small(bf.rank(), dtype)), expected)


def check_allreduce_gives_the_sum() -> None:
    for dtype in [*FLOATING, *INTEGERS]:
        expected = torch.stack([small(rank, torch.float64) for rank in range(bf.size())]).sum(0).to(dtype)
        assert_equal(bf.allreduce(small(bf.rank(), dtype), False), expected)


def check_sums_add_in_ascending_rank_order() -> None:
    values = [torch.sin(torch.arange(1000.0) * (rank + 1)) for rank in range(bf.size())]
    total = values[0].clone()
    for other in values[1:]:
        total += other
    assert_equal(bf.allreduce(values[bf.rank()], average=False), total)


def check_allreduce_over_this_machine() -> None:
    assert_equal(
        bf.allreduce(torch.ones(3), average=False, is_hierarchical_local=True),
        torch.full((3,), float(bf.local_size())),
    )


def check_allreduce_in_place_writes_the_tensor() -> None:
    x = torch.full((5,), float(bf.rank()))
    result = bf.allreduce_(x, average=False)
    assert result is x
    assert_equal(x, torch.full((5,), bf.size() * (bf.size() - 1) / 2))
    handle = bf.allreduce_nonblocking_(x, average=False)
    assert bf.synchronize(handle) is x
    assert_equal(x, torch.full((5,), bf.size() ** 2 * (bf.size() - 1) / 2))


def check_groups_reduce_among_themselves() -> None:
    parity = [rank for rank in range(bf.size()) if rank % 2 == bf.rank() % 2]
    assert bf.allreduce(torch.tensor(float(bf.rank())), average=False, group=parity).item() == sum(parity)
    assert_equal(bf.allgather(torch.tensor([bf.rank()]), group=parity[::-1]), torch.tensor(parity[::-1]))
    assert bf.broadcast(torch.tensor(bf.rank()), parity[-1], group=parity).item() == parity[-1]
    bf.barrier(group=parity)


def check_broadcast_gives_the_roots_tensor() -> None:
    for root in range(bf.size()):
        for dtype in EVERYTHING:
            mine = small(bf.rank(), dtype)
            assert_equal(bf.broadcast(mine, root), small(root, dtype))
            assert_equal(mine, small(bf.rank(), dtype))


def check_broadcast_in_place_writes_the_tensor() -> None:
    x = small(bf.rank(), torch.float32)
    assert bf.broadcast_(x, 0) is x
    assert_equal(x, small(0, torch.float32))
    y = small(bf.rank(), torch.int64)
    assert bf.wait(bf.broadcast_nonblocking_(y, bf.size() - 1)) is y
    assert_equal(y, small(bf.size() - 1, torch.int64))
    assert_equal(bf.wait(bf.broadcast_nonblocking(small(bf.rank(), torch.bool), 0)), small(0, torch.bool))


def check_allgather_concatenates_in_rank_order() -> None:
    for dtype in EVERYTHING:
        rows = [small(rank, dtype)[: rank + 1] for rank in range(bf.size())]
        assert_equal(bf.allgather(rows[bf.rank()]), torch.cat(rows))


def check_allgather_takes_no_rows() -> None:
    mine = torch.ones(bf.rank(), 3)
    assert bf.allgather(mine).shape == (bf.size() * (bf.size() - 1) // 2, 3)
    assert bf.allgather(torch.empty(0, 2, dtype=torch.int32)).shape == (0, 2)


def check_gathered_tensors_are_writable_and_live_on() -> None:
    kept = [bf.allgather(torch.full((100,), i)) for i in range(5)]
    for i, tensor in enumerate(kept):
        tensor += 1
        assert_equal(tensor, torch.full((100 * bf.size(),), i + 1))


def check_barrier_waits_for_all() -> None:
    clock = torch.tensor([time.monotonic()], dtype=torch.float64)
    entered = bf.allgather(clock)  # CLOCK_MONOTONIC is the same for all ranks of a host
    bf.barrier()
    assert time.monotonic() >= entered.max().item()
    bf.barrier()


def check_nonblocking_operations_complete() -> None:
    x = torch.full((3,), float(bf.rank()))
    mean = torch.full((3,), (bf.size() - 1) / 2)
    handles = [
        bf.allreduce_nonblocking(x),
        bf.allreduce_nonblocking(x, name="named"),
        bf.neighbor_allreduce_nonblocking(x, schedule=bf.static_schedule(bf.FullyConnectedGraph(bf.size()))),
    ]
    assert all(isinstance(handle, int) for handle in handles)
    for handle in reversed(handles):
        assert_close(bf.synchronize(handle), mean)
    gathered = bf.wait(bf.allgather_nonblocking(x))
    assert_equal(gathered, torch.arange(bf.size()).repeat_interleave(3).float())
    assert bf.wait(bf.neighbor_allgather_nonblocking(x)).numel() == 3 * len(bf.in_neighbor_ranks())


def check_poll_becomes_true() -> None:
    handle = bf.allreduce_nonblocking(torch.ones(3))
    deadline = time.monotonic() + 30
    while not bf.poll(handle):
        assert time.monotonic() < deadline
    bf.synchronize(handle)


def check_a_handle_is_waited_for_once() -> None:
    handle = bf.allreduce_nonblocking(torch.ones(3))
    bf.synchronize(handle)
    for use in (bf.synchronize, bf.wait, bf.poll):
        with raises(ValueError, "waited for once"):
            use(handle)
        with raises(ValueError, "12345"):
            use(12345)


def check_named_operations_match_by_name_in_any_order() -> None:
    names = ["a", "b", "c"]
    order = names if bf.rank() % 2 == 0 else names[::-1]
    handles = {name: bf.allreduce_nonblocking(torch.tensor(float(ord(name))), name=name) for name in order}
    for name in names:
        assert bf.synchronize(handles[name]).item() == ord(name)


def check_operations_of_several_kinds_may_have_one_name() -> None:
    """In 0.3 both waited for ever."""
    mine = torch.tensor([float(bf.rank())])
    started = [
        lambda: bf.allreduce_nonblocking(mine, average=False, name="one"),
        lambda: bf.broadcast_nonblocking(mine, bf.size() - 1, name="one"),
    ]
    order = [0, 1] if bf.rank() % 2 else [1, 0]
    handles = {which: started[which]() for which in order}
    assert bf.synchronize(handles[0]).item() == sum(range(bf.size()))
    assert bf.synchronize(handles[1]).item() == bf.size() - 1


def check_a_timeout_leaves_the_operation_in_flight() -> None:
    if bf.size() == 1:
        return
    if bf.rank() == 0:
        handle = bf.allreduce_nonblocking(torch.ones(2), average=False, name="late")
        with raises(OperationTimeoutError, "in flight"):
            bf.wait(handle, timeout=0.01)
        bf.barrier()
        assert_equal(bf.wait(handle, timeout=30), torch.full((2,), float(bf.size())))
    else:
        bf.barrier()
        bf.allreduce(torch.ones(2), average=False, name="late")


def check_dropped_handles_release_their_tensors() -> None:
    import weakref

    references = []
    for _ in range(8):
        x = torch.ones(10)
        references.append(weakref.ref(x))
        bf.allreduce_nonblocking(x)
        del x
    bf.barrier()
    deadline = time.monotonic() + 30
    while any(reference() is not None for reference in references):
        assert time.monotonic() < deadline
        bf.synchronize(bf.allreduce_nonblocking(torch.ones(1), group=[bf.rank()]))


def open_files_and_resident_bytes() -> tuple[int, int]:
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE")


def check_ten_thousand_operations_leave_nothing_behind() -> None:
    x = torch.ones(1024)

    def work(count: int) -> None:
        for _ in range(count):
            bf.neighbor_allreduce(x)
        for _ in range(count // 10):
            bf.allreduce_nonblocking(x)  # dropped
            bf.wait(bf.allgather_nonblocking(x))
        bf.barrier()

    work(2_000)
    files, memory = open_files_and_resident_bytes()
    work(10_000)
    files_after, memory_after = open_files_and_resident_bytes()
    assert files_after == files
    assert memory_after - memory < 2 << 20


def check_threads_run_named_operations_at_once() -> None:
    results: dict[int, float] = {}

    def run(number: int) -> None:
        for _ in range(50):
            results[number] = bf.allreduce(torch.tensor(float(number)), name=f"thread {number}").item()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: float(number) for number in range(4)}
