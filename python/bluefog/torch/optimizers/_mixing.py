"""What an optimizer mixes with whom, and the calls of the engine that do it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Union

import torch

from bluefog import _core
from bluefog.common.errors import MismatchError
from bluefog.torch import _runtime
from bluefog.torch.buckets import Bucket, ParameterBuckets, checksum_of
from bluefog.torch.optimizers._agreement import compare_layouts, numbers, tell_no_layout
from bluefog.torch.optimizers._settings import CommunicationType, MixingSettings
from bluefog.torch.optimizers._warnings import warn_user
from bluefog.torch.rooms import Way
from bluefog.torch.slots import MIXABLE_DTYPES, collect_members
from bluefog.torch.staging import stager_for

#: What factories take: the module that is called in training, or several.
Model = Union[torch.nn.Module, Sequence[torch.nn.Module]]
#: What ``exclude=`` takes: parameters, modules, and names of either.
Exclusion = Union[torch.nn.Parameter, torch.nn.Module, str]


class Mixer:
    """Mixes the parameters of one optimizer with those of the same optimizer on other ranks, bucket by
    bucket.

    Construction is collective: ranks compare how their buckets are laid out.

    Args:
        stages: Parameters of a GPU may be mixed through a mirror.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        models: Sequence[torch.nn.Module],
        settings: MixingSettings,
        exclude: Iterable[Exclusion],
        stages: bool = True,
    ) -> None:
        self.settings = settings
        self._optimizer = optimizer
        self.models = list(models)
        self._number = numbers.next()
        self._warned_sum = False
        context = _runtime.context()
        self._alone = context.size() == 1
        self.company: Any | None = None  # in a join() block
        self.layout = ParameterBuckets(
            lambda nbytes: _runtime.context().allocate_shared(nbytes),
            context.bucket_size,
            stager_for if stages else lambda device: None,
        )
        self._seen = 0
        self._names: dict[int, str] = {}  # what the engine knows the buckets by
        with self._told_to_others():
            self._refused = _ids_of(exclude, models)
            _check_schedule(settings)
        self.adopt_new()

    @property
    def buckets(self) -> list[Bucket]:
        return self.layout.buckets

    @property
    def alone(self) -> bool:
        """True in a job of one: nothing is ever communicated."""
        return self._alone

    def announce_round(self) -> None:
        """To be called before a round of this rank's own; see join.py."""
        if self.company is not None:
            self.company.announce()

    def shares_memory_with_all(self) -> bool:
        """Whether all ranks are on this host."""
        return bool(_runtime.context().host_count() == 1)

    @property
    def stages(self) -> bool:
        """Whether parameters are mixed through mirrors."""
        return any(bucket.is_staged for bucket in self.buckets)

    def refresh(self) -> list[str]:
        """Makes buckets and parameters agree again before they are mixed; see ParameterBuckets.restore."""
        if sum(len(group["params"]) for group in self._optimizer.param_groups) != self._seen:
            self.adopt_new()
        return self.layout.restore()

    def adopt_new(self) -> None:
        """Lays out the optimizer's parameters that have no slot yet. Collective if there are any."""
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        with self._told_to_others():
            check_parameters(parameters, self.models)
        self._seen = len(parameters)
        if self._alone:
            return
        fresh = [p for p in parameters if id(p) not in self._refused and not self.layout.holds(p)]
        if not fresh:
            return
        with self._told_to_others():
            made = self._adopt(fresh)
        try:
            compare_layouts(self.layout.layout_hash(), checksum_of(made), self._layout_name)
        except MismatchError:
            self.layout.forget(made)
            raise
        prefix = f"{self.name}.{self.layout.layout_hash():x}"
        self._names = {id(bucket): f"{prefix}.{index}" for index, bucket in enumerate(self.buckets)}

    @contextmanager
    def _told_to_others(self) -> Iterator[None]:
        """An error of this rank is one of all ranks, which wait to compare their layouts with its own."""
        try:
            yield
        except Exception:
            if not self._alone:
                tell_no_layout(self._layout_name)
            raise

    def _adopt(self, parameters: Sequence[torch.Tensor]) -> list[Bucket]:
        members = {id(member.tensor): member for member in collect_members(self.models)}
        chosen = {id(p): members[id(p)] for p in parameters}
        for key, member in members.items():
            member.excluded = key in self._refused
        return self.layout.adopt(
            list(chosen.values()), [member for key, member in members.items() if key not in chosen]
        )

    def next_round(self) -> MixingRound:
        """The round that the settings describe now; what users assign later is for rounds after it."""
        _runtime.context()  # raises while this rank is suspended; a round that has begun is completed
        operation, arguments = self._operation()
        return MixingRound(self, self._names, operation, arguments)

    @property
    def name(self) -> str:
        """Equal on all ranks, and of no other optimizer."""
        return f"optimizer.{self._number}"

    @property
    def _layout_name(self) -> str:
        return f"{self.name}.layout"

    def _operation(self) -> tuple[str, dict[str, Any]]:
        kind = self.settings.communication_type
        if kind is CommunicationType.neighbor_allreduce:
            arguments = self.settings.neighbor_arguments()
            self._warn_about_row_sum(arguments, "src_weights", "dst_weights")
            return "neighbor_allreduce", arguments
        if kind is CommunicationType.hierarchical_neighbor_allreduce:
            arguments = self.settings.machine_arguments()
            self._warn_about_row_sum(arguments, "src_machine_weights", "dst_machine_weights")
            return "hierarchical_neighbor_allreduce", arguments
        return "allreduce", {"mean": True}

    def _warn_about_row_sum(self, arguments: Mapping[str, Any], sources: str, destinations: str) -> None:
        own, received = arguments["self_weight"], arguments[sources]
        scaled_by_senders = isinstance(arguments[destinations], Mapping)
        if self._warned_sum or scaled_by_senders or not isinstance(own, float):
            return
        if not isinstance(received, Mapping):
            return
        total = own + sum(received.values())
        if abs(total - 1) > 1e-6:
            self._warned_sum = True
            warn_user(f"self_weight and {sources} sum to {total:g}, not to 1: mixing scales the parameters")


