"""Decentralized training of a small CNN on Fashion-MNIST.

    bfrun -np 4 python examples/python/fashion_mnist.py

Every rank trains on its own part of the data and averages its parameters with neighbours in each step: by
default with one other rank, whose distance is 1, 2, 4, ... in turn. Leaves a picture and a JSON file in
--output.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bluefog.torch as bf
import torch
from complaint import give_up
from fashion_mnist_data import EpochBatches, Images, find_folder, scaled, training_batches
from fashion_mnist_report import Distance, Evaluation, Run
from torch import nn
from tqdm import tqdm

STATIC_TOPOLOGIES = {
    "ring": bf.RingGraph,
    "exp2": bf.ExponentialTwoGraph,
    "grid": bf.MeshGrid2DGraph,
    "star": bf.StarGraph,
    "full": bf.FullyConnectedGraph,
}
#: Name -> factory, and whether it takes a schedule.
ALGORITHMS = {
    "awc": (bf.DistributedAdaptWithCombineOptimizer, True),
    "atc": (bf.DistributedAdaptThenCombineOptimizer, True),
    "gradient-allreduce": (bf.DistributedGradientAllreduceOptimizer, False),
    "gradient-tracking": (bf.DistributedGradientTrackingOptimizer, True),
    "exact-diffusion": (bf.DistributedExactDiffusionOptimizer, True),
    "qg-momentum": (bf.DistributedQuasiGlobalMomentumOptimizer, True),
    "decentlam": (bf.DistributedDecentLaMOptimizer, True),
    "gradient-push": (bf.DistributedGradientPushOptimizer, True),
    "gossip-pga": (bf.DistributedGossipPGAOptimizer, True),
    "local-sgd": (bf.DistributedLocalSGDOptimizer, False),
    "slowmo": (bf.DistributedSlowMoOptimizer, False),
    "diloco": (bf.DistributedDiLoCoOptimizer, False),
    "noloco": (bf.DistributedNoLoCoOptimizer, False),
}
#: They mix in every step.
ALWAYS = ("gradient-tracking", "exact-diffusion", "qg-momentum", "decentlam")
TEST_CHUNK = 500


def positive(text: str) -> int:
    """For argparse, whose errors name the type of what is wrong: a positive number."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def parse_arguments(more_algorithms: Iterable[str] = ()) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topology", choices=["one-peer", *STATIC_TOPOLOGIES], default="one-peer")
    parser.add_argument(
        "--algorithm", choices=[*ALGORITHMS, *more_algorithms], default="awc", help="see docs/optimizers.md"
    )
    parser.add_argument("--epochs", type=positive, default=3)
    parser.add_argument("--batch-size", type=positive, default=32, help="images a step of each rank")
    parser.add_argument(
        "--lr", type=float, default=0.05, help="learning rate at the start; it falls to zero linearly"
    )
    parser.add_argument("--momentum", type=float, default=0.9, help="of SGD")
    parser.add_argument("--base", choices=["sgd", "adamw"], default="sgd", help="what the algorithm wraps")
    parser.add_argument(
        "--steps-per-communication", type=positive, help="default: what is usual for the algorithm"
    )
    parser.add_argument(
        "--label-shards",
        type=positive,
        help="sort the images by label, and give each rank only so many pieces of them",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--limit", type=positive, help="use only so many training images; one a rank at least"
    )
    parser.add_argument("--num-workers", type=int, default=0, help="processes of each rank that load data")
    parser.add_argument("--mp-context", choices=["fork", "spawn"], default="fork")
    parser.add_argument("--data", type=Path, help="folder of the four .gz files")
    parser.add_argument("--output", type=Path, default=Path("runs/fashion_mnist"))
    parser.add_argument(
        "--evaluations", type=positive, default=4, help="evaluations an epoch; only the last is on all images"
    )
    parser.add_argument("--no-plot", action="store_true")
    return parser.parse_args()


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def make_base(args: argparse.Namespace, model: nn.Module) -> torch.optim.Optimizer:
    if args.base == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=args.lr)
    momentum = 0.0 if args.algorithm == "qg-momentum" else args.momentum  # there it is the algorithm's
    return torch.optim.SGD(model.parameters(), lr=args.lr, momentum=momentum)


