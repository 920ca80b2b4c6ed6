"""Measured runtime of a network: the time of one training step, and of an epoch of such steps (section 4).

Images are synthetic: the network is timed, not the loader. No package but torch is needed.
"""

import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from fastscale.cost.prediction import Costs
from fastscale.errors import UserError
from fastscale.execution import (
    EAGER_CONVOLUTIONS,
    FORMATS,
    TINY,
    Convolutions,
    Execution,
    MemoryFormat,
    Mode,
    combinations,
    fastest,
    kinds,
    result_of,
)
from fastscale.models.placement import WARM_UP_CALLS
from fastscale.networks import Network
from fastscale.profiling import peaks
from fastscale.profiling.autotune import time_executions
from fastscale.profiling.batch_size import LARGEST, largest_batch
from fastscale.profiling.steps import inference_step, time_steps, training_step
from fastscale.records.provenance import code_hash, provenance
from fastscale.records.records import read_record, write_record
from fastscale.runtime.devices import describe, out_of_memory, precision
from fastscale.runtime.distributed import run_ranks
from fastscale.runtime.host_memory import keep_freed_memory

LAUNCH_REPEATS = 3


class Options(NamedTuple):
    """How networks are timed: with `batch` images on a CPU, on a GPU with all that fit, up to `largest_batch`."""

    batch: int
    repeats: int = 20
    images: int = 1281167
    formats: tuple[MemoryFormat, ...] = FORMATS
    modes: tuple[Mode, ...] = ("eager",)
    convolutions: tuple[Convolutions, ...] = EAGER_CONVOLUTIONS
    largest_batch: int = LARGEST
    devices: int = 8


def profile_all(networks: Sequence[Network], path: Path, options: Options, device: torch.device) -> None:
    """Time `networks`, and rewrite `path` with their records after each network.

    Records in `path` of the same device, options and code are kept.
    """
    alike = {"device": describe(device), "options": _recorded(options, device), "code": code_hash("profile")}

    def is_alike(record: dict[str, Any]) -> bool:
        return all({**record, "code": record["provenance"]["code"]}.get(key) == value for key, value in alike.items())

    earlier = read_record(path, "profiles")["records"] if path.exists() else []
    kept = {record["network_hash"]: record for record in earlier if is_alike(record)}
    records = [kept[network.hash] for network in networks if network.hash in kept]
    missing = [network for network in networks if network.hash not in kept]
    write_record(path, {"kind": "profiles", "records": records})
    if not missing:
        return
    keep_freed_memory()
    device_peaks = peaks.measure(device)
    for network in tqdm(missing, unit="network", disable=None):
        records.append(profile(network, options, device, device_peaks))
        write_record(path, {"kind": "profiles", "records": records})


def profile(network: Network, options: Options, device: torch.device, device_peaks: dict[str, Any]) -> dict[str, Any]:
    """Time the training steps of `network` by each execution; returns the profile record.

    The record has the times of the fastest execution, in seconds: of a step, of an epoch of `images` images on this
    device and on several devices (measured if the machine has as many, else scaled), of a forward pass, and of a step
    of a tiny batch, which tells what launching the kernels takes. Memory is in bytes (None on a CPU). `device_peaks`
    are the device's.

    Raises:
        UserError: not even two images fit in the memory of the GPU.
    """
    batch = options.batch if device.type == "cpu" else _fitting_batch(network, device, options)
    convolutions = kinds(network, options.convolutions, device.type)
    executions = combinations(options.formats, options.modes, convolutions)
    while True:
        try:
            timings = time_executions(network, batch, device, executions, options.repeats)
            break
        except torch.OutOfMemoryError:  # choosing kernels takes more memory than a trial step does
            if batch <= TINY:
                raise _too_large(network) from None
            batch //= 2
    chosen = fastest(timings)
    best = result_of(chosen, timings)
    inference = _time_warm(inference_step(network, batch, device, chosen), options.repeats, device)
    launches = _time_warm(training_step(network, TINY, device, chosen), LAUNCH_REPEATS, device)
    steps_per_epoch = options.images / batch
    rounds = list(best["step_seconds"].values())
    return {
        "network": network.id,
        "network_hash": network.hash,
        "costs": Costs.from_network(network)._asdict(),
        "device": describe(device),
        "peaks": device_peaks,
        "options": _recorded(options, device),
        "batch": batch,
        **chosen._asdict(),
        "precision": str(precision(device)).removeprefix("torch."),
        "images": options.images,
        "n": len(rounds),
        "rounds": rounds,
        "step_seconds": _summary(rounds),
        "epoch_seconds": {key: value * steps_per_epoch for key, value in _summary(rounds).items()},
        "several": _on_several(network, batch, chosen, options, device, _summary(rounds)),
        "inference_seconds": _summary(inference),
        "launch_seconds": min(launches),
        "peak_memory_bytes": best["peak_memory_bytes"],
        "tried": timings,
        "provenance": provenance("profile", ["torch"]),
    }


def _summary(times: Sequence[float]) -> dict[str, float]:
    """Find the least, the median and the most of times, in seconds."""
    return {"least": min(times), "median": statistics.median(times), "most": max(times)}


def _recorded(options: Options, device: torch.device) -> dict[str, Any]:
    """Return the options as records have them; without the batch on a GPU, where the largest is searched for."""
    recorded = {key: list(value) if isinstance(value, tuple) else value for key, value in options._asdict().items()}
    return recorded if device.type == "cpu" else {key: value for key, value in recorded.items() if key != "batch"}


def _time_warm(step: Callable[[], object], repeats: int, device: torch.device) -> list[float]:
    """Time `repeats` steps, in seconds, after steps that warm up."""
    warm_up = WARM_UP_CALLS if device.type == "cuda" else 1
    return time_steps(step, warm_up + repeats, device)[warm_up:]


def _on_several(
    network: Network,
    batch: int,
    chosen: Execution,
    options: Options,
    device: torch.device,
    alone: dict[str, float],
) -> dict[str, Any]:
    """Return the epoch on several devices, a batch each: measured if the machine has as many, else scaled."""
    n, step, is_measured = options.devices, alone, False
    if device.type == "cuda" and torch.cuda.device_count() >= n > 1:
        torch.cuda.empty_cache()  # the first rank needs the memory that this process keeps
        with suppress(torch.OutOfMemoryError):  # the exchange of gradients takes memory as well
            step = _summary(run_ranks(n, device, step_times, network, batch, chosen, options.repeats))
            is_measured = True
    epoch = {key: value * options.images / batch / n for key, value in step.items()}
    return {"devices": n, "is_measured": is_measured, "epoch_seconds": epoch}


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
