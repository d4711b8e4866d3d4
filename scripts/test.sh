#!/usr/bin/env bash
# usage: test.sh SUITE...   Suites: cpp, python, cluster, asan, tsan. Runs them all, then prints the counts of all.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

RESULTS="$ROOT/build/test-results"

# Every suite writes its JUnit report to build/test-results; count_tests.py turns them into totals and the verdict.
run_suite() {
  local suite="$1" status=0
  shift
  say "tests: $suite"
  rm -f "$RESULTS/$suite.xml"
  "$@" || status=$?
  echo "$status" >"$RESULTS/$suite.status"
}

run_ctest() {
  local suite="$1" preset="$2"
  run_suite "$suite" ctest --test-dir "$ROOT/build/$preset" --parallel "$(cpu_count)" --output-on-failure \
    --no-tests=error --output-junit "$RESULTS/$suite.xml"
}

run_pytest() {
  local suite="$1"
  run_suite "$suite" "$PYTHON" -m pytest "$ROOT/tests/$suite" --rootdir "$ROOT" --junitxml "$RESULTS/$suite.xml"
}

# Set-up may just have unpacked it. Tests make wheels, and torch.compile wants Python.h.
use_what_is_unpacked() {
  local headers
  use_deps
  headers="$(unpacked_headers_of "$PYTHON")"
  [[ -n "$headers" && -z "${told_of_headers:-}" ]] || return 0
  told_of_headers=true
  CMAKE_ARGS="$(cmake_arguments_for "$PYTHON")"
  CPLUS_INCLUDE_PATH="$headers:$DEPS/usr/include${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}"
  export CMAKE_ARGS CPLUS_INCLUDE_PATH
}

(($#)) || fail "usage: test.sh SUITE...   (cpp, python, cluster, asan, tsan)"
mkdir -p "$RESULTS"
for suite in "$@"; do
  rm -f "$RESULTS/$suite".{xml,status} # a suite whose build fails must not show the results of an earlier run
done

export PATH="$VENV/bin:$PATH"
export TSAN_OPTIONS="suppressions='$ROOT/tests/thread_sanitizer.supp' ${TSAN_OPTIONS:-}"
built=""
for suite in "$@"; do
  case "$suite" in
    cpp | python | cluster) preset=release ;;
    asan | tsan) preset="$suite" ;;
    *) fail "there is no test suite $suite" ;;
  esac
  [[ "$built" == *" $preset "* ]] || "$ROOT/scripts/build.sh" "$preset"
  built+=" $preset "
  use_what_is_unpacked
  [[ "$suite" != cluster ]] || "$ROOT/scripts/setup_cluster.sh"
  case "$suite" in
    python | cluster) run_pytest "$suite" ;;
    *) run_ctest "$suite" "$preset" ;;
  esac
done
python3 "$ROOT/scripts/count_tests.py" "$RESULTS" "$@"
