"""Measured runtime of a network: the time of one training step, and of the epoch that it amounts to (section 4).

Needs torch alone. The input is synthetic: what is timed is the network, not the loader.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from fastscale.errors import UserError
from fastscale.model import build
from fastscale.networks import Network
from fastscale.records import code_hash, processor, provenance, read_record, write_record

WARM_UP_STEPS = 3
LARGEST_BATCH = 4096


def choose_device(name: str | None = None) -> torch.device:
    """The device of that name, or CUDA where there is one, else the CPU.

    Raises:
        UserError: no device of that name, or CUDA is asked for and absent.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        raise UserError(
            f"unknown device {name!r}; allowed are cpu, cuda, and cuda:1 and so on for one of several"
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("a GPU is asked for (device cuda), but torch finds none here; use --device cpu, or a GPU node")
    return device


def describe(device: torch.device) -> dict[str, Any]:
    """The device, for records: type, name, and the threads that torch uses on the host."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {"type": device.type, "name": name, "threads": torch.get_num_threads()}


def profile_all(
    networks: Sequence[Network], path: Path, *, batch: int, repeats: int, images: int, device: torch.device
) -> None:
    """Time `networks` and write their records to `path`, after each one; those there that were timed alike are kept."""
    alike = {"device": describe(device), "images": images, "n": repeats, "code": code_hash("profile")}
    alike |= {"batch": batch} if device.type == "cpu" else {}

    def is_alike(record: dict[str, Any]) -> bool:
        return all({**record, "code": record["provenance"]["code"]}[key] == value for key, value in alike.items())

    before = read_record(path, "profiles")["records"] if path.exists() else []
    kept = {record["network_hash"]: record for record in before if is_alike(record)}
    records = [kept[network.hash] for network in networks if network.hash in kept]
    missing = [network for network in networks if network.hash not in kept]
    write_record(path, {"kind": "profiles", "records": records})
    for network in tqdm(missing, unit="network", disable=None):
        records.append(profile(network, batch=batch, repeats=repeats, images=images, device=device))
        write_record(path, {"kind": "profiles", "records": records})


def profile(network: Network, *, batch: int, repeats: int, images: int, device: torch.device) -> dict[str, Any]:
    """Time `repeats` training steps of `network`; returns the profile record.

    On a GPU the batch is the largest that fits (found by doubling from 32), in bfloat16 autocast; on a CPU it is
    `batch`, in float32. Both in channels_last. The warm-up stays out of the clock. Times are in seconds, memory in
    bytes (None on a CPU), `epoch_seconds` is for `images` images on this one device.
    """
    if device.type == "cuda":
        batch = _largest_batch(network, device)
    step = _training_step(network, batch, device)
    for _ in range(WARM_UP_STEPS):
        step()
    times = _clock(step, repeats, device)
    steps_per_epoch = images / batch
    spread = dict(zip(("q1", "median", "q3"), statistics.quantiles(times, n=4, method="inclusive"), strict=True))
    return {
        "network": network.id,
        "network_hash": network.hash,
        "device": describe(device),
        "batch": batch,
        "memory_format": "channels_last",
        "precision": "bfloat16" if device.type == "cuda" else "float32",
        "images": images,
        "n": repeats,
        "step_seconds": spread,
        "epoch_seconds": {key: value * steps_per_epoch for key, value in spread.items()},
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "provenance": provenance("profile", ["torch"]),
    }


def _training_step(network: Network, batch: int, device: torch.device) -> Callable[[], None]:
    """One step of SGD on a synthetic batch: forward, backward, update."""
    torch.backends.cudnn.benchmark = True
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    channels_last = {"device": device, "memory_format": torch.channels_last}
    model = build(network).to(**channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    images = torch.randn(batch, 3, network.resolution, network.resolution).to(**channels_last)
    labels = torch.randint(network.classes, (batch,), device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()

    return step


def _clock(step: Callable[[], None], repeats: int, device: torch.device) -> list[float]:
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


def _largest_batch(network: Network, device: torch.device) -> int:
    """The largest of 32, 64, 128 ... whose training step fits in the device's memory (16, 8 ... where 32 does not).

    Raises:
        UserError: not even one image fits.
    """

    def fits(batch: int) -> bool:
        try:
            _training_step(network, batch, device)()
            torch.cuda.synchronize(device)
        except torch.OutOfMemoryError:
            return False
        finally:
            torch.cuda.empty_cache()
        return True

    batch = 32
    if fits(batch):
        while batch < LARGEST_BATCH and fits(batch * 2):
            batch *= 2
        return batch
    while batch > 1:
        batch //= 2
        if fits(batch):
            return batch
    raise UserError(f"{network.id}: not even one image at {network.resolution} px fits in the memory of this GPU")
