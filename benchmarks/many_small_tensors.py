"""What many small tensors in flight cost, with fusion and without.

usage: bfrun -np 2 python benchmarks/many_small_tensors.py
       BLUEFOG_TRANSPORT=tcp bfrun -np 2 python benchmarks/many_small_tensors.py

Ways take turns in the same processes. Medians over turns, per tensor, of the slowest rank's time and of the
CPU time of all threads of a rank.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import bluefog.torch as bf
import torch


@dataclass
class Way:
    name: str
    threshold: str  # BLUEFOG_FUSION_THRESHOLD
    exchange: Callable[[list[torch.Tensor]], None]
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


def in_flight_together(tensors: list[torch.Tensor]) -> None:
    handles = [
        bf.neighbor_allreduce_nonblocking(tensor, name=str(index), out=tensor)
        for index, tensor in enumerate(tensors)
    ]
    for handle in handles:
        bf.wait(handle)


def one_by_one(tensors: list[torch.Tensor]) -> None:
    for index, tensor in enumerate(tensors):
        bf.neighbor_allreduce(tensor, name=str(index), out=tensor)


def take_turn(way: Way, tensors: list[torch.Tensor], times: int) -> None:
    """With an engine of its own, which reads the threshold when it starts."""
    os.environ["BLUEFOG_FUSION_THRESHOLD"] = way.threshold
    bf.init()
    way.exchange(tensors)
    bf.barrier()
    begin, cpu_begin = time.perf_counter(), time.process_time()
    for _ in range(times):
        way.exchange(tensors)
    own = torch.tensor([[time.perf_counter() - begin, time.process_time() - cpu_begin]], dtype=torch.float64)
    slowest, cpu = (bf.allgather(own) / (times * len(tensors))).max(dim=0).values.tolist()
    way.seconds.append(slowest)
    way.cpu_seconds.append(cpu)
    bf.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tensors", type=int, default=500)
    parser.add_argument("--elements", type=int, default=256, help="float32 elements of a tensor")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--times", type=int, default=10, help="exchanges of all tensors a turn")
    arguments = parser.parse_args()

    bf.init()
    rank, size = bf.rank(), bf.size()
    bf.shutdown()
    torch.set_num_threads(1)
    tensors = [torch.ones(arguments.elements) for _ in range(arguments.tensors)]
    ways = [
        Way("in flight together, fused", str(8 << 20), in_flight_together),
        Way("in flight together, no fusion", "0", in_flight_together),
        Way("one by one", "0", one_by_one),
    ]
    for _ in range(arguments.turns):
        for way in ways:
            take_turn(way, tensors, arguments.times)
    if rank != 0:
        return
    print(f"{size} ranks, {arguments.tensors} tensors of {arguments.elements} elements; per tensor:")
    for way in ways:
        wall, cpu = statistics.median(way.seconds), statistics.median(way.cpu_seconds)
        print(f"  {way.name:32s} {wall * 1e6:7.1f} us   CPU {cpu * 1e6:6.1f} us")


if __name__ == "__main__":
    main()