def make_optimizer(args: argparse.Namespace, model: nn.Module) -> Any:
    """The base with the algorithm, over the topology, asked for."""
    make, takes_schedule = ALGORITHMS[args.algorithm]
    options: dict[str, Any] = {}
    if args.topology != "one-peer":
        bf.set_topology(STATIC_TOPOLOGIES[args.topology](bf.size()), is_weighted=True)
    elif takes_schedule:
        options["schedule"] = bf.one_peer_exponential(bf.size())
    if args.steps_per_communication is not None:
        if args.algorithm in ALWAYS:
            give_up(f"--algorithm {args.algorithm} mixes in every step: leave out --steps-per-communication")
        options["num_steps_per_communication"] = args.steps_per_communication
    if args.algorithm == "qg-momentum":
        options["momentum"] = args.momentum
    try:
        return make(make_base(args, model), model=model, **options)
    except ValueError as error:
        give_up(f"--algorithm {args.algorithm} --topology {args.topology}: {error}")


class Evaluator:
    """Measures the models of all ranks. Every method is collective."""

    def __init__(self, model: nn.Module, test: Images) -> None:
        self.model = model
        self.images = scaled(test.images).to(memory_format=torch.channels_last)  # twice as fast
        self.labels = test.labels

    def accuracies(self, count: int) -> dict[str, Any]:
        """Of every rank's own model, and of the mean model, on the first `count` test images."""
        own = torch.tensor([self._correct(range(0, count, TEST_CHUNK), count) / count])
        ranks = bf.allgather(own).tolist()
        return {"images": count, "ranks": ranks, "mean_model": self.accuracy_of_mean(count)}

    def accuracy_of_mean(self, count: int) -> float:
        """Of the mean model, on the first `count` test images."""
        share = range(bf.rank() * TEST_CHUNK, count, bf.size() * TEST_CHUNK)
        with bf.mean_model(self.model):
            correct = torch.tensor([float(self._correct(share, count))])
        return float(bf.allreduce(correct, average=False)) / count

    @torch.inference_mode()
    def _correct(self, starts: range, count: int) -> int:
        correct = 0
        self.model.eval()
        for start in starts:
            chunk = slice(start, min(start + TEST_CHUNK, count))
            correct += int((self.model(self.images[chunk]).argmax(1) == self.labels[chunk]).sum())
        self.model.train()
        return correct


