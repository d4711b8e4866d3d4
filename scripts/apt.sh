# shellcheck shell=bash
# Sourced by scripts that install system packages.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

LOCK_TIMEOUT=600

# Prints the command that gives root's rights ("" for root itself); fails when there is none. Who has sudo may not be allowed to.
root_command() {
  if [[ "$(id -u)" == 0 ]]; then
    return 0
  elif have sudo && { sudo -n true 2>/dev/null || { [[ -t 0 && -t 2 ]] && sudo -v; }; }; then
    echo sudo
  else
    return 1
  fi
}

# apt-get waits for dpkg's lock by itself, but not for the lock of the package lists.
update_package_lists() {
  local sudo="$1" deadline=$((SECONDS + LOCK_TIMEOUT)) output
  while ! output="$($sudo apt-get update -qq 2>&1)"; do
    if [[ "$output" != *"Could not get lock"* ]] || ((SECONDS > deadline)); then
      say "apt-get update: $output"
      return 0 # a repository that is down need not hold one of our packages
    fi
    sleep 2
  done
}

# Installs packages with apt, waiting for its locks. Without root: fails with the line to run by hand.
install_packages() {
  local sudo by_hand="sudo apt update && sudo apt install -y --no-install-recommends $*"
  sudo="$(root_command)" || fail "packages are missing and this is not root. Run this, then make again:
$by_hand"
  say "installing with apt: $*"
  update_package_lists "$sudo"
  # shellcheck disable=SC2086 # $sudo is empty for root
  $sudo env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get install -y -qq --no-install-recommends \
    -o "DPkg::Lock::Timeout=$LOCK_TIMEOUT" -o Dpkg::Use-Pty=0 "$@" >&2 ||
    fail "apt could not install them. Run this by hand to see why:
$by_hand"
}
