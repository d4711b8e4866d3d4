"""What can be imported without torch, what can be called before init, and what the names are."""

from __future__ import annotations

import re
import subprocess

import pytest
from ranks import PACKAGE, run_python

BLOCK_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "torch" or name.startswith("torch."):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Blocker())
"""

NAMES = """
init shutdown size local_size rank local_rank machine_size machine_rank load_topology set_topology
load_machine_topology set_machine_topology in_neighbor_ranks out_neighbor_ranks in_neighbor_machine_ranks
out_neighbor_machine_ranks mpi_threads_supported unified_mpi_window_model_supported nccl_built is_homogeneous
allreduce allreduce_nonblocking allreduce_ allreduce_nonblocking_ allgather allgather_nonblocking broadcast
broadcast_nonblocking broadcast_ broadcast_nonblocking_ neighbor_allgather neighbor_allgather_nonblocking
neighbor_allreduce neighbor_allreduce_nonblocking hierarchical_neighbor_allreduce
hierarchical_neighbor_allreduce_nonblocking poll synchronize wait barrier
set_skip_negotiate_stage get_skip_negotiate_stage broadcast_optimizer_state broadcast_parameters
allreduce_parameters GetRecvWeights GetSendWeights IsRegularGraph IsTopologyEquivalent ExponentialTwoGraph
ExponentialGraph FullyConnectedGraph MeshGrid2DGraph RingGraph StarGraph SymmetricExponentialGraph
GetDynamicOnePeerSendRecvRanks GetExp2DynamicSendRecvMachineRanks GetInnerOuterRingDynamicSendRecvRanks
win_create win_free win_update win_update_then_collect neighbor_win_put neighbor_win_put_nonblocking
neighbor_win_get neighbor_win_get_nonblocking neighbor_win_accumulate neighbor_win_accumulate_nonblocking
win_put win_put_nonblocking win_get win_get_nonblocking win_accumulate win_accumulate_nonblocking win_wait
win_poll win_mutex get_win_version get_current_created_window_names win_associated_p
turn_on_win_ops_with_associated_p turn_off_win_ops_with_associated_p
GetInnerOuterExpo2DynamicSendRecvRanks InferSourceFromDestinationRanks InferDestinationFromSourceRanks
""".split()


def outcome(source: str, **variables: str) -> str:
    done = run_python(source, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_all_but_the_front_end_works_without_torch():
    source = """
import bluefog
from bluefog.common import basics, errors, schedules, topology_util, util
edges = topology_util.ExponentialGraph(4).number_of_edges()
print(bluefog.__version__, edges, schedules.one_peer_exponential(4).period)
"""
    version, edges, period = outcome(BLOCK_TORCH + source).split()
    assert (edges, period) == ("12", "2")
    assert version == (PACKAGE.parent / "VERSION").read_text().strip()


def test_the_front_end_says_that_torch_is_missing():
    done = run_python(BLOCK_TORCH + "import bluefog.torch")
    assert done.returncode != 0
    assert "ImportError: bluefog.torch needs PyTorch 2.1 or newer, which is not installed" in done.stderr


def test_the_front_end_says_that_torch_is_too_old():
    done = run_python("import torch; torch.__version__ = '1.13.1'; import bluefog.torch")
    assert done.returncode != 0
    assert "ImportError: bluefog.torch needs PyTorch 2.1 or newer; 1.13.1 is installed" in done.stderr


def test_the_extension_does_not_link_torch():
    import bluefog._core

    linked = subprocess.run(
        ["ldd", bluefog._core.__file__], capture_output=True, text=True, check=True
    ).stdout
    libraries = [line.split()[0] for line in linked.splitlines()]
    assert any(library.startswith("libc.so") for library in libraries)
    assert [library for library in libraries if re.match(r"lib(torch|c10)", library)] == []


def test_every_name_of_old_is_there():
    pytest.importorskip("torch")
    import bluefog.torch as bf

    assert [name for name in NAMES if name not in bf.__all__ or not hasattr(bf, name)] == []
    from bluefog.torch import mpi_ops

    assert mpi_ops.neighbor_allreduce is bf.neighbor_allreduce and mpi_ops.win_put is bf.win_put
    assert callable(mpi_ops.is_topo_weighted)


def test_before_init_everything_says_so():
    source = """
