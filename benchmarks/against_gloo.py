"""neighbor_allreduce beside gloo's all_reduce, in the same processes and the same run, interleaved.

usage: bfrun -np 4 python benchmarks/against_gloo.py --topology exp2 --bytes 16777216

Every repetition rewrites the tensors (as an optimizer step would), meets, and times each way once: from the
first rank's begin to the last rank's end. Medians, as multiples of a local average of two private tensors
(one fused pass of torch, the same number of bytes) that is timed in the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

import bluefog.torch as bf
import torch
import torch.distributed as dist

Way = tuple[str, Callable[[], object], Callable[[], object]]


def make_ways(count: int, schedule: bf.Schedule) -> list[Way]:
    rank = float(bf.rank() + 1)
    private, private_out, other = (torch.zeros(count) for _ in range(3))
    other.fill_(3.0)
    shared = bf.empty_shared(count, dtype=torch.float32)
    shared_out = bf.empty_shared(count, dtype=torch.float32)

    def mix(source: torch.Tensor, out: torch.Tensor, meet: bool) -> Callable[[], object]:
        return lambda: bf.neighbor_allreduce(source, schedule=schedule, meet=meet, out=out)

    def refresh(tensor: torch.Tensor) -> Callable[[], object]:
        return lambda: tensor.fill_(rank)

    return [
        ("local average", refresh(private), lambda: torch.lerp(private, other, 0.5, out=private_out)),
        ("slices", refresh(shared), mix(shared, shared, True)),
        ("slices, out of place", refresh(shared), mix(shared, shared_out, True)),
        ("zero copy", refresh(shared), mix(shared, shared_out, False)),
        ("ring", refresh(private), mix(private, private_out, False)),
        ("gloo all_reduce", refresh(private), lambda: dist.all_reduce(private)),
    ]


def measure(ways: list[Way], repetitions: int, warm_up: int = 2) -> dict[str, list[float]]:
    begins = torch.zeros(len(ways), repetitions, dtype=torch.int64)
    ends = torch.zeros_like(begins)
    for repetition in range(-warm_up, repetitions):
        for index, (_, refresh, run) in enumerate(ways):
            refresh()
            bf.barrier()
            begin = time.monotonic_ns()
            run()
            end = time.monotonic_ns()
            bf.barrier()
            if repetition >= 0:
                begins[index, repetition], ends[index, repetition] = begin, end
    began = bf.allgather(begins.unsqueeze(0)).min(dim=0).values
    finished = bf.allgather(ends.unsqueeze(0)).max(dim=0).values
    times = (finished - began).double() / 1000
    return {name: times[index].tolist() for index, (name, _, _) in enumerate(ways)}


def measure_calls(calls: int, count: int) -> list[float]:
    """Microseconds of each of many small blocking calls."""
    tensor = torch.ones(count)
    schedule = bf.one_peer_exponential(bf.size())
    times = []
    for call in range(calls + 100):
        begin = time.perf_counter_ns()
        bf.neighbor_allreduce(tensor, schedule=schedule, round=call)
        times.append((time.perf_counter_ns() - begin) / 1000)
    return times[100:]


def quantile(values: list[float], fraction: float) -> float:
    return sorted(values)[int(fraction * (len(values) - 1))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bytes", type=int, default=16 << 20, help="bytes of float32 per rank")
    parser.add_argument("--repetitions", type=int, default=31)
    parser.add_argument("--topology", choices=["exp2", "one-peer"], default="exp2")
    parser.add_argument("--latency", action="store_true", help="time 10,000 blocking calls of 4 KiB instead")
    arguments = parser.parse_args()

    bf.init()
    torch.set_num_threads(1)
    if arguments.latency:
        times = measure_calls(10_000, 1024)
        if bf.rank() == 0:
            line = {"python_call_bytes": 4096, "ranks": bf.size()}
            print(json.dumps({**line, "p50_us": quantile(times, 0.5), "p99_us": quantile(times, 0.99)}))
        return

    dist.init_process_group(
        "gloo",
        rank=bf.rank(),
        world_size=bf.size(),
        init_method=f"tcp://127.0.0.1:{os.environ['MASTER_PORT']}",
    )
    schedules = {
        "exp2": lambda: bf.static_schedule(bf.ExponentialTwoGraph(bf.size())),
        "one-peer": lambda: bf.one_peer_exponential(bf.size()),
    }
    times = measure(make_ways(arguments.bytes // 4, schedules[arguments.topology]()), arguments.repetitions)
    if bf.rank() == 0:
        limit = quantile(times["local average"], 0.5)
        print(f"{bf.size()} ranks, {arguments.bytes / 1e6:.0f} MB, {arguments.topology}:")
        for name, values in times.items():
            median = quantile(values, 0.5)
            print(f"  {name:22s} median {median:10.0f} us   {median / limit:5.2f} x local average")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
