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
# Those that set-up has unpacked, if it had to.
unpacked_python_headers() { compgen -G "$DEPS/usr/include/python3.*" || true; }
# Once set-up has made .deps, its tools and libraries come first, in builds of wheels too.
use_deps() {
  local headers="$DEPS/usr/include" architecture python_headers
  [[ -d "$DEPS" && ":$PATH:" != *":$DEPS/bin:"* ]] || return 0
  PATH="$DEPS/bin:$PATH"
  [[ -d "$headers" ]] || return 0
  export CMAKE_PREFIX_PATH="$DEPS/usr${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}"
  architecture="$(uname -m)-linux-gnu" # Debian keeps some headers apart by it, where compilers look for the system's only
  export CXXFLAGS="-isystem $headers -isystem $headers/$architecture${CXXFLAGS:+ $CXXFLAGS}"
  python_headers="$(unpacked_python_headers)"
  [[ -n "$python_headers" ]] || return 0
  export CMAKE_ARGS="-DPython_INCLUDE_DIR=$python_headers${CMAKE_ARGS:+ $CMAKE_ARGS}"
  export CPLUS_INCLUDE_PATH="$python_headers:$headers${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}" # torch.compile wants Python.h
}
use_deps

say() { printf '==> %s\n' "$*" >&2; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
# The user's python3, past the shims of version managers, which take a quarter second a call.
user_python() { PATH="$SETUP_USER_PATH" python3 -c 'import sys; print(sys.executable)'; }
cpu_count() { nproc 2>/dev/null || echo 2; }

cmake_is_new_enough() {
  local version
  version="$(cmake --version 2>/dev/null | sed -n '1s/[^0-9]*//p')"
  [[ -n "$version" ]] && printf '3.22\n%s\n' "$version" | sort -C -V
}
