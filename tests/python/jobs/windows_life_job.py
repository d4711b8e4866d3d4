"""Checks of windows: how they begin and end, what they do to the topology, and which tensors they take."""

from __future__ import annotations

import gc
import logging
import time
import weakref

import bluefog.torch as bf
import torch
from bluefog.common.basics import logger
from job import assert_equal, assert_usable, raises
from jobs.windows_job import buffers, create, free, fully_connected, others, put


class Log(logging.Handler):
    """What the logger of BlueFog is given meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.levelname} {record.getMessage()}")

    def __enter__(self) -> list[str]:
        logger.addHandler(self)
        return self.texts

    def __exit__(self, *_: object) -> None:
        logger.removeHandler(self)


def check_the_topology_stays_while_a_window_is_open() -> None:
    bf.set_topology(bf.RingGraph(bf.size()))
    create(torch.ones(3))
    with Log() as texts:
        assert bf.set_topology(bf.StarGraph(bf.size())) is False
    assert any(text.startswith("ERROR") and 'window "w" is open' in text for text in texts), texts
    assert bf.IsTopologyEquivalent(bf.load_topology(), bf.RingGraph(bf.size()))
    with raises(TypeError, "nodes"):
        bf.set_topology(bf.StarGraph(bf.size() + 1))
    assert bf.win_free("w")
    assert bf.set_topology(bf.StarGraph(bf.size())) is True
    assert_usable()


def check_a_repeated_init_forgets_windows() -> None:
    bf.set_topology(bf.RingGraph(bf.size()))
    create(torch.ones(3), "one")
    create(torch.ones(3), "two")
    bf.init()
    assert bf.get_current_created_window_names() == []
    assert bf.IsTopologyEquivalent(bf.load_topology(), bf.ExponentialGraph(bf.size()))
    create(torch.ones(5), "one")
    assert_usable()


def check_a_shutdown_forgets_windows_and_lets_go_of_tensors() -> None:
    fully_connected()
    x = create(torch.ones(3))
    put(x)
    bf.turn_on_win_ops_with_associated_p()
    alive = weakref.ref(x)
    del x
    gc.collect()
    assert alive() is not None
    bf.shutdown()
    gc.collect()
    assert alive() is None
    assert bf.get_current_created_window_names() == []
    with raises(KeyError, "no window"):
        bf.win_update("w")
    bf.init()
    fully_connected()
    create(torch.zeros(4), zero_init=True)
    put(torch.ones(4))
    assert_equal(bf.win_update_then_collect("w"), torch.full((4,), float(bf.size() - 1)))
    assert bf.win_associated_p("w") == 1.0  # the switch is off


def check_a_shutdown_in_the_midst_of_everything() -> None:
    fully_connected()
    create(torch.zeros(1000))
    handles = [bf.win_put_nonblocking(torch.ones(1000), "w") for _ in range(3)]
    with bf.win_lock("w"):
        bf.barrier()
        bf.shutdown()
    assert len(handles) == 3
    bf.init()
    assert_usable()


def check_freeing_lets_go_of_the_tensor() -> None:
    x = create(torch.ones(3))
    put(x)
    alive = weakref.ref(x)
    del x
    free()
    gc.collect()
    assert alive() is None


def check_windows_can_be_opened_again_and_again() -> None:
    fully_connected()
    before = bf.stats()["memory"]["allocated"]
    for round_ in range(20):
        x = create(torch.full((10_000,), float(bf.rank())), zero_init=round_ % 2 == 0)
        put(x)
        bf.win_get("w")
        bf.win_update("w")
        free()
    deadline = time.monotonic() + 20
    while bf.stats()["memory"]["allocated"] != before:  # a thread that has served others may be the last
        assert time.monotonic() < deadline, (bf.stats()["memory"], before)


def check_memory_of_a_window_does_not_grow_with_its_use() -> None:
    """As docs/windows.md says: three buffers for each in-neighbour, and one more for gets."""
    fully_connected()
    before = bf.stats()["memory"]["allocated"]
    x = create(torch.zeros(100_000))
    bf.barrier()
    sources = len(others())
    opened = bf.stats()["memory"]["allocated"] - before
    assert 3 * sources * x.nbytes <= opened <= 3 * sources * x.nbytes + 65536, (sources, opened)
    bf.barrier()
    for _ in range(10):
        for _ in range(5):
            bf.win_put(x, "w")
            bf.win_accumulate(x, "w")
        bf.win_get("w")
        bf.win_update("w")
        bf.win_update_then_collect("w")
    bf.barrier()
    used = bf.stats()["memory"]["allocated"] - before
    mirror = x.nbytes if sources else 0
    assert used <= 5 * sources * x.nbytes + mirror + 65536, (used, opened)


def check_parameters_and_what_autograd_knows() -> None:
    fully_connected()
    parameter = create(torch.nn.Parameter(torch.full((5,), 2.0)))
    put(parameter, self_weight=1.0)
    loss = (parameter**2).sum()
    assert bf.win_update("w") is parameter
    assert parameter.requires_grad and parameter.is_leaf
    with raises(RuntimeError, "modified by an inplace operation"):
        loss.backward()
    (parameter**2).sum().backward()
    assert_equal(parameter.grad, torch.full((5,), 4.0))
    clone = bf.win_update("w", clone=True)
    assert not clone.requires_grad
    loss = (parameter**2).sum()
    bf.win_put(parameter, "w", self_weight=0.5)
    with raises(RuntimeError, "modified by an inplace operation"):
        loss.backward()


def check_shared_parameters_have_windows() -> None:
    fully_connected()
    layer = bf.share_parameters_(torch.nn.Linear(300, 10))
    with torch.no_grad():
        layer.weight.fill_(bf.rank())
    create(layer.weight)
    bf.barrier()
    bf.win_get("w")
    for rank, buffer in buffers().items():
        assert_equal(buffer, torch.full((10, 300), float(rank)))
    bf.barrier()
    put(layer.weight)
    assert (bf.win_update("w") == (bf.size() - 1) / 2).all()


def check_a_tensor_that_moves_is_noticed() -> None:
    x = create(torch.ones(3))
    x.data = torch.zeros(3)
    for call in (bf.win_update, bf.win_get, lambda name: bf.win_put(x, name), bf.get_win_version):
        with raises(ValueError, "other memory"):
            call("w")
    free()
    create(x)


def check_a_tensor_that_is_dropped_stays_for_the_neighbors() -> None:
    fully_connected()
    create(torch.full((1000,), float(bf.rank())))
    gc.collect()
    bf.barrier()
    bf.win_get("w")
    for rank, buffer in buffers().items():
        assert_equal(buffer, torch.full((1000,), float(rank)))


def check_many_dimensions() -> None:
    fully_connected()
    x = create(torch.ones(2, 1, 3, 1, 2, 1, 2, 1, 2))
    put(x)
    assert bf.win_update("w", clone=True).shape == x.shape


def check_handles_are_those_of_other_operations() -> None:
    x = create(torch.ones(3))
    handle = bf.win_put_nonblocking(x, "w", self_weight=2.0)
    assert bf.synchronize(handle) is x
    assert_equal(x, torch.full((3,), 2.0))
    with Log() as texts:
        for unknown in (handle, int(handle), 10**9):
            assert bf.win_wait(unknown) is False
            with raises(ValueError, "not the handle"):
                bf.win_poll(unknown)
    assert [text.split()[0] for text in texts] == ["WARNING"] * 3
    assert bf.win_wait(bf.win_get_nonblocking("w"), timeout=30) is True
