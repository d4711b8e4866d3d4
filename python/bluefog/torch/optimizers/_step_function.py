"""An update of the user's own in the place of the base optimizer's step."""

from __future__ import annotations

from typing import Any, Callable

import torch

__all__ = ["StepFunction", "step_of"]

#: (optimizer, parameter, gradient, parameter group); changes the parameter in place.
StepFunction = Callable[[torch.optim.Optimizer, torch.Tensor, torch.Tensor, dict[str, Any]], None]


def step_of(function: StepFunction) -> Callable[..., Any]:
    """What stands for the base class's ``step``."""

    def step(optimizer: torch.optim.Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        function(optimizer, parameter, parameter.grad, group)
        return loss

    return step
