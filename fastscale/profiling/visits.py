"""A visit to a network: it is built, warmed up and timed, and its record gains rounds."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fastscale.cost.prediction import Costs
from fastscale.errors import UserError
from fastscale.execution import TINY, Execution, fastest
from fastscale.models.build import build
from fastscale.models.placement import WARM_UP_CALLS
from fastscale.networks import Network
from fastscale.profiling.autotune import HOPELESS, time_executions
from fastscale.profiling.batch_size import largest_batch
from fastscale.profiling.clock import time_on_cpu
from fastscale.profiling.options import CUDNN_LIMIT, Options
from fastscale.profiling.steps import inference_step, spread, time_steps, training_step
from fastscale.records.provenance import provenance
from fastscale.runtime.devices import describe, out_of_memory, precision
from fastscale.runtime.distributed import run_ranks

CHOICE_ROUNDS = 2  # rounds after which the fastest execution alone is timed
OTHER_ROUNDS = 2  # rounds on a CPU in which inference and launches are timed: each builds the network once more
Record = dict[str, Any]


def begin(network: Network, options: Options, device: torch.device) -> Record:
    """Return what a network's profile record has before any visit."""
    return {
        "network": network.id,
        "network_hash": network.hash,
        "costs": Costs.from_network(network)._asdict(),
        "device": describe(device),
        "options": options.recorded(device),
        "batch": options.batch,
        "precision": str(precision(device)).removeprefix("torch."),
        "images": options.images,
        "rounds": [],
        "tried": [],
        "peak_memory_bytes": None,
        "provenance": provenance("profile", ["torch"]),
    }


def next_round(record: Record, network: Network, options: Options, device: torch.device) -> Record:
    """Time a round of `network` on a CPU, by each execution that may be the fastest; return the record with the round.

    A round's time is the least of its steps, an execution's the least of its rounds. An execution is given up after a
    round that is `HOPELESS`, or after `CHOICE_ROUNDS` rounds if another is faster.
    """
    batch = record["batch"]
    tried = {Execution.from_record(entry): (entry["rounds"], entry["loads"]) for entry in record["tried"]}

    def cost(execution: Execution) -> float:
        return min(tried[execution][0])

    best = min(map(cost, tried), default=0.0)
    for execution in options.executions(network, device):
        rounds, loads = tried.get(execution, ([], []))
        if rounds and cost(execution) > best * (HOPELESS if len(rounds) < CHOICE_ROUNDS else 1):
            continue
        seconds, load = _time_round(training_step(network, batch, device, execution), options.steps)
        tried[execution] = [*rounds, seconds], [*loads, load]
    chosen = min(tried, key=cost)
    is_same = bool(record["rounds"]) and chosen == Execution.from_record(record)
    return {
        **record,
        **chosen._asdict(),
        **_times(tried[chosen][0], batch, options),
        "loads": tried[chosen][1],
        **_others(record if is_same else {}, network, batch, chosen, device),
        "tried": [
            {
                **execution._asdict(),
                "n": len(rounds),
                "step_seconds": _summary(rounds),
                "rounds": rounds,
                "loads": loads,
                "peak_memory_bytes": None,
            }
            for execution, (rounds, loads) in tried.items()
        ],
    }


def _others(earlier: Record, network: Network, batch: int, execution: Execution, device: torch.device) -> Record:
    """Time a round of inference and of a tiny batch on a CPU, after the `earlier` ones of the same execution."""
    inference, launches = earlier.get("inference_rounds", []), earlier.get("launch_seconds", math.inf)
    if len(inference) < OTHER_ROUNDS:
        inference = [*inference, _time_round(inference_step(network, batch, device, execution), 1)[0]]
        launches = min(launches, _time_round(training_step(network, TINY, device, execution), 1)[0])
    return {"inference_rounds": inference, "inference_seconds": _summary(inference), "launch_seconds": launches}


