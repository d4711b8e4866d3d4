"""A data loader's worker that writes to the model, and outlives its killed rank; for three ranks.

Not a script of checks: rank 0 is killed, the others report what they have seen of it.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import time
from typing import Any

import bluefog.torch as bf
import torch
from job import report
from torch.utils.data import DataLoader, Dataset

DIRECTORY = pathlib.Path(os.environ["JOB_DIRECTORY"])
PATIENCE = 100.0
OF_THE_WORKER = 777.0
SURVIVORS = (1, 2)


def tell(name: str, value: Any) -> None:
    """Leaves a message for the other processes, whole or not at all."""
    unfinished = DIRECTORY / f"{name}.unfinished"
    unfinished.write_text(json.dumps(value))
    unfinished.rename(DIRECTORY / name)


def hear(name: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (DIRECTORY / name).exists():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {name}"
        time.sleep(0.002)
    return json.loads((DIRECTORY / name).read_text())


def descriptors() -> set[str]:
    """Sockets (by inode), arenas and pidfds that this process holds open."""
    names = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            names.add(os.readlink(f"/proc/self/fd/{entry}"))
        except OSError:
            pass  # the one of the listing
    return {name for name in names if name.startswith("socket:") or "memfd" in name or "pidfd" in name}


def is_filled(model: torch.nn.Module, value: float) -> bool:
    return all(bool((parameter == value).all()) for parameter in model.parameters())


def fill(model: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


class Meddler(Dataset):
    """Its only item is made by a worker that writes to the model, before and after the death of its rank."""

    def __init__(self, model: torch.nn.Module, descriptors_of_rank: set[str]) -> None:
        self.model = model
        self.descriptors_of_rank = descriptors_of_rank

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> torch.Tensor:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # bfrun ends what a dead rank leaves in its session
        fill(self.model, OF_THE_WORKER)
        tell(
            "worker",
            {
                "pid": os.getpid(),
                "has written": is_filled(self.model, OF_THE_WORKER),
                "holds": sorted(descriptors() & self.descriptors_of_rank),
                "is a rank": bf.is_initialized(),
            },
        )
        for rank in SURVIVORS:
            hear(f"rank {rank} knows")
        fill(self.model, OF_THE_WORKER + 1)
        tell("worker again", is_filled(self.model, OF_THE_WORKER + 1))
        return torch.zeros(1)


def lives(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def train_until_killed(model: torch.nn.Module, descriptors_of_rank: set[str]) -> None:
    """Rank 0: starts the worker, trains a step beside it, and dies."""
    loader = DataLoader(
        Meddler(model, descriptors_of_rank), num_workers=1, multiprocessing_context="fork", timeout=PATIENCE
    )
    batches = iter(loader)  # starts the worker, which begins with the first item at once
    hear("worker")
    untouched = is_filled(model, 0.0)
    bf.allreduce_parameters(dict(model.named_parameters()))
    tell("trainer", {"untouched": untouched, "after a step": is_filled(model, 1.0)})
    bf.barrier()
    tell("time of death", time.monotonic())
    os.kill(os.getpid(), signal.SIGKILL)
    del batches


def survive(model: torch.nn.Module) -> None:
    """The other ranks: they wait for rank 0, and then train on without it."""
    bf.allreduce_parameters(dict(model.named_parameters()))
    bf.barrier()
    lost = None
    try:
        bf.allreduce(torch.ones(1), name="with rank 0")
    except bf.PeerLostError as error:
        lost = str(error)
    learned = time.monotonic()
    worker = hear("worker")
    worker_lives = lives(worker["pid"])
    tell(f"rank {bf.rank()} knows", True)
    wrote_again = hear("worker again")
    report(
        {
            "lost": lost,
            "seconds until learned": learned - hear("time of death"),
            "worker": worker,
            "worker lives": worker_lives,
            "worker wrote again": wrote_again,
            "trainer": hear("trainer"),
            "untouched": is_filled(model, 1.0),
        }
    )


if __name__ == "__main__":
    before = descriptors()
    bf.init()
    of_rank = descriptors() - before
    assert any("memfd" in name for name in of_rank), of_rank
    net = torch.nn.Linear(50, 40)
    bf.share_parameters_(net)
    fill(net, float(bf.rank()))
    bf.barrier()
    if bf.rank() == 0:
        train_until_killed(net, of_rank)
    else:
        survive(net)
