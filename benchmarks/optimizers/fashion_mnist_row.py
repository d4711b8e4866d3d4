"""The ranks of one row of fashion_mnist_table.py, which starts them: the example's training by its own
algorithms, by those whose ranks do not wait for each other, and by plain torch.

The options are those of examples/python/fashion_mnist.py. Leaves run.json in --output.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import bluefog.torch as bf
import torch
import torch.distributed as dist
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/python"))
import asynchronous_fashion_mnist
import fashion_mnist
from fashion_mnist_data import Images
from fashion_mnist_report import Run

ASYNCHRONOUS = asynchronous_fashion_mnist.OPTIMIZERS
#: Of torch alone: every rank's steps by itself, and DistributedDataParallel.
PLAIN = ("sgd", "ddp")


class Trainer(fashion_mnist.Trainer):
    """Its ranks are together at the beginning and when they are evaluated, which they may not be in between:
    the time is that of the slowest.
    """

    distances_per_epoch = 1

    def __init__(self, args: argparse.Namespace, train: Images, test: Images) -> None:
        super().__init__(args, train, test)
        bf.barrier()

    def _distribute(self) -> tuple[nn.Module, Any]:
        if self.args.algorithm in ASYNCHRONOUS:
            graph = fashion_mnist.STATIC_TOPOLOGIES[self.args.topology](bf.size())
            bf.set_topology(graph, is_weighted=True)
            base = fashion_mnist.make_base(self.args, self.model)
            return self.model, ASYNCHRONOUS[self.args.algorithm](base, model=self.model)
        if self.args.algorithm not in PLAIN:
            return super()._distribute()
        base = fashion_mnist.make_base(self.args, self.model)
        if self.args.algorithm == "sgd":
            return self.model, base
        return nn.parallel.DistributedDataParallel(self.model), base

    def _measure_distance(self) -> None:
        bf.barrier()
        super()._measure_distance()

    def _evaluate(self, whole: bool) -> None:
        super()._evaluate(whole and self.step == self.args.epochs * self.steps_per_epoch)
        bf.barrier()

    def train(self) -> Run:
        run = super().train()
        seconds = float(bf.allgather(torch.tensor([self.seconds], dtype=torch.float64)).max())
        run.total.update(seconds=seconds, samples_per_second=run.total["samples"] / seconds)
        if self.args.algorithm in ASYNCHRONOUS:
            self.optimizer.unregister_window()
        return run


def main() -> None:
    args = fashion_mnist.parse_arguments([*ASYNCHRONOUS, *PLAIN])
    bf.init()
    if args.algorithm == "ddp":
        address = f"tcp://127.0.0.1:{os.environ['MASTER_PORT']}"
        dist.init_process_group("gloo", rank=bf.rank(), world_size=bf.size(), init_method=address)
    run = Trainer(args, *fashion_mnist.own_images(args)).train()
    if bf.rank() == 0:
        run.write(args.output, picture=False)
    if args.algorithm == "ddp":
        dist.destroy_process_group()
    bf.barrier()
    bf.shutdown()


if __name__ == "__main__":
    main()
