"""Batch norm's running statistics: over the parts of a batch, restored after a skipped step, and taken anew."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fastscale.runtime._torch import add_to_each, copy_to_each, divide_each, move_each

MOMENTUM = 0.1  # torch's own


class RunningStatistics:
    """The running means and variances of a model, `tensors`; a step moves them towards the means over all its parts."""

    def __init__(self, model: nn.Module, parts: int):
        self.tensors = statistics_of(model)
        self.parts = parts
        for norm in _norms(model):  # the same for all parts, as a compiled model holds it as a constant
            norm.momentum = MOMENTUM if parts == 1 else 1.0

    @contextmanager
    def step(self) -> Iterator[Callable[[], object]]:
        """Yield, around a step, a function to be called after each part of the batch."""
        if self.parts == 1:
            yield lambda: None
            return
        before = [tensor.clone() for tensor in self.tensors]
        means = [torch.zeros_like(tensor) for tensor in self.tensors]
        yield lambda: add_to_each(means, self.tensors, alpha=1 / self.parts)
        move_each(before, means, MOMENTUM)
        copy_to_each(self.tensors, before)

    def copied(self) -> Tensor:
        """Copy all statistics into one tensor."""
        return torch.cat(self.tensors)

    def restore(self, before: Tensor, where: Tensor) -> None:
        """Restore the `copied` statistics if the number `where` is above 0; the host does not wait for this number."""
        chosen = torch.where(where > 0, before, self.copied())  # statistics may be NaN, which no arithmetic removes
        copy_to_each(self.tensors, chosen.split([len(tensor) for tensor in self.tensors]))


def statistics_of(model: nn.Module) -> list[Tensor]:
    """List the running means and variances of a model's batch norms, each (channels,)."""
    return [tensor for norm in _norms(model) for tensor in (norm.running_mean, norm.running_var) if tensor is not None]


@torch.no_grad()
def renew_statistics(module: nn.Module, models: Sequence[nn.Module], batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of `models` by the means of the statistics of `batches` (precise batch norm).

    Batches are images as models take them, (N, 3, r, r). `module` has the layers of the models, and may be one of them;
    all models are executed as `module` is, which is left in evaluation mode.
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
        norm.momentum = 1.0  # a batch leaves the statistics of no other batch behind
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
