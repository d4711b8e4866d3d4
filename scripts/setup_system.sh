#!/usr/bin/env bash
# usage: setup_system.sh PYTHON   (the interpreter that .venv will be made with)
# Installs the compilers and libraries that are missing, and nothing else, through apt.
source "$(dirname "${BASH_SOURCE[0]}")/apt.sh"
source "$(dirname "${BASH_SOURCE[0]}")/deps.sh"

LIBRARIES=(libcli11-dev libspdlog-dev nlohmann-json3-dev libasio-dev libssl-dev libgtest-dev libbenchmark-dev
  libeigen3-dev zlib1g-dev ca-certificates)
python="${1:-$(user_python)}"

runs() { "$@" >/dev/null 2>&1; }

# The compiler is g++, or what CXX names.
compiler_is_new_enough() {
  local compiler="${CXX:-g++}" major least=11
  major="$("$compiler" -dumpversion 2>/dev/null | cut -d. -f1)"
  [[ "$("$compiler" --version 2>/dev/null)" != *clang* ]] || least=14
  [[ -n "$major" ]] && ((major >= least))
}

missing_tools() {
  compiler_is_new_enough || echo g++
  cmake_is_new_enough || echo cmake
  runs ninja --version || echo ninja-build
  runs ccache --version || echo ccache
  runs pkg-config --version || echo pkg-config
}

# For this architecture; others may be there beside it.
is_installed() {
  dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "$1" 2>/dev/null |
    grep -qx -e "$(dpkg --print-architecture) installed" -e "all installed"
}

missing_libraries() {
  local package
  for package in "${LIBRARIES[@]}"; do
    is_installed "$package" || is_unpacked "$package" || echo "$package"
  done
}

# Only Debian's own interpreter comes without headers and venv; others bring them, or cannot be mended by apt.
missing_python_parts() {
  "$python" - <<'PYTHON'
import importlib.util
import os
import sys
import sysconfig

if sys.version_info < (3, 9):
    sys.exit(f"error: {sys.executable} is Python {sys.version.split()[0]}; 3.9 or newer is needed")
name = f"python3.{sys.version_info[1]}"
parts = []
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    parts.append(("Python.h", f"{name}-dev"))
if not all(importlib.util.find_spec(module) for module in ("ensurepip", "venv")):
    parts.append(("venv and ensurepip", f"{name}-venv"))
if parts and os.path.realpath(sys.executable) != f"/usr/bin/{name}":
    sys.exit(f"error: {sys.executable} lacks {' and '.join(what for what, _ in parts)}; put a complete python3 first on PATH")
print("\n".join(package for _, package in parts))
PYTHON
}

# Libraries, pkg-config and ccache come from packages that are unpacked, cmake and ninja from PyPI (setup_venv.sh).
set_up_without_root() {
  local package
  local -a wanted=()
  compiler_is_new_enough || fail "a C++ compiler is missing, and this is not root. Put g++ 11 or newer on PATH, or name clang++ 14 or
newer in CXX, or run this, then make again: sudo apt install g++"
  for package in $(missing_libraries) $(missing_tools | grep -x -e pkg-config -e ccache) $python_parts; do
    [[ "$package" != python3*-venv ]] || package=python3-pip-whl # .venv needs no more of it
    is_installed "$package" || is_unpacked "$package" || wanted+=("$package")
  done
  ((${#wanted[@]} == 0)) || unpack_packages "${wanted[@]}" || install_packages "${wanted[@]}" # which says what to run by hand
}

if ! have dpkg-query || ! have apt-get; then
  missing="$(missing_tools | tr '\n' ' ')"
  [[ -z "$missing" ]] || fail "this is neither Debian nor Ubuntu; install what these packages hold: $missing${LIBRARIES[*]}"
  exit 0
fi

python_parts="$(missing_python_parts)"
mapfile -t missing < <(missing_tools; missing_libraries; [[ -z "$python_parts" ]] || echo "$python_parts")
((${#missing[@]})) || exit 0

root_command >/dev/null || { set_up_without_root && exit 0; }
install_packages "${missing[@]}"
cmake_is_new_enough || fail "cmake 3.22 or newer is needed, this system has $(cmake --version | head -n 1)"
compiler_is_new_enough || fail "g++ 11 or clang++ 14, or newer, is needed; ${CXX:-g++} is $("${CXX:-g++}" --version | head -n 1)"
