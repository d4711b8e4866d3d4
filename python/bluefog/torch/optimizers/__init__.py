"""Optimizers that average parameters with other ranks.

``AWC`` (adapt with combine, w <- Combine(w) - lr g(w)) overlaps averaging with forward and backward;
``ATC`` (adapt then combine, w <- Combine(w - lr g(w))) averages after the step. Any torch optimizer can be
the base, but LBFGS and SparseAdam.

The optimizers over windows (``WinPut``, ``PullGet``, ``PushSum``, ``ADPSGD``) let each rank go at its own
pace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from bluefog.torch.optimizers._base import DistributedOptimizer, DistributedWindowOptimizer
from bluefog.torch.optimizers._mixing import Exclusion, Mixer, Model, models_of
from bluefog.torch.optimizers._settings import CommunicationType
from bluefog.torch.optimizers._wrapping import settings_for, wrap
from bluefog.torch.optimizers.algorithms import (
    DistributedDecentLaMOptimizer,
    DistributedDiLoCoOptimizer,
    DistributedExactDiffusionOptimizer,
    DistributedGossipPGAOptimizer,
    DistributedGradientAllreduceOptimizer,
    DistributedGradientPushOptimizer,
    DistributedGradientTrackingOptimizer,
    DistributedLocalSGDOptimizer,
    DistributedNoLoCoOptimizer,
    DistributedQuasiGlobalMomentumOptimizer,
    DistributedSlowMoOptimizer,
)
from bluefog.torch.optimizers.asynchronous import Asynchronous
from bluefog.torch.optimizers.atc import AdaptThenCombine
from bluefog.torch.optimizers.atc_in_backward import AdaptThenCombineInBackward
from bluefog.torch.optimizers.awc import AdaptWithCombine
from bluefog.torch.optimizers.join import join

__all__ = [
    "DistributedDecentLaMOptimizer",
    "DistributedDiLoCoOptimizer",
    "DistributedExactDiffusionOptimizer",
    "DistributedGossipPGAOptimizer",
    "DistributedGradientAllreduceOptimizer",
    "DistributedGradientPushOptimizer",
    "DistributedGradientTrackingOptimizer",
    "DistributedLocalSGDOptimizer",
    "DistributedNoLoCoOptimizer",
    "DistributedQuasiGlobalMomentumOptimizer",
    "DistributedSlowMoOptimizer",
    "CommunicationType",
    "DistributedADPSGDOptimizer",
    "DistributedAdaptThenCombineOptimizer",
    "DistributedAdaptWithCombineOptimizer",
    "DistributedAllreduceOptimizer",
    "DistributedHierarchicalNeighborAllreduceOptimizer",
    "DistributedNeighborAllreduceOptimizer",
    "DistributedOptimizer",
    "DistributedPullGetOptimizer",
    "DistributedPushSumOptimizer",
    "DistributedWinPutOptimizer",
    "join",
]


def DistributedAdaptWithCombineOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    communication_type: CommunicationType = CommunicationType.neighbor_allreduce,
    num_steps_per_communication: int = 1,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
    overlap: bool | None = None,
) -> Any:
    """Wraps an optimizer for adapt with combine: w <- Combine(w) - lr * g(w), gradients at the old
    parameters.

    Averaging starts at the `num_steps_per_communication`-th training forward of `model` and ends in
    ``step()``; the parameters must not be changed in between (an edit through ``.data`` then is lost). A
    model that is compiled in place starts it in ``step()``, where each step counts as one forward.
    Collective.

    Args:
        optimizer: Any ``torch.optim.Optimizer`` but LBFGS and SparseAdam. It is used, not copied.
        model: The module that is called in training, or a list of modules with different parameter
            names. Its parameters move to shared memory; the ``Parameter`` objects and their values
            stay.
        communication_type: With whom to average; can be assigned between steps.
        num_steps_per_communication: Number of forwards per averaging, for gradient accumulation or
            for local steps.
        schedule: A schedule of topologies; it advances with every averaging. For `neighbor_allreduce`
            over the ranks, for `hierarchical_neighbor_allreduce` over the machines. Default: the topology
            of ``bluefog.torch.set_topology`` or ``set_machine_topology``, or the weights assigned to
            ``self_weight`` and ``src_weights`` and ``dst_weights``, or ``src_machine_weights`` and
            ``dst_machine_weights``.
        exclude: Parameters, modules, or names of either, that stay this rank's own.
        overlap: Average while gradients are computed (True), into a second buffer, which ``step()`` copies
            in; or in place, inside ``step()`` (False). The results are the same. Default: overlap if the
            ranks are on several hosts or the parameters on a GPU; else there is nothing to hide, and the copy
            costs more.

    Returns:
        An instance of a subclass of the optimizer's class.

    Raises:
        ValueError: Parameter names that two models have in common; a parameter of the optimizer in
            none of the models, or one that cannot be averaged; a schedule that does not preserve
            constants and the mean; LBFGS or SparseAdam; ranks whose parameters have different
            shapes.
    """
    models = models_of(model)
    return wrap(
        optimizer,
        lambda mixer: AdaptWithCombine(mixer, models, num_steps_per_communication, overlap),
        lambda: _mixer(optimizer, models, communication_type, schedule, exclude),
    )


def DistributedAdaptThenCombineOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    communication_type: CommunicationType = CommunicationType.neighbor_allreduce,
    num_steps_per_communication: int = 1,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
    step_in_backward: bool = False,
) -> Any:
    """Wraps an optimizer for adapt then combine: w <- Combine(w - lr * g(w)), all of it in ``step()``.

    `num_steps_per_communication` counts backwards; a step without any counts as one. Arguments, result and
    errors are otherwise those of DistributedAdaptWithCombineOptimizer.

    `step_in_backward` adapts and mixes each bucket of parameters as soon as backward has all its gradients,
    in a second buffer, and hides the network behind the rest of backward. ``step()`` takes the results. Not
    with clipping and other changes between backward and step, which come too late; closures, a GradScaler
    and a second backward before ``step()`` are refused. For optimizers of torch that update each parameter by
    itself.
    """
    models = models_of(model)
    style = AdaptThenCombineInBackward if step_in_backward else AdaptThenCombine
    return wrap(
        optimizer,
        lambda mixer: style(mixer, optimizer, num_steps_per_communication),
        lambda: _mixer(optimizer, models, communication_type, schedule, exclude),
    )


def DistributedNeighborAllreduceOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 1,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """DistributedAdaptWithCombineOptimizer that averages with neighbours."""
    return DistributedAdaptWithCombineOptimizer(
        optimizer, model, CommunicationType.neighbor_allreduce, num_steps_per_communication, schedule, exclude
    )


def DistributedHierarchicalNeighborAllreduceOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 1,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """DistributedAdaptWithCombineOptimizer that averages inside machines, and their means with neighbour
    machines.
    """
    return DistributedAdaptWithCombineOptimizer(
        optimizer,
        model,
        CommunicationType.hierarchical_neighbor_allreduce,
        num_steps_per_communication,
        schedule,
        exclude,
    )


def DistributedAllreduceOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 1,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """DistributedAdaptWithCombineOptimizer that averages the parameters of all ranks."""
    return DistributedAdaptWithCombineOptimizer(
        optimizer, model, CommunicationType.allreduce, num_steps_per_communication, exclude=exclude
    )


def DistributedWinPutOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 1,
    window_prefix: str | None = None,
    *,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """Wraps an optimizer so that no rank waits for another: each puts its parameters to its
    out-neighbours, and averages its own with what its in-neighbours have put last:
    w <- mean(w, buffers) - lr * g(w).

    The puts go on their way with the `num_steps_per_communication`-th training forward of `model`, and
    are taken in by ``step()``. With ranks of unequal pace the result is a weighted mean;
    DistributedPushSumOptimizer keeps the mean. Windows are freed by ``unregister_window()``, or with the
    optimizer. Collective.

    Args:
        optimizer, model, num_steps_per_communication, exclude: As for DistributedAdaptWithCombineOptimizer.
        window_prefix: Of the windows' names; equal on all ranks.

    Returns:
        An instance of a subclass of the optimizer's class. Attributes: ``dst_weights``, to whom to put, a
        list or {rank: factor}; ``force_barrier``, all ranks meet in every step.

    Raises:
        ValueError: as DistributedAdaptWithCombineOptimizer.
        PeerLostError: in ``step()`` or the forward, when a neighbour has died; assign ``dst_weights``
        without it.
    """
    return _asynchronous(optimizer, model, num_steps_per_communication, "window_put", window_prefix, exclude)


def DistributedPullGetOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 1,
    window_prefix: str | None = None,
    *,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """As DistributedWinPutOptimizer, but each rank reads its in-neighbours' parameters, as they are
    between two of their steps; ``src_weights`` says whose.
    """
    return _asynchronous(optimizer, model, num_steps_per_communication, "window_get", window_prefix, exclude)


def DistributedPushSumOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 1,
    window_prefix: str | None = None,
    *,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """Stochastic gradient push (Assran et al., ICML 2019) with messages as late as they are: finds the
    mean over any strongly connected graph, however unequal the ranks' paces.

    Each rank gives equal shares of its parameters and of a weight to itself and its out-neighbours, or what
    ``self_weight`` and ``dst_weights`` say (both; they should sum to 1). Arguments, result and errors are
    otherwise those of DistributedWinPutOptimizer.
    """
    return _asynchronous(optimizer, model, num_steps_per_communication, "push_sum", window_prefix, exclude)


def DistributedADPSGDOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int = 1,
    window_prefix: str | None = None,
    *,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """AD-PSGD (Lian et al., ICML 2018): while a rank computes gradients at a copy, it and one
    out-neighbour, chosen at random, set their parameters to the mean of both.

    Arguments, result and errors are those of DistributedWinPutOptimizer; weights have no effect.
    """
    return _asynchronous(optimizer, model, num_steps_per_communication, "pairwise", window_prefix, exclude)


def _asynchronous(
    optimizer: torch.optim.Optimizer,
    model: Model,
    num_steps_per_communication: int,
    kind: str,
    window_prefix: str | None,
    exclude: Iterable[Exclusion],
) -> Any:
    models = models_of(model)
    return wrap(
        optimizer,
        lambda mixer: Asynchronous(mixer, models, num_steps_per_communication, kind, window_prefix, False),
        lambda: _mixer(optimizer, models, CommunicationType.neighbor_allreduce, None, exclude, stages=False),
        DistributedWindowOptimizer,
    )


def _mixer(
    optimizer: torch.optim.Optimizer,
    models: Sequence[torch.nn.Module],
    communication_type: CommunicationType,
    schedule: Any | None,
    exclude: Iterable[Exclusion],
    stages: bool = True,
) -> Mixer:
    return Mixer(optimizer, models, settings_for(communication_type, schedule), exclude, stages)
