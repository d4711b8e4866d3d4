# shellcheck shell=bash
# Sourced by every script: where things are, and how to speak.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
# shellcheck disable=SC2034 # read by the scripts that source this
PYTHON="$VENV/bin/python"

# Settings that would send pip's installs out of .venv, or our imports elsewhere.
unset PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONHOME
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

# With .venv activated, python3 would be the one that set-up makes; it must see the one below.
PATH="${PATH//"$VENV/bin:"/}"

say() { printf '==> %s\n' "$*" >&2; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
# The user's python3, past the shims of version managers, which take a quarter second a call.
user_python() { python3 -c 'import sys; print(sys.executable)'; }
cpu_count() { nproc 2>/dev/null || echo 2; }
