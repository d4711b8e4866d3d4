#!/usr/bin/env bash
# usage: fuzz.sh [SECONDS]   Looks for inputs that break a parser of what comes from other hosts: SECONDS (600) for each target
# of tests/fuzz, as many at a time as there are CPUs. What it learns goes into tests/fuzz/corpus, which every `make test` replays.
source "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

seconds="${1:-600}"
targets=()
for source in "$ROOT"/tests/fuzz/*_fuzzer.cpp; do targets+=("$(basename "$source" _fuzzer.cpp)"); done
findings="$ROOT/build/fuzz/findings"

have clang++ || install_packages clang
major="$(clang++ -dumpversion | cut -d. -f1)"
[[ -n "$(find "$(clang++ -print-resource-dir)" -name 'libclang_rt.fuzzer*' -print -quit)" ]] || install_packages "libclang-rt-$major-dev"
"$ROOT/scripts/build.sh" fuzz fuzzers
mkdir -p "$findings"

# The corpus keeps a small set of inputs that takes every branch that any has taken.
fuzz() {
  local target="$1" program="$ROOT/build/fuzz/tests/fuzz/fuzz_$1" kept="$ROOT/tests/fuzz/corpus/$1" work="$ROOT/build/fuzz/corpus/$1"
  mkdir -p "$kept" "$work"
  "$program" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -use_value_profile=1 -print_final_stats=1 \
    -artifact_prefix="$findings/$target-" "$work" "$kept" >"$findings/$target.log" 2>&1 || return 1
  rm -rf "$kept.new" && mkdir "$kept.new"
  "$program" -merge=1 -use_counters=0 -max_len=4096 "$kept.new" "$kept" "$work" >>"$findings/$target.log" 2>&1
  rm -rf "$kept" && mv "$kept.new" "$kept"
}

status=0
pids=()
for target in "${targets[@]}"; do
  while (($(jobs -pr | wc -l) >= $(cpu_count))); do wait -n || status=1; done
  fuzz "$target" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || status=1; done
for target in "${targets[@]}"; do
  runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$findings/$target.log")"
  echo "$target: ${runs:-no} runs in $seconds s, $(find "$ROOT/tests/fuzz/corpus/$target" -type f | wc -l) inputs kept"
done
((status == 0)) || fail "something broke; see $findings"
