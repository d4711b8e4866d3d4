"""Checks of tensors that go through pinned memory: with BLUEFOG_STAGING=always, those of the CPU do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import bluefog.torch as bf
import torch
from bluefog.common.errors import BlueFogError, OperationTimeoutError
from bluefog.torch.lanes import ThreadLane
from bluefog.torch.staging import Buffer, Stager, stager_for
from job import assert_equal, assert_usable, device, raises


def stager() -> Stager:
    found = stager_for(device())
    assert found is not None
    return found


@contextmanager
def slow_copies() -> Iterator[Callable[[], None]]:
    """Copies that are started inside begin when the function that this gives is called, or at the end."""
    lane = stager().lane
    if isinstance(lane, ThreadLane):
        gate: Future[None] = Future()
        lane.hold_up(gate)

        def release() -> None:
            if not gate.done():
                gate.set_result(None)

    else:
        torch.cuda._sleep(200_000_000)  # of the user's stream; about 0.1 s

        def release() -> None:
            pass

    try:
        yield release
    finally:
        release()


def own_values() -> torch.Tensor:
    return torch.arange(5.0) + bf.rank()


def mean() -> torch.Tensor:
    return torch.arange(5.0) + (bf.size() - 1) / 2


def check_a_call_does_not_wait_for_its_copy() -> None:
    with slow_copies() as release:
        handle = bf.allreduce_nonblocking(own_values())
        assert not bf.poll(handle)
        release()
        assert_equal(bf.synchronize(handle), mean())


def check_operations_keep_their_order_however_late_they_are_ready() -> None:
    with slow_copies() as release:
        if bf.rank() == 0:
            release()
        handles = [bf.allreduce_nonblocking(own_values() * factor) for factor in range(1, 5)]
        release()
        for factor, handle in enumerate(handles, 1):
            assert_equal(bf.synchronize(handle), mean() * factor)


def check_a_wait_ends_in_time_while_a_copy_does_not() -> None:
    if not isinstance(stager().lane, ThreadLane):
        return
    with slow_copies() as release:
        handle = bf.allreduce_nonblocking(own_values())
        with raises(OperationTimeoutError):
            bf.wait(handle, timeout=0.01)
        release()
        assert_equal(bf.wait(handle), mean())


def check_an_operation_may_be_given_up_before_its_copy_is_over() -> None:
    if not isinstance(stager().lane, ThreadLane):
        return
    with slow_copies() as release:
        handle = bf.allreduce_nonblocking(own_values())
        handle.cancel()
        with raises(BlueFogError):
            bf.wait(handle)
        release()
    assert_usable()


def check_dropped_handles_and_tensors_disturb_nobody() -> None:
    with slow_copies() as release:
        bf.allreduce_nonblocking(own_values(), name="dropped")
        release()
    assert_equal(bf.allreduce(own_values()), mean())


def check_results_are_there_for_what_the_user_does_next() -> None:
    x = own_values()
    for _ in range(20):
        x = bf.allreduce(x) + 0
        bf.allreduce_(x)
        x *= 1
        out = torch.empty_like(x)
        assert bf.neighbor_allreduce(x, out=out) is out
        x = out
    assert_equal(x, mean())


def check_results_in_place_are_changes_that_autograd_sees() -> None:
    x = own_values()
    for call in (lambda: bf.allreduce_(x), lambda: bf.broadcast_(x, 0), lambda: bf.allreduce(x, out=x)):
        before = x._version
        call()
        assert x._version > before


def check_buffers_are_used_again() -> None:
    def work() -> None:
        for count in (10, 5_000, 70_000):
            x = torch.ones(count)
            bf.allreduce(x)
            bf.allreduce_(x)
            bf.wait(bf.allgather_nonblocking(x))
            bf.broadcast(x, 0)

    for _ in range(3):
        work()
    before = bf.stats()["memory"]["allocated"]
    for _ in range(20):
        work()
    assert bf.stats()["memory"]["allocated"] == before


def check_a_buffer_that_is_being_copied_serves_nobody_else() -> None:
    first = stager().take((100,), torch.float32)
    address = first.address
    with slow_copies():
        first.fill(torch.ones(100))
        del first
        assert stager().take((100,), torch.float32).address != address
    stager().lane.mark().wait()
    taken = [stager().take((100,), torch.float32) for _ in range(10)]  # all that there are, and more
    assert address in [buffer.address for buffer in taken]


def check_a_buffer_is_ready_when_it_is_filled_and_not_before() -> None:
    buffer = stager().take((3,), torch.float32)
    buffer.fill(torch.zeros(3))
    buffer.wait_until_filled()
    assert _word(buffer) == 1
    with slow_copies():
        buffer.fill(torch.ones(3))
        assert _word(buffer) == 0
    buffer.wait_until_filled()
    assert _word(buffer) == 1
    assert buffer.tensor.tolist() == [1, 1, 1]


def _word(buffer: Buffer) -> int:
    return int(buffer._block.word.item())
