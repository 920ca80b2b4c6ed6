"""Networks as they are executed: memory format, kind of convolutions, torch's compiler and CUDA graphs."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from fastscale.execution import Execution
from fastscale.models.convolution import Conv2d
from fastscale.runtime.devices import precision

MEMORY_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
Result = TypeVar("Result")
WARM_UP_CALLS = 3  # cuDNN chooses its kernels at the first call, the allocator has seen all sizes at the second


def place(module: nn.Module, execution: Execution, device: torch.device) -> nn.Module:
    """Move a module to a device, in the memory format and with the kind of convolutions of `execution`."""
    for layer in module.modules():
        if isinstance(layer, Conv2d):
            layer.kind = execution.convolutions
    # torch's annotations do not know a device together with a memory format.
    return module.to(device, memory_format=MEMORY_FORMATS[execution.memory_format])  # type: ignore[call-overload]


def prepared_forward(module: nn.Module, execution: Execution) -> Callable[[Tensor], Tensor]:
    """Return the function from images to logits; `execution` may have it compiled, at its first call."""
    if not execution.is_compiled:
        return module
    torch.compiler.reset()  # else the ninth network would run eagerly, as all networks share their code
    return torch.compile(module, dynamic=False)


def repeatable(
    function: Callable[..., Result], execution: Execution, examples: Sequence[Tensor], changed: Iterable[Tensor] = ()
) -> Callable[..., Result]:
    """Wrap `function` as a CUDA graph if `execution` asks for one, else return it.

    Arguments must have the shapes and types of `examples`. To capture the graph the function is called, and what it did
    to the tensors in `changed` is undone. All other tensors that the function changes (gradients) must keep their
    addresses. Each call overwrites the result of the call before.
    """
    if not execution.is_graph:
        return function
    changed = list(changed)
    before = [tensor.clone() for tensor in changed]
    replay, result = capture(lambda: function(*examples))
    for tensor, value in zip(changed, before, strict=True):
        tensor.copy_(value)

    def repeat(*arguments: Tensor) -> Result:
        for example, argument in zip(examples, arguments, strict=True):
            if example is not argument:
                example.copy_(argument, non_blocking=True)
        replay()
        return result

    return repeat


def capture(function: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
    """Capture `function` as a CUDA graph, after calls that warm it up; returns the replay, and the replay's result.

    Peak memory is counted anew after the warm-up: that of the graph, without what choosing kernels took.

    Raises:
        RuntimeError: there is no GPU, or the function waits for the GPU.
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
    """Return a context in which a device computes in its own precision."""
    dtype = precision(device)
    return torch.autocast(device.type, dtype if device.type == "cuda" else None, enabled=dtype != torch.float32)
