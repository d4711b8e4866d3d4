"""Trains with every synchronous optimizer, and reports a hash of the parameters that each rank ends with.

The model has more than 64 KB in a bucket, so that ranks mix by slices where they can.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from typing import Any

import bluefog.torch as bf
import torch
from job import report
from optimizer_checks import ATC, AWC, inputs, seeded, sgd, train_step, vector
from torch import nn

STEPS = 5


def model_of(seed: int = 1) -> nn.Module:
    return seeded(nn.Sequential(nn.Linear(4, 150), nn.Tanh(), nn.Linear(150, 150), nn.Linear(150, 2)), seed)


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return sgd(model, lr=1e-4, momentum=0.9)


def plain(model: nn.Module) -> torch.optim.Optimizer:
    return sgd(model, lr=1e-4)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


#: Every synchronous algorithm, with a base, and settings with which a few steps show all that it does.
OPTIMIZERS: dict[str, tuple[Any, Callable[[nn.Module], torch.optim.Optimizer], dict[str, Any]]] = {
    "AdaptWithCombine": (AWC, momentum, {}),
    "AdaptThenCombine": (ATC, adam, {}),
    "GradientAllreduce": (bf.DistributedGradientAllreduceOptimizer, momentum, {}),
    "GradientTracking": (bf.DistributedGradientTrackingOptimizer, plain, {}),
    "ExactDiffusion": (bf.DistributedExactDiffusionOptimizer, plain, {}),
    "QuasiGlobalMomentum": (bf.DistributedQuasiGlobalMomentumOptimizer, plain, {}),
    "DecentLaM": (bf.DistributedDecentLaMOptimizer, momentum, {}),
    "GradientPush": (bf.DistributedGradientPushOptimizer, momentum, {}),
    "GossipPGA": (bf.DistributedGossipPGAOptimizer, momentum, {"rounds_per_average": 2}),
    "LocalSGD": (bf.DistributedLocalSGDOptimizer, momentum, {"num_steps_per_communication": 2}),
    "SlowMo": (bf.DistributedSlowMoOptimizer, momentum, {"num_steps_per_communication": 2}),
    "DiLoCo": (bf.DistributedDiLoCoOptimizer, adam, {"num_steps_per_communication": 2}),
    "NoLoCo": (bf.DistributedNoLoCoOptimizer, adam, {"num_steps_per_communication": 2}),
}


def digest(model: nn.Module) -> str:
    values = vector(model)
    assert torch.isfinite(values).all()
    return hashlib.sha256(ctypes.string_at(values.data_ptr(), values.nbytes)).hexdigest()


def trained(name: str, **arguments: Any) -> str:
    make, base, settings = OPTIMIZERS[name]
    model = model_of()
    optimizer = make(base(model), model, **settings, **arguments)
    for t in range(STEPS):
        train_step(model, optimizer, inputs(100 * t + bf.rank()))
    return digest(model)


def mixed_by_hand(*, shared: bool, meet: bool) -> str:
    """Adapt then combine with tensors that the ranks read in place, or that travel in rings of chunks."""
    model = model_of()
    if shared:
        bf.share_parameters_(model)
    base = momentum(model)
    for t in range(STEPS):
        train_step(model, base, inputs(100 * t + bf.rank()))
        for parameter in model.parameters():
            bf.neighbor_allreduce(parameter.data, out=parameter.data, meet=meet)
    return digest(model)


def main() -> None:
    bf.init()
    torch.set_num_threads(1)
    bf.set_topology(bf.RingGraph(bf.size()), is_weighted=True)
    hashes = {name: trained(name) for name in OPTIMIZERS}
    for name in ("AdaptWithCombine", "AdaptThenCombine", "GradientTracking"):
        hashes[f"{name} over a schedule"] = trained(name, schedule=bf.one_peer_exponential(bf.size()))
    for name in OPTIMIZERS:  # the same again
        assert trained(name) == hashes[name], name
    ways = {mixed_by_hand(shared=shared, meet=meet) for shared in (True, False) for meet in (True, False)}
    [hashes["by hand"]] = ways
    report(hashes)


if __name__ == "__main__":
    main()