def all_rounds(record: Record, network: Network, options: Options, device: torch.device) -> Record:
    """Time all rounds of `network` in one visit, by the fastest of its executions; return the record with the rounds.

    Raises:
        UserError: not even two images fit in the memory of the GPU.
    """
    executions, repeats = options.executions(network, device), options.rounds * options.steps
    batch = _fitting_batch(network, device, options) if device.type == "cuda" and options.fill else options.batch
    make, timings = maker(options), []
    while True:
        try:
            if len(executions) > 1:
                timings = time_executions(network, batch, device, executions, repeats, make)
            chosen = fastest(timings) if timings else executions[0]
            times, peak, warm_up = _time_warm_step(network, batch, chosen, repeats, device, make)
            break
        except torch.OutOfMemoryError:  # choosing kernels takes more memory than a trial step does
            if batch <= TINY:
                raise _too_large(network) from None
            batch //= 2
    alone = {**chosen._asdict(), "n": len(times), "step_seconds": spread(times), "peak_memory_bytes": peak}
    heuristics = maker(options._replace(autotune=0))
    _choose_kernels(0)  # a search for other sizes takes seconds, and decides nothing
    inference = _rounds(_time_warm(inference_step(network, batch, device, chosen), repeats, device), options)
    launches = _time_warm(training_step(network, TINY, device, chosen, make=heuristics), options.rounds, device)
    record = {
        **record,
        "batch": batch,
        **chosen._asdict(),
        **_times(_rounds(times, options), batch, options),
        "inference_rounds": inference,
        "inference_seconds": _summary(inference),
        "launch_seconds": min(launches),
        "peak_memory_bytes": peak,
        "warm_up_seconds": warm_up,
        "tried": timings or [alone],
    }
    return record | _measured_on_several(network, chosen, record, options, device)


def once_more(record: Record, network: Network, options: Options, device: torch.device) -> float:
    """Time a network again as its record says, in one visit; returns the least seconds per step."""
    execution, batch = Execution.from_record(record), record["batch"]
    if options.is_interleaved(device):
        return _time_round(training_step(network, batch, device, execution), options.steps)[0]
    repeats = options.rounds * options.steps
    times, *_ = _time_warm_step(network, batch, execution, repeats, device, maker(options))
    return min(times)


def _times(rounds: Sequence[float], batch: int, options: Options) -> Record:
    """Return what a record says of its rounds: of steps, and of epochs on this device and, scaled, on several."""
    epochs = [seconds * options.images / batch for seconds in rounds]
    several = [seconds / options.devices for seconds in epochs]
    return {
        "n": len(rounds),
        "rounds": list(rounds),
        "step_seconds": _summary(rounds),
        "epoch_seconds": _summary(epochs),
        "several": {"devices": options.devices, "is_measured": False, "epoch_seconds": _summary(several)},
    }


def _summary(times: Sequence[float]) -> dict[str, float]:
    """Find the least, the median and the most of times, in seconds."""
    return {"least": min(times), "median": statistics.median(times), "most": max(times)}


def _rounds(times: Sequence[float], options: Options) -> list[float]:
    """Split the times of one visit's steps into rounds, each with the least of its steps."""
    return [min(times[i : i + options.steps]) for i in range(0, len(times), options.steps)]


def _time_round(step: Callable[[], object], steps: int) -> tuple[float, float]:
    """Time a round on a CPU after one step that warms up; returns the least seconds of its steps, and its load."""
    step()
    times, load = time_on_cpu(step, steps)
    return min(times), load


def _time_warm(step: Callable[[], object], repeats: int, device: torch.device) -> list[float]:
    """Time `repeats` steps, in seconds, after steps that warm up."""
    return time_steps(step, WARM_UP_CALLS + repeats, device)[WARM_UP_CALLS:]


