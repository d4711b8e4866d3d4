"""Asynchronous training of a small CNN on Fashion-MNIST: no rank waits for another, even if one is slow.

    bfrun -np 4 python examples/python/asynchronous_fashion_mnist.py --slow-rank 3

Each rank trains for --seconds, at its own pace: a step takes --step-time, of the slow rank --slow-factor
times as long; what computing leaves of it is sleep. There is no collective call until training is over. Then
the models that the ranks had meanwhile are evaluated; a picture and a JSON file are left in --output.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import bluefog.torch as bf
import torch
from complaint import give_up
from fashion_mnist import STATIC_TOPOLOGIES, Evaluator, make_model, positive
from fashion_mnist_data import Images, find_folder
from fashion_mnist_paced import PacedTrainer, Snapshots, endless_batches
from fashion_mnist_report import Distance, Evaluation, Run

OPTIMIZERS = {
    "win-put": bf.DistributedWinPutOptimizer,
    "pull-get": bf.DistributedPullGetOptimizer,
    "push-sum": bf.DistributedPushSumOptimizer,
    "ad-psgd": bf.DistributedADPSGDOptimizer,
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="push-sum")
    parser.add_argument("--topology", choices=STATIC_TOPOLOGIES, default="exp2")
    parser.add_argument("--seconds", type=float, default=30.0, help="of training")
    parser.add_argument(
        "--step-time", type=float, default=0.04, help="seconds; 0: as fast as the machine can"
    )
    parser.add_argument("--slow-rank", type=int, help="none unless told")
    parser.add_argument("--slow-factor", type=float, default=3.0)
    parser.add_argument("--batch-size", type=positive, default=32, help="images a step of each rank")
    parser.add_argument(
        "--lr", type=float, default=0.05, help="learning rate at the start; it falls to zero linearly in time"
    )
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--snapshot-time", type=float, default=2.0, help="seconds between two evaluated models"
    )
    parser.add_argument("--data", type=Path, help="folder of the four .gz files")
    parser.add_argument("--output", type=Path, default=Path("runs/asynchronous_fashion_mnist"))
    parser.add_argument("--no-plot", action="store_true")
    return parser.parse_args()


def train(args: argparse.Namespace, model: torch.nn.Module, images: Images) -> Snapshots:
    bf.broadcast_parameters(model.state_dict(), root_rank=0)
    bf.set_topology(STATIC_TOPOLOGIES[args.topology](bf.size()), is_weighted=True)
    base = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum)
    optimizer = OPTIMIZERS[args.optimizer](base, model=model)
    batches = endless_batches(images, args.batch_size, seed=1000 * (args.seed + bf.rank()))
    factor = args.slow_factor if bf.rank() == args.slow_rank else 1.0
    snapshots = Snapshots(model, args.snapshot_time)
    trainer = PacedTrainer(
        model,
        optimizer,
        batches,
        factor * args.step_time,
        snapshots,
        rate=lambda seconds: args.lr * max(0.0, 1 - seconds / args.seconds),
    )
    bf.barrier()
    trainer.train(args.seconds)
    optimizer.unregister_window()
    return snapshots


def evaluate(args: argparse.Namespace, snapshots: Snapshots, images: Images, test: Images) -> Run:
    """Collective."""
    model = copy.deepcopy(snapshots.model)
    evaluator = Evaluator(model, test)
    config = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    slow = "" if args.slow_rank is None else f", rank {args.slow_rank} slowed {args.slow_factor:g} times"
    run = Run({**config, "ranks": bf.size(), "style": args.optimizer + slow, "torch": torch.__version__})
    steps_per_epoch = len(images) / args.batch_size
    steps: list[int] = []
    for index in range(int(args.seconds / args.snapshot_time) + 1):
        snapshots.show(index, model)
        steps = bf.allgather(torch.tensor([snapshots.steps[index]])).tolist()
        mean_steps = sum(steps) / len(steps)
        moment = {
            "step": round(mean_steps),
            "epoch": mean_steps / steps_per_epoch,
            "seconds": index * args.snapshot_time,
        }
        run.evaluations.append(Evaluation(**moment, **evaluator.accuracies(len(test))))
        run.distances.append(Distance(**moment, value=bf.consensus_distance(model)))
    last = run.evaluations[-1]
    run.total = {
        "seconds": args.seconds,
        "steps": steps,
        "ranks": last.ranks,
        "mean_model": last.mean_model,
        "consensus_distance": run.distances[-1].value,
    }
    return run


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    bf.init()
    if args.slow_rank is not None and not 0 <= args.slow_rank < bf.size():
        give_up(f"--slow-rank {args.slow_rank}: ranks are 0 to {bf.size() - 1}")
    try:
        folder = find_folder(args.data)
    except FileNotFoundError as error:
        give_up(str(error))
    images = Images.read(folder, "train").share_of(bf.rank(), bf.size(), args.seed)
    run = evaluate(args, train(args, make_model(), images), images, Images.read(folder, "test"))
    if bf.rank() == 0:
        written = run.write(args.output, picture=not args.no_plot, over="seconds")
        ranks = " ".join(f"{100 * accuracy:.2f}" for accuracy in run.total["ranks"])
        print(
            f"{run.total['steps']} steps of the ranks in {args.seconds:g} s: accuracy {ranks} %, of the mean "
            f"model {100 * run.total['mean_model']:.2f} %; wrote {' and '.join(map(str, written))}"
        )
    bf.barrier()
    bf.shutdown()


if __name__ == "__main__":
    main()
