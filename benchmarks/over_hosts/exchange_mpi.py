"""As exchange_ranks.py, by MPI (mpi4py). Started by exchange.py."""

from __future__ import annotations

import json
import sys
import time

import numpy
from mpi4py import MPI

world = MPI.COMM_WORLD
peer = 1 - world.rank
count, repetitions = int(sys.argv[1]) // 4, int(sys.argv[2])
x, out, received = (numpy.full(count, world.rank, dtype=numpy.float32) for _ in range(3))
times = []
for repetition in range(-2, repetitions):
    world.Barrier()
    begin = time.perf_counter()
    world.Sendrecv(x, peer, recvbuf=received, source=peer)
    numpy.add(x, received, out=out)
    numpy.multiply(out, numpy.float32(0.5), out=out)
    elapsed = time.perf_counter() - begin
    assert out[0] == 0.5
    if repetition >= 0:
        times.append(elapsed)
slowest = numpy.max(world.allgather(times), axis=0)
if world.rank == 0:
    print(json.dumps({"Open MPI, send and receive": slowest.tolist()}))
