#!/usr/bin/env bash
# shellcheck disable=SC2016 # commands for the trees' shells
# usage: test_setup.sh [CASE...]   Runs the README's two commands where nothing is prepared: in new trees of Debian, as root.
#   bookworm, trixie       as root, with git, make and python3 only; a release of Debian or Ubuntu is its own case
#   RELEASE-user           as a user without root or sudo, where g++ is installed too
#   RELEASE-environment    as that user, from within an active environment that has a torch, which .venv must take
#   RELEASE-aarch64        as root: the unit tests, built for aarch64, under qemu; TARGETS do not matter
# TARGETS (quickstart test) is what make shall do; TORCH as for make. Pip's configuration of this machine holds there too; SETUP_MOUNTS
# lists folders that it names. The trees stay in build/setup: a second run starts from copies of them.
source "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

TREES="$ROOT/build/setup"
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
read -ra targets <<<"${TARGETS:-quickstart test}"
read -ra mounts <<<"${SETUP_MOUNTS:-}"

# The release as debootstrap leaves it, which is made once.
pristine_tree() {
  local tree="$TREES/pristine-$1" components=main mirror=""
  if [[ ! -f "$tree/made" ]]; then
    say "making a tree of $1"
    # Installations of Ubuntu have its universe. Debian has no package of Ubuntu's keys: debootstrap says so, and goes on.
    if grep -q ubuntu "/usr/share/debootstrap/scripts/$1"; then components=main,universe mirror=http://archive.ubuntu.com/ubuntu; fi
    rm -rf "$tree"
    debootstrap --variant=minbase --components="$components" --include=git,make,python3,ca-certificates "$1" "$tree" $mirror >&2
    touch "$tree/made"
  fi
  echo "$tree"
}

# in_tree TREE USER COMMAND: with mounts of its own, which end with the command.
in_tree() {
  unshare --mount --pid --fork bash -s "$@" "${mounts[@]}" <<'INSIDE'
set -euo pipefail
tree="$1" user="$2" command="$3"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
mount -t tmpfs -o mode=1777 tmpfs "$tree/dev/shm"
for folder in "${@:4}"; do
  mkdir -p "$tree$folder"
  mount --bind "$folder" "$tree$folder"
done
exec chroot "$tree" su - "$user" -c "$command" </dev/null
INSIDE
}

# What this machine's network needs: names, certificates, and pip's configuration.
connect() {
  local tree="$1" file
  for file in /etc/resolv.conf /etc/hosts "$CERTIFICATES" /etc/pip.conf /etc/xdg/pip/constraints.txt; do
    [[ ! -f "$file" ]] || { mkdir -p "$tree${file%/*}" && cp "$file" "$tree$file"; }
  done
  # su - leaves no variables of ours.
  env | sed -n 's/^\(PIP_[A-Z_]*\|SSL_CERT_FILE\|TORCH\)=\(.*\)/export \1="\2"/p' >"$tree/etc/profile.d/pip.sh"
  if [[ -d "$HOME/.config/pip" ]]; then
    mkdir -p "$tree/etc/xdg/pip"
    cp "$HOME"/.config/pip/pip.conf "$tree/etc/xdg/pip/pip.conf"
  fi
}

# Some tests start themselves anew, so the kernel must know what to do with a program of aarch64.
AARCH64_TESTS='
  TORCH=none make setup
  dpkg --add-architecture arm64
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends g++-aarch64-linux-gnu qemu-user qemu-user-binfmt \
    libssl-dev:arm64 libspdlog-dev:arm64 libgtest-dev:arm64 zlib1g-dev:arm64 >/dev/null
  mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    tr -d "\n" </usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
    trap "echo -1 >/proc/sys/fs/binfmt_misc/qemu-aarch64" EXIT
  fi
  cmake --preset aarch64
  cmake --build build/aarch64 --target tests/unit/all
  # qemu has no flags of memory for core dumps, and does not survive what the other one does.
  ctest --test-dir build/aarch64/tests/unit --parallel "$(nproc)" --output-on-failure --no-tests=error \
    --exclude-regex "^Arena.IsLeftOutOfCoreDumps$|^SignalReport.AForkedChildReportsNothingOfItsParent$"
'

run_case() {
  local release="${1%%-*}" kind="${1#"${1%%-*}"}" tree="$TREES/$1" user=someone home=/home/someone prepare=true
  local work="for target in ${targets[*]}; do make \$target; done" check=true
  rm -rf "$tree"
  cp -a "$(pristine_tree "$release")" "$tree"
  connect "$tree"
  case "$kind" in
    "") user=root home=/root ;;
    -aarch64) user=root home=/root work="$AARCH64_TESTS" ;;
    -user) in_tree "$tree" root "apt-get update -qq && apt-get install -y -qq --no-install-recommends g++" >/dev/null ;;
    -environment)
      in_tree "$tree" root "apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ python3-venv" >/dev/null
      prepare='python3 -m venv environment && . environment/bin/activate && pip install --quiet "${TORCH:-torch}" && unset TORCH'
      check='test "$(.venv/bin/python -c "import torch; print(torch.__file__)")" = "$(python -c "import torch; print(torch.__file__)")"'
      ;;
    *) fail "there is no case $1" ;;
  esac
  [[ "$user" == root ]] || chroot "$tree" useradd --create-home --shell /bin/bash "$user"
  git clone -q "$ROOT" "$tree$home/bluefog"
  chroot "$tree" chown -R "$user" "$home"
  in_tree "$tree" "$user" "set -e
$prepare
cd bluefog
$work
$check"
}

[[ "$(id -u)" == 0 ]] || fail "trees of other systems need root: sudo make test-setup"
have debootstrap || install_packages debootstrap
mkdir -p "$TREES"
failed=()
for case in "${@:-bookworm}"; do
  say "set-up: $case"
  run_case "$case" & # so that set -e holds inside
  wait "$!" || failed+=("$case")
done
((${#failed[@]} == 0)) || fail "set-up failed in ${failed[*]}; their trees are in build/setup"
