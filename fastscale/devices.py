"""The device that computes: which one, and how records describe it."""

from typing import Any

import torch

from fastscale.errors import UserError
from fastscale.records import processor


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


def precision(device: torch.device) -> torch.dtype:
    """What a device computes in by default: bfloat16, or float16 where it has none, on a GPU; float32 on a CPU."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