import torch, bluefog.torch as bf
x = torch.ones(2)
calls = [
    bf.size, bf.rank, bf.local_rank, bf.local_size, bf.machine_size, bf.machine_rank, bf.load_topology,
    bf.set_topology, bf.in_neighbor_ranks, bf.barrier, lambda: bf.allreduce(x), lambda: bf.allgather(x),
    lambda: bf.neighbor_allreduce(x), lambda: bf.neighbor_allreduce_nonblocking(x),
    lambda: bf.broadcast(x, 0), lambda: bf.neighbor_allgather(x), lambda: bf.empty_shared(3),
    lambda: bf.win_create(x, "w"), lambda: bf.win_put(x, "w"), lambda: bf.win_update("w"), bf.win_free,
    bf.get_current_created_window_names, bf.turn_on_win_ops_with_associated_p, bf.suspend, bf.resume,
    lambda: bf.pair_gossip(x, 0), lambda: bf.pair_gossip_nonblocking(x, 0),
    lambda: bf.consensus_distance([x]), lambda: bf.mean_model(torch.nn.Linear(1, 1)).__enter__(),
    lambda: bf.broadcast_parameters([x], 0),
    lambda: bf.broadcast_optimizer_state(torch.optim.SGD([x], lr=1.0), 0),
]
for call in calls:
    try:
        call()
    except ValueError as error:
        assert "bf.init()" in str(error), error
    else:
        raise SystemExit("no error")
bf.shutdown()
bf.init()
print(bf.size(), bf.allreduce(x).tolist())
"""
    assert outcome(source) == "1 [1.0, 1.0]"


def test_a_program_that_forgets_shutdown_ends_well():
    source = """
import torch, bluefog.torch as bf
bf.init()
kept = bf.empty_shared(100) + 1
shared = bf.empty_shared(100)
handle = bf.allreduce_nonblocking(shared)
print("end")
"""
    done = run_python(source)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def test_pretended_machines_group_the_ranks():
    source = """
import bluefog.torch as bf
bf.init()
print(bf.local_size(), bf.local_rank(), bf.machine_size(), bf.machine_rank(), bf.is_homogeneous())
"""
    assert outcome(source, BLUEFOG_NODES_PER_MACHINE="1") == "1 0 1 0 True"


def test_what_is_built_can_be_asked():
    source = """
from bluefog.common import util
print(util.extension_available("torch"), util.extension_available("tensorflow", verbose=True))
print(util.mpi_built(), util.mpi_built(verbose=True))
util.check_extension("bluefog.common", "path/of/a/module.py", "name")
try:
    util.check_extension("bluefog.torch", __name__, "mpi_lib")
except ImportError as error:
    print(error)
"""
    here, there = outcome(source).splitlines(), outcome(BLOCK_TORCH + source).splitlines()
    assert here[:2] == ["bluefog.tensorflow: No module named 'bluefog.tensorflow'", "True False"]
    assert here[2:] == ["BlueFog is built without MPI.", "False False"]
    assert there[1] == "False False"
    assert there[4].startswith("bluefog.torch needs PyTorch 2.1 or newer, which is not installed")


def test_the_environment_is_set_for_a_while():
    import os

    from bluefog.common.util import env, is_running_from_ipython, mpi_built

    before = dict(os.environ)
    with env(BLUEFOG_TEST_A="1", PATH="/nowhere", BLUEFOG_TEST_B=None):
        assert os.environ["BLUEFOG_TEST_A"] == "1" and os.environ["PATH"] == "/nowhere"
        assert "BLUEFOG_TEST_B" not in os.environ
    assert dict(os.environ) == before
    assert not mpi_built() and not is_running_from_ipython()
