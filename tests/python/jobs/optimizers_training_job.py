"""Training as people do it, against torch alone (see against_torch.py). For 2 ranks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import bluefog.torch as bf
import torch
import torch._inductor.config
from against_torch import (
    BACKWARD,
    GRADIENTS,
    MAKERS,
    NEXT_STEP,
    STEPPED,
    STEPS,
    Branches,
    Checkpointed,
    Loop,
    Odd,
    accumulating,
    clipping_loop,
    distributed,
    expect_as_by_torch,
    loss_of,
    plain_loop,
    run_all,
    two_dimensional,
)
from optimizer_checks import (
    ATC,
    AWC,
    assert_close,
    inputs,
    recorded_warnings,
    seeded,
    sgd,
    two_layers,
    vector,
)
from torch import nn
from torch.optim import lr_scheduler


def all_optimizers() -> list[type[torch.optim.Optimizer]]:
    found = [kind for kind in vars(torch.optim).values() if inspect.isclass(kind)]
    refused = (torch.optim.Optimizer, torch.optim.LBFGS, torch.optim.SparseAdam)
    return [k for k in found if issubclass(k, torch.optim.Optimizer) and k not in refused]


def check_every_optimizer_of_torch() -> None:
    kinds = all_optimizers()
    assert len(kinds) >= 11, kinds
    tried = 0
    for kind in kinds:
        known = inspect.signature(kind).parameters
        for option in (None, "foreach", "fused"):
            arguments = {} if option is None else {option: True}
            if option is not None and option not in known:
                continue
            try:
                kind(two_dimensional().parameters(), lr=0.01, **arguments)
            except RuntimeError as error:  # has no kernel for the CPU
                assert "fused" in str(error), error
                continue
            tried += 1
            expect_as_by_torch(
                plain_loop,
                lambda model, kind=kind, arguments=arguments: (
                    kind(model.parameters(), lr=0.01, weight_decay=0.01, **arguments)
                    if "weight_decay" in inspect.signature(kind).parameters
                    else kind(model.parameters(), lr=0.01, **arguments)
                ),
                model=two_dimensional if kind.__name__ == "Muon" else lambda: two_layers(1),
            )
    assert tried >= 2 * 11 + 2, tried


def check_momentum_and_groups() -> None:
    def base(model: nn.Module) -> torch.optim.Optimizer:
        groups = [
            {"params": model[0].parameters(), "lr": 0.05},
            {"params": model[2].parameters(), "weight_decay": 0.1, "momentum": 0.5},
        ]
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)

    expect_as_by_torch(plain_loop, base)


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, gamma=0.3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.2, total_steps=STEPS + 1),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.2, patience=0),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=2, T_mult=2),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.2, 1.0, 2), lr_scheduler.ExponentialLR(o, 0.5)], milestones=[2]
    ),
}


def rates_of(optimizer: Any, scheduler: Any, loop: Iterator[str]) -> list[float]:
    """Runs a loop with a scheduler's step behind each of its own."""
    rates = []
    for place in loop:
        if place == STEPPED:
            needs_a_loss = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
            scheduler.step(*[1.0] * needs_a_loss)  # which never gets better
            rates.append(optimizer.param_groups[0]["lr"])
    return rates


def check_schedulers_of_the_learning_rate() -> None:
    for name, scheduler_of in SCHEDULERS.items():
        for make in MAKERS:
            for before in (True, False):
                model = two_layers(1)
                with recorded_warnings() as messages:
                    base = sgd(model, momentum=0.9)
                    scheduler = scheduler_of(base) if before else None
                    optimizer = distributed(make, base, model)
                    scheduler = scheduler or scheduler_of(optimizer)
                    rates = rates_of(optimizer, scheduler, plain_loop(model, optimizer, bf.rank()))
                assert not [m for m in messages if "lr_scheduler" in m or "step" in m], (name, messages)
                every = [two_layers(1) for _ in range(bf.size())]
                bases = [sgd(each, momentum=0.9) for each in every]
                schedulers = [scheduler_of(each) for each in bases]
                expected: list[list[float]] = [[] for _ in every]

                def loop(
                    m: nn.Module, o: Any, rank: int, schedulers: Any = schedulers, expected: Any = expected
                ) -> Iterator[str]:
                    for place in plain_loop(m, o, rank):
                        yield place
                        expected[rank] += rates_of(o, schedulers[rank], iter([place]))

                run_all(make, loop, every, bases)
                assert rates == expected[bf.rank()] and len(set(rates)) > 1, (name, rates, expected)
                assert_close(vector(model), vector(every[bf.rank()]), 1e-6)


