"""Names, arguments and defaults of BlueFog 0.3: what was called by position or by keyword still can be."""

from __future__ import annotations

import inspect
from inspect import Parameter

import pytest

WINDOW_WRITE = "tensor, name, self_weight=None, dst_weights=None, require_mutex=False"
WINDOW_READ = "name, src_weights=None, require_mutex=False"
WEIGHTS = "self_weight=None, src_weights=None, dst_weights=None, enable_topo_check=True, name=None"
MACHINE_WEIGHTS = (
    "self_weight=None, src_machine_weights=None, dst_machine_weights=None, enable_topo_check=False, name=None"
)
STEPS = "num_steps_per_communication=1"

#: As BlueFog 0.3 declares them.
SIGNATURES = {
    "init": "topology_fn=None, is_weighted=False",
    "set_topology": "topology=None, is_weighted=False",
    "set_machine_topology": "topology, is_weighted=False",
    "set_skip_negotiate_stage": "value",
    "timeline_start_activity": "tensor_name, activity_name",
    "timeline_end_activity": "tensor_name",
    "timeline_context": "tensor_name, activity_name",
    "allreduce": "tensor, average=True, is_hierarchical_local=False, name=None",
    "allgather": "tensor, name=None",
    "broadcast": "tensor, root_rank, name=None",
    "neighbor_allgather": "tensor, *, src_ranks=None, dst_ranks=None, enable_topo_check=True, name=None",
    "neighbor_allreduce": f"tensor, *, {WEIGHTS}",
    "hierarchical_neighbor_allreduce": f"tensor, *, {MACHINE_WEIGHTS}",
    "pair_gossip": "tensor, target_rank, self_weight=None, pair_weight=None, name=None",
    "poll": "handle",
    "synchronize": "handle",
    "wait": "handle",
    "win_create": "tensor, name, zero_init=False",
    "win_free": "name=None",
    "win_put": WINDOW_WRITE,
    "win_accumulate": WINDOW_WRITE,
    "win_get": WINDOW_READ,
    "win_update": (
        "name, self_weight=None, neighbor_weights=None, reset=False, clone=False, require_mutex=False"
    ),
    "win_update_then_collect": "name, require_mutex=True",
    "win_wait": "handle",
    "win_poll": "handle",
    "win_mutex": "name, for_self=False, ranks=None",
    "win_lock": "name",
    "win_associated_p": "name",
    "get_win_version": "name",
    "broadcast_parameters": "params, root_rank",
    "allreduce_parameters": "params",
    "broadcast_optimizer_state": "optimizer, root_rank",
    "InferSourceFromDestinationRanks": "dst_ranks, construct_adjacency_matrix=False",
    "InferDestinationFromSourceRanks": "src_ranks, construct_adjacency_matrix=False",
    "ExponentialTwoGraph": "size",
    "ExponentialGraph": "size, base=2",
    "SymmetricExponentialGraph": "size, base=4",
    "MeshGrid2DGraph": "size, shape=None",
    "StarGraph": "size, center_rank=0",
    "RingGraph": "size, connect_style=0",
    "FullyConnectedGraph": "size",
    "GetRecvWeights": "topo, rank",
    "GetSendWeights": "topo, rank",
    "IsTopologyEquivalent": "topo1, topo2",
    "IsRegularGraph": "topo",
    "GetDynamicOnePeerSendRecvRanks": "topo, self_rank",
    "GetExp2DynamicSendRecvMachineRanks": "world_size, local_size, self_rank, local_rank",
    "GetInnerOuterRingDynamicSendRecvRanks": "world_size, local_size, self_rank",
    "GetInnerOuterExpo2DynamicSendRecvRanks": "world_size, local_size, self_rank",
    **dict.fromkeys(
        """DistributedGradientAllreduceOptimizer DistributedAllreduceOptimizer
        DistributedNeighborAllreduceOptimizer DistributedHierarchicalNeighborAllreduceOptimizer
        DistributedPullGetOptimizer DistributedPushSumOptimizer""".split(),
        f"optimizer, model, {STEPS}",
    ),
    **dict.fromkeys(
        ("DistributedAdaptWithCombineOptimizer", "DistributedAdaptThenCombineOptimizer"),
        f"optimizer, model, communication_type=CommunicationType.neighbor_allreduce, {STEPS}",
    ),
    "DistributedWinPutOptimizer": f"optimizer, model, {STEPS}, window_prefix=None",
    **dict.fromkeys(
        """shutdown suspend resume size rank local_size local_rank machine_size machine_rank is_homogeneous
        load_topology load_machine_topology in_neighbor_ranks out_neighbor_ranks in_neighbor_machine_ranks
        out_neighbor_machine_ranks is_topo_weighted is_machine_topo_weighted mpi_threads_supported
        unified_mpi_window_model_supported nccl_built get_skip_negotiate_stage barrier
        get_current_created_window_names turn_on_win_ops_with_associated_p
        turn_off_win_ops_with_associated_p""".split(),
        "",
    ),
}
#: Names with the arguments of another: in place, without blocking, and under a second name.
SAME = {
    **{f"{name}_": name for name in ("allreduce", "broadcast")},
    **{f"{name}_nonblocking_": name for name in ("allreduce", "broadcast")},
    **{
        f"{name}_nonblocking": name
        for name in (
            "allreduce",
            "allgather",
            "broadcast",
            "neighbor_allgather",
            "neighbor_allreduce",
            "hierarchical_neighbor_allreduce",
            "pair_gossip",
            "win_put",
            "win_accumulate",
            "win_get",
        )
    },
    **{
        f"neighbor_win_{kind}{suffix}": f"win_{kind}"
        for kind in ("put", "accumulate", "get")
        for suffix in ("", "_nonblocking")
    },
}
ALL = {**SIGNATURES, **{name: SIGNATURES[other] for name, other in SAME.items()}}


