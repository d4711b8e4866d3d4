#!/usr/bin/env bash
# usage: build.sh [PRESET [TARGET...]]   Configures once, then builds what changed, or of it what TARGETs need.
# The preset "release" holds the Python module.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset="${1:-release}"
build="$ROOT/build/$preset"
targets=("${@:2}")
options=()

"$ROOT/scripts/setup.sh"
hold_lock "build-$preset"
if [[ "$preset" == release ]]; then
  options=(-DBLUEFOG_BUILD_PYTHON=ON "-DPython_EXECUTABLE=$PYTHON")
fi
# Where .venv's torch lies, found without importing it; empty without one. What the core's front end for LibTorch
# needs for its tests.
torch_folder='import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")'
options+=("-DBLUEFOG_TORCH_PREFIX=$("$PYTHON" -c "$torch_folder")")
use_deps # which set-up may just have made
python_headers="$(unpacked_headers_of "$PYTHON")"
[[ -z "$python_headers" ]] || options+=("-DPython_INCLUDE_DIR=$python_headers")

# CMake cannot see by itself that the tree was moved, or that .venv holds another Python.
key="$ROOT $(<"$VENV/bluefog-setup") $(sha256sum <"$ROOT/CMakePresets.json") ${CXX:-} ${CXXFLAGS:-} ${options[*]}"
if [[ ! -f "$build/build.ninja" || "$(cat "$build/configured-for" 2>/dev/null)" != "$key" ]]; then
  say "configuring build/$preset"
  rm -rf "$build/CMakeCache.txt" "$build/CMakeFiles" "$build/configured-for"
  (cd "$ROOT" && cmake --preset "$preset" "${options[@]}" --log-level=WARNING) >&2
  echo "$key" >"$build/configured-for"
fi
cmake --build "$build" --parallel "$(cpu_count)" ${targets:+--target "${targets[@]}"} >&2 || fail "the build of build/$preset failed; the compiler's messages are above"

if [[ "$preset" == release && -x "$build/tools/bfrun/bfrun" ]]; then
  ln -sfn "$build/tools/bfrun/bfrun" "$VENV/bin/bfrun"
fi
