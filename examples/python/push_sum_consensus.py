"""Asynchronous push-sum: ranks agree on a mean, and none waits for the one that is ten times as slow.

    bfrun -np 4 python examples/python/push_sum_consensus.py --slow-rank 3 --plot consensus.png

Rank r starts with a vector x of the value r and a weight p of 1. In an iteration it computes (here: sleeps),
adds what has come from its in-neighbours to x and p, and gives equal shares of both to itself and its
out-neighbours. Nothing is lost, so x / p goes to the mean, whatever the pace of each rank (Kempe, Dobra,
Gehrke, "Gossip-Based Computation of Aggregate Information", FOCS 2003). Draws every rank's estimate over
time. Fails unless all agree and the sums of x and p stay what they were.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import bluefog.torch as bf
import torch
from complaint import give_up

WINDOW = "push-sum"
MOST_ERROR = 1e-6  # of a rank's estimate
MOST_MASS_LOST = 1e-12  # of the sums of x and p, relative
# Who has less of p collects, but gives no more, for x / p says nothing when both are 0: a rank that runs
# while all the others rest would come to that.
LEAST_P = 1e-100


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1000, help="elements of each rank's vector")
    parser.add_argument("--seconds", type=float, default=1, help="how long ranks iterate")
    parser.add_argument(
        "--compute", type=float, default=10, help="milliseconds an iteration sleeps, for computing"
    )
    parser.add_argument(
        "--slow-rank", type=int, default=-1, help="whose computing takes longer; -1: nobody's"
    )
    parser.add_argument("--slow-factor", type=float, default=10, help="so many times")
    parser.add_argument("--plot", type=Path, help="the picture; needs matplotlib")
    return parser.parse_args()


def iterate(arguments: argparse.Namespace, x: torch.Tensor) -> tuple[int, list[list[float]]]:
    """No rank waits for another in here. Gives how many there were, and (seconds, estimate) of exchanges."""
    seconds = arguments.compute / 1000
    if bf.rank() == arguments.slow_rank:
        seconds *= arguments.slow_factor
    # In float32, so that shares add up to 1 exactly in float64: 3 times 1/3 is less there.
    neighbors = bf.out_neighbor_ranks()
    share = torch.tensor(1 / (len(neighbors) + 1), dtype=torch.float32).item()
    kept = 1 - share * len(neighbors)

    begin = time.perf_counter()
    history: list[list[float]] = []

    def record() -> None:
        history.append([time.perf_counter() - begin, x[0].item() / bf.win_associated_p(WINDOW)])

    record()
    iterations = 0
    sending: int | None = None
    while time.perf_counter() - begin < arguments.seconds:
        time.sleep(seconds)
        iterations += 1
        # Shares travel while the next iteration computes. On a thin link they may need longer; then this rank
        # keeps what it has for another iteration.
        if sending is not None and not bf.win_poll(sending):
            continue
        if sending is not None:
            bf.win_wait(sending)
        bf.win_update_then_collect(WINDOW, require_mutex=False)
        record()
        sending = None
        if bf.win_associated_p(WINDOW) >= LEAST_P:
            sending = bf.win_accumulate_nonblocking(
                x, WINDOW, self_weight=kept, dst_weights=dict.fromkeys(neighbors, share)
            )
    if sending is not None:
        bf.win_wait(sending)
    bf.win_update_then_collect(WINDOW, require_mutex=False)
    record()
    return iterations, history


def draw(path: Path, histories: list[torch.Tensor], slow_rank: int, mean: float) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for rank, history in enumerate(histories):
        seconds, estimates = history[:, 0].tolist(), history[:, 1]
        label = f"rank {rank}" + (", slow" if rank == slow_rank else "")
        marker = "o" if rank == slow_rank else None
        left.plot(seconds, estimates.tolist(), linewidth=1, marker=marker, markersize=4, label=label)
        # No estimate is nearer than the numbers are to each other.
        error = (estimates - mean).abs().clamp(min=1e-16).tolist()
        right.semilogy(seconds, error, linewidth=1, marker=marker, markersize=4)
    left.axhline(mean, color="black", linewidth=1, linestyle=":", label="mean")
    left.set(xlabel="seconds", ylabel="estimate")
    left.legend(loc="upper right")
    right.axhline(MOST_ERROR, color="black", linewidth=1, linestyle=":")
    right.set(xlabel="seconds", ylabel="distance from the mean")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.suptitle(f"Asynchronous push-sum consensus of {len(histories)} ranks")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def gather_histories(history: list[list[float]]) -> list[torch.Tensor]:
    lengths = bf.allgather(torch.tensor([len(history)])).tolist()
    samples = bf.allgather(torch.tensor(history, dtype=torch.float64))
    return list(torch.split(samples, lengths))


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    bf.init()
    if arguments.slow_rank >= bf.size():
        give_up(f"--slow-rank {arguments.slow_rank}: ranks are 0 to {bf.size() - 1}")
    x = torch.full((arguments.size,), float(bf.rank()), dtype=torch.float64)
    bf.turn_on_win_ops_with_associated_p()
    bf.win_create(x, WINDOW, zero_init=True)
    bf.barrier()
    iterations, history = iterate(arguments, x)

    bf.barrier()  # all has arrived that was given
    bf.win_update_then_collect(WINDOW, require_mutex=False)
    p = torch.tensor([bf.win_associated_p(WINDOW)], dtype=torch.float64)
    total_p = bf.allreduce(p, average=False).item()
    total_x = bf.allreduce(x, average=False)
    bf.win_free(WINDOW)

    mean = (bf.size() - 1) / 2
    lost_p = abs(total_p - bf.size())
    lost_x = (total_x - bf.size() * mean).abs().max().item() / max(bf.size() * mean, 1)
    counts = bf.allgather(torch.tensor([iterations])).tolist()
    histories = gather_histories(history)
    errors = [abs(of_rank[-1, 1].item() - mean) for of_rank in histories]
    if bf.rank() == 0:
        for rank, (count, of_rank, error) in enumerate(zip(counts, histories, errors)):
            rate = count / of_rank[-1, 0].item()
            print(f"rank {rank}: {rate:.2f} iterations/s, error {error:.3e}")
        print(f"total p off by {lost_p:.3e}, total x by {lost_x:.3e}; worst error {max(errors):.3e}")
        if arguments.plot:
            draw(arguments.plot, histories, arguments.slow_rank, mean)
    if not all(error <= MOST_ERROR for error in errors) or max(lost_p, lost_x) > MOST_MASS_LOST:
        give_up(f"no consensus within {MOST_ERROR}, or mass lost beyond {MOST_MASS_LOST}")


if __name__ == "__main__":
    main()
