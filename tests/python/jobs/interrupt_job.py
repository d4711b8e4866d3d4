"""Ctrl-C while ranks wait for each other, on two ranks."""

from __future__ import annotations

import _thread
import contextlib
import operator
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import bluefog.torch as bf
import torch
from bluefog.common.errors import PeerLostError
from job import assert_equal, assert_usable, raises


@contextlib.contextmanager
def interrupted_inside(function: str) -> Iterator[None]:
    """Sends SIGINT when the main thread's innermost Python frame is `function`: it is in the engine then.

    KeyboardInterrupt must follow. That this thread comes to run shows that the GIL is free.
    """
    main = threading.main_thread().ident

    def watch() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            code = sys._current_frames()[main].f_code
            if code.co_name == function and "bluefog" in code.co_filename.split(os.sep):
                os.kill(os.getpid(), signal.SIGINT)
                return

    watcher = threading.Thread(target=watch)
    with raises(KeyboardInterrupt):
        watcher.start()
        yield
    watcher.join()


def check_a_blocking_operation_gives_up() -> None:
    x = torch.full((3,), float(bf.rank()))
    if bf.rank() == 0:
        with interrupted_inside("_allreduce"):
            bf.allreduce(x, name="given up")
        bf.barrier()
    else:
        bf.barrier()
        with raises(Exception, "rank 0"):
            bf.allreduce(x, name="given up")
    assert_usable()
    bf.allreduce(x, name="given up")


def check_a_wait_leaves_the_operation_in_flight() -> None:
    x = torch.ones(3)
    if bf.rank() == 0:
        handle = bf.allreduce_nonblocking(x, average=False, name="in flight")
        with interrupted_inside("wait"):
            bf.wait(handle)
        bf.barrier()
        assert_equal(bf.wait(handle), torch.full((3,), 2.0))
    else:
        bf.barrier()
        bf.allreduce(x, average=False, name="in flight")
    assert_usable()


def check_a_handle_can_be_cancelled() -> None:
    if bf.rank() == 0:
        handle = bf.allreduce_nonblocking(torch.ones(3), name="cancelled")
        handle.cancel()
        with raises(Exception, "cancel|gave up|given up|interrupt"):
            bf.wait(handle)
        bf.barrier()
    else:
        bf.barrier()
        with raises(Exception, "rank 0"):
            bf.allreduce(torch.ones(3), name="cancelled")
    assert_usable()


def _interrupting(ranks: list[int]) -> Iterator[int]:
    """The ranks. Asking for one is a Ctrl-C that Python first sees when the call that asked returns."""
    signals = iter(_thread.interrupt_main, object())
    return map(operator.itemgetter(1), zip(signals, ranks))


def check_an_interrupt_is_not_hidden_by_the_error_that_it_causes() -> None:
    """Ctrl-C reaches all ranks: here rank 1 has left by the time that rank 0 hears of it."""
    if bf.rank() == 0:
        with raises(PeerLostError):
            bf.allreduce(torch.ones(3))
        with raises(KeyboardInterrupt):
            bf.allreduce(torch.ones(3), group=_interrupting([0, 1]))
        with raises(KeyboardInterrupt):
            bf.broadcast(torch.ones(3), 2, group=_interrupting([0]))
    bf.shutdown()
    bf.init()
