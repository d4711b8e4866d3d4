"""Two ranks exchange and average a tensor, by BlueFog and by gloo, interleaved. Started by exchange.py."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

import bluefog.torch as bf
import torch
import torch.distributed as dist


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--repetitions", type=int, required=True)
    parser.add_argument("--only", choices=["bluefog"], help="leave gloo out")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    bf.init()
    peer = 1 - bf.rank()
    x, out, received = (torch.full((arguments.bytes // 4,), float(bf.rank())) for _ in range(3))
    schedule = bf.one_peer_exponential(2)

    def send_and_receive() -> None:
        requests = [dist.isend(x, peer), dist.irecv(received, peer)]
        for request in requests:
            request.wait()
        torch.lerp(x, received, 0.5, out=out)

    def allreduce() -> None:
        out.copy_(x)
        dist.all_reduce(out)
        out.mul_(0.5)

    ways: dict[str, Callable[[], object]] = {
        "BlueFog": lambda: bf.neighbor_allreduce(x, schedule=schedule, out=out)
    }
    if not arguments.only:
        address = f"tcp://{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        dist.init_process_group("gloo", rank=bf.rank(), world_size=2, init_method=address)
        ways["gloo, send and receive"] = send_and_receive
        ways["gloo, all_reduce"] = allreduce
    times: dict[str, list[float]] = {way: [] for way in ways}
    for repetition in range(-2, arguments.repetitions):
        for way, run in ways.items():
            bf.barrier()
            begin = time.perf_counter()
            run()
            elapsed = time.perf_counter() - begin
            assert out[0].item() == 0.5
            if repetition >= 0:
                times[way].append(elapsed)
    slowest = bf.allgather(torch.tensor([list(times.values())], dtype=torch.float64)).max(dim=0).values
    if bf.rank() == 0:
        print(json.dumps(dict(zip(ways, slowest.tolist()))))


if __name__ == "__main__":
    main()
