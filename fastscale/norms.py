"""Batch norm's running statistics where a batch is computed in parts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

MOMENTUM = 0.1  # torch's own


class RunningStatistics:
    """The running means and variances of a model, `tensors`: a step moves them towards the mean of all its parts'."""

    def __init__(self, model: nn.Module, parts: int):
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        self.tensors = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var)]
        self.parts = parts
        for norm in norms:  # one number for all parts: a compiled model holds it
            norm.momentum = MOMENTUM if parts == 1 else 1.0

    @contextmanager
    def step(self) -> Iterator[Callable[[], None]]:
        """Around a step: what is to be called after each part."""
        if self.parts == 1:
            yield lambda: None
            return
        before = [tensor.clone() for tensor in self.tensors]
        means = [torch.zeros_like(tensor) for tensor in self.tensors]
        yield lambda: torch._foreach_add_(means, self.tensors, alpha=1 / self.parts)
        torch._foreach_lerp_(before, means, MOMENTUM)
        torch._foreach_copy_(self.tensors, before)
