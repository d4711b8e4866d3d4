#!/usr/bin/env bash
# usage: setup_venv.sh PYTHON   (the interpreter to make .venv with)
# Makes .venv: Python's requirements, and torch (the one of python3, or one that is installed here).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

SCRIPTS="$ROOT/scripts"
STAMP="$VENV/bluefog-setup"
CHOICE="$VENV/bluefog-torch"
python="${1:-$(user_python)}"

# TORCH= is remembered, so that a plain `make` after `make TORCH=...` does not replace it.
torch_choice() {
  if [[ -n "${TORCH:-}" ]]; then
    echo "$TORCH"
  elif [[ -f "$CHOICE" ]]; then
    cat "$CHOICE"
  else
    echo auto
  fi
}

# A torch that python3 has already, as its version; nothing when there is none that works.
torch_of_user() {
  "$python" - <<'PYTHON' 2>/dev/null || true
import torch

if int(torch.__version__.split(".")[0]) == 2:
    print(torch.__version__)
PYTHON
}

make_empty_venv() {
  say "making .venv with $python"
  if "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv --clear "$@" "$VENV"
  else
    "$python" -m venv --clear --without-pip "$@" "$VENV"
    install_pip
  fi
  echo "$ROOT/python" >"$(site_packages)/bluefog-develop.pth"
}

# Where Debian's python3-venv is not installed and cannot be: pip from the package that it would have unpacked.
install_pip() {
  local wheel
  wheel="$(compgen -G "$DEPS/usr/share/python-wheels/pip-*.whl" || compgen -G "/usr/share/python-wheels/pip-*.whl")" ||
    fail "$python has no ensurepip, and there is no pip in .deps"
  PYTHONPATH="$wheel" "$PYTHON" -m pip install --quiet --no-index "$wheel" >&2
}

# Without root, these come from PyPI; and a cmake that knows Python's stable ABI, which wheels for 3.12 and later have.
install_build_tools() {
  local -a tools=()
  local least=3.22
  ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 12))' || least=3.26
  cmake_is_new_enough "$least" || tools+=("cmake>=$least,<4")
  have ninja || tools+=(ninja)
  ((${#tools[@]})) || return 0
  pip_install --quiet "${tools[@]}"
  mkdir -p "$DEPS/bin"
  local tool
  for tool in cmake ctest cpack ninja; do
    [[ ! -x "$VENV/bin/$tool" ]] || ln -sfn "$VENV/bin/$tool" "$DEPS/bin/$tool"
  done
}

site_packages() { "$PYTHON" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'; }

# A venv made by a venv's python sees the base interpreter's packages, but not those of the venv between.
make_venv_over_user_packages() {
  local user_version="$1" version
  local -a visible=(--system-site-packages)
  if "$python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)'; then
    local config
    config="$("$python" -c 'import sys; print(sys.prefix)')/pyvenv.cfg"
    grep -Eqi '^include-system-site-packages *= *true' "$config" || visible=()
    make_empty_venv "${visible[@]}"
    "$python" -c 'import site; print(*site.getsitepackages(), sep="\n")' >"$(site_packages)/bluefog-parent.pth"
  else
    make_empty_venv "${visible[@]}"
  fi
  version="$("$PYTHON" -c 'import torch; print(torch.__version__)' 2>/dev/null || true)"
  [[ "$version" == "$user_version" ]] ||
    fail "python3 has torch $user_version, but .venv sees ${version:-none}; choose another with TORCH=, for instance TORCH=torch"
}

# Every later pip in .venv, by hand or by us, keeps these packages as they are now.
keep_versions_of() {
  local constraints="$VENV/constraints.txt"
  "$PYTHON" - "$@" >"$constraints" <<'PYTHON'
import importlib.metadata
import sys

for package in sys.argv[1:]:
    try:
        print(f"{package}=={importlib.metadata.version(package)}")
    except importlib.metadata.PackageNotFoundError:
        pass
PYTHON
  "$PYTHON" -c 'import pathlib, sys; print("[install]\nconstraint =", pathlib.Path(sys.argv[1]).as_uri())' \
    "$constraints" >"$VENV/pip.conf"
}

pip_install() { "$PYTHON" -m pip install "$@" >&2; }

install_torch() {
  local choice="$1" target
  [[ "$choice" != auto ]] || choice="torch>=2.1"
  target="$("$PYTHON" "$SCRIPTS/choose_torch.py" "$choice")"
  pip_install "$target" # not quietly: it may load for minutes
}

# Before 2.3 torch knows numpy 1 only.
install_numpy_for_torch() {
  local version
  version="$("$PYTHON" -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null || true)"
  [[ -z "$version" ]] || printf '2.3\n%s\n' "$version" | sort -C -V || pip_install --quiet 'numpy<2'
}

main() {
  local choice key user_torch=""
  choice="$(torch_choice)"
  key="$choice $ROOT $("$python" "$SCRIPTS/python_facts.py") $(cat "$SCRIPTS"/{setup_venv.sh,choose_torch.py,requirements.txt} | sha256sum)"
  if [[ -x "$PYTHON" && -f "$STAMP" && "$(<"$STAMP")" == "$key" ]]; then
    install_build_tools # .deps may have been removed
    return 0
  fi

  [[ "$choice" != auto ]] || user_torch="$(torch_of_user)"
  if [[ -n "$user_torch" ]]; then
    say "using torch $user_torch of $python"
    make_venv_over_user_packages "$user_torch"
    keep_versions_of torch numpy # the numpy that this torch works with
    pip_install --quiet 'pip>=23'
  else
    make_empty_venv
    echo "$choice" >"$CHOICE" # the rest may be interrupted
    pip_install --quiet 'pip>=23'
    [[ "$choice" == none ]] || install_torch "$choice"
    install_numpy_for_torch
    keep_versions_of torch numpy
  fi
  say "installing Python packages into .venv"
  pip_install --quiet -r "$SCRIPTS/requirements.txt"
  install_build_tools
  echo "$choice" >"$CHOICE"
  echo "$key" >"$STAMP"
}

main
