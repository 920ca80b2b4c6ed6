"""Autotuning: which execution of a network takes the least time per training step on this device."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from fastscale.execution import FORMATS, Execution, Mode, combinations, fastest, kinds, result_of
from fastscale.models.build import build
from fastscale.models.placement import WARM_UP_CALLS
from fastscale.networks import Network
from fastscale.profiling.steps import spread, time_steps, training_step
from fastscale.runtime.devices import out_of_memory

CHOICE_REPEATS = 5
WORTH_TRYING = 2000  # steps of a training; to try six ways takes a hundred
WORTH_COMPILING = 1200.0  # seconds of the training; a network takes a minute or two to compile
HOPELESS = 1.15  # times the best step so far: what is slower after its warm-up is timed no further


def time_executions(
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
        step: Callable[[], None] | None
        try:
            with out_of_memory():
                step = training_step(network, batch, device, execution, make=make)
                time_steps(step, WARM_UP_CALLS - 1, device)
                if device.type == "cuda" and not execution.is_graph:  # a graph has all its memory since it was captured
                    torch.cuda.reset_peak_memory_stats(device)  # choosing its kernels took more
                times = time_steps(step, 1, device)
                if times[0] < HOPELESS * best:
                    times = time_steps(step, repeats, device)
        except Exception as error:  # what a compiler raises is of many kinds: a gap with its reason
            if not isinstance(error, torch.OutOfMemoryError) and execution.mode == "eager":
                raise
            if isinstance(error, torch.OutOfMemoryError):
                too_large = error.with_traceback(None)  # which would hold what did not fit
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


def autotune(steps: int, network: Network, batch: int, device: torch.device, *, graphs: bool) -> list[dict[str, Any]]:
    """What a training of so many steps does well to try on a GPU, timed: formats, graphs, kinds of convolutions.

    The fastest of these is also tried compiled where the training is so long that this may be worth its time. On a CPU
    nothing is tried: a training's bits must not depend on a clock there, and
    fastscale/models/convolution.py has made the choice by what is computed.
    """
    if device.type == "cpu" or steps < WORTH_TRYING:
        return []
    modes: list[Mode] = ["eager", "graph"] if graphs else ["eager"]
    executions = combinations(FORMATS, modes, kinds(network, ["plain", "packed"]))
    tried = time_executions(network, batch, device, executions, CHOICE_REPEATS)
    best = fastest(tried)
    if steps * result_of(best, tried)["step_seconds"]["median"] >= WORTH_COMPILING:
        modes = ["compiled", "compiled-graph"] if graphs else ["compiled"]
        executions = combinations([best.memory_format], modes, kinds(network, [best.convolutions, "shifted"]))
        tried += time_executions(network, batch, device, executions, CHOICE_REPEATS)
    return tried
