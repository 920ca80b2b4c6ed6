"""SGD, with the weight decay of section 6.1: none on batch norm."""

from typing import Any

from torch import nn
from torch.optim import SGD, Optimizer

# torch imports its compiler (as long as all of torch takes) at the first call of these, to keep it from tracing them;
# what it would look up is noted here beforehand. Nothing is compiled here, and a torch without this is just slower.
for _method in (Optimizer.add_param_group, Optimizer.state_dict, Optimizer.load_state_dict):
    if _plain := getattr(_method, "__wrapped__", None):
        setattr(_plain, "__dynamo_disable", _plain)


def sgd(model: nn.Module, *, momentum: float, weight_decay: float) -> SGD:
    """SGD over `parameter_groups`; its learning rate is set at each step."""
    return SGD(parameter_groups(model, weight_decay), lr=0.0, momentum=momentum, foreach=True)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: those of batch norm are not decayed, all others are."""
    norms = {p for module in model.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()}
    return [
        {"params": [p for p in model.parameters() if p not in norms], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p in norms], "weight_decay": 0.0},
    ]