def _time_warm_step(
    network: Network,
    batch: int,
    execution: Execution,
    repeats: int,
    device: torch.device,
    make: Callable[[Network], nn.Module],
) -> tuple[list[float], int | None, float]:
    """Time `repeats` training steps, in seconds.

    Returns them with the peak of memory in bytes (None on a CPU), and the seconds until the warm-up was over: mostly
    those in which cuDNN or a compiler chose kernels, unless they did for these sizes before.
    """
    is_gpu = device.type == "cuda"
    step: Callable[[], None] | None = None
    began = time.perf_counter()
    try:
        with out_of_memory():
            step = training_step(network, batch, device, execution, make=make)
            time_steps(step, WARM_UP_CALLS, device)
            warm_up = time.perf_counter() - began
            if is_gpu and not execution.is_graph:  # a graph has all its memory since its capture
                torch.cuda.reset_peak_memory_stats(device)  # choosing kernels took more than a step does
            times = time_steps(step, repeats, device)
    finally:
        step = None
        if is_gpu:
            torch.cuda.empty_cache()
    return times, torch.cuda.max_memory_allocated(device) if is_gpu else None, warm_up


def maker(options: Options) -> Callable[[Network], nn.Module]:
    """Return the function that builds a training step's model, and says how cuDNN chooses the step's kernels."""

    def make(network: Network) -> nn.Module:
        _choose_kernels(options.autotune)  # training_step has chosen otherwise, and runs nothing before this
        return build(network)

    return make


def _choose_kernels(limit: int) -> None:
    """Let cuDNN try as many kernels for each convolution, or choose by heuristics with 0."""
    torch.backends.cudnn.benchmark = limit > 0
    torch.backends.cudnn.benchmark_limit = limit or CUDNN_LIMIT


def _measured_on_several(
    network: Network, chosen: Execution, record: Record, options: Options, device: torch.device
) -> Record:
    """Measure the epoch on several devices, a batch each, if the machine has as many; else return nothing."""
    n, batch = options.devices, record["batch"]
    if device.type == "cuda" and torch.cuda.device_count() >= n > 1:
        torch.cuda.empty_cache()  # the first rank needs the memory that this process keeps
        with suppress(torch.OutOfMemoryError):  # the exchange of gradients takes memory as well
            times = run_ranks(n, device, step_times, network, batch, chosen, options.rounds * options.steps)
            epochs = [seconds * options.images / batch / n for seconds in _rounds(times, options)]
            return {"several": {"devices": n, "is_measured": True, "epoch_seconds": _summary(epochs)}}
    return {}


@out_of_memory()
def step_times(device: torch.device, network: Network, batch: int, execution: Execution, repeats: int) -> list[float]:
    """Time each step of a rank that exchanges its gradients with the other ranks, in seconds."""
    device_ids = [device] if device.type == "cuda" else None

    def parallel(model: torch.nn.Module) -> DistributedDataParallel:
        return DistributedDataParallel(model, device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True)

    return _time_warm(training_step(network, batch, device, execution.without_graph, parallel), repeats, device)


def _fitting_batch(network: Network, device: torch.device, options: Options) -> int:
    """Find the largest batch whose training step fits in the device's free memory."""

    def peak_of(batch: int) -> int | None:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            # One image more: else cuDNN would keep the kernels that it chooses here, unmeasured, for the timed steps.
            step = training_step(network, batch + 1, device, Execution(options.formats[0]))
            torch.backends.cudnn.benchmark = False  # measuring kernels would be repeated for each batch
            with out_of_memory():
                step()
                torch.cuda.synchronize(device)
        except torch.OutOfMemoryError:
            return None
        return torch.cuda.max_memory_reserved(device)

    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    batch = largest_batch(peak_of, free, options.largest_batch)
    torch.cuda.empty_cache()
    if batch < TINY:
        raise _too_large(network)
    return batch


def _too_large(network: Network) -> UserError:
    return UserError(f"{network.id}: not even {TINY} images of {network.resolution} px fit in this GPU's memory")
