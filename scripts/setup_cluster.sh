#!/usr/bin/env bash
# Installs what the cluster tests need beside set-up's: ip, ssh, sshd, faketime, Open MPI's mpirun, and what makes
# Debian packages.
source "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

missing=()
PATH="$PATH:/usr/sbin:/sbin"
have ip || missing+=(iproute2)
have mpirun || missing+=(openmpi-bin)
have ssh || missing+=(openssh-client)
have faketime || missing+=(faketime)
have dpkg-shlibdeps || missing+=(dpkg-dev)
if ! have sshd; then
  # Its package starts a daemon for everybody where there is somebody to start it; the tests run one of their own.
  [[ ! -d /run/systemd/system ]] || fail "the cluster tests need sshd, and its package would start it on this machine. By hand:
sudo apt install openssh-server && sudo systemctl disable --now ssh.service ssh.socket"
  missing+=(openssh-server)
fi
((${#missing[@]} == 0)) || install_packages "${missing[@]}"
