"""The engine of BlueFog; see python/src. Tensors are given by address, DType code and shape."""

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__version__: str

class DType(enum.Enum):
    bool = 0
    uint8 = 1
    int8 = 2
    int16 = 3
    int32 = 4
    int64 = 5
    float16 = 6
    bfloat16 = 7
    float32 = 8
    float64 = 9

class Topology:
    def __init__(self, size: int, edges: Sequence[tuple[int, int, float]]) -> None: ...
    @property
    def size(self) -> int: ...
    def weight(self, *, receiver: int, sender: int) -> float: ...
    def self_weight(self, rank: int) -> float: ...
    def has_edge(self, *, sender: int, receiver: int) -> bool: ...
    def edges(self) -> list[tuple[int, int, float]]: ...
    def in_neighbors(self, rank: int) -> list[int]: ...
    def out_neighbors(self, rank: int) -> list[int]: ...
    def preserves_constants(self) -> bool: ...
    def preserves_mean(self) -> bool: ...
    def is_symmetric(self) -> bool: ...
    def is_regular(self) -> bool: ...
    def with_uniform_weights(self) -> Topology: ...
    def spectral_gap(self) -> float: ...
    def rounds_to_consensus(self, tolerance: float = 1e-10) -> int | None: ...

class Weighting(enum.Enum):
    metropolis_hastings = 0
    max_degree = 1
    best_constant = 2
    fmmc = 3
    fdla = 4

def weighted_graph(size: int, edges: Sequence[tuple[int, int]], weighting: Weighting) -> Topology: ...

class Schedule:
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def period(self) -> int: ...
    def round(self, t: int) -> Topology: ...
    def preserves_constants(self) -> bool: ...
    def preserves_mean(self) -> bool: ...

def exponential_two_graph(size: int) -> Topology: ...
def exponential_graph(size: int, base: int = 2) -> Topology: ...
def symmetric_exponential_graph(size: int, base: int = 4) -> Topology: ...
def mesh_grid_2d_graph(size: int, shape: tuple[int, int] | None = None) -> Topology: ...
def torus_graph(size: int, shape: tuple[int, int] | None = None) -> Topology: ...
def star_graph(size: int, center: int = 0) -> Topology: ...
def ring_graph(size: int, style: int = 0) -> Topology: ...
def fully_connected_graph(size: int) -> Topology: ...
def hypercube_graph(size: int) -> Topology: ...
def dynamic_one_peer_send_recv(topology: Topology, rank: int, t: int) -> tuple[list[int], list[int]]: ...
def one_peer_exponential_send_recv(size: int, rank: int, t: int) -> tuple[list[int], list[int]]: ...
def exp2_machine_send_recv(
    world_size: int, local_size: int, rank: int, local_rank: int, t: int
) -> tuple[list[int], list[int]]: ...
def inner_outer_ring_send_recv(
    world_size: int, local_size: int, rank: int, t: int
) -> tuple[list[int], list[int]]: ...
def inner_outer_expo2_send_recv(
    world_size: int, local_size: int, rank: int, t: int
) -> tuple[list[int], list[int]]: ...
def static_schedule(topology: Topology) -> Schedule: ...
def one_peer_exponential(size: int) -> Schedule: ...
def one_peer_hypercube(size: int) -> Schedule: ...
def one_peer_dynamic(topology: Topology) -> Schedule: ...
def inner_outer_ring(world_size: int, local_size: int) -> Schedule: ...
def inner_outer_expo2(world_size: int, local_size: int) -> Schedule: ...
def hyper_hypercube(size: int, max_degree: int) -> Schedule: ...
def base_k_plus_one(size: int, max_degree: int) -> Schedule: ...
def one_peer_random_matching(size: int, seed: int) -> Schedule: ...
def one_peer_random_shift(size: int, seed: int, weight: float = 0.5) -> Schedule: ...
def hierarchical(machines: Schedule, local_size: int) -> Schedule: ...
def schedule_product(schedule: Schedule, rounds: int, first: int = 0) -> list[float]: ...
def contraction(schedule: Schedule, rounds: int) -> float: ...
def rounds_to_consensus(schedule: Schedule, tolerance: float = 1e-10) -> int | None: ...

class CecaRound:
    @property
    def sends_x(self) -> bool: ...
    @property
    def x_weight(self) -> float: ...
    @property
    def h_weight(self) -> float: ...

class CecaSchedule:
    @property
    def size(self) -> int: ...
    @property
    def period(self) -> int: ...
    def round(self, t: int) -> CecaRound: ...
    @property
    def deliveries(self) -> Schedule: ...
    def product(self, rounds: int) -> list[float]: ...

def ceca_two_port(size: int) -> CecaSchedule: ...
def ceca_one_port(size: int) -> CecaSchedule: ...

