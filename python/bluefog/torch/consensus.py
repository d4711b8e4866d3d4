"""How far the ranks' models are apart, the model in their middle, and their buffers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, Union

import torch

from bluefog.torch.ops.collective import allreduce
from bluefog.torch.optimizers._mixing import models_of
from bluefog.torch.utility import allreduce_parameters, as_reals, distinct_tensors, maximum_over_ranks

__all__ = ["average_buffers", "consensus_distance", "mean_model"]

Model = TypeVar("Model", bound=Union[torch.nn.Module, Sequence[torch.nn.Module]])
Tensors = Union[Mapping[str, torch.Tensor], Iterable[Union[torch.Tensor, tuple[str, torch.Tensor]]]]

#: So many elements are compared at a time, in double precision.
_PIECE = 1 << 20


def consensus_distance(model: torch.nn.Module | Sequence[torch.nn.Module] | Tensors) -> float:
    """How far the ranks' parameters are apart: the root mean square, over ranks, of the distance of a rank's
    parameters from the mean parameters. Collective.

    ``sqrt(1/n * sum over ranks i of |x_i - mean|^2)``, where x_i are all parameters of rank i as one vector.
    It is computed in double precision, piece by piece: that takes some megabytes, and a copy of one tensor at
    a time where tensors are not contiguous.

    Args:
        model: a module or a list of modules, whose parameters count (not their buffers); or a dict or an
            iterable of tensors or of (name, tensor) pairs, such as ``model.named_parameters()``. Of floating
            or complex dtypes; tensors of integers and booleans are left out. The same shapes, in the same
            order, on all ranks.

    Returns:
        The same number on all ranks.

    Raises:
        ValueError: ``model`` is none of these; shapes differ between ranks (MismatchError).
    """
    total = 0.0
    for tensor in map(as_reals, distinct_tensors(_parameters_of(model))):
        if not tensor.is_floating_point():
            continue
        for piece in torch.split(tensor.detach().reshape(-1), _PIECE):
            own = piece.double()
            total += float((own - allreduce(own)).square().sum())
    # No piece is without dimensions: ranks that hold different numbers of them notice.
    return math.sqrt(allreduce(torch.tensor(total, dtype=torch.float64, device="cpu")).item())


def _parameters_of(model: Any) -> Any:
    if isinstance(model, torch.nn.Module):
        return list(model.parameters())
    if isinstance(model, (Mapping, torch.Tensor)) or not isinstance(model, Iterable):
        return model
    entries = list(model)
    if entries and all(isinstance(entry, torch.nn.Module) for entry in entries):
        return [parameter for module in entries for parameter in module.parameters()]
    return entries


@contextlib.contextmanager
def mean_model(model: Model) -> Iterator[Model]:
    """In the ``with`` block, the model of every rank is the mean of the models of all ranks.

    To evaluate or to save what the network as a whole has learned. Collective at entry; leaving the block
    waits for nobody. Parameters and floating buffers (running statistics) hold their means, buffers of
    integers and booleans (counters) the maximum. Afterwards every tensor holds the rank's own value again, to
    the bit, also if the block raises or changes it.

    Parameters stay the objects that they are, at their addresses: only values change, in place, which
    autograd sees. So enter between steps: after ``optimizer.step()`` and before the next forward in training
    mode. Otherwise backward refuses the graph, and ``step()`` raises if averaging is in flight, which
    ``DistributedAdaptWithCombineOptimizer`` starts in the forward. Under optimizers whose ranks do not wait
    for each other, put ``bf.barrier()`` behind the block, so that no rank trains on while another still holds
    the mean.

    Args:
        model: a module or a list of modules, the same on all ranks. A copy of it is kept meanwhile.

    Yields:
        ``model``.

    Raises:
        TypeError: it is neither.
        ValueError: shapes or dtypes differ between ranks (MismatchError). The model is as before.
        PeerLostError, OperationTimeoutError, ShutdownError: as the names say. The model is as before.
    """
    tensors = [t for module in models_of(model) for t in (*module.parameters(), *module.buffers())]
    own: list[tuple[torch.Tensor, torch.Tensor]] = []
    try:
        for tensor in distinct_tensors(tensors):
            shared = as_reals(tensor.detach())
            mean = allreduce(shared) if shared.is_floating_point() else maximum_over_ranks(shared)
            own.append((tensor, tensor.detach().clone()))
            shared.copy_(mean)
        yield model
    finally:
        with torch.no_grad():
            for tensor, value in own:
                tensor.copy_(value)


def average_buffers(model: torch.nn.Module | Sequence[torch.nn.Module]) -> None:
    """Gives every rank the mean of all ranks' floating buffers, such as running statistics, and the maximum
    of those of integers and booleans, such as counters, in place. Collective.

    Optimizers leave buffers to each rank, because normalization in training mode does not read them. Call it
    before a rank's own model is evaluated or saved, or now and then. Each memory counts once; a buffer that
    is tied to a parameter stays as it is, for that is the optimizer's.

    Args:
        model: a module or a list of modules, the same on all ranks.

    Raises:
        TypeError: it is neither.
        ValueError: shapes or dtypes differ between ranks (MismatchError).
    """
    models = models_of(model)
    of_parameters = {p.untyped_storage().data_ptr() for module in models for p in module.parameters()}
    buffers = [buffer for module in models for buffer in module.buffers() if buffer.numel() > 0]
    allreduce_parameters([b for b in buffers if b.untyped_storage().data_ptr() not in of_parameters])