def declared(signature: str) -> list[Parameter]:
    from bluefog.torch import CommunicationType

    names: dict[str, object] = {"CommunicationType": CommunicationType}
    exec(f"def function({signature}): pass", names)
    function = names["function"]
    assert callable(function)
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize("name", ALL)
def test_arguments_are_those_of_old(name):
    import bluefog.torch as bf

    assert name in bf.__all__
    old = declared(ALL[name])
    new = list(inspect.signature(getattr(bf, name)).parameters.values())

    def told(parameters: list[Parameter]) -> list[tuple[str, object, str]]:
        return [(p.name, p.default, p.kind.name) for p in parameters]

    assert told(new[: len(old)]) == told(old)
    further = [p for p in new[len(old) :] if p.kind is not Parameter.VAR_KEYWORD]
    assert all(p.default is not Parameter.empty for p in further), "a call of old lacks an argument"


def test_communication_types_are_those_of_old():
    from bluefog.torch import CommunicationType

    assert {member.name: member.value for member in CommunicationType} == {
        "neighbor_allreduce": "neighbor.allreduce",
        "hierarchical_neighbor_allreduce": "hierarchical.neighbor.allreduce",
        "allreduce": "allreduce",
        "empty": "empty",
    }


#: What the module of operations had, beside its own helpers.
OF_MPI_OPS = [
    name
    for name in ALL
    if name[0].islower()
    and name not in ("broadcast_parameters", "allreduce_parameters", "broadcast_optimizer_state")
]


def test_modules_that_scripts_import_from():
    import bluefog.torch as bf
    from bluefog.common import topology_util as graphs
    from bluefog.torch import mpi_ops, optimizers, topology_util, utility

    for module, names in (
        (mpi_ops, " ".join(OF_MPI_OPS)),
        (optimizers, "CommunicationType " + " ".join(name for name in ALL if name.endswith("Optimizer"))),
        (utility, "broadcast_parameters allreduce_parameters broadcast_optimizer_state"),
        (topology_util, "InferSourceFromDestinationRanks ExponentialGraph GetRecvWeights"),
        (graphs, "ExponentialGraph GetRecvWeights IsRegularGraph"),
    ):
        for name in names.split():
            assert getattr(module, name) is getattr(bf, name)
    assert topology_util.isPowerOf is graphs.isPowerOf


def test_an_argument_that_is_no_more_says_what_there_is_instead():
    from bluefog.torch.utility import deprecated_function_arg

    @deprecated_function_arg("weights", fix="use src_weights")
    def function(tensor, src_weights=None):
        return tensor, src_weights

    assert function(1, src_weights=2) == (1, 2)
    with pytest.raises(TypeError, match=r"function\(\) has no argument 'weights' any more: use src_weights"):
        function(1, weights=2)
