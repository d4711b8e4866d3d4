#!/usr/bin/env bash
# Runs the benchmarks over hosts, which are network namespaces, so this needs root.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ "$(id -u)" == 0 ]] || fail "network namespaces need root: sudo make benchmark-hosts"
"$ROOT/scripts/build.sh"
"$ROOT/scripts/setup_cluster.sh"
"$PYTHON" -c 'import mpi4py' 2>/dev/null || "$PYTHON" -m pip install --quiet mpi4py >&2

export PATH="$VENV/bin:$PATH" PYTHONPATH="$ROOT/python${PYTHONPATH:+:$PYTHONPATH}"
cd "$ROOT/benchmarks/over_hosts"
run() {
  echo "== $*"
  "$PYTHON" "$@"
}
run exchange.py
run exchange.py --megabits 1000 --bytes 400000000 --repetitions 2 --turns 2
run lossy_link.py
run step_times.py
run weak_scaling.py
run ../windows/consensus_rates.py --over-hosts
run accuracy.py --data "$("$ROOT/scripts/fetch_fashion_mnist.sh")"
