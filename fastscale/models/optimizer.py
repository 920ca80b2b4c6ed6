"""SGD, with the weight decay of section 6.1: none on batch norm."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

# torch's optimizers import its compiler, as long as all of torch takes, just to keep it from tracing them. Nothing is
# compiled here: each method is noted as its own untraced form, and `step` is taken without what looks for a compiler.
for _method in vars(Optimizer).values():
    if _plain := getattr(_method, "__wrapped__", None):
        setattr(_plain, "__dynamo_disable", _plain)


class EagerSGD(SGD):
    """torch's SGD, outside of its compiler.

    `skipped` is above 0 where torch's GradScaler found a gradient of the last step that was not finite, and the step
    changed nothing: a number on the device; None without a scaler.
    """

    skipped: Tensor | None = None

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: it would be called in vain
        """Update the parameters."""
        self.skipped = getattr(self, "found_inf", None)  # a scaler's, who takes it away again
        inspect.unwrap(SGD.step)(self)


def sgd(model: nn.Module, *, momentum: float, weight_decay: float, nesterov: bool = False) -> EagerSGD:
    """SGD over `parameter_groups`; its learning rate is set at each step."""
    groups = parameter_groups(model, weight_decay)
    optimizer = EagerSGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov, fused=True)
    if momentum:  # torch's fused step leaves it undefined where the first step is skipped, as fp16 may want it
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: those of batch norm are not decayed, all others are."""
    norms = {p for module in model.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()}
    return [
        {"params": [p for p in model.parameters() if p not in norms], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p in norms], "weight_decay": 0.0},
    ]