class MixingRound:
    """One round of mixing: every bucket once, with the same ranks."""

    def __init__(
        self, mixer: Mixer, names: Mapping[int, str], operation: str, arguments: dict[str, Any]
    ) -> None:
        self._mixer = mixer
        self._names = names
        self._operation = operation
        self._arguments = arguments

    def start(self, buckets: Iterable[Bucket], way: Way) -> Flight:
        """Starts to mix these buckets."""
        call = getattr(_runtime.engine(), self._operation + "_async")
        flight = Flight()
        for bucket in buckets:
            operation = call(**self._memory(bucket, way), keep=bucket, **self._named(bucket))
            if bucket.is_staged and way is Way.in_place:
                operation = _Landing(operation, bucket)
            flight.operations.append((bucket, operation))
        return flight

    def mix(self, way: Way) -> None:
        """Mixes all buckets on the caller's thread."""
        call = getattr(_runtime.engine(), self._operation)
        memories = [(bucket, self._memory(bucket, way)) for bucket in self._mixer.buckets]
        for bucket, memory in memories:
            call(**memory, **self._named(bucket))
            if way is Way.in_place:
                bucket.room.land()

    def complete(self) -> None:
        """The round is over for all buckets: the schedule advances, if the round followed one."""
        if self._operation != "allreduce":
            self._mixer.settings.round += 1

    @staticmethod
    def _memory(bucket: Bucket, way: Way) -> dict[str, Any]:
        source, target, ready = bucket.room.begin(way)
        return {
            "input": source,
            "output": target,
            "dtype": code_of_dtype(bucket.mixing_dtype),
            "shape": [bucket.count],
            "ready": ready,
        }

    def _named(self, bucket: Bucket) -> dict[str, Any]:
        return {"name": self._names[id(bucket)], **self._arguments}


