"""Wrong calls on three ranks: a clear error on every rank concerned, and an engine that works afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import bluefog.torch as bf
import torch
from bluefog.common.errors import InvalidArgumentError, MismatchError
from job import assert_usable, raises

ROGUE = 1


def x(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones(shape or (4,), dtype=dtype)


def everywhere(call: Callable[[], object], text: str | None, error: type[BaseException] = ValueError) -> None:
    """All ranks make the call, and each raises `error` with `text` in its message."""
    for _ in range(2):  # once more: the first failure must leave nothing behind
        with raises(error, text):
            call()
        assert_usable()


def on_rogue(wrong: object, right: object) -> object:
    return wrong if bf.rank() == ROGUE else right


def check_shapes_that_differ() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    mine = on_rogue(x(5), x(4))
    everywhere(lambda: bf.neighbor_allreduce(mine), r"\[5\]|\[4\]", MismatchError)
    everywhere(lambda: bf.allreduce(mine), r"\[5\]|\[4\]", MismatchError)
    everywhere(lambda: bf.broadcast(mine, 0), r"\[5\]|\[4\]", MismatchError)
    same_count = on_rogue(x(2, 3), x(3, 2))
    everywhere(lambda: bf.neighbor_allreduce(same_count), r"\[2, 3\]|\[3, 2\]", MismatchError)
    rows = on_rogue(x(2, 3), x(2, 4))
    everywhere(lambda: bf.allgather(rows), r"\[2, 3\]|\[2, 4\]", MismatchError)
    everywhere(lambda: bf.neighbor_allgather(rows), r"\[2, 3\]|\[2, 4\]", MismatchError)


def check_dtypes_that_differ() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    mine = x(dtype=on_rogue(torch.float64, torch.float32))
    for call in (
        bf.neighbor_allreduce,
        bf.allreduce,
        bf.allgather,
        bf.neighbor_allgather,
        lambda t: bf.broadcast(t, 0),
    ):
        everywhere(lambda call=call: call(mine), "float64", MismatchError)


def check_dtypes_without_a_meaning() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    everywhere(lambda: bf.neighbor_allreduce(x(dtype=torch.int32)), "int32")
    everywhere(lambda: bf.allreduce(x(dtype=torch.int64)), "int64")
    everywhere(lambda: bf.allreduce(x(dtype=torch.bool), average=False), "bool")
    for call in (bf.neighbor_allreduce, bf.allreduce, bf.allgather, lambda t: bf.broadcast(t, 0)):
        everywhere(lambda call=call: call(x(dtype=torch.complex64)), "not supported")


def check_an_unsupported_dtype_on_one_rank() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    mine = x(dtype=on_rogue(torch.complex64, torch.float32))
    everywhere(lambda: bf.neighbor_allreduce(mine), "not supported")
    everywhere(lambda: bf.allreduce(mine), "not supported")


def check_scalars_cannot_be_gathered() -> None:
    everywhere(lambda: bf.allgather(torch.tensor(1.0)), "scalar")
    everywhere(lambda: bf.neighbor_allgather(torch.tensor(1.0)), "scalar")


def check_a_sender_without_a_receiver() -> None:
    """The rogue sends to rank 2, which expects nothing; rank 0 is not concerned."""
    send = [2] if bf.rank() == ROGUE else []

    def call() -> None:
        bf.neighbor_allreduce(x(), self_weight=1.0, src_weights={}, dst_weights=send)

    if bf.rank() == ROGUE:
        with raises(MismatchError, "2"):
            call()
    else:
        # The receiver was right by itself: it learns now or at its next call.
        try:
            call()
        except MismatchError as error:
            assert bf.rank() == 2 and "1" in str(error)
    settle()


def check_a_receiver_without_a_sender() -> None:
    sources = {ROGUE: 0.5} if bf.rank() == 2 else {}

    def call() -> None:
        bf.neighbor_allreduce(x(), self_weight=0.5, src_weights=sources, dst_weights=[])

    if bf.rank() == 2:
        with raises(MismatchError, "1"):
            call()
    else:
        try:
            call()
        except MismatchError as error:
            assert bf.rank() == ROGUE and "2" in str(error)
    settle()


def settle() -> None:
    """A rank may hear of one-sided edges as late as at its next calls, from one peer at each."""
    for _ in range(bf.size()):
        with contextlib.suppress(MismatchError):
            bf.barrier()
    assert_usable()


def check_weights_for_ranks_that_are_no_neighbors() -> None:
    bf.set_topology(bf.RingGraph(bf.size(), connect_style=2))
    ahead = (bf.rank() + 1) % bf.size()
    everywhere(lambda: bf.neighbor_allreduce(x(), self_weight=0.5, src_weights={ahead: 0.5}), str(ahead))


def check_only_one_of_self_and_source_weights() -> None:
    everywhere(lambda: bf.neighbor_allreduce(x(), self_weight=0.5), "src_weights")
    everywhere(lambda: bf.neighbor_allreduce(x(), src_weights={}), "self_weight")
    everywhere(lambda: bf.neighbor_allreduce(x(), dst_weights=[]), "self_weight")
    everywhere(lambda: bf.neighbor_allgather(x(), src_ranks=[]), "dst_ranks")
    everywhere(lambda: bf.neighbor_allgather(x(), dst_ranks=[]), "src_ranks")


def check_a_weight_that_is_nan_on_one_rank() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    weight = on_rogue(float("nan"), 0.5)
    sources = dict.fromkeys(bf.in_neighbor_ranks(), 0.25)
    everywhere(lambda: bf.neighbor_allreduce(x(), self_weight=weight, src_weights=sources), "(?i)nan|finite")


def check_arguments_of_the_wrong_type_on_one_rank() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    right = dict.fromkeys(bf.in_neighbor_ranks(), 0.25)
    for wrong in ([0, 2], {0: "a quarter"}, {0.5: 0.25}):
        sources = on_rogue(wrong, right)
        everywhere(
            lambda sources=sources: bf.neighbor_allreduce(x(), self_weight=0.5, src_weights=sources),
            "src_weights",
        )
    everywhere(
        lambda: bf.neighbor_allreduce(x(), self_weight=on_rogue("half", 0.5), src_weights=right),
        "self_weight",
    )
    everywhere(lambda: bf.neighbor_allreduce(x(), schedule=on_rogue("ring", None)), "(?i)schedule")
    for wrong in (-1, 1.0, 2**64):
        everywhere(lambda t=wrong: bf.neighbor_allreduce(x(), round=on_rogue(t, 0)), "round")
    everywhere(
        lambda: bf.neighbor_allreduce(x(), self_weight=1.0, src_weights={}, dst_weights=0),
        "dst_weights: expected ranks, not int",
    )
    everywhere(lambda: bf.broadcast(x(), on_rogue("0", 0)), "root_rank: expected an integer, not str")
    everywhere(lambda: bf.allreduce(x(), name=1), "name: expected a str, not int")


def check_truth_in_any_form() -> None:
    for yes in (1, torch.tensor(True)):
        bf.neighbor_allreduce(x(), meet=yes, enable_topo_check=yes)
        bf.allreduce(x(), average=yes)


def check_ranks_that_do_not_exist_or_come_twice() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    for wrong in (bf.size(), -1, 2**40):
        weights = {wrong: 0.5}
        everywhere(
            lambda w=weights: bf.neighbor_allreduce(x(), self_weight=0.5, src_weights=w, dst_weights=[]),
            "rank",
        )
        everywhere(
            lambda w=wrong: bf.neighbor_allreduce(x(), self_weight=1.0, src_weights={}, dst_weights=[w]),
            "rank",
        )
        everywhere(lambda w=wrong: bf.neighbor_allgather(x(), src_ranks=[w], dst_ranks=[]), "rank")
        everywhere(lambda w=wrong: bf.broadcast(x(), w), "rank|root")
    ahead, behind = (bf.rank() + 1) % bf.size(), (bf.rank() - 1) % bf.size()
    everywhere(
        lambda: bf.neighbor_allreduce(
            x(), self_weight=1.0, src_weights={behind: 1.0}, dst_weights=[ahead, ahead]
        ),
        "twice",
    )
    everywhere(lambda: bf.neighbor_allgather(x(), src_ranks=[behind, behind], dst_ranks=[ahead]), "twice")
    everywhere(
        lambda: bf.neighbor_allreduce(x(), self_weight=1.0, src_weights={bf.rank(): 1.0}, dst_weights=[]),
        "self|own|itself",
    )


def check_groups_that_are_wrong() -> None:
    for wrong in ([0, 1, 2, 0], [0, 1, 2, 3], [-1, 0, 1, 2], ["0"], [0.5]):
        everywhere(lambda w=wrong: bf.allreduce(x(), group=w), "group")
    with raises(InvalidArgumentError, "group"):
        bf.allreduce(x(), group=[])
    assert_usable()
    others = [rank for rank in range(bf.size()) if rank != bf.rank()]
    everywhere(lambda: bf.allreduce(x(), group=others), "group")


def check_roots_that_differ() -> None:
    everywhere(lambda: bf.broadcast(x(), on_rogue(0, 2)), "root", MismatchError)


def check_reductions_that_differ() -> None:
    everywhere(lambda: bf.allreduce(x(), average=on_rogue(True, False)), None, MismatchError)


def check_schedules_and_rounds_that_differ() -> None:
    schedule = bf.one_peer_exponential(bf.size())
    with raises(MismatchError):
        bf.neighbor_allreduce(x(), schedule=schedule, round=on_rogue(1, 0), meet=True)
    settle()
    everywhere(
        lambda: bf.neighbor_allreduce(x(), schedule=bf.one_peer_exponential(bf.size() + 1)), "size|ranks"
    )


def check_the_same_name_twice_in_flight() -> None:
    """The refused call takes its place in the order of calls, so the others' second call fails too."""
    if bf.rank() == ROGUE:
        first = bf.allreduce_nonblocking(x(), name="twice")
        with raises(InvalidArgumentError, "twice"):
            bf.synchronize(bf.allreduce_nonblocking(x(), name="twice"))
        bf.barrier()
        bf.synchronize(first)
    else:
        bf.barrier()
        bf.allreduce(x(), name="twice")
        with raises(MismatchError, "twice"):
            bf.allreduce(x(), name="twice")
    assert_usable()
    bf.allreduce(x(), name="twice")


