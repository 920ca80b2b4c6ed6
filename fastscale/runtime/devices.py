"""The device that computes: which one, and how records describe it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fastscale.errors import UserError
from fastscale.records.provenance import processor

# Messages of a full GPU: cuDNN's where no algorithm has room to work, those of cuDNN and cuBLAS, the driver's.
FULL = "unable to find an engine", "STATUS_ALLOC_FAILED", "CUDA error: out of memory"


def choose_device(name: str | None = None) -> torch.device:
    """Choose a device by its name, without a name CUDA if present, else the CPU; torch uses that device from now on.

    Raises:
        UserError: there is no device of that name, or CUDA is asked for and absent.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name, re.ASCII):  # torch has more kinds of devices; none was tried
        raise UserError(f"unknown device {name!r}; allowed are cpu, cuda, and cuda:1 and so on for one of several")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "a GPU is asked for (device cuda), but torch finds none here; use --device cpu (in a sweep: gpus: 0), or "
            "run it where there is one (a sweep: snakemake --profile slurm)"
        )
    if device.type == "cuda" and device.index is not None:
        if device.index >= torch.cuda.device_count():
            raise UserError(f"there is no {device} here; the GPUs are cuda:0 to cuda:{torch.cuda.device_count() - 1}")
        torch.cuda.set_device(device)
    return device


def describe(device: torch.device) -> dict[str, Any]:
    """Describe a device for records: its type, its name, and the threads that torch uses on the host."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {"type": device.type, "name": name, "threads": torch.get_num_threads()}


def precision(device: torch.device) -> torch.dtype:
    """Return the type a device computes in by default: on a GPU bfloat16, or float16 if it lacks that; else float32."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@contextmanager
def out_of_memory() -> Iterator[None]:
    """Turn every error of a full GPU into torch.OutOfMemoryError; its libraries raise RuntimeErrors of their own."""
    message = None
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or not any(words in str(error) for words in FULL):
            raise
        message = str(error)
    if message is not None:  # raised outside of `except`: else the error would hold the tensors that did not fit
        raise torch.OutOfMemoryError(message)
