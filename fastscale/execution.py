"""How a network is executed: in which memory format, and eagerly, compiled, or compiled and replayed as CUDA graphs.

Which is fastest depends on network, batch and device: grouped convolutions differ by a factor of three between the two
formats on some stacks. So each is tried, on synthetic images, and what was measured stands in the record.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from fastscale.devices import precision
from fastscale.model import build
from fastscale.networks import Network
from fastscale.optimizer import sgd

Mode = Literal["eager", "compiled", "graphs"]

FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
COMPILER_MODES = {"compiled": "default", "graphs": "reduce-overhead"}

WARM_UP_STEPS = 3
CHOICE_REPEATS = 10
WORTH_TRYING = 1000  # steps of a training; to try both formats takes 26
WORTH_COMPILING = 1200.0  # seconds of eager training: a network takes a minute or two to compile
HOPELESS = 1.15  # times the best step so far: what is slower after its warm-up is timed no further


class Execution(NamedTuple):
    """One way to execute a network: a key of FORMATS, and a mode."""

    memory_format: str = "channels_last"
    mode: Mode = "eager"

    def place(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module on the device, in this format."""
        return module.to(device, memory_format=FORMATS[self.memory_format])

    def callable(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """What maps images to logits in this mode; compiled at its first call."""
        if self.mode == "eager":
            return module
        torch.compiler.reset()  # else the ninth network would run eagerly, as all share their code
        compiled = torch.compile(module, mode=COMPILER_MODES[self.mode], dynamic=False)
        if self.mode == "compiled":
            return compiled

        def replay(images: Tensor) -> Tensor:
            torch.compiler.cudagraph_mark_step_begin()
            return compiled(images)

        return replay


def every(formats: Iterable[str], modes: Iterable[Mode]) -> list[Execution]:
    """Each format in each mode, the cheapest to try first."""
    return [Execution(memory_format, mode) for mode in modes for memory_format in formats]


def synthetic_images(network: Network, batch: int, device: torch.device, execution: Execution) -> Tensor:
    """Noise, (batch, 3, r, r)."""
    images = torch.randn(batch, 3, network.resolution, network.resolution, device=device)
    return images.contiguous(memory_format=FORMATS[execution.memory_format])


def autocast(device: torch.device) -> torch.autocast:
    """The device's precision for what is computed inside."""
    dtype = precision(device)
    return torch.autocast(device.type, dtype if device.type == "cuda" else None, enabled=dtype != torch.float32)


def training_step(
    network: Network,
    batch: int,
    device: torch.device,
    execution: Execution,
    parallel: Callable[[nn.Module], nn.Module] = lambda model: model,
    make: Callable[[Network], nn.Module] = build,
) -> Callable[[], None]:
    """One step of SGD on a synthetic batch: forward, backward, update; nothing waits for the device.

    `make` builds the model; `parallel` wraps it where several ranks share the step.
    """
    torch.backends.cudnn.benchmark = True
    model = execution.place(make(network), device).train()
    forward = execution.callable(parallel(model))
    optimizer = sgd(model, momentum=0.9, weight_decay=5e-5)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    images = synthetic_images(network, batch, device, execution)
    labels = torch.randint(network.classes, (batch,), device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(device):
            loss = loss_of(forward(images), labels)
        loss.backward()
        optimizer.step()

    return step


def inference_step(network: Network, batch: int, device: torch.device, execution: Execution) -> Callable[[], None]:
    """One forward pass of a synthetic batch, with the running statistics of batch norm."""
    forward = execution.callable(execution.place(build(network), device).eval())
    images = synthetic_images(network, batch, device, execution)

    def step() -> None:
        with torch.inference_mode(), autocast(device):
            forward(images)

    return step


def clock(step: Callable[[], None], repeats: int, device: torch.device) -> list[float]:
    """Seconds of each of `repeats` steps; on a GPU by device events, read after the last step."""
    if device.type == "cuda":
        events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        events[0].record()
        for event in events[1:]:
            step()
            event.record()
        torch.cuda.synchronize(device)
        return [start.elapsed_time(end) / 1000 for start, end in itertools.pairwise(events)]
    marks = [time.perf_counter()]
    for _ in range(repeats):
        step()
        marks.append(time.perf_counter())
    return [end - start for start, end in itertools.pairwise(marks)]


def spread(times: Sequence[float]) -> dict[str, float]:
    """Quartiles and median, in seconds."""
    if len(times) == 1:
        return dict.fromkeys(("q1", "median", "q3"), times[0])
    return dict(zip(("q1", "median", "q3"), statistics.quantiles(times, n=4, method="inclusive"), strict=True))


def compare(
    network: Network,
    batch: int,
    device: torch.device,
    executions: Sequence[Execution],
    repeats: int,
    make: Callable[[Network], nn.Module] = build,
) -> list[dict[str, Any]]:
    """Time a training step in each way: n, seconds and peak bytes (None on a CPU), or the reason of a gap.

    The warm-up stays out of the clock, but for what is `HOPELESS` after it: that is recorded by its last step, n = 1.

    Raises:
        torch.OutOfMemoryError: not one of them fits.
    """
    tried: list[dict[str, Any]] = []
    best, too_large = float("inf"), None
    for execution in executions:
        try:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            step = training_step(network, batch, device, execution, make=make)
            times = clock(step, WARM_UP_STEPS, device)[-1:]
            if times[0] < HOPELESS * best:
                times = clock(step, repeats, device)
        except Exception as error:  # what a compiler raises is of many kinds: a gap with its reason
            if not isinstance(error, torch.OutOfMemoryError) and execution.mode == "eager":
                raise
            too_large = error if isinstance(error, torch.OutOfMemoryError) else too_large
            reason, *_ = str(error).splitlines() or [""]
            tried.append({**execution._asdict(), "gap": f"{type(error).__name__}: {reason}"})
            continue
        finally:
            step = None
            if device.type == "cuda":
                torch.cuda.empty_cache()
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        found = spread(times)
        best = min(best, found["median"])
        tried.append({**execution._asdict(), "n": len(times), "step_seconds": found, "peak_memory_bytes": peak})
    if too_large and all("gap" in one for one in tried):
        raise too_large
    return tried


def fastest(tried: Iterable[dict[str, Any]]) -> Execution:
    """The one of least median time; where none was timed, as on a CPU, channels_last and eager."""
    timed = [one for one in tried if "gap" not in one]
    if not timed:
        return Execution()
    best = min(timed, key=lambda one: one["step_seconds"]["median"])
    return Execution(best["memory_format"], best["mode"])


def try_for(steps: int, network: Network, batch: int, device: torch.device, modes: Sequence[Mode]) -> list[dict]:
    """What a training of so many steps does well to try on a GPU: both formats, and the faster one in other modes.

    These are worth their compilation only where the training is long. On a CPU nothing is tried: a training's bits must
    not depend on a clock there, and fastscale/convolution.py has made the choice by what is computed.
    """
    if device.type == "cpu" or steps < WORTH_TRYING:
        return []
    tried = compare(network, batch, device, every(FORMATS, ["eager"]), CHOICE_REPEATS)
    best = fastest(tried)
    eager = next(one for one in tried if best == (one["memory_format"], one["mode"]))["step_seconds"]["median"]
    if steps * eager >= WORTH_COMPILING:
        tried += compare(network, batch, device, every([best.memory_format], modes), CHOICE_REPEATS)
    return tried
