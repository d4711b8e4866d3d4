"""Stands in for ssh and sshd: other "hosts" whose processes do not descend from bfrun.

A server (serve) runs commands as sshd does: in the home directory, with few variables, in a session of its
own, with nothing but three streams to whoever asked. A client (main, for --ssh-command) relays these streams
and ends with the command's exit code. Killing either is felt at the other end by the streams alone.
"""

from __future__ import annotations

import array
import os
import pathlib
import socket
import subprocess
import sys
import threading


def relay(source: int, target: int) -> None:
    """Until the source ends or the target takes no more; then the target is told that it is the end."""
    try:
        while chunk := os.read(source, 65536):
            view = memoryview(chunk)
            while view:
                view = view[os.write(target, view) :]
    except OSError:
        pass
    finally:
        os.close(target)


def main() -> int:
    """fake_ssh.py SOCKET HOST COMMAND."""
    _, path, host, command = sys.argv
    if not pathlib.Path(path).exists():
        print(f"ssh: connect to host {host} port 22: Connection refused", file=sys.stderr)
        return 255
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.connect(path)
    pipes = [os.pipe() for _ in range(3)]
    theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
    request = f"{host}\0{command}".encode()
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", theirs))
    control.sendmsg([len(request).to_bytes(4, "little") + request], [rights])
    for fd in theirs:
        os.close(fd)
    threading.Thread(target=relay, args=(0, pipes[0][1]), daemon=True).start()
    outputs = [
        threading.Thread(target=relay, args=(pipes[target][0], target), daemon=True) for target in (1, 2)
    ]
    for thread in outputs:
        thread.start()
    code = control.recv(1)
    for thread in outputs:
        thread.join()
    return code[0] if code else 255


def serve_client(control: socket.socket, environment: dict[str, str], directory: pathlib.Path) -> None:
    with control:
        data, ancillary, _, _ = control.recvmsg(1 << 20, socket.CMSG_SPACE(3 * 4))
        fds = array.array("i")
        for _, _, rights in ancillary:
            fds.frombytes(rights)
        size = int.from_bytes(data[:4], "little") + 4
        while len(data) < size:
            data += control.recv(1 << 20)
        host, command = data[4:].decode().split("\0")
        with (directory / "commands").open("a") as log:
            log.write(f"{host}\0{command}\n")
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=fds[0],
            stdout=fds[1],
            stderr=fds[2],
            env={**environment, "FAKE_HOST": host},
            cwd=directory / "home",
            start_new_session=True,
        )
        for fd in fds:
            os.close(fd)
        code = process.wait()
        try:
            control.send(bytes([code if code >= 0 else 255]))
        except OSError:
            pass  # the client is gone


def serve(path: str, environment: dict[str, str], directory: pathlib.Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path + ".new")
    listener.listen(64)
    os.rename(path + ".new", path)
    while True:
        control, _ = listener.accept()
        threading.Thread(target=serve_client, args=(control, environment, directory), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
