#!/usr/bin/env bash
# Trains on Fashion-MNIST with NP ranks (4 unless told).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$ROOT/scripts/build.sh" release bfrun _core
data="$("$ROOT/scripts/fetch_fashion_mnist.sh")"
export PATH="$VENV/bin:$PATH"
exec bfrun -np "${NP:-4}" "$PYTHON" "$ROOT/examples/python/fashion_mnist.py" --data "$data" --output "$ROOT/runs/quickstart"
