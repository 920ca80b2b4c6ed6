"""Batch norm's running statistics: where a batch is computed in parts, where a step is skipped, and taken anew."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fastscale.runtime._torch import add_to_each, copy_to_each, divide_each, move_each

MOMENTUM = 0.1  # torch's own


class RunningStatistics:
    """The running means and variances of a model, `tensors`: a step moves them towards the mean of all its parts'."""

    def __init__(self, model: nn.Module, parts: int):
        self.tensors = statistics_of(model)
        self.parts = parts
        for norm in _norms(model):  # one number for all parts: a compiled model holds it
            norm.momentum = MOMENTUM if parts == 1 else 1.0

    @contextmanager
    def step(self) -> Iterator[Callable[[], object]]:
        """Around a step: what is to be called after each part."""
        if self.parts == 1:
            yield lambda: None
            return
        before = [tensor.clone() for tensor in self.tensors]
        means = [torch.zeros_like(tensor) for tensor in self.tensors]
        yield lambda: add_to_each(means, self.tensors, alpha=1 / self.parts)
        move_each(before, means, MOMENTUM)
        copy_to_each(self.tensors, before)

    def copied(self) -> Tensor:
        """All of them as they are now, one after the other."""
        return torch.cat(self.tensors)

    def restore(self, before: Tensor, where: Tensor) -> None:
        """Make them what was `copied` before if `where`, a number on their device, is above 0; nothing waits for it."""
        chosen = torch.where(where > 0, before, self.copied())  # these may be NaN, of which no arithmetic gets rid
        copy_to_each(self.tensors, chosen.split([len(tensor) for tensor in self.tensors]))


def statistics_of(model: nn.Module) -> list[Tensor]:
    """The running means and variances of a model's batch norms, each of a number a channel."""
    return [tensor for norm in _norms(model) for tensor in (norm.running_mean, norm.running_var) if tensor is not None]


@torch.no_grad()
def renew_statistics(module: nn.Module, models: Sequence[nn.Module], batches: Iterable[Tensor]) -> None:
    """Take the running statistics of `models` anew: the means of those of each of the `batches` (precise batch norm).

    Batches are images as a model is fed with them, (N, 3, r, r). `module` is a model of the same layers, perhaps one of
    them, by whose way of execution all are computed; it ends in evaluation.
    """
    states = [dict(model.named_parameters()) | dict(model.named_buffers()) for model in models]
    tensors = [tensor for model in models for tensor in statistics_of(model)]
    sums, count, momenta = (
        [torch.zeros_like(tensor) for tensor in tensors],
        0,
        [norm.momentum for norm in _norms(module)],
    )
    module.train()
    for norm in _norms(module):
        norm.momentum = 1.0  # what a batch leaves behind is its own alone
    for batch in batches:
        for state in states:
            torch.func.functional_call(module, state, batch)
        add_to_each(sums, tensors)
        count += 1
    copy_to_each(tensors, divide_each(sums, count))
    for norm, momentum in zip(_norms(module), momenta, strict=True):
        norm.momentum = momentum
    module.eval()


def _norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
