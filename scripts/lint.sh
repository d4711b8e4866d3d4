#!/usr/bin/env bash
# usage: lint.sh [--fix]   Checks C++, Python and shell sources; with --fix rewrites their format instead.
# shellcheck disable=SC2329 # check() calls some functions by name
source "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

REQUIREMENTS="$ROOT/scripts/requirements-lint.txt"
STAMP="$VENV/bluefog-lint"
status=0

install_tools() {
  cmp -s "$REQUIREMENTS" "$STAMP" && return 0
  say "installing the lint tools into .venv"
  "$PYTHON" -m pip install --quiet -r "$REQUIREMENTS" >&2
  cp "$REQUIREMENTS" "$STAMP"
}

# Runs one check and remembers a failure, so that one run shows them all.
check() {
  say "$1"
  shift
  "$@" || status=1
}

in_parallel() { xargs -0 -r -P "$(cpu_count)" -n "$1" "${@:2}"; }

cpp_files() {
  find include src tools tests python/src benchmarks examples \( -name '*.hpp' -o -name '*.cpp' \) -print0
}

check_clang_tidy() {
  mkdir -p build/lint
  sed 's/ -fno-gnu-unique//' build/release/compile_commands.json >build/lint/compile_commands.json # an option that only g++ knows
  find src -name '*.cpp' -print0 |
    in_parallel 1 clang-tidy --quiet -p build/lint --extra-arg=-Wno-unknown-warning-option
}

check_clang_format() { cpp_files | in_parallel 20 "$VENV/bin/clang-format" --dry-run -Werror; }

cd "$ROOT"
if [[ "${1:-}" == --fix ]]; then
  "$ROOT/scripts/setup.sh"
  install_tools
  cpp_files | in_parallel 20 "$VENV/bin/clang-format" -i
  "$VENV/bin/ruff" check --fix-only --quiet .
  "$VENV/bin/ruff" format .
  exit 0
fi

"$ROOT/scripts/build.sh" # clang-tidy wants compile_commands.json, mypy the module
install_tools
have clang-tidy || install_packages clang-tidy
check clang-format check_clang_format
check ruff "$VENV/bin/ruff" check .
check "ruff format" "$VENV/bin/ruff" format --check .
check mypy "$PYTHON" -m mypy python/bluefog
check shellcheck "$VENV/bin/shellcheck" -x -P SCRIPTDIR scripts/*.sh .ci/run
check "reference of the public headers" "$ROOT/scripts/docs.sh"
check clang-tidy check_clang_tidy
exit "$status"
