"""Factories of the optimizers around the core's synchronous algorithms.

They have in common: `optimizer` is any ``torch.optim.Optimizer`` but LBFGS and SparseAdam, and is used, not
copied; `model` is the module whose parameters it has, or a list of modules, whose parameters move to shared
memory; `schedule` is a schedule of topologies over the ranks, and None stands for the topology that is set
when the optimizer is wrapped; `exclude` are parameters, modules, or names of either, that stay this rank's
own. They are collective, and give an instance of a subclass of the optimizer's class. With one rank they only
adapt. All raise ValueError as DistributedAdaptWithCombineOptimizer does, and for a schedule that the
algorithm cannot stand. Where a formula has g, plain SGD is meant by the optimizer's step; any other takes its
place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from bluefog.torch.optimizers._mixing import Exclusion, Mixer, Model, models_of
from bluefog.torch.optimizers._settings import CommunicationType
from bluefog.torch.optimizers._wrapping import settings_for, wrap
from bluefog.torch.optimizers.gradient import GradientAllreduce
from bluefog.torch.optimizers.synchronous import Synchronous


def DistributedGradientAllreduceOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 1,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """Every rank steps with the mean of all ranks' gradients, as in DistributedDataParallel.

    In the `num_steps_per_communication`-th backward after a step each bucket of gradients starts on its way
    when it is full; when backward returns, every ``grad`` is the mean: clipping and GradScaler see it. A
    ``step()`` after fewer backwards averages what there is. A parameter without a gradient on some ranks
    counts as 0 there. The ranks' parameters stay equal if they were at the start: call
    ``broadcast_parameters``.
    """
    models = models_of(model)
    return wrap(
        optimizer,
        lambda mixer: GradientAllreduce(mixer, models, num_steps_per_communication),
        lambda: Mixer(optimizer, models, settings_for(CommunicationType.allreduce, None), exclude),
    )


def DistributedGradientTrackingOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """x <- mix(x - lr q), q <- mix(q + g(x_new) - g(x_old)): the tracker q goes to the mean gradient, so
    that ranks with unlike data reach the optimum of all data, over schedules too. Two vectors a step.
    (Aug-DGM, Xu et al. 2015; Nedic et al. 2017)

    After ``step()`` each parameter's ``grad`` holds q.
    """
    return _wrap(optimizer, model, exclude, "gradient_tracking", changes_gradients=True, schedule=schedule)


def DistributedExactDiffusionOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """y = x - lr g(x) - D, z = (y + mix(y)) / 2, D <- D + y - z, x <- z: no bias by unlike data, for one
    vector a step. For symmetric rounds only. Also called D2. (Yuan et al. 2018; Tang et al. 2018)
    """
    return _wrap(optimizer, model, exclude, "exact_diffusion", schedule=schedule)


def DistributedQuasiGlobalMomentumOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    momentum: float = 0.9,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """QG-DSGDm: m = momentum q + g, x' = mix(x - lr m), q <- momentum q + (1 - momentum) (x - x') / lr:
    momentum that unlike data do not mislead. The optimizer should be SGD without momentum. One learning
    rate for all parameters. (Lin et al., ICML 2021)
    """
    if any(group.get("momentum") for group in optimizer.param_groups):
        raise ValueError(
            "QG-DSGDm has the momentum; give an SGD with momentum=0, and momentum= to this function"
        )
    return _wrap(
        optimizer,
        model,
        exclude,
        "quasi_global_momentum",
        changes_gradients=True,
        depends_on_rate=True,
        schedule=schedule,
        settings={"momentum": momentum},
    )


def DistributedDecentLaMOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """The optimizer, SGD with momentum, gets the gradient (x - mix(x - lr g)) / lr, so that its momentum
    does not multiply the bias by unlike data. One learning rate for all parameters, and one symmetric graph
    in all steps: on others the ranks drift apart. (Yuan et al., ICCV 2021)
    """
    return _wrap(
        optimizer,
        model,
        exclude,
        "decentlam",
        changes_gradients=True,
        depends_on_rate=True,
        schedule=schedule,
    )


def DistributedGradientPushOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 1,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """Stochastic gradient push, in which all ranks make the same number of steps: u <- A (u + step), w <-
    A w, x = u / w, where A splits what each sender has. For directed graphs on which no weights preserve
    both constants and the mean. Without a schedule ranks give equal shares to themselves and their
    out-neighbours. (Assran et al., ICML 2019)
    """
    return _wrap(
        optimizer,
        model,
        exclude,
        "gradient_push",
        schedule=schedule,
        steps_per_round=num_steps_per_communication,
    )


def DistributedGossipPGAOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    rounds_per_average: int = 10,
    num_steps_per_communication: int = 1,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """Adapt then combine, with an exact average over all ranks in every `rounds_per_average`-th round.
    (Chen et al., ICML 2021)
    """
    return _wrap(
        optimizer,
        model,
        exclude,
        "gossip_pga",
        schedule=schedule,
        steps_per_round=num_steps_per_communication,
        settings={"rounds_per_average": rounds_per_average},
    )


def DistributedLocalSGDOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 8,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """`num_steps_per_communication` steps of each rank's own, then the average over all ranks."""
    return _wrap(optimizer, model, exclude, "local_descent", steps_per_round=num_steps_per_communication)


def DistributedSlowMoOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 8,
    slow_momentum: float = 0.5,
    slow_lr: float = 1.0,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """Local SGD with momentum over the averages: d = x_0 - average(x), u <- slow_momentum u + d / lr, x
    <- x_0 - slow_lr lr u, from the start x_0 of the round. One learning rate for all parameters. (Wang et
    al., ICLR 2020)
    """
    return _wrap(
        optimizer,
        model,
        exclude,
        "slow_momentum",
        depends_on_rate=True,
        steps_per_round=num_steps_per_communication,
        settings={"momentum": slow_momentum, "step_size": slow_lr},
    )


def DistributedDiLoCoOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 50,
    outer_momentum: float = 0.9,
    outer_lr: float = 0.7,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """Many steps of the optimizer (AdamW in the paper), then one of SGD with Nesterov's momentum over all
    ranks, whose gradient is how far the average has moved. (Douillard et al. 2023)
    """
    return _wrap(
        optimizer,
        model,
        exclude,
        "diloco",
        steps_per_round=num_steps_per_communication,
        settings={"momentum": outer_momentum, "step_size": outer_lr},
    )


def DistributedNoLoCoOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 50,
    outer_momentum: float = 0.5,
    outer_lr: float = 0.7,
    attraction: float = 0.7,
    schedule: Any | None = None,
    seed: int = 1,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """DiLoCo without a collective: in each round a rank and one other, drawn at random with `seed`,
    average how far they have come and where they started. (Kolehmainen et al. 2025)
    """
    return _wrap(
        optimizer,
        model,
        exclude,
        "noloco",
        schedule=schedule,
        steps_per_round=num_steps_per_communication,
        settings={
            "momentum": outer_momentum,
            "step_size": outer_lr,
            "attraction": attraction,
            "seed": seed,
        },
    )


def _wrap(
    optimizer: torch.optim.Optimizer,
    model: Model,
    exclude: Iterable[Exclusion],
    kind: str,
    **options: Any,
) -> Any:
    models = models_of(model)
    return wrap(
        optimizer,
        lambda mixer: Synchronous(mixer, optimizer, kind, **options),
        lambda: Mixer(optimizer, models, settings_for(CommunicationType.neighbor_allreduce, None), exclude),
    )
