"""Executing a network in one of the ways of fastscale/execution.py."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from fastscale.execution import Execution
from fastscale.models.convolution import Conv2d
from fastscale.runtime.devices import precision

MEMORY_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
Result = TypeVar("Result")
WARM_UP_CALLS = 3  # cuDNN chooses its kernels at the first, the allocator has seen all at the second


def place(module: nn.Module, execution: Execution, device: torch.device) -> nn.Module:
    """The module on the device, in the way's format, with convolutions of its kind."""
    for layer in module.modules():
        if isinstance(layer, Conv2d):
            layer.kind = execution.convolutions
    # torch's annotations do not know the two together.
    return module.to(device, memory_format=MEMORY_FORMATS[execution.memory_format])  # type: ignore[call-overload]


def forward_of(module: nn.Module, execution: Execution) -> Callable[[Tensor], Tensor]:
    """What maps images to logits; compiled at its first call, if that is the way."""
    if not execution.is_compiled:
        return module
    torch.compiler.reset()  # else the ninth network would run eagerly, as all share their code
    return torch.compile(module, dynamic=False)


def repeatable(
    function: Callable[..., Result], execution: Execution, examples: Sequence[Tensor], changed: Iterable[Tensor] = ()
) -> Callable[..., Result]:
    """`function`, to be called with many tensors like the examples: itself, or a CUDA graph of it, if that is the way.

    A graph is recorded here, by calls whose changes of the tensors `changed` are undone. Whatever else the function
    changes (gradients) must be tensors that stay where they are. What it returns, the next call writes over.
    """
    if not execution.is_graph:
        return function
    changed = list(changed)
    before = [tensor.clone() for tensor in changed]
    replay, result = capture(lambda: function(*examples))
    for tensor, value in zip(changed, before, strict=True):
        tensor.copy_(value)

    def repeat(*given: Tensor) -> Result:
        for example, tensor in zip(examples, given, strict=True):
            if example is not tensor:
                example.copy_(tensor, non_blocking=True)
        replay()
        return result

    return repeat


def capture(function: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
    """Record `function` as a CUDA graph, after calls that warm it up; returns what replays it, and where its result is.

    Peak memory is counted anew from here on: that of the graph, without what choosing its kernels took.

    Raises:
        RuntimeError: there is no GPU, or the function waits for it.
    """
    if not torch.cuda.is_available():
        raise RuntimeError("only a GPU has CUDA graphs")
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP_CALLS):
            function()
    torch.cuda.current_stream().wait_stream(aside)
    torch.cuda.reset_peak_memory_stats()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function()
    return graph.replay, result


def autocast(device: torch.device) -> torch.autocast:
    """The device's precision for what is computed inside."""
    dtype = precision(device)
    return torch.autocast(device.type, dtype if device.type == "cuda" else None, enabled=dtype != torch.float32)