def check_loss_scaling_with_an_infinity_on_one_rank() -> None:
    """Its rank leaves out the step, and averages with the others all the same."""
    for kind in (sgd, lambda m: torch.optim.Adam(m.parameters(), lr=0.01, fused=True)):
        for unscales in (False, True):
            scales: dict[int, float] = {}

            def loop(
                model: nn.Module, optimizer: Any, rank: int, unscales: bool = unscales, scales: Any = scales
            ) -> Iterator[str]:
                scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=2)
                for t in range(STEPS):
                    optimizer.zero_grad()
                    loss = loss_of(model, rank, t)
                    if t == 1 and rank == 0:
                        loss = loss * float("inf")
                    scaler.scale(loss).backward()
                    yield BACKWARD
                    if unscales:
                        scaler.unscale_(optimizer)
                        nn.utils.clip_grad_norm_(model.parameters(), 0.05)
                    yield NEXT_STEP
                    scaler.step(optimizer)
                    yield STEPPED
                    scaler.update()
                scales.setdefault(rank, scaler.get_scale())
                assert scaler.get_scale() == scales[rank]

            for make in MAKERS:
                scales.clear()
                expect_as_by_torch(loop, kind, makers=(make,))
                # An infinity in the mean is one on all ranks.
                assert scales[0] == (scales[1] if make is GRADIENTS else scales[1] / 4), scales


def check_autocast() -> None:
    def loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        for t in range(STEPS):
            optimizer.zero_grad(set_to_none=False)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = model(inputs(10 * t + rank))
                assert output.dtype == torch.bfloat16
                loss = output.float().square().mean()
            loss.backward()
            yield BACKWARD
            yield NEXT_STEP
            optimizer.step()
            yield STEPPED

    expect_as_by_torch(loop, lambda model: torch.optim.AdamW(model.parameters(), lr=0.01))


def check_clipping() -> None:
    """The norm is that of a rank's own gradient, but of the mean gradient where that is averaged."""
    expect_as_by_torch(clipping_loop)


def check_accumulated_gradients() -> None:
    expect_as_by_torch(accumulating(3), lambda model: sgd(model, momentum=0.9), local_steps=3)


def check_evaluation_between_forwards_and_steps() -> None:
    expect_as_by_torch(accumulating(1, evaluates=True))
    expect_as_by_torch(accumulating(2, evaluates=True), local_steps=2)


def check_two_backwards_of_one_forward() -> None:
    """Forwards are counted where parameters are averaged from then on, backwards elsewhere."""

    def loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        for t in range(STEPS):
            optimizer.zero_grad()
            output = model(inputs(10 * t + rank))
            output[:, 0].square().mean().backward(retain_graph=True)
            output[:, 1].square().mean().backward()
            yield BACKWARD
            yield NEXT_STEP
            optimizer.step()
            yield STEPPED

    expect_as_by_torch(loop, makers=(AWC,))
    expect_as_by_torch(loop, local_steps=2, makers=(ATC, GRADIENTS))


def check_layers_without_gradient_and_thawed_ones() -> None:
    def loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        for t in range(STEPS):
            optimizer.zero_grad()
            model.frozen.requires_grad_(t > 1)
            model(inputs(10 * t + rank), rank, t).square().mean().backward()
            yield BACKWARD
            yield NEXT_STEP
            optimizer.step()
            yield STEPPED

    expect_as_by_torch(loop, lambda m: sgd(m, momentum=0.9, weight_decay=0.1), model=Branches)
    model = Branches()
    tracking = bf.DistributedGradientTrackingOptimizer(sgd(model), model)
    list(loop(model, tracking, bf.rank()))  # whole buckets of gradients are missing
    assert model.idle.weight.grad is not None and torch.isfinite(vector(model)).all()


def check_dtypes_layouts_and_shared_layers() -> None:
    layouts = [(p.dtype, p.stride()) for p in Odd().parameters()]
    for make in MAKERS:
        own = Odd()
        kept = dict(own.named_parameters())
        optimizer = distributed(make, sgd(own), own)
        list(plain_loop(own, optimizer, bf.rank()))
        assert all(kept[name] is p for name, p in own.named_parameters())
        assert [(p.dtype, p.stride()) for p in own.parameters()] == layouts
        assert own.tied[0].weight is own.tied[1].weight
    for base in (sgd, lambda m: torch.optim.AdamW(m.parameters(), lr=0.01)):
        expect_as_by_torch(plain_loop, base, model=Odd)


