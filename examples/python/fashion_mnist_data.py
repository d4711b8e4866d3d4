"""Fashion-MNIST from its four files, split between ranks."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
#: Where the Debian package dataset-fashion-mnist puts them.
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
PIXEL_MEAN, PIXEL_STD = 0.2860, 0.3530

Batch = tuple[torch.Tensor, torch.Tensor]


def find_folder(asked: Path | None) -> Path:
    """The folder that holds the four files. Raises FileNotFoundError, saying what to put where"""
    names = [name for pair in FILES.values() for name in pair]
    candidates = [asked] if asked is not None else [Path("data/fashion-mnist"), SYSTEM_FOLDER]
    for folder in candidates:
        if all((folder / name).is_file() for name in names):
            return folder
    raise FileNotFoundError(
        f"put {', '.join(names)} into {candidates[0]} (or install the Debian package dataset-fashion-mnist)"
    )


def read_idx(path: Path) -> torch.Tensor:
    """The uint8 array of a gzipped IDX file (http://yann.lecun.com/exdb/mnist/ defines the format)."""
    raw = gzip.decompress(path.read_bytes())
    zeros, kind, dimensions = raw[:2], raw[2], raw[3]
    if zeros != b"\0\0" or kind != 0x08:
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    start = 4 + 4 * dimensions
    shape = np.frombuffer(raw, ">u4", dimensions, offset=4).astype(int)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy())


def scaled(images: torch.Tensor) -> torch.Tensor:
    """uint8 images [n, 28, 28] as float32 [n, 1, 28, 28] of about zero mean and unit variance."""
    return images.unsqueeze(1).to(torch.float32).div_(255).sub_(PIXEL_MEAN).div_(PIXEL_STD)


class Images(torch.utils.data.Dataset):
    """Images and labels; an index is a whole batch of indices."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images = images
        self.labels = labels.long()

    @classmethod
    def read(cls, folder: Path, part: str) -> Images:
        images, labels = (read_idx(folder / name) for name in FILES[part])
        return cls(images, labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        return scaled(self.images[indices]), self.labels[indices]

    def share_of(self, rank: int, size: int, seed: int, limit: int | None = None) -> Images:
        """This rank's part of a common shuffle; all parts are of one length, so that all ranks make as many
        steps.
        """
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:limit]
        own = order[rank::size][: len(order) // size]
        return Images(self.images[own].clone(), self.labels[own].clone())

    def shards_of(self, rank: int, size: int, seed: int, shards: int, limit: int | None = None) -> Images:
        """This rank's part if images are sorted by label, cut in `shards` pieces for each rank, and the
        pieces dealt out: it sees few labels. (McMahan et al., AISTATS 2017)
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(self), generator=generator)[:limit]
        chosen = chosen[torch.argsort(self.labels[chosen], stable=True)]
        each = len(chosen) // (shards * size)
        pieces = torch.randperm(shards * size, generator=generator)[rank * shards : (rank + 1) * shards]
        own = torch.cat([chosen[piece * each : (piece + 1) * each] for piece in pieces.tolist()])
        return Images(self.images[own].clone(), self.labels[own].clone())


class EpochBatches(torch.utils.data.Sampler):
    """Index batches of one epoch, in an order that depends on seed and `epoch` only, which the user sets."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return iter(torch.randperm(self.count, generator=generator).split(self.batch_size))


def training_batches(
    images: Images, batches: EpochBatches, workers: int, start_method: str
) -> Sequence[Batch]:
    """An iterable of one epoch's batches, each time that it is iterated; by worker processes if there are
    any.
    """
    context = start_method if workers > 0 else None
    return torch.utils.data.DataLoader(
        images,
        sampler=batches,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context=context,
        persistent_workers=workers > 0,
    )
