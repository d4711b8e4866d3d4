"""Training by the clock: steps of a set length, and the models of all ranks as they were over time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, Callable

import torch
from fashion_mnist_data import Batch, EpochBatches, Images, training_batches
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters


def endless_batches(images: Images, batch_size: int, seed: int) -> Iterator[Batch]:
    """Epoch after epoch, each in an order of its own."""
    order = EpochBatches(len(images), batch_size, seed)
    batches = training_batches(images, order, 0, "fork")
    while True:
        order.epoch += 1
        yield from batches


class Snapshots:
    """This rank's parameters at the moments 0, `interval`, 2 * `interval`, ... in seconds, and after how many
    steps.
    """

    def __init__(self, model: nn.Module, interval: float) -> None:
        self.model = model
        self.interval = interval
        self.steps: list[int] = []
        self._parameters: list[torch.Tensor] = []

    def __len__(self) -> int:
        return len(self.steps)

    def take(self, seconds: float, step: int) -> None:
        """Keeps the parameters for all moments up to `seconds` that have none yet: to be called just before
        they change.
        """
        while seconds >= len(self) * self.interval:
            self._parameters.append(parameters_to_vector(self.model.parameters()).detach())
            self.steps.append(step)

    def show(self, index: int, model: nn.Module) -> None:
        """Makes `model` what this rank's model was at moment `index`."""
        vector_to_parameters(self._parameters[index], model.parameters())


class PacedTrainer:
    """Trains at this rank's own pace: what computing leaves of `step_seconds` is sleep, so that a slow rank
    leaves the others no more of the machine. Calls no collective but what `model` and `optimizer` do.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        batches: Iterator[Batch],
        step_seconds: float,
        snapshots: Snapshots,
        rate: Callable[[float], float],
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.batches = batches
        self.step_seconds = step_seconds
        self.snapshots = snapshots
        self.rate = rate  # the learning rate after so many seconds
        self.loss = nn.CrossEntropyLoss()
        self.seconds = 0.0
        self.steps = 0

    def train(self, seconds: float, steps: float = math.inf) -> None:
        """Goes on until it has trained for so many seconds, or made so many steps, in all."""
        start = time.perf_counter() - self.seconds
        while self.seconds < seconds and self.steps < steps:
            due = start + self.seconds + self.step_seconds
            images, labels = next(self.batches)
            self.optimizer.zero_grad()
            self.loss(self.model(images), labels).backward()
            time.sleep(max(0.0, due - time.perf_counter()))
            self.snapshots.take(time.perf_counter() - start, self.steps)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate(self.seconds)
            self.optimizer.step()
            self.steps += 1
            self.seconds = time.perf_counter() - start
        self.snapshots.take(self.seconds, self.steps)