class SharedMemory:
    @property
    def address(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def dlpack(self, offset: int, nbytes: int) -> object: ...

class GatheredTensor:
    @property
    def dtype(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    def dlpack(self) -> object: ...

class Handle:
    def done(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...
    def cancel(self) -> None: ...
    def gathered(self) -> GatheredTensor: ...

class DecentralizedAlgorithm:
    """A synchronous algorithm over flat buckets, which must live as long as it does."""

    def begin_step(self, step_size: float) -> None: ...
    def end_step(self) -> None: ...
    def state(self) -> list[tuple[int, int, int]]: ...
    @property
    def round(self) -> int: ...
    @property
    def steps_in_round(self) -> int: ...
    def resume(self, round: int, steps_in_round: int) -> None: ...
    def restart(self, round: int) -> None: ...

class AsynchronousMixing:
    def begin_exchange(
        self,
        *,
        self_weight: float | None = None,
        src_weights: Mapping[int, float] | None = None,
        dst_weights: object | None = None,
    ) -> None: ...
    def exchanged(self) -> bool: ...
    def end_exchange(self) -> None: ...
    def begin_step(self) -> None: ...
    def end_step(self) -> None: ...
    def close(self) -> None: ...

class WindowLock:
    def release(self) -> None: ...

class Window:
    @property
    def name(self) -> str: ...
    @property
    def tensor(self) -> Any: ...
    @property
    def address(self) -> int: ...
    @property
    def sources(self) -> list[int]: ...
    @property
    def destinations(self) -> list[int]: ...
    def put(
        self,
        input: int,
        dtype: int,
        shape: Sequence[int],
        *,
        self_weight: float | None = None,
        dst_weights: Mapping[int, float] | Iterable[int] | None = None,
        require_mutex: bool = False,
        keep: object = None,
    ) -> None: ...
    def put_async(
        self,
        input: int,
        dtype: int,
        shape: Sequence[int],
        *,
        self_weight: float | None = None,
        dst_weights: Mapping[int, float] | Iterable[int] | None = None,
        require_mutex: bool = False,
        keep: object = None,
    ) -> Handle: ...
    def accumulate(
        self,
        input: int,
        dtype: int,
        shape: Sequence[int],
        *,
        self_weight: float | None = None,
        dst_weights: Mapping[int, float] | Iterable[int] | None = None,
        require_mutex: bool = False,
        keep: object = None,
    ) -> None: ...
    def accumulate_async(
        self,
        input: int,
        dtype: int,
        shape: Sequence[int],
        *,
        self_weight: float | None = None,
        dst_weights: Mapping[int, float] | Iterable[int] | None = None,
        require_mutex: bool = False,
        keep: object = None,
    ) -> Handle: ...
    def get(
        self,
        *,
        src_weights: Mapping[int, float] | Iterable[int] | None = None,
        require_mutex: bool = False,
        keep: object = None,
    ) -> None: ...
    def get_async(
        self,
        *,
        src_weights: Mapping[int, float] | Iterable[int] | None = None,
        require_mutex: bool = False,
        keep: object = None,
    ) -> Handle: ...
    def update(
        self,
        *,
        self_weight: float | None = None,
        src_weights: Mapping[int, float] | None = None,
        reset: bool = False,
        output: int = 0,
        require_mutex: bool = False,
    ) -> None: ...
    def update_then_collect(self, *, require_mutex: bool = True) -> None: ...
    def versions(self) -> dict[int, int]: ...
    def associated_p(self) -> float: ...
    def lock(self, ranks: Iterable[int] | None = None, *, own: bool = False) -> WindowLock: ...
    def edit(self) -> WindowLock: ...

class Context:
    def __init__(self) -> None: ...
    @staticmethod
    def in_process(size: int) -> list[Context]: ...
    def rank(self) -> int: ...
    def size(self) -> int: ...
    def local_rank(self) -> int: ...
    def local_size(self) -> int: ...
    def machine_rank(self) -> int: ...
    def machine_size(self) -> int: ...
    def host_count(self) -> int: ...
    def config(self) -> dict[str, str]: ...
    @property
    def bucket_size(self) -> int: ...
    def stats(self) -> dict[str, Any]: ...
    def shutdown(self) -> None: ...
    def timeline_start_activity(self, name: str, activity: str) -> bool: ...
    def timeline_end_activity(self, name: str) -> bool: ...
    def is_shut_down(self) -> bool: ...
    def set_topology(self, topology: Topology, weighted: bool = False) -> None: ...
    def topology(self) -> Topology: ...
    def is_topology_weighted(self) -> bool: ...
    def set_machine_topology(self, topology: Topology, weighted: bool = False) -> None: ...
    def machine_topology(self) -> Topology | None: ...
    def is_machine_topology_weighted(self) -> bool: ...
    def allocate_shared(self, nbytes: int) -> SharedMemory: ...
    def memory_is_shared(self, address: int) -> bool: ...
    def asynchronous_mixing(
        self,
        kind: str,
        addresses: Sequence[int],
        dtypes: Sequence[int],
        counts: Sequence[int],
        name: str,
        *,
        seed: int = 1,
    ) -> AsynchronousMixing: ...
    def decentralized_algorithm(
        self,
        kind: str,
        parameters: Sequence[int],
        gradients: Sequence[int],
        dtypes: Sequence[int],
        counts: Sequence[int],
        name: str,
        *,
        schedule: Schedule | None = None,
        steps_per_round: int = 1,
        settings: dict[str, Any] = ...,
    ) -> DecentralizedAlgorithm: ...
    def create_window(
        self,
        name: str,
        tensor: int,
        dtype: int,
        shape: Sequence[int],
        *,
        zero_init: bool = False,
        group: Iterable[int] | None = None,
        src_ranks: Iterable[int] | None = None,
        dst_ranks: Iterable[int] | None = None,
        keep: object = None,
        refusal: str = "",
    ) -> Window: ...
    def window(self, name: str) -> Window | None: ...
    def window_names(self) -> list[str]: ...
    def free_window(self, name: str) -> None: ...
    def use_associated_p(self, on: bool) -> None: ...
    def uses_associated_p(self) -> bool: ...
    def neighbor_allreduce(
        self,
        input: int,
        output: int,
        dtype: int,
        shape: Sequence[int],
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        self_weight: float | None = None,
        src_weights: Mapping[int, float] | None = None,
        dst_weights: Mapping[int, float] | Iterable[int] | None = None,
        schedule: Schedule | None = None,
        round: int = 0,
        difference: bool = False,
        meet: bool = False,
        check_topology: bool = True,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> None: ...
    def neighbor_allreduce_async(
        self,
        input: int,
        output: int,
        dtype: int,
        shape: Sequence[int],
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        self_weight: float | None = None,
        src_weights: Mapping[int, float] | None = None,
        dst_weights: Mapping[int, float] | Iterable[int] | None = None,
        schedule: Schedule | None = None,
        round: int = 0,
        difference: bool = False,
        meet: bool = False,
        check_topology: bool = True,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> Handle: ...
    def hierarchical_neighbor_allreduce(
        self,
        input: int,
        output: int,
        dtype: int,
        shape: Sequence[int],
        *,
        name: str = "",
        self_weight: float | None = None,
        src_machine_weights: Mapping[int, float] | None = None,
        dst_machine_weights: Mapping[int, float] | Iterable[int] | None = None,
        schedule: Schedule | None = None,
        round: int = 0,
        difference: bool = False,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> None: ...
    def hierarchical_neighbor_allreduce_async(
        self,
        input: int,
        output: int,
        dtype: int,
        shape: Sequence[int],
        *,
        name: str = "",
        self_weight: float | None = None,
        src_machine_weights: Mapping[int, float] | None = None,
        dst_machine_weights: Mapping[int, float] | Iterable[int] | None = None,
        schedule: Schedule | None = None,
        round: int = 0,
        difference: bool = False,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> Handle: ...
    def neighbor_allgather(
        self,
        input: int,
        dtype: int,
        shape: Sequence[int],
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        src_ranks: Iterable[int] | None = None,
        dst_ranks: Iterable[int] | None = None,
        check_topology: bool = True,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> GatheredTensor: ...
    def neighbor_allgather_async(
        self,
        input: int,
        dtype: int,
        shape: Sequence[int],
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        src_ranks: Iterable[int] | None = None,
        dst_ranks: Iterable[int] | None = None,
        check_topology: bool = True,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> Handle: ...
    def allreduce(
        self,
        input: int,
        output: int,
        dtype: int,
        shape: Sequence[int],
        *,
        mean: bool = True,
        name: str = "",
        group: Iterable[int] | None = None,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> None: ...
    def allreduce_async(
        self,
        input: int,
        output: int,
        dtype: int,
        shape: Sequence[int],
        *,
        mean: bool = True,
        name: str = "",
        group: Iterable[int] | None = None,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> Handle: ...
    def allgather(
        self,
        input: int,
        dtype: int,
        shape: Sequence[int],
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> GatheredTensor: ...
    def allgather_async(
        self,
        input: int,
        dtype: int,
        shape: Sequence[int],
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> Handle: ...
    def broadcast(
        self,
        tensor: int,
        dtype: int,
        shape: Sequence[int],
        root: int,
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> None: ...
    def broadcast_async(
        self,
        tensor: int,
        dtype: int,
        shape: Sequence[int],
        root: int,
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        keep: object = None,
        refusal: str = "",
        ready: int = 0,
    ) -> Handle: ...
    def barrier(
        self,
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        keep: object = None,
        refusal: str = "",
    ) -> None: ...
    def barrier_async(
        self,
        *,
        name: str = "",
        group: Iterable[int] | None = None,
        keep: object = None,
        refusal: str = "",
    ) -> Handle: ...
