"""Other ways into a host than its name: a command that enters its namespaces, and an sshd of our own."""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess

from bfrun_job import Job, wait_until
from network import run


def entering_command(job: Job, hidden: pathlib.Path, path: str) -> str:
    """For --ssh-command: the host's network, a mount of its own without `hidden`, and this PATH."""
    script = job.directory / "enter"
    marker = shlex.quote(job.marker)
    script.write_text(
        "#!/bin/sh\n"
        'exec ip netns exec "$1" unshare --mount sh -c '
        f'\'mount -t tmpfs tmpfs {hidden} && cd / && exec env -i {marker} PATH={path} sh -c "$1"\' sh "$2"\n'
    )
    script.chmod(0o755)
    return str(script)


class Sshd:
    """One sshd for root, and an `ssh` whose settings know it by any name in `names`."""

    def __init__(self, job: Job, address: str, names: list[str], namespace: str | None = None) -> None:
        self.directory = job.directory / f"sshd-{address}"
        self.directory.mkdir()
        for key in ("host_key", "user_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.directory / key))
        shutil.copy(self.directory / "user_key.pub", self.directory / "authorized_keys")
        self.address = address
        self.port = self.free_port() if namespace is None else 2222
        # sshd as root wants it, and only its package's service makes it.
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        (self.directory / "sshd_config").write_text(
            f"ListenAddress {address}\nPort {self.port}\nHostKey {self.directory}/host_key\nPidFile none\n"
            f"AuthorizedKeysFile {self.directory}/authorized_keys\nPermitRootLogin prohibit-password\n"
            f"StrictModes no\nUsePAM no\nSetEnv {job.marker}\n"
        )
        host_key = (self.directory / "host_key.pub").read_text()
        (self.directory / "known_hosts").write_text(f"{','.join(names)} {host_key}")
        self.write_settings(names, "user_key", "known_hosts")
        prefix = [] if namespace is None else ["ip", "netns", "exec", namespace]
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        assert sshd is not None, "no sshd: scripts/setup_cluster.sh installs it"
        self.process = subprocess.Popen(
            [*prefix, sshd, "-D", "-e", "-f", str(self.directory / "sshd_config")],
            stderr=(self.directory / "log").open("w"),
            start_new_session=True,
        )
        wait_until(lambda: "listening" in self.log(), "sshd to listen")

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def free_port(self) -> int:
        with socket.create_server((self.address, 0)) as listener:
            return int(listener.getsockname()[1])

    def write_settings(self, names: list[str], user_key: str, known_hosts: str) -> None:
        """The settings that stand in for those in the user's ~/.ssh."""
        settings = "".join(
            f"Host {name}\n  HostName {self.address}\n  HostKeyAlias {name}\n  User root\n"
            f"  IdentityFile {self.directory}/{user_key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.directory}/{known_hosts}\n  StrictHostKeyChecking yes\n"
            for name in names
        )
        (self.directory / "ssh_config").write_text(settings)
        bin_directory = self.directory / "bin"
        bin_directory.mkdir(exist_ok=True)
        script = bin_directory / "ssh"
        script.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {self.directory}/ssh_config "$@"\n')
        script.chmod(0o755)

    def path(self) -> str:
        return f"{self.directory / 'bin'}:{os.environ['PATH']}"

    def close(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
