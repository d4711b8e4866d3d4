"""Hosts as network namespaces on one switch. As root."""

from __future__ import annotations

import subprocess
import uuid


def run(*command: str, namespace: str | None = None) -> str:
    prefix = [] if namespace is None else ["ip", "netns", "exec", namespace]
    result = subprocess.run([*prefix, *command], text=True, capture_output=True, timeout=60, check=False)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"
    return result.stdout


class Network:
    """`count` hosts, the i-th with 10.77.0.<i + 1> on eth0 and 10.78.0.<i + 1> on data0.

    The switch is a namespace too, so nothing of it shows in this machine's network.
    """

    def __init__(self, count: int) -> None:
        prefix = f"bf{uuid.uuid4().hex[:6]}"
        self.switch = f"{prefix}sw"
        self.hosts = [f"{prefix}h{i}" for i in range(count)]
        try:
            self.build()
        except BaseException:
            self.close()
            raise

    def build(self) -> None:
        for namespace in (self.switch, *self.hosts):
            run("ip", "netns", "add", namespace)
            run("ip", "link", "set", "lo", "up", namespace=namespace)
        run("ip", "link", "add", "bridge", "type", "bridge", namespace=self.switch)
        run("ip", "link", "set", "bridge", "up", namespace=self.switch)
        for i, host in enumerate(self.hosts):
            peer = ["peer", "name", "eth0", "netns", host]
            run("ip", "link", "add", f"port{i}", "type", "veth", *peer, namespace=self.switch)
            run("ip", "link", "set", f"port{i}", "master", "bridge", "up", namespace=self.switch)
            run("ip", "link", "add", "data0", "type", "bridge", namespace=host)
            for interface, subnet in (("eth0", "10.77.0"), ("data0", "10.78.0")):
                address = f"{subnet}.{i + 1}/24"
                run("ip", "address", "add", address, "dev", interface, namespace=host)
                run("ip", "link", "set", interface, "up", namespace=host)

    def shape(self, megabits_per_second: int) -> None:
        """Limits every port in both directions."""
        for host in range(len(self.hosts)):
            self.shape_port(host, megabits_per_second)

    def shape_port(self, host: int, megabits_per_second: int) -> None:
        """Instead of the limit that it has. The burst is what passes in two milliseconds."""
        burst = max(16_384, megabits_per_second * 250)
        limits = ["rate", f"{megabits_per_second}mbit", "burst", str(burst), "latency", "50ms"]
        for device, namespace in (("eth0", self.hosts[host]), (f"port{host}", self.switch)):
            run("tc", "qdisc", "replace", "dev", device, "root", "tbf", *limits, namespace=namespace)

    def use_congestion_control(self, name: str) -> None:
        """For every connection to another host, whatever this kernel's default is."""
        for host in self.hosts:
            run("ip", "route", "change", "10.77.0.0/24", "dev", "eth0", "congctl", name, namespace=host)

    def cut(self, host: int) -> None:
        """Packets vanish; no end notices anything by itself."""
        run("ip", "link", "set", f"port{host}", "nomaster", namespace=self.switch)

    def close(self) -> None:
        for namespace in (*self.hosts, self.switch):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, timeout=60, check=False)

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
