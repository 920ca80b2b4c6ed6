"""SGD with the weight decay of section 6.1 of the paper: none on batch norm."""

from typing import Any

import torch
from torch import nn

from fastscale.runtime._torch import EagerSGD


def sgd(model: nn.Module, *, momentum: float, weight_decay: float, nesterov: bool = False) -> EagerSGD:
    """Make SGD over `parameter_groups`; its learning rate is 0 until the caller sets it, before each step."""
    groups = parameter_groups(model, weight_decay)
    optimizer = EagerSGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov, fused=True)
    if (
        momentum
    ):  # torch's fused step leaves the buffer undefined where the first step is skipped, as may happen with fp16
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters into two groups for an optimizer: all others are decayed, those of batch norm are not."""
    norms = {p for module in model.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()}
    return [
        {"params": [p for p in model.parameters() if p not in norms], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p in norms], "weight_decay": 0.0},
    ]