class Trainer:
    distances_per_epoch = 20

    def __init__(self, args: argparse.Namespace, train: Images, test: Images) -> None:
        self.args = args
        torch.manual_seed(args.seed)
        self.model = make_model()
        bf.broadcast_parameters(self.model.state_dict(), root_rank=0)
        self.evaluator = Evaluator(self.model, test)
        self.called, self.optimizer = self._distribute()
        self.order = EpochBatches(len(train), args.batch_size, seed=1000 * (args.seed + bf.rank()))
        self.batches = training_batches(train, self.order, args.num_workers, args.mp_context)
        self.steps_per_epoch = len(self.order)
        self.samples_per_epoch = len(train) * bf.size()
        steps = args.epochs * self.steps_per_epoch
        self.rate = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: max(0.0, 1 - step / steps))
        self.loss = nn.CrossEntropyLoss()
        self.step = 0
        self.seconds = 0.0
        config = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
        self.run = Run({**config, "ranks": bf.size(), "style": args.algorithm, "torch": torch.__version__})
        self.progress: tqdm | None = None

    def _distribute(self) -> tuple[nn.Module, Any]:
        """What is called in training, and the optimizer."""
        return self.model, make_optimizer(self.args, self.model)

    def train(self) -> Run:
        total = self.args.epochs * self.samples_per_epoch
        self.progress = tqdm(
            total=total, unit=" samples", unit_scale=True, disable=bf.rank() != 0, mininterval=0.5
        )
        with self.progress:
            self._evaluate(whole=False)
            for epoch in range(1, self.args.epochs + 1):
                before = self.seconds
                self.order.epoch = epoch
                self._train_epoch()
                self._report_epoch(epoch, self.seconds - before)
        rate = total / self.seconds if self.seconds > 0 else 0.0
        last = self.run.evaluations[-1]
        self.run.total = {
            "samples": total,
            "seconds": self.seconds,
            "samples_per_second": rate,
            "ranks": last.ranks,
            "mean_model": last.mean_model,
            "consensus_distance": self.run.distances[-1].value,
        }
        return self.run

    def _train_epoch(self) -> None:
        evaluations = self._evenly(self.args.evaluations)
        distances = self._evenly(self.distances_per_epoch) | evaluations
        started = time.perf_counter()
        for index, (images, labels) in enumerate(self.batches, 1):
            self.optimizer.zero_grad()
            loss = self.loss(self.called(images), labels)
            loss.backward()
            self.optimizer.step()
            self.rate.step()
            self.step += 1
            self.progress.update(len(labels) * bf.size())
            if index in distances:
                self.seconds += time.perf_counter() - started
                self.progress.set_postfix(loss=f"{loss.item():.3f}")
                self._measure_distance()
                if index in evaluations:
                    self._evaluate(whole=index == self.steps_per_epoch)
                started = time.perf_counter()

    def _evenly(self, times: int) -> set[int]:
        """So many steps of an epoch, the last one among them."""
        times = min(max(1, times), self.steps_per_epoch)
        return {self.steps_per_epoch * part // times for part in range(1, times + 1)}

    def _moment(self) -> dict[str, Any]:
        return {"step": self.step, "epoch": self.step / self.steps_per_epoch, "seconds": self.seconds}

    def _measure_distance(self) -> None:
        self.run.distances.append(Distance(**self._moment(), value=bf.consensus_distance(self.model)))

    def _evaluate(self, whole: bool) -> None:
        count = len(self.evaluator.labels)
        accuracies = self.evaluator.accuracies(count if whole else min(count, 4 * TEST_CHUNK))
        self.run.evaluations.append(Evaluation(**self._moment(), **accuracies))

    def _report_epoch(self, epoch: int, seconds: float) -> None:
        evaluation, distance = self.run.evaluations[-1], self.run.distances[-1]
        rate = self.samples_per_epoch / seconds
        self.run.epochs.append(
            {
                "epoch": epoch,
                "ranks": evaluation.ranks,
                "mean_model": evaluation.mean_model,
                "consensus_distance": distance.value,
                "seconds": seconds,
                "samples_per_second": rate,
            }
        )
        if bf.rank() == 0:
            ranks = " ".join(f"{100 * accuracy:.2f}" for accuracy in evaluation.ranks)
            self.progress.write(
                f"epoch {epoch}: accuracy of ranks {ranks} %, of the mean model "
                f"{100 * evaluation.mean_model:.2f} %, "
                f"consensus distance {distance.value:.3g}, {rate:,.0f} samples/s"
            )


def own_images(args: argparse.Namespace) -> tuple[Images, Images]:
    """What this rank trains on, and all test images."""
    try:
        folder = find_folder(args.data)
    except FileNotFoundError as error:
        give_up(str(error))
    train = Images.read(folder, "train")
    if args.label_shards is None:
        train = train.share_of(bf.rank(), bf.size(), args.seed, args.limit)
    else:
        train = train.shards_of(bf.rank(), bf.size(), args.seed, args.label_shards, args.limit)
    if len(train) == 0:
        give_up(f"--limit {args.limit} leaves some of {bf.size()} ranks without an image")
    return train, Images.read(folder, "test")


def main() -> None:
    args = parse_arguments()
    bf.init()
    run = Trainer(args, *own_images(args)).train()
    if bf.rank() == 0:
        written = run.write(args.output, picture=not args.no_plot)
        print(
            f"{run.total['samples']:,} samples in {run.total['seconds']:.1f} s of training "
            f"({run.total['samples_per_second']:,.0f} samples/s); wrote {' and '.join(map(str, written))}"
        )
    bf.barrier()
    bf.shutdown()


if __name__ == "__main__":
    main()
