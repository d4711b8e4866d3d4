"""Exact algorithms around torch's optimizers, where the numbers of steps are known. For 16 ranks.

The problem is that of tests/multi/least_squares.hpp. Rank 0 alone takes the steps that lead to the optimum,
by the formulas, and all ranks together the first of them: many processes on a few CPUs are slow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import bluefog.torch as bf
import torch
from optimizer_checks import assert_close, of_all_ranks, sgd, vector
from torch import nn

RANKS, DIMS, ROWS = 16, 10, 20


class SplitMix64:
    """Random numbers that are the same in every language (Steele, Lea, Flood 2014; Box and Muller)."""

    def __init__(self, seed: int) -> None:
        self._state = seed
        self._pending: float | None = None

    def next(self) -> int:
        mask = (1 << 64) - 1
        self._state = z = (self._state + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def uniform(self) -> float:
        return ((self.next() >> 11) + 1) * 2.0**-53

    def normal(self) -> float:
        if self._pending is not None:
            value, self._pending = self._pending, None
            return value
        radius, angle = math.sqrt(-2 * math.log(self.uniform())), 2 * math.pi * self.uniform()
        self._pending = radius * math.sin(angle)
        return radius * math.cos(angle)

    def normals(self, *shape: int) -> torch.Tensor:
        numbers = [self.normal() for _ in range(math.prod(shape))]
        return torch.tensor(numbers, dtype=torch.float64).reshape(shape)


class Problem:
    """A least-squares problem for each rank: f_i(x) = |A_i x - b_i|^2 / (2 rows)."""

    def __init__(self) -> None:
        random = SplitMix64(2024)
        common = random.normals(DIMS)
        matrices, wanted = [], []
        for _ in range(RANKS):
            matrices.append(random.normals(ROWS, DIMS))
            at = common + random.normals(DIMS)
            wanted.append(matrices[-1] @ at + 0.1 * random.normals(ROWS))
        self.a, self.b = torch.stack(matrices), torch.stack(wanted)
        every, all_wanted = self.a.reshape(-1, DIMS), self.b.reshape(-1)
        self.optimum = torch.linalg.solve(every.T @ every, every.T @ all_wanted)

    def gradients(self, x: torch.Tensor) -> torch.Tensor:
        """Of each rank's function at its row of x."""
        residuals = torch.einsum("imd,id->im", self.a, x) - self.b
        return torch.einsum("imd,im->id", self.a, residuals) / ROWS

    def error(self, x: torch.Tensor) -> float:
        return float((x - self.optimum).square().sum(1).mean().sqrt() / self.optimum.norm())


class Model(nn.Module):
    """This rank's function, of x in two parameters."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.rest = nn.Parameter(torch.zeros(DIMS - 3, dtype=torch.float64))
        self.a, self.b = problem.a[bf.rank()], problem.b[bf.rank()]

    def forward(self) -> torch.Tensor:
        return (self.a @ torch.cat([self.first, self.rest]) - self.b).square().sum() / (2 * ROWS)


def matrices_of(schedule: bf.Schedule) -> list[torch.Tensor]:
    ranks = range(RANKS)
    rounds = [schedule.round(t) for t in range(schedule.period)]
    rows = [[[r.weight(receiver=i, sender=j) for j in ranks] for i in ranks] for r in rounds]
    return list(torch.tensor(rows, dtype=torch.float64))


def exact_diffusion(problem: Problem, w: list[torch.Tensor], lr: float) -> Iterator[torch.Tensor]:
    """All ranks' x after each step, by its formula."""
    x = before = torch.zeros(RANKS, DIMS, dtype=torch.float64)
    for t in itertools.count():
        psi = x - lr * problem.gradients(x)
        phi, before = psi + x - before, psi
        x = (phi + w[t % len(w)] @ phi) / 2
        yield x


def gradient_tracking(problem: Problem, w: list[torch.Tensor], lr: float) -> Iterator[torch.Tensor]:
    x = torch.zeros(RANKS, DIMS, dtype=torch.float64)
    q = g = problem.gradients(x)
    for t in itertools.count():
        x = w[t % len(w)] @ (x - lr * q)
        yield x
        before, g = g, problem.gradients(x)
        q = w[t % len(w)] @ (q + g - before)


def steps_needed(xs: Iterator[torch.Tensor], problem: Problem) -> int:
    """Until the root mean square of the ranks' relative errors is below 1e-10."""
    return next(t for t, x in enumerate(xs, 1) if problem.error(x) < 1e-10)


def expect(
    expected: int, make: Any, method: Any, lr: float, schedule: bf.Schedule, compared: int | None = None
) -> None:
    """The formula takes so many steps, and ranks are where it says after each of the first ones."""
    problem = Problem()
    steps = compared or expected
    xs = list(itertools.islice(method(problem, matrices_of(schedule), lr), steps))
    if bf.rank() == 0:
        assert steps_needed(method(problem, matrices_of(schedule), lr), problem) == expected
    model = Model(problem)
    optimizer = make(sgd(model, lr=lr), model, schedule=schedule)
    own = []
    for _ in range(steps):
        optimizer.zero_grad()
        model().backward()
        optimizer.step()
        own.append(vector(model))
    every = of_all_ranks(torch.stack(own)).transpose(0, 1)
    assert_close(every, torch.stack(xs), 1e-12)
    errors = [problem.error(x) for x in every]
    assert compared or (errors[-1] < 1e-10 < errors[-2]), errors[-3:]


def ring() -> bf.Schedule:
    return bf.static_schedule(bf.RingGraph(bf.size()))


def check_the_problem_is_the_known_one() -> None:
    assert (SplitMix64(2024).next(), SplitMix64(2024).normal()) == (0x9F6D8FECF88EECD5, 0.7971867263066108)
    optimum = Problem().optimum
    assert abs(optimum[0].item() - 1.18414077) < 1e-8 and abs(optimum.norm().item() - 3.51255391) < 1e-8


def check_exact_diffusion_on_a_ring() -> None:
    expect(435, bf.DistributedExactDiffusionOptimizer, exact_diffusion, 0.1, ring(), 50)
    expect(649, bf.DistributedExactDiffusionOptimizer, exact_diffusion, 0.05, ring(), 20)


def check_gradient_tracking_on_a_ring() -> None:
    expect(1102, bf.DistributedGradientTrackingOptimizer, gradient_tracking, 0.05, ring(), 50)
    expect(1623, bf.DistributedGradientTrackingOptimizer, gradient_tracking, 0.1, ring(), 20)


def check_gradient_tracking_over_schedules_to_the_optimum() -> None:
    """In as many steps as with the mean gradient of all ranks, which are 302."""
    make, n = bf.DistributedGradientTrackingOptimizer, bf.size()
    expect(302, make, gradient_tracking, 0.1, bf.one_peer_exponential(n))
    expect(301, make, gradient_tracking, 0.1, bf.one_peer_hypercube(n), 20)
    expect(302, make, gradient_tracking, 0.1, bf.static_schedule(bf.ExponentialTwoGraph(n)), 10)
