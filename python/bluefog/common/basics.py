"""Joining and leaving the job, who is who, and the virtual topology. Needs no deep-learning framework."""

from __future__ import annotations

import atexit
import logging
import threading
from typing import Any, Callable

import networkx as nx

from bluefog import _core
from bluefog.common import topology_util
from bluefog.common.conversion import topology_from
from bluefog.common.errors import InvalidArgumentError, NotInitializedError, SuspendedError

__all__ = ["BlueFogBasics", "logger"]

logger = logging.getLogger("bluefog")


class BlueFogBasics:
    """One default membership of the job, as ``import bluefog.torch as bf`` promises it."""

    def __init__(self) -> None:
        self._context: _core.Context | None = None
        self._topology: nx.DiGraph | None = None
        self._machine_topology: nx.DiGraph | None = None
        self._skip_negotiate_stage = False
        self._suspended = False
        self._lock = threading.Lock()
        self._registered_at_exit = False
        self.times_joined = 0

    def init(self, topology_fn: Callable[[int], nx.DiGraph] | None = None, is_weighted: bool = False) -> None:
        """Joins the job that bfrun, torchrun, mpirun or srun started, else a job of one; sets the topology.

        Collective.

        Args:
            topology_fn: from the number of ranks to the topology; by default ``ExponentialGraph``.
            is_weighted: use the weights of the topology, else uniform averages.

        A repeated call only frees all windows and sets the topology anew; after ``shutdown()`` it joins
        again.

        Raises:
            OperationTimeoutError: not all ranks have joined within ``BLUEFOG_START_TIMEOUT``.
        """
        with self._lock:
            if self._context is None or self._context.is_shut_down():
                self._context = _core.Context()
                self.times_joined += 1
                self._machine_topology = None
                self._suspended = False
                if not self._registered_at_exit:
                    atexit.register(self.shutdown)
                    self._registered_at_exit = True
        for name in self._context.window_names():
            self._context.free_window(name)
        self.set_topology(topology_fn(self.size()) if topology_fn else None, is_weighted)

    def shutdown(self) -> None:
        """Leaves the job. Operations in flight get up to 10 seconds, then fail; tensors stay valid.

        Afterwards ``rank()`` and its like still answer, operations raise ShutdownError, and ``init()`` joins
        again; windows are forgotten. In a process that the rank has forked (a worker of a data loader) it
        does nothing.
        """
        if self._context is not None and not self._context.is_shut_down():
            self._context.shutdown()

    def stats(self) -> dict[str, Any]:
        """What this rank has done since ``init()``, and on whom it waited.

        Returns:
            A dict:

            * ``"peers"``: for each rank with which this one has had an operation, ``"path"`` (how it is
              reached: ``"shared memory"``, ``"tcp 10.0.0.1 to 10.0.0.2"`` with the own address first, or
              ``""`` while no connection is open), ``"operations"`` (how many have ended),
              ``"bytes_received"`` and ``"bytes_sent"`` (of tensors: read from and written to the peer's
              memory, or received from and sent to it), and ``"wait_seconds"``: time in which an operation of
              this rank could not go on, and that peer was among those that it lacked. Operations that wait
              at the same time add up.
            * ``"operations"``: for each kind (``"neighbor_allreduce"``, ...), ``"count"``, ``"failed"``,
              ``"bytes"`` (of this rank's input tensors) and ``"seconds"`` (from start to end).
            * ``"in_flight"``: operations that have not ended.
            * ``"memory"``: bytes of this rank's shared-memory arena: ``"reserved"`` (of address space),
              ``"populated"`` (backed by memory) and ``"allocated"`` (in use by tensors and by the rank).

            Ranks that mix shared memory by slices read their slice of every member's tensor, and write that
            slice of every member's result; so these bytes differ from those that messages would carry.

        It costs microseconds: call it for a progress line, not for every step. The counts go on after
        ``shutdown()`` has been called, and begin anew with the next ``init()``.
        """
        return self.context().stats()

    def is_initialized(self) -> bool:
        """True between ``init()`` and ``shutdown()``; False in processes that the rank forks."""
        return self._context is not None and not self._context.is_shut_down()

    def context(self) -> _core.Context:
        """The engine of this rank. Raises NotInitializedError (a ValueError) before ``init()``."""
        context = self._context
        if context is None:
            raise NotInitializedError("BlueFog has not been initialized; call bf.init() first")
        return context

    def context_to_operate(self) -> _core.Context:
        """As :meth:`context`, to start an operation with. Raises SuspendedError (a ValueError), too."""
        if self._suspended:
            raise SuspendedError(
                f"rank {self.rank()} is suspended and starts no operation; call bf.resume() first"
            )
        return self.context()

    def suspend(self) -> None:
        """From now on, until ``resume()``, operations that are started on this rank raise SuspendedError.

        For notebooks: a cell that is run by mistake cannot make other ranks wait. Local, and free: the rank
        stays a living member of the job. What is in flight completes and can be waited for, neighbours still
        write to and read from its windows, and ``init()``, ``shutdown()``, ``set_topology()`` and questions
        work. Optimizers complete a round that is under way, but begin none.

        A repeated call changes nothing; one ``resume()`` undoes all. A new membership, after ``shutdown()``
        and ``init()``, is not suspended.

        Raises:
            ValueError: before ``init()``.
        """
        self.context()
        self._suspended = True

    def resume(self) -> None:
        """Ends what :meth:`suspend` began, if it did.

        Raises:
            ValueError: before ``init()``.
        """
        self.context()
        self._suspended = False

    def size(self) -> int:
        """Number of ranks in the job."""
        return self.context().size()

    def rank(self) -> int:
        """Number of this rank, 0 to size - 1."""
        return self.context().rank()

    def local_size(self) -> int:
        """Number of ranks on this machine, or on a pretended one (``BLUEFOG_NODES_PER_MACHINE``)."""
        return self.context().local_size()

    def local_rank(self) -> int:
        """Number of this rank among those of its machine."""
        return self.context().local_rank()

    def machine_size(self) -> int:
        """Number of machines, also where they hold different numbers of ranks."""
        return self.context().machine_size()

    def machine_rank(self) -> int:
        """Number of this rank's machine: machines are numbered in the order of their ranks."""
        return self.context().machine_rank()

    def is_homogeneous(self) -> bool:
        """True if every machine holds the same number of ranks, numbered side by side."""
        context = self.context()
        return context.machine_size() * context.local_size() == context.size()

    def set_topology(self, topology: nx.DiGraph | None = None, is_weighted: bool = False) -> bool:
        """Sets the virtual topology that operations without weights follow. Collective.

        Args:
            topology: a DiGraph with the nodes 0 to size - 1, the same on every rank; the weight of ``i -> j``
                is what j applies to what i sends. By default ``ExponentialGraph(size)``.
            is_weighted: use these weights, else the uniform average over in-neighbours and self.

        Returns:
            True; False, with an error in the log, while a window is open on this rank: the former topology
            stays.

        Raises:
            TypeError: it is not a networkx.DiGraph, or has the wrong number of nodes.
            MismatchError: ranks gave different graphs; the former topology stays.
        """
        context = self.context()
        if topology is None:
            topology = topology_util.ExponentialGraph(context.size())
        converted = topology_from(topology)
        try:
            context.set_topology(converted, is_weighted)
        except InvalidArgumentError as error:
            if converted.size != context.size():
                raise TypeError(str(error)) from error
            if context.window_names():
                logger.error("%s", error)
                return False
            raise
        self._topology = topology
        return True

    def load_topology(self) -> nx.DiGraph:
        """The virtual topology."""
        self.context()
        return self._topology

    def is_topo_weighted(self) -> bool:
        """True if the weights of the topology are used."""
        return self.context().is_topology_weighted()

    def in_neighbor_ranks(self) -> list[int]:
        """Ranks that this one receives from in the topology, ascending, without itself."""
        return self.context().topology().in_neighbors(self.rank())

    def out_neighbor_ranks(self) -> list[int]:
        """Ranks that this one sends to in the topology, ascending, without itself."""
        return self.context().topology().out_neighbors(self.rank())

    def set_machine_topology(self, topology: nx.DiGraph | None, is_weighted: bool = False) -> bool:
        """Sets the virtual topology of the machines, for ``hierarchical_neighbor_allreduce``.

        Local: give the same graph on every rank. If they differ, the operations that use it raise.

        Args:
            topology: a DiGraph with the nodes 0 to machine_size - 1.
            is_weighted: use its weights, as in ``set_topology()``.

        Returns:
            True.

        Raises:
            ValueError: ``topology`` is None.
            TypeError: it is not a networkx.DiGraph, or has the wrong number of nodes.
        """
        if topology is None:
            raise ValueError("set_machine_topology needs a topology")
        converted = topology_from(topology)
        if converted.size != self.machine_size():
            raise TypeError(
                f"the topology has {converted.size} nodes, but there are {self.machine_size()} machines"
            )
        self.context().set_machine_topology(converted, is_weighted)
        self._machine_topology = topology
        return True

    def load_machine_topology(self) -> nx.DiGraph | None:
        """The virtual topology of the machines; None until it is set."""
        self.context()
        return self._machine_topology

    def is_machine_topo_weighted(self) -> bool:
        """True if the weights of the machine topology are used."""
        return self.context().is_machine_topology_weighted()

    def in_neighbor_machine_ranks(self) -> list[int]:
        """Machines that this one receives from in the machine topology, ascending; empty until it is set."""
        machine = self.machine_rank()
        if self._machine_topology is None:
            return []
        return sorted(set(self._machine_topology.predecessors(machine)) - {machine})

    def out_neighbor_machine_ranks(self) -> list[int]:
        """Machines that this one sends to in the machine topology, ascending; empty until it is set."""
        machine = self.machine_rank()
        if self._machine_topology is None:
            return []
        return sorted(set(self._machine_topology.successors(machine)) - {machine})

    def mpi_threads_supported(self) -> bool:
        """True: operations may be called from any thread. (There is no MPI; the name is BlueFog 0.3's.)"""
        self.context()
        return True

    def unified_mpi_window_model_supported(self) -> bool:
        """True: memory is one on the CPU, so windows have the unified model. (The name is BlueFog 0.3's.)"""
        self.context()
        return True

    def nccl_built(self) -> bool:
        """False: BlueFog does not use NCCL."""
        return False

    def set_skip_negotiate_stage(self, value: bool) -> None:
        """Kept for BlueFog 0.3 scripts, without effect: there is no negotiation that could be skipped."""
        self.context()
        self._skip_negotiate_stage = bool(value)

    def get_skip_negotiate_stage(self) -> bool:
        """What ``set_skip_negotiate_stage`` was last given."""
        self.context()
        return self._skip_negotiate_stage
