"""Optimizers that average parameters with other ranks.

``AWC`` (adapt with combine, w <- Combine(w) - lr g(w)) overlaps averaging with forward and backward;
``ATC`` (adapt then combine, w <- Combine(w - lr g(w))) averages after the step. Any torch optimizer can be
the base, but LBFGS and SparseAdam.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Union

import torch

from bluefog.torch.optimizers._base import DistributedOptimizer, settings_for, wrap
from bluefog.torch.optimizers._mixing import CommunicationType, Exclusion, Mixer, models_of
from bluefog.torch.optimizers.atc import AdaptThenCombine
from bluefog.torch.optimizers.awc import AdaptWithCombine

__all__ = [
    "CommunicationType",
    "DistributedAdaptThenCombineOptimizer",
    "DistributedAdaptWithCombineOptimizer",
    "DistributedAllreduceOptimizer",
    "DistributedHierarchicalNeighborAllreduceOptimizer",
    "DistributedNeighborAllreduceOptimizer",
    "DistributedOptimizer",
]

Model = Union[torch.nn.Module, Sequence[torch.nn.Module]]


def DistributedAdaptWithCombineOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    communication_type: CommunicationType = CommunicationType.neighbor_allreduce,
    num_steps_per_communication: int = 1,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
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
        lambda mixer: AdaptWithCombine(mixer, models, num_steps_per_communication),
        lambda: _mixer(optimizer, models, communication_type, schedule, exclude),
    )


def DistributedAdaptThenCombineOptimizer(  # noqa: N802
    optimizer: torch.optim.Optimizer,
    model: Model,
    communication_type: CommunicationType = CommunicationType.neighbor_allreduce,
    num_steps_per_communication: int = 1,
    schedule: Any | None = None,
    exclude: Iterable[Exclusion] = (),
) -> Any:
    """Wraps an optimizer for adapt then combine: w <- Combine(w - lr * g(w)), all of it in ``step()``.

    `num_steps_per_communication` counts backwards; a step without any counts as one. Arguments, result and
    errors are otherwise those of DistributedAdaptWithCombineOptimizer.
    """
    models = models_of(model)
    return wrap(
        optimizer,
        lambda mixer: AdaptThenCombine(mixer, optimizer, num_steps_per_communication),
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


def _mixer(
    optimizer: torch.optim.Optimizer,
    models: Sequence[torch.nn.Module],
    communication_type: CommunicationType,
    schedule: Any | None,
    exclude: Iterable[Exclusion],
) -> Mixer:
    return Mixer(optimizer, models, settings_for(communication_type, schedule), exclude)
