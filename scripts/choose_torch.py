"""Chooses the torch wheel to install, prints its size to stderr and its address to stdout.

usage: .venv/bin/python choose_torch.py REQUIREMENT | WHEEL

Without an NVIDIA device a CPU wheel is taken when one can be had: from pip's find-links (PIP_FIND_LINKS or
pip's configuration), else from PyTorch's CPU index, and only then what the package index gives, which may be
gigabytes.
"""

import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from typing import Optional

from pip._vendor.packaging.requirements import Requirement

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
REACH_TIMEOUT = 5  # seconds


def say(message: str) -> None:
    print(f"==> {message}", file=sys.stderr)


def has_nvidia_device() -> bool:
    return bool(glob.glob("/dev/nvidia*")) or shutil.which("nvidia-smi") is not None


def is_reachable(index: str) -> bool:
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=REACH_TIMEOUT):
            return True
    except (OSError, ValueError):
        return False


def resolve(requirement: str, *options: str) -> Optional[list[dict]]:
    """What pip would install, torch first, as items of its installation report; None if it finds no torch."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    result = subprocess.run(
        [*command, "--report", "-", *options, requirement],
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        if not options:
            print(result.stderr, end="", file=sys.stderr)
        return None
    items = json.loads(result.stdout)["install"]
    return sorted(items, key=lambda item: item["metadata"]["name"] != "torch")


def address(item: dict) -> str:
    return item["download_info"]["url"]


def needs_cuda(item: dict) -> bool:
    """CUDA builds of torch depend on NVIDIA's libraries, CPU builds do not."""
    for text in item["metadata"].get("requires_dist", []):
        requirement = Requirement(text)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and re.match(r"(nvidia|cuda)-", requirement.name):
            return True
    return False


def size_of(url: str) -> int:
    """Bytes to download; 0 when the server does not tell."""
    if url.startswith("file:"):
        return os.path.getsize(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=30) as response:
            return int(response.headers.get("Content-Length", 0))
    except (OSError, ValueError):
        return 0


def announce(items: list[dict], where: str) -> None:
    megabytes = sum(size_of(address(item)) for item in items) / 1e6
    size = f"{megabytes:,.0f} MB" if megabytes else "of unknown size"
    others = f" and {len(items) - 1} packages it needs" if len(items) > 1 else ""
    say(f"installing torch {items[0]['metadata']['version']}{others} from {where}: {size}")


def given_wheel(text: str) -> Optional[str]:
    if os.path.exists(text):
        return pathlib.Path(text).resolve().as_uri()
    return text if re.match(r"(https?|file)://", text) else None


def choose(requirement: str) -> str:
    wheel = given_wheel(requirement)
    if wheel:
        say(f"installing torch from {wheel}: {size_of(wheel) / 1e6:,.0f} MB")
        return wheel
    if not has_nvidia_device():
        local = resolve(requirement, "--no-index", "--no-deps")
        if local and not needs_cuda(local[0]):
            announce(local, "pip's find-links")
            return address(local[0])
        if is_reachable(CPU_INDEX):
            cpu = resolve(requirement, "--index-url", CPU_INDEX, "--no-deps")
            if cpu and not needs_cuda(cpu[0]):
                announce(cpu, CPU_INDEX)
                return address(cpu[0])
    items = resolve(requirement)
    if not items:
        python = f"Python {sys.version.split()[0]}"
        sys.exit(f"error: pip finds no {requirement} for {python}; give another with TORCH=, or TORCH=none")
    announce(items, "the package index")
    if needs_cuda(items[0]) and not has_nvidia_device():
        say("no CPU wheel could be had, so this one brings CUDA; TORCH=PATH_OF_WHEEL avoids it")
    return address(items[0])


if __name__ == "__main__":
    print(choose(sys.argv[1]))