class _Landing:
    """An operation whose result is taken home when it was waited for."""

    def __init__(self, operation: Any, bucket: Bucket) -> None:
        self._operation = operation
        self._bucket = bucket

    def wait(self) -> None:
        self._operation.wait()
        self._bucket.room.land()


@dataclass
class Flight:
    """A mixing round in flight."""

    operations: list[tuple[Bucket, Any]] = field(default_factory=list)

    def join(self, later: Flight) -> None:
        self.operations += later.operations

    def wait(self) -> None:
        """Waits for every bucket, then raises the first error if there was one."""
        errors: list[BaseException] = []
        for _, handle in self.operations:
            try:
                handle.wait()
            except KeyboardInterrupt:
                raise
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


def models_of(model: torch.nn.Module | Sequence[torch.nn.Module]) -> list[torch.nn.Module]:
    models: list[Any] = list(model) if isinstance(model, (list, tuple)) else [model]
    if not models or not all(isinstance(m, torch.nn.Module) for m in models):
        raise TypeError("model must be a torch.nn.Module or a list of them")
    return models


def check_parameters(parameters: Iterable[torch.Tensor], models: Sequence[torch.nn.Module]) -> None:
    """Raises ValueError for names that occur in two models, and for parameters that are in none."""
    named = [pair for model in models for pair in model.named_parameters()]
    names = [name for name, _ in named]
    repeated = (
        sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    )
    if repeated:
        raise ValueError(
            f"parameter names must differ between the models; found twice: {', '.join(repeated)}"
        )
    known = {id(parameter) for _, parameter in named}
    strangers = [tuple(p.shape) for p in parameters if id(p) not in known]
    if strangers:
        raise ValueError(
            f"{len(strangers)} parameters of the optimizer are in none of the models given; their shapes: "
            f"{strangers}"
        )


def code_of_dtype(dtype: torch.dtype) -> int:
    """The engine's number of a dtype."""
    return int(getattr(_core.DType, str(dtype).replace("torch.", "")).value)


def dtype_of_code(code: int) -> torch.dtype:
    """The dtype of the engine's number."""
    return next(dtype for dtype in set(MIXABLE_DTYPES.values()) if code_of_dtype(dtype) == code)


def _check_schedule(settings: MixingSettings) -> None:
    schedule = settings.schedule
    if schedule is None:
        return
    context = _runtime.context()
    over_machines = settings.communication_type is CommunicationType.hierarchical_neighbor_allreduce
    size = context.machine_size() if over_machines else context.size()
    nodes = "machines" if over_machines else "ranks"
    if schedule.size != size:
        raise ValueError(
            f"the schedule {schedule.name!r} is for {schedule.size} {nodes}, this job has {size}"
        )
    for preserves, what in (
        (schedule.preserves_constants, "constants"),
        (schedule.preserves_mean, "the mean"),
    ):
        if not preserves():
            raise ValueError(
                f"the schedule {schedule.name!r} does not preserve {what}, so averaging over it converges "
                "to a "
                "wrong value; take a schedule that preserves both, or an algorithm that corrects for it "
                "(push-sum)"
            )


def _ids_of(exclude: Iterable[Exclusion], models: Sequence[torch.nn.Module]) -> set[int]:
    excluded: set[int] = set()
    named: dict[str, Any] = {}
    for model in models:
        named.update(model.named_parameters())
        named.update(model.named_modules())
    for item in [exclude] if isinstance(exclude, (str, torch.nn.Module, torch.Tensor)) else exclude:
        if isinstance(item, str):
            if item not in named:
                raise ValueError(f"exclude: no parameter or module has the name {item!r}")
            item = named[item]
        parameters = item.parameters() if isinstance(item, torch.nn.Module) else [item]
        excluded.update(id(parameter) for parameter in parameters)
    return excluded
