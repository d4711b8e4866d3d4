"""Checks of the locks of windows, and of Ctrl-C in calls that wait for others, on two ranks or more."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

import bluefog.torch as bf
import torch
from job import assert_equal, assert_usable, raises
from jobs.windows_job import create, fully_connected, others, put


def check_a_mutex_keeps_off_what_requires_it() -> None:
    """Rank 0 holds the mutexes of its own buffers while the others put."""
    fully_connected()
    create(torch.zeros(5000), zero_init=True)
    bf.barrier()
    ones = torch.ones(5000)
    if bf.rank() == 0:
        with bf.win_mutex("w", for_self=True):
            bf.barrier()
            bf.barrier()
            assert bf.get_win_version("w") == dict.fromkeys(others(), 1)  # from those that did not care
            assert_equal(bf.win_update("w", 0.0, {1: 1.0}, clone=True), ones)
    else:
        bf.barrier()
        bf.win_put(ones, "w", dst_weights=[0])
        handle = bf.win_put_nonblocking(2 * ones, "w", dst_weights=[0], require_mutex=True)
        assert not bf.win_poll(handle)
        bf.barrier()
        bf.win_wait(handle)
    bf.barrier()
    if bf.rank() == 0:
        assert_equal(bf.win_update("w", 0.0, {1: 1.0}), 2 * ones)


def check_mutexes_of_both_ends() -> None:
    fully_connected()
    x = create(torch.zeros(10), zero_init=True)
    for _ in range(20):
        with bf.win_mutex("w", ranks=others()[:1]):
            bf.win_put(x, "w")
        with bf.win_mutex("w", for_self=True):
            bf.win_update("w")
        bf.win_put(x, "w", require_mutex=True)
        bf.win_get("w", require_mutex=True)
        bf.win_accumulate(x, "w", require_mutex=True)
        bf.win_update("w", require_mutex=True)
        bf.win_update_then_collect("w")
    assert_usable()


def check_a_thread_does_not_wait_for_itself() -> None:
    fully_connected()
    x = create(torch.zeros(10), zero_init=True)
    bf.barrier()
    with bf.win_mutex("w"):
        with raises(ValueError, "holds the mutex"):
            bf.win_put(x, "w", require_mutex=True)
        with raises(ValueError, "holds the mutex"):
            bf.win_mutex("w").__enter__()
    bf.barrier()
    with bf.win_mutex("w", for_self=True):
        with raises(ValueError, "holds the mutex"):
            bf.win_update_then_collect("w")
        bf.win_update_then_collect("w", require_mutex=False)
    with bf.win_lock("w"):
        bf.win_update("w")
        bf.win_put(x, "w", self_weight=0.5)
    bf.win_put(x, "w", require_mutex=True)


def check_a_lock_is_released_when_the_block_raises() -> None:
    fully_connected()
    create(torch.zeros(10), zero_init=True)
    for lock in (bf.win_lock("w"), bf.win_mutex("w"), bf.win_mutex("w", for_self=True)):
        with raises(ZeroDivisionError):
            with lock:
                raise ZeroDivisionError
        bf.barrier()
    put(torch.zeros(10), require_mutex=True)
    bf.win_get("w", require_mutex=True)


def check_nobody_gets_a_tensor_that_is_being_changed() -> None:
    fully_connected()
    for x in (torch.zeros(30_000), bf.empty_shared(30_000)):
        create(x)
        bf.barrier()
        if bf.rank() == 0:
            for step in range(50):
                with bf.win_lock("w"):
                    x[:10_000] = step
                    x[10_000:] = step
        else:
            for _ in range(50):
                bf.win_get("w", src_weights=[0])
                seen = bf.win_update("w", 0.0, {0: 1.0}, clone=True)
                assert (seen == seen[0]).all()
        bf.barrier()
        bf.win_free()


def check_nobody_gets_a_tensor_that_is_being_updated() -> None:
    fully_connected()
    x = create(torch.zeros(1_000_000), zero_init=True)
    put(torch.ones(1_000_000))
    if bf.rank() == 0:
        for _ in range(200):
            bf.win_update("w", 1.0, {1: 1.0})
        assert_equal(x, torch.full((1_000_000,), 200.0))
    else:
        for _ in range(30):
            bf.win_get("w", src_weights=[0])
            seen = bf.win_update("w", 0.0, {0: 1.0}, clone=True)
            assert (seen == seen[0]).all()


def check_a_get_of_a_tensor_whose_window_is_freed_meanwhile() -> None:
    fully_connected()
    create(torch.zeros(1000))
    bf.barrier()
    if bf.rank() == 0:
        with bf.win_lock("w"):
            bf.barrier()
            bf.barrier()
            with raises(ValueError, "is held"):
                bf.win_free("w")
        bf.win_free()
    else:
        bf.barrier()
        handle = bf.win_get_nonblocking("w", src_weights=[0])
        bf.barrier()
        bf.win_wait(handle)
        bf.win_free()
    assert_usable()


def check_threads_use_one_window() -> None:
    fully_connected()
    create(torch.zeros(2000), zero_init=True)
    ones = torch.ones(2000)

    def accumulate() -> None:
        for _ in range(25):
            bf.win_accumulate(ones, "w", require_mutex=True)

    threads = [threading.Thread(target=accumulate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bf.barrier()
    assert_equal(bf.win_update_then_collect("w"), 75 * len(others()) * ones)


# --- Ctrl-C


@contextlib.contextmanager
def interrupted() -> Iterator[None]:
    """Sends SIGINT when an operation of this rank is in flight. KeyboardInterrupt must follow."""

    def watch() -> None:
        deadline = time.monotonic() + 30
        while bf.stats()["in_flight"] == 0 and time.monotonic() < deadline:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=watch)
    with raises(KeyboardInterrupt):
        watcher.start()
        yield
    watcher.join()


def check_an_interrupted_creation_leaves_nothing() -> None:
    x = torch.zeros(4)
    if bf.rank() == 0:
        with interrupted():
            bf.win_create(x, "w")
        assert bf.get_current_created_window_names() == []
        bf.barrier()
    else:
        bf.barrier()
        with raises(Exception, "rank 0"):
            bf.win_create(x, "w")
    assert_usable()
    fully_connected()
    create(x)
    bf.win_free()


def check_an_interrupted_wait_for_a_mutex() -> None:
    fully_connected()
    x = create(torch.zeros(4), zero_init=True)
    bf.barrier()
    if bf.rank() == 0:
        with bf.win_mutex("w", for_self=True):
            bf.barrier()
            bf.barrier()
    else:
        bf.barrier()
        with interrupted():
            bf.win_put(x, "w", require_mutex=True)
        with interrupted():
            bf.win_mutex("w", ranks=[0]).__enter__()
        bf.barrier()
    bf.barrier()
    put(torch.ones(4), require_mutex=True)
    assert_equal(bf.win_update_then_collect("w"), torch.full((4,), float(len(others()))))


def check_an_interrupted_end_can_be_repeated() -> None:
    fully_connected()
    create(torch.zeros(4))
    bf.barrier()
    if bf.rank() == 0:
        with interrupted():
            bf.win_free("w")
        bf.barrier()
    else:
        bf.barrier()
    assert bf.win_free("w") is True
    assert bf.get_current_created_window_names() == []
    assert bf.set_topology(bf.RingGraph(bf.size()))
    assert_usable()
