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
WORTH_TRYING = 2000  # steps of a training; timing six executions takes a hundred
WORTH_COMPILING = 1200.0  # seconds of the training; compiling a network takes a minute or two
HOPELESS = 1.15  # times the best step so far: an execution that is slower after its warm-up is timed no further


def time_executions(
    network: Network,
    batch: int,
    device: torch.device,
    executions: Sequence[Execution],
    repeats: int,
    make: Callable[[Network], nn.Module] = build,
) -> list[dict[str, Any]]:
    """Time a training step by each execution: n, seconds and peak bytes (None on a CPU), or a gap with its reason.

    Warm-up steps are not timed, but an execution that is `HOPELESS` after them is recorded by its last one, n = 1.

    Raises:
        torch.OutOfMemoryError: no execution fits in memory.
    """
    timings: list[dict[str, Any]] = []
    best, too_large = float("inf"), None
    for execution in executions:
        step: Callable[[], None] | None
        try:
            with out_of_memory():
                step = training_step(network, batch, device, execution, make=make)
                time_steps(step, WARM_UP_CALLS - 1, device)
                if device.type == "cuda" and not execution.is_graph:  # a graph has all its memory since its capture
                    torch.cuda.reset_peak_memory_stats(device)  # choosing kernels took more than a step does
                times = time_steps(step, 1, device)
                if times[0] < HOPELESS * best:
                    times = time_steps(step, repeats, device)
        except Exception as error:  # compilers raise errors of many kinds: a gap with its reason
            if not isinstance(error, torch.OutOfMemoryError) and execution.mode == "eager":
                raise
            if isinstance(error, torch.OutOfMemoryError):
                too_large = error.with_traceback(None)  # the traceback would hold the tensors that did not fit
            reason, *_ = str(error).splitlines() or [""]
            timings.append({**execution._asdict(), "gap": f"{type(error).__name__}: {reason}"})
            continue
        finally:
            step = None
            if device.type == "cuda":
                torch.cuda.empty_cache()
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        seconds = spread(times)
        best = min(best, seconds["median"])
        timings.append({**execution._asdict(), "n": len(times), "step_seconds": seconds, "peak_memory_bytes": peak})
    if too_large and all("gap" in timing for timing in timings):
        raise too_large
    return timings


def autotune(steps: int, network: Network, batch: int, device: torch.device, *, graphs: bool) -> list[dict[str, Any]]:
    """Time the executions worth trying for a training of `steps` steps: formats, graphs, kinds of convolutions.

    On a GPU the fastest of these is also timed compiled, if the training is so long that compiling may pay. On a CPU
    nothing is timed: there a training's bits must not depend on a clock.
    """
    if device.type == "cpu" or steps < WORTH_TRYING:
        return []
    modes: list[Mode] = ["eager", "graph"] if graphs else ["eager"]
    executions = combinations(FORMATS, modes, kinds(network, ["plain", "packed"], device.type))
    timings = time_executions(network, batch, device, executions, CHOICE_REPEATS)
    best = fastest(timings)
    if steps * result_of(best, timings)["step_seconds"]["median"] >= WORTH_COMPILING:
        modes = ["compiled", "compiled-graph"] if graphs else ["compiled"]
        compilable = kinds(network, [best.convolutions, "shifted"], device.type)
        executions = combinations([best.memory_format], modes, compilable)
        timings += time_executions(network, batch, device, executions, CHOICE_REPEATS)
    return timings
