"""A small made-up data set in the format of Fashion-MNIST."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_stripes(folder: Path, training_images: int = 600, test_images: int = 203) -> None:
    """Writes the four files: ten kinds of stripes, with noise."""
    random = np.random.default_rng(1)
    for part, count in (("train", training_images), ("t10k", test_images)):
        labels = random.integers(0, 10, count).astype(np.uint8)
        images = random.integers(0, 60, (count, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels):
            image[2 * label : 2 * label + 4] += 150
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            packed = gzip.compress(idx_bytes(array), compresslevel=1)
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(packed)
