"""A link that delays and loses packets, which not every kernel can imitate: a relay between TUN devices."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000


def open_tun(namespace: str, address: str) -> int:
    """A TUN device in the namespace, where this process is from then on."""
    with open(f"/run/netns/{namespace}") as target:
        if ctypes.CDLL(None, use_errno=True).setns(target.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"tun0", IFF_TUN | IFF_NO_PI))
    if os.system(f"ip address add {address}/24 dev tun0 && ip link set tun0 txqueuelen 10000 up") != 0:
        raise OSError(f"cannot configure tun0 in {namespace}")
    return tun


def relay(first: int, second: int, delay: float, loss: float) -> None:
    """Until the process is killed. @param delay  seconds, each way; @param loss  share of packets"""
    towards = {first: second, second: first}
    under_way: deque[tuple[float, int, bytes]] = deque()
    random.seed(1)
    while True:
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, to, packet = under_way.popleft()
            try:
                os.write(to, packet)
            except BlockingIOError:
                pass  # a full queue loses packets, too
        timeout = max(0.0, under_way[0][0] - now) if under_way else None
        readable, _, _ = select.select([first, second], [], [], timeout)
        for tun in readable:
            for _ in range(64):
                try:
                    packet = os.read(tun, 65536)
                except BlockingIOError:
                    break
                if random.random() >= loss:
                    under_way.append((time.monotonic() + delay, towards[tun], packet))


if __name__ == "__main__":
    first_namespace, second_namespace, milliseconds, percent = sys.argv[1:]
    first_tun = open_tun(first_namespace, "10.79.0.1")
    second_tun = open_tun(second_namespace, "10.79.0.2")
    print("ready", flush=True)
    relay(first_tun, second_tun, float(milliseconds) / 1000, float(percent) / 100)
