"""The device that computes: which one, and how records describe it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fastscale.errors import UserError
from fastscale.records.provenance import processor

# Of cuDNN, where no algorithm finds room to work in; of cuDNN and cuBLAS; of the driver.
FULL = "unable to find an engine", "STATUS_ALLOC_FAILED", "CUDA error: out of memory"


def choose_device(name: str | None = None) -> torch.device:
    """The device of that name, or CUDA where there is one, else the CPU; it is the one that torch uses from now on.

    Raises:
        UserError: no device of that name, or CUDA is asked for and absent.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name, re.ASCII):  # torch knows more, of which nothing here was tried
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
    """The device, for records: type, name, and the threads that torch uses on the host."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {"type": device.type, "name": name, "threads": torch.get_num_threads()}


def precision(device: torch.device) -> torch.dtype:
    """What a device computes in by default: bfloat16, or float16 where it has none, on a GPU; float32 on a CPU."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@contextmanager
def out_of_memory() -> Iterator[None]:
    """Have all that a full GPU raises in here be torch.OutOfMemoryError; its libraries have errors of their own."""
    told = None
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or not any(words in str(error) for words in FULL):
            raise
        told = str(error)
    if told is not None:  # not above: that error would hold what did not fit
        raise torch.OutOfMemoryError(told)