def check_several_models_with_one_optimizer() -> None:
    """Adversaries, say: two roots, each with a loss of its own."""

    def loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        for t in range(STEPS):
            optimizer.zero_grad()
            hidden = model["a"](inputs(10 * t + rank))
            (model["b"](hidden).square().mean() + 0.1 * hidden.abs().mean()).backward()
            yield BACKWARD
            yield NEXT_STEP
            optimizer.step()
            yield STEPPED

    def two_models() -> nn.ModuleDict:
        return seeded(nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Linear(3, 2)}), 1)

    class Named(nn.Module):  # names must differ between models
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    for make in MAKERS:
        own = two_models()
        roots = nn.ModuleDict({"a": own["a"], "b": Named(own["b"])})
        kind = {} if make is GRADIENTS else {"communication_type": bf.CommunicationType.allreduce}
        optimizer = make(sgd(own, momentum=0.9), [roots["a"], roots["b"]], **kind)
        list(loop(roots, optimizer, bf.rank()))
        every = [two_models() for _ in range(bf.size())]
        run_all(make, loop, every, [sgd(each, momentum=0.9) for each in every])
        assert_close(vector(own), vector(every[bf.rank()]), 1e-6)


def check_wrapped_in_mid_run_with_a_state() -> None:
    """The base is older than the parameters' layout, and has stepped before."""

    def stepped(model: nn.Module) -> torch.optim.Optimizer:
        base = torch.optim.Adam(model.parameters(), lr=0.01, amsgrad=True)
        for t in range(2):
            base.zero_grad()
            loss_of(model, 7, t).backward()
            base.step()
        model.to(memory_format=torch.channels_last)
        model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
        return base

    expect_as_by_torch(plain_loop, stepped, model=Odd)


def check_gradients_of_gradients() -> None:
    """torch.autograd.grad accumulates nothing, and is no backward that counts."""

    def loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        for t in range(STEPS):
            optimizer.zero_grad()
            x = inputs(10 * t + rank).requires_grad_()
            output = model(x)
            [slope] = torch.autograd.grad(output.sum(), x, create_graph=True)
            (output.square().mean() + 0.1 * slope.square().sum()).backward()
            yield BACKWARD
            yield NEXT_STEP
            optimizer.step()
            yield STEPPED

    expect_as_by_torch(loop)


def check_closures() -> None:
    def loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        for t in range(STEPS):
            losses = []

            def closure(t: int = t, losses: list = losses) -> torch.Tensor:
                optimizer.zero_grad()
                losses.append(loss_of(model, rank, t))
                losses[-1].backward()
                return losses[-1]

            assert optimizer.step(closure) is losses[0] and len(losses) == 1
            yield STEPPED

    expect_as_by_torch(loop, torch_loop=plain_loop)
    expect_as_by_torch(loop, lambda m: torch.optim.Adam(m.parameters(), lr=0.01), torch_loop=plain_loop)


def check_step_hooks() -> None:
    """One before sees gradients, one behind the parameters as the step leaves them: with ATC, mixed ones."""
    calls: list[str] = []

    def clip(optimizer: Any, *_: Any) -> None:
        nn.utils.clip_grad_value_(optimizer.param_groups[0]["params"], 0.01)

    def clamp(optimizer: Any, *_: Any) -> None:
        with torch.no_grad():
            for parameter in optimizer.param_groups[0]["params"]:
                parameter.clamp_(-0.3, 0.3)

    def hooked(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        optimizer.register_step_pre_hook(clip)
        optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
        optimizer.register_step_post_hook(clamp)
        optimizer.register_step_post_hook(lambda *_: calls.append("behind"))
        yield from plain_loop(model, optimizer, rank)

    def by_hand(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        for place in plain_loop(model, optimizer, rank):
            if place == NEXT_STEP:
                clip(optimizer)
            yield place
            if place == STEPPED:
                clamp(optimizer)

    expect_as_by_torch(hooked, torch_loop=by_hand)
    assert calls == ["before", "behind"] * len(MAKERS) * STEPS


def check_checkpointed_layers_and_clipping() -> None:
    for reentrant in (False, True):
        expect_as_by_torch(clipping_loop, model=lambda reentrant=reentrant: Checkpointed(reentrant))
        expect_as_by_torch(
            accumulating(2), model=lambda reentrant=reentrant: Checkpointed(reentrant), local_steps=2
        )


def compiling(backend: str) -> Loop:
    def loop(model: nn.Module, optimizer: Any, rank: int) -> Iterator[str]:
        compiled = torch.compile(model, backend=backend)
        yield from clipping_loop(compiled, optimizer, rank)

    return loop


def check_compiled_models() -> None:
    for make, backend in ((AWC, "inductor"), (ATC, "aot_eager"), (GRADIENTS, "aot_eager")):
        with torch._inductor.config.patch(compile_threads=1):
            expect_as_by_torch(compiling(backend), torch_loop=clipping_loop, makers=(make,), tolerance=2e-6)
        torch.compiler.reset()
