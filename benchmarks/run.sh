#!/usr/bin/env bash
# Every figure of docs/performance.md; `make benchmark` runs it with bfrun, bfperf, bench_mpi_windows and .venv's
# python on PATH.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

echo "== neighbor_allreduce beside gloo (Python)"
bfrun -np 4 python "$here/against_gloo.py" --topology exp2 --bytes 16777216
bfrun -np 2 python "$here/against_gloo.py" --topology one-peer --bytes 100000000 --repetitions 15

echo "== the same paths from C++"
bfrun -np 4 bfperf --topology exp2 --bytes 16777216
bfrun -np 2 bfperf --topology one-peer --bytes 100000000 --repetitions 15

echo "== 10,000 blocking calls of 4 KiB"
for ranks in 2 4; do
  bfrun -np "$ranks" bfperf --topology one-peer --latency
  bfrun -np "$ranks" python "$here/against_gloo.py" --latency
done

echo "== windows beside a copy, and Open MPI's one-sided operations where CMake has found it"
have_mpi() { command -v mpirun >/dev/null && command -v bench_mpi_windows >/dev/null; }
windows() {
  bfrun -np 2 bfperf --windows "$@"
  have_mpi || return 0
  mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2 bench_mpi_windows "$@"
}
windows --bytes 4096 --repetitions 3000
windows --bytes 4096 --repetitions 100 --calls-in-a-row 100
windows --bytes 1048576 --repetitions 500
windows --bytes 100000000 --repetitions 21

echo "== asynchronous consensus with a slow rank"
python "$here/windows/consensus_rates.py"

echo "== waiting"
bfrun -np 4 bfperf --idle 10

echo "== a training step of ten million parameters"
bfrun -np 2 python "$here/training_step.py"
bfrun -np 4 python "$here/training_step.py"
