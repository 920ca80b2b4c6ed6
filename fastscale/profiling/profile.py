"""Measured runtime of a network: the time of one training step, and of the epoch that it amounts to (section 4).

Needs torch alone. The input is synthetic: what is timed is the network, not the loader.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from fastscale.cost.prediction import Costs
from fastscale.errors import UserError
from fastscale.execution import (
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
from fastscale.profiling.steps import inference_step, spread, time_steps, training_step
from fastscale.records.provenance import code_hash, provenance
from fastscale.records.records import read_record, write_record
from fastscale.runtime import distributed as ranks
from fastscale.runtime.devices import describe, out_of_memory, precision
from fastscale.runtime.host_memory import keep_freed_memory

LAUNCH_REPEATS = 3


class Options(NamedTuple):
    """How networks are timed: by `batch` on a CPU, on a GPU by the largest that fits, up to `largest_batch`."""

    batch: int
    repeats: int = 20
    images: int = 1281167
    formats: tuple[MemoryFormat, ...] = FORMATS
    modes: tuple[Mode, ...] = ("eager",)
    convolutions: tuple[Convolutions, ...] = ("plain", "packed")
    largest_batch: int = LARGEST
    devices: int = 8


def profile_all(networks: Sequence[Network], path: Path, options: Options, device: torch.device) -> None:
    """Time `networks` and write their records to `path`, after each one; those there that were timed alike are kept."""
    alike = {"device": describe(device), "options": _recorded(options, device), "code": code_hash("profile")}

    def is_alike(record: dict[str, Any]) -> bool:
        return all({**record, "code": record["provenance"]["code"]}.get(key) == value for key, value in alike.items())

    before = read_record(path, "profiles")["records"] if path.exists() else []
    kept = {record["network_hash"]: record for record in before if is_alike(record)}
    records = [kept[network.hash] for network in networks if network.hash in kept]
    missing = [network for network in networks if network.hash not in kept]
    write_record(path, {"kind": "profiles", "records": records})
    if not missing:
        return
    keep_freed_memory()
    reached = peaks.measure(device)
    for network in tqdm(missing, unit="network", disable=None):
        records.append(profile(network, options, device, reached))
        write_record(path, {"kind": "profiles", "records": records})


def profile(network: Network, options: Options, device: torch.device, reached: dict[str, Any]) -> dict[str, Any]:
    """Time the training steps of `network` in each way; returns the profile record.

    Its times are those of the fastest one, in seconds: of a step, of an epoch of `images` images on this one device and
    on several (measured where there are so many, else scaled), of a forward pass, and of a step of a tiny batch, which
    tells what its launches take. Memory is in bytes (None on a CPU). `reached` are the device's peaks.

    Raises:
        UserError: not even two images fit in the memory of the GPU.
    """
    batch = options.batch if device.type == "cpu" else _fitting_batch(network, device, options)
    convolutions: list[Convolutions] = ["plain"] if device.type == "cpu" else kinds(network, options.convolutions)
    executions = combinations(options.formats, options.modes, convolutions)
    while True:
        try:
            tried = time_executions(network, batch, device, executions, options.repeats)
            break
        except torch.OutOfMemoryError:  # convolutions that are being chosen take more than those of a trial step
            if batch <= TINY:
                raise _too_large(network) from None
            batch //= 2
    chosen = fastest(tried)
    best = result_of(chosen, tried)
    inference = _warm_clock(inference_step(network, batch, device, chosen), options.repeats, device)
    launches = _warm_clock(training_step(network, TINY, device, chosen), LAUNCH_REPEATS, device)
    steps_per_epoch = options.images / batch
    return {
        "network": network.id,
        "network_hash": network.hash,
        "costs": Costs.from_network(network)._asdict(),
        "device": describe(device),
        "peaks": reached,
        "options": _recorded(options, device),
        "batch": batch,
        **chosen._asdict(),
        "precision": str(precision(device)).removeprefix("torch."),
        "images": options.images,
        "n": best["n"],
        "step_seconds": best["step_seconds"],
        "epoch_seconds": {key: value * steps_per_epoch for key, value in best["step_seconds"].items()},
        "several": _on_several(network, batch, chosen, options, device, best["step_seconds"]),
        "inference_seconds": spread(inference),
        "launch_seconds": spread(launches)["median"],
        "peak_memory_bytes": best["peak_memory_bytes"],
        "tried": tried,
        "provenance": provenance("profile", ["torch"]),
    }


def _recorded(options: Options, device: torch.device) -> dict[str, Any]:
    """The options as records have them; on a GPU there is no batch among them, as it is found."""
    told = {key: list(value) if isinstance(value, tuple) else value for key, value in options._asdict().items()}
    return told if device.type == "cpu" else {key: value for key, value in told.items() if key != "batch"}


def _warm_clock(step: Any, repeats: int, device: torch.device) -> list[float]:
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
    """The epoch on several devices, a batch each: measured where there are so many, else scaled from one."""
    n, step, is_measured = options.devices, alone, False
    if device.type == "cuda" and torch.cuda.device_count() >= n > 1:
        torch.cuda.empty_cache()  # what this process keeps, the first rank lacks
        with suppress(torch.OutOfMemoryError):  # the exchange takes memory as well
            step = spread(ranks.run(n, device, step_times, network, batch, chosen, options.repeats))
            is_measured = True
    epoch = {key: value * options.images / batch / n for key, value in step.items()}
    return {"devices": n, "is_measured": is_measured, "epoch_seconds": epoch}


@out_of_memory()
def step_times(device: torch.device, network: Network, batch: int, execution: Execution, repeats: int) -> list[float]:
    """Seconds of each step of a rank that exchanges its gradients with the others."""
    device_ids = [device] if device.type == "cuda" else None

    def parallel(model: torch.nn.Module) -> DistributedDataParallel:
        return DistributedDataParallel(model, device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True)

    return _warm_clock(training_step(network, batch, device, execution.without_graph, parallel), repeats, device)


def _fitting_batch(network: Network, device: torch.device, options: Options) -> int:
    """The largest batch whose training step fits in what is free of the device's memory."""

    def peak_of(batch: int) -> int | None:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            # One image more, as cuDNN keeps what it takes here unmeasured for all steps of the same shape.
            step = training_step(network, batch + 1, device, Execution(options.formats[0]))
            torch.backends.cudnn.benchmark = False  # which would be repeated for each batch
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
