"""Joining and leaving the job, who is who, and the virtual topology, for ``bluefog.torch``."""

from __future__ import annotations

import functools
import os
from typing import Callable

import networkx as nx
import torch

from bluefog.common.basics import logger
from bluefog.torch._runtime import basics
from bluefog.torch.old_variables import warning_about

__all__ = [
    "in_neighbor_machine_ranks",
    "in_neighbor_ranks",
    "init",
    "is_homogeneous",
    "is_initialized",
    "is_machine_topo_weighted",
    "is_topo_weighted",
    "load_machine_topology",
    "load_topology",
    "local_rank",
    "local_size",
    "machine_rank",
    "machine_size",
    "mpi_threads_supported",
    "nccl_built",
    "out_neighbor_machine_ranks",
    "out_neighbor_ranks",
    "get_skip_negotiate_stage",
    "rank",
    "resume",
    "set_machine_topology",
    "set_skip_negotiate_stage",
    "set_topology",
    "shutdown",
    "size",
    "stats",
    "suspend",
    "unified_mpi_window_model_supported",
]


def init(topology_fn: Callable[[int], nx.DiGraph] | None = None, is_weighted: bool = False) -> None:
    """Joins the job that bfrun, torchrun, mpirun or srun started, else a job of one; sets the topology.

    Collective.

    Args:
        topology_fn: from the number of ranks to the topology; by default ``ExponentialGraph``.
        is_weighted: use the weights of the topology, else uniform averages.

    A repeated call only frees all windows and sets the topology anew; after ``shutdown()`` it joins again.

    Raises:
        OperationTimeoutError: not all ranks have joined within ``BLUEFOG_START_TIMEOUT``.
    """
    basics.init(topology_fn, is_weighted)
    _share_cpus()
    _warn_of_old_variables()


@functools.cache  # once in a process
def _warn_of_old_variables() -> None:
    """On rank 0: all ranks share one environment, and the same from each would say no more."""
    warning = warning_about(os.environ) if basics.rank() == 0 else None
    if warning is not None:
        logger.warning("%s", warning)


def _share_cpus() -> None:
    """Limits torch's threads, as bfrun does: ranks that each use all CPUs slow each other a hundredfold."""
    cpus = len(os.sched_getaffinity(0))
    fair = max(1, cpus // basics.local_size())
    if "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() <= fair:
        return
    logger.warning(
        "%d ranks share %d CPUs: torch now uses %d threads a rank, not %d (OMP_NUM_THREADS overrides it).",
        basics.local_size(),
        cpus,
        fair,
        torch.get_num_threads(),
    )
    torch.set_num_threads(fair)


shutdown = basics.shutdown
is_initialized = basics.is_initialized
suspend = basics.suspend
resume = basics.resume
stats = basics.stats
size = basics.size
rank = basics.rank
local_size = basics.local_size
local_rank = basics.local_rank
machine_size = basics.machine_size
machine_rank = basics.machine_rank
is_homogeneous = basics.is_homogeneous
set_topology = basics.set_topology
load_topology = basics.load_topology
is_topo_weighted = basics.is_topo_weighted
in_neighbor_ranks = basics.in_neighbor_ranks
out_neighbor_ranks = basics.out_neighbor_ranks
set_machine_topology = basics.set_machine_topology
load_machine_topology = basics.load_machine_topology
is_machine_topo_weighted = basics.is_machine_topo_weighted
in_neighbor_machine_ranks = basics.in_neighbor_machine_ranks
out_neighbor_machine_ranks = basics.out_neighbor_machine_ranks
mpi_threads_supported = basics.mpi_threads_supported
unified_mpi_window_model_supported = basics.unified_mpi_window_model_supported
nccl_built = basics.nccl_built
set_skip_negotiate_stage = basics.set_skip_negotiate_stage
get_skip_negotiate_stage = basics.get_skip_negotiate_stage
