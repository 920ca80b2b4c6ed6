"""Steps of a network on synthetic images, how long they take, and which way to execute them is the fastest."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fastscale.execution import FORMATS, Mode, Way, every, fastest, kinds, result_of
from fastscale.models.build import build
from fastscale.models.optimizer import sgd
from fastscale.models.placement import MEMORY_FORMATS, WARM_UP_CALLS, autocast, forward_of, place, repeatable
from fastscale.networks import Network
from fastscale.runtime.devices import out_of_memory

CHOICE_REPEATS = 5
WORTH_TRYING = 2000  # steps of a training; to try six ways takes a hundred
WORTH_COMPILING = 1200.0  # seconds of the training; a network takes a minute or two to compile
HOPELESS = 1.15  # times the best step so far: what is slower after its warm-up is timed no further


def synthetic_images(network: Network, batch: int, device: torch.device, way: Way) -> Tensor:
    """Noise, (batch, 3, r, r)."""
    images = torch.randn(batch, 3, network.resolution, network.resolution, device=device)
    return images.contiguous(memory_format=MEMORY_FORMATS[way.memory_format])


def training_step(
    network: Network,
    batch: int,
    device: torch.device,
    way: Way,
    parallel: Callable[[nn.Module], nn.Module] = lambda model: model,
    make: Callable[[Network], nn.Module] = build,
) -> Callable[[], None]:
    """One step of SGD on a synthetic batch: forward, backward, update; nothing waits for the device.

    `make` builds the model; `parallel` wraps it where several ranks share the step.
    """
    torch.backends.cudnn.benchmark = True
    with device:  # which draws weights faster than the host
        model = place(make(network), way, device).train()
    forward = forward_of(parallel(model), way)
    optimizer = sgd(model, momentum=0.9, weight_decay=5e-5)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    images = synthetic_images(network, batch, device, way)
    labels = torch.randint(network.classes, (batch,), device=device)

    def accumulate(images: Tensor, labels: Tensor) -> None:
        with autocast(device):
            loss = loss_of(forward(images), labels)
        loss.backward()

    repeat = repeatable(accumulate, way, (images, labels))

    def step() -> None:
        optimizer.zero_grad(set_to_none=not way.is_graph)
        repeat(images, labels)
        optimizer.step()

    return step


def inference_step(network: Network, batch: int, device: torch.device, way: Way) -> Callable[[], None]:
    """One forward pass of a synthetic batch, with the running statistics of batch norm."""
    with device:
        forward = forward_of(place(build(network), way, device).eval(), way)
    images = synthetic_images(network, batch, device, way)

    def infer(images: Tensor) -> None:
        with torch.inference_mode(), autocast(device):
            forward(images)

    repeat = repeatable(infer, way, (images,))
    return lambda: repeat(images)


def clock(step: Callable[[], object], repeats: int, device: torch.device) -> list[float]:
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
    ways: Sequence[Way],
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
    for way in ways:
        step: Callable[[], None] | None
        try:
            with out_of_memory():
                step = training_step(network, batch, device, way, make=make)
                clock(step, WARM_UP_CALLS - 1, device)
                if device.type == "cuda" and not way.is_graph:  # a graph has all its memory since it was captured
                    torch.cuda.reset_peak_memory_stats(device)  # choosing its kernels took more
                times = clock(step, 1, device)
                if times[0] < HOPELESS * best:
                    times = clock(step, repeats, device)
        except Exception as error:  # what a compiler raises is of many kinds: a gap with its reason
            if not isinstance(error, torch.OutOfMemoryError) and way.mode == "eager":
                raise
            if isinstance(error, torch.OutOfMemoryError):
                too_large = error.with_traceback(None)  # which would hold what did not fit
            reason, *_ = str(error).splitlines() or [""]
            tried.append({**way._asdict(), "gap": f"{type(error).__name__}: {reason}"})
            continue
        finally:
            step = None
            if device.type == "cuda":
                torch.cuda.empty_cache()
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        found = spread(times)
        best = min(best, found["median"])
        tried.append({**way._asdict(), "n": len(times), "step_seconds": found, "peak_memory_bytes": peak})
    if too_large and all("gap" in one for one in tried):
        raise too_large
    return tried


def try_for(steps: int, network: Network, batch: int, device: torch.device, *, graphs: bool) -> list[dict[str, Any]]:
    """What a training of so many steps does well to try on a GPU, timed: formats, graphs, kinds of convolutions.

    The fastest of these is also tried compiled where the training is so long that this may be worth its time. On a CPU
    nothing is tried: a training's bits must not depend on a clock there, and
    fastscale/models/convolution.py has made the choice by what is computed.
    """
    if device.type == "cpu" or steps < WORTH_TRYING:
        return []
    modes: list[Mode] = ["eager", "graph"] if graphs else ["eager"]
    ways = every(FORMATS, modes, kinds(network, ["plain", "packed"]))
    tried = compare(network, batch, device, ways, CHOICE_REPEATS)
    best = fastest(tried)
    if steps * result_of(best, tried)["step_seconds"]["median"] >= WORTH_COMPILING:
        modes = ["compiled", "compiled-graph"] if graphs else ["compiled"]
        ways = every([best.memory_format], modes, kinds(network, [best.convolutions, "shifted"]))
        tried += compare(network, batch, device, ways, CHOICE_REPEATS)
    return tried