def check_outputs_that_overlap() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    memory = torch.zeros(6)
    everywhere(lambda: bf.neighbor_allreduce(memory[:4], out=memory[2:]), "overlap")
    everywhere(lambda: bf.allreduce(memory[:4], out=memory[1:5]), "overlap")


def check_outputs_of_operations_in_flight_are_not_shared() -> None:
    memory = torch.zeros(4)
    if bf.rank() == ROGUE:
        first = bf.allreduce_nonblocking(x(), out=memory, name="first")
        with raises(InvalidArgumentError, "in flight|overlap"):
            bf.synchronize(bf.allreduce_nonblocking(x(), out=memory, name="second", group=[ROGUE]))
        bf.barrier()
        bf.synchronize(first)
    else:
        bf.barrier()
        bf.allreduce(x(), name="first")
    assert_usable()


def check_outputs_of_another_shape_or_dtype() -> None:
    bf.set_topology(bf.FullyConnectedGraph(bf.size()))
    for wrong in (x(5), x(dtype=torch.float64), [1.0]):
        everywhere(lambda out=wrong: bf.neighbor_allreduce(x(), out=on_rogue(out, None)), "out")
        everywhere(lambda out=wrong: bf.allreduce(x(), out=on_rogue(out, None)), "out")


def check_keywords_of_old_name_the_new_ones() -> None:
    for function in (bf.neighbor_allreduce, bf.neighbor_allreduce_nonblocking):
        with raises(TypeError, "src_weights"):
            function(x(), self_weight=1.0, neighbor_weights={})
        with raises(TypeError, "dst_weights"):
            function(x(), self_weight=1.0, src_weights={}, send_neighbors=[])
        with raises(TypeError, "nonsense"):
            function(x(), nonsense=1)
        with raises(TypeError):
            function(x(), 1.0)
    assert_usable()


def check_what_is_no_dense_tensor_is_refused() -> None:
    for wrong in ([1.0], 1.0, None):
        for function in (bf.neighbor_allreduce, bf.allreduce, bf.allgather, bf.neighbor_allgather):
            with raises(TypeError, "torch.Tensor"):
                function(wrong)
        with raises(TypeError, "torch.Tensor"):
            bf.broadcast(wrong, 0)
    for wrong in (torch.eye(3).to_sparse(), torch.ones(3, device="meta")):
        with raises(ValueError, "dense"):
            bf.allreduce(wrong)
    assert_usable()
