#!/usr/bin/env bash
# Runs the Python tests of operations and optimizers on the oldest torch that is supported and that this Python can
# have, in an environment of its own. TORCH names another, as for `make setup`; it leaves the one in .venv alone.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

OLD="$ROOT/build/old-torch"
choice="${TORCH:-}"
unset TORCH
"$ROOT/scripts/build.sh"

oldest_torch() {
  case "$("$PYTHON" -c 'import sys; print(*sys.version_info[:2], sep=".")')" in
    3.9 | 3.10 | 3.11) echo torch==2.1.2 ;;
    3.12) echo torch==2.2.2 ;;
    3.13) echo torch==2.5.1 ;;
    *) fail "which torch is the oldest for this Python? Say with TORCH=" ;;
  esac
}

[[ -n "$choice" && "$choice" != auto ]] || choice="$(oldest_torch)"
key="$choice $("$PYTHON" --version)"
if [[ "$(cat "$OLD/made-for" 2>/dev/null)" != "$key" ]]; then
  say "making build/old-torch with $choice"
  make_venv "$OLD"
  wheel="$("$OLD/bin/python" "$ROOT/scripts/choose_torch.py" "$choice")"
  "$OLD/bin/python" -m pip install "$wheel" 'numpy<2' networkx pytest pytest-timeout >&2
  echo "$key" >"$OLD/made-for"
fi
"$OLD/bin/python" -c 'import torch; print("==> torch", torch.__version__)' >&2

# GradScaler is for CPUs since torch 2.3: before, the tests with an infinite gradient cannot be made.
without=()
if "$OLD/bin/python" -c 'import sys, torch; sys.exit(hasattr(torch.amp, "GradScaler"))'; then
  without=(-k "not inf_on_one_rank and not an_infinit")
fi
export PYTHONPATH="$ROOT/python" BLUEFOG_BFRUN="$ROOT/build/release/tools/bfrun/bfrun"
cd "$ROOT/tests/python"
exec "$OLD/bin/python" -m pytest --rootdir "$ROOT" "${without[@]}" test_buckets.py test_operations.py test_optimizers.py \
  test_checkpoints.py test_timeline.py
