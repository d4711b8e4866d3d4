#!/usr/bin/env bash
# Runs the benchmarks of benchmarks/run.sh with the built tools on PATH.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$ROOT/scripts/build.sh"
export PATH="$ROOT/build/release/tools/bfperf:$ROOT/build/release/benchmarks:$VENV/bin:$PATH"
cd "$ROOT"
exec bash "$ROOT/benchmarks/run.sh" "$@"
