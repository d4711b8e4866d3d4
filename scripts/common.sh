# shellcheck shell=bash
# Sourced by every script: where things are, and how to speak.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
# What set-up takes from packages that it cannot install without root: scripts/deps.sh.
DEPS="$ROOT/.deps"
# shellcheck disable=SC2034 # read by the scripts that source this
PYTHON="$VENV/bin/python"

# Settings that would send pip's installs out of .venv, or our imports elsewhere.
unset PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONHOME
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

# With .venv activated, python3 would be the one that set-up makes; it must see the one below.
PATH="${PATH//"$VENV/bin:"/}"
# Where the user's python3 is; scripts that a script calls see what is exported here.
export SETUP_USER_PATH="${SETUP_USER_PATH:-$PATH}"

# CMake looks for libraries beside the folders of PATH. Those of a conda environment are built for its own compilers, and stay out.
path_without_conda() {
  local folder kept=""
  while IFS= read -r -d : folder; do
    [[ -d "$folder/../conda-meta" ]] || kept+="$folder:"
  done <<<"$PATH:"
  echo "${kept%:}"
}
PATH="$(path_without_conda)"
# Once set-up has made .deps, its tools and libraries come first, in builds of wheels too. Set-up may have got half-way only.
use_deps() {
  local headers="$DEPS/usr/include" architecture
  [[ ! -d "$DEPS/bin" || ":$PATH:" == *":$DEPS/bin:"* ]] || PATH="$DEPS/bin:$PATH"
  [[ -d "$headers" && ":${CMAKE_PREFIX_PATH:-}:" != *":$DEPS:"* ]] || return 0
  # .deps/bin has scripts that start what is in .deps/usr/bin.
  export CMAKE_PREFIX_PATH="$DEPS:$DEPS/usr${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}"
  architecture="$(uname -m)-linux-gnu" # Debian keeps some headers apart by it, where compilers look for the system's only
  export CXXFLAGS="-isystem '$headers' -isystem '$headers/$architecture'${CXXFLAGS:+ $CXXFLAGS}"
}
use_deps
# unpacked_headers_of PYTHON: those that set-up has unpacked for it; nothing if it has its own.
unpacked_headers_of() {
  "$1" - "$DEPS/usr/include" <<'PYTHON'
import pathlib
import sys
import sysconfig

unpacked = pathlib.Path(sys.argv[1], f"python3.{sys.version_info[1]}")
own = pathlib.Path(sysconfig.get_paths()["include"])
if not (own / "Python.h").exists() and unpacked.exists():
    print(unpacked)
PYTHON
}
# cmake_arguments_for PYTHON: what its pip, which splits them as a shell does, must tell CMake.
cmake_arguments_for() {
  local headers
  headers="$(unpacked_headers_of "$1")"
  [[ -z "$headers" ]] || printf '%q ' "-DPython_INCLUDE_DIR=$headers"
  echo "${CMAKE_ARGS:-}"
}

say() { printf '==> %s\n' "$*" >&2; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
# The user's python3, past the shims of version managers, which take a quarter second a call.
user_python() { PATH="$SETUP_USER_PATH" python3 -c 'import sys; print(sys.executable)'; }
# make_venv FOLDER: with the Python of .venv, and a pip; Debian's own may lack what brings one.
make_venv() {
  "$PYTHON" -m venv --clear --without-pip "$1"
  "$PYTHON" -m pip --python "$1/bin/python" install --quiet pip >&2
}
cpu_count() { nproc 2>/dev/null || echo 2; }

# cmake_is_new_enough [LEAST]
cmake_is_new_enough() {
  local least="${1:-3.22}" version
  version="$(cmake --version 2>/dev/null | sed -n '1s/[^0-9]*//p')"
  [[ -n "$version" ]] && printf '%s\n%s\n' "$least" "$version" | sort -C -V
}

# hold_lock NAME: until this script ends, others that want it wait.
hold_lock() {
  local lock
  mkdir -p "$ROOT/build"
  exec {lock}>"$ROOT/build/$1.lock"
  flock --nonblock "$lock" || { say "waiting for another make"; flock "$lock"; }
}
