"""The peaks of a device, measured by a large matrix product and a large copy, not taken from its data sheet."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from fastscale.models.placement import WARM_UP_CALLS
from fastscale.profiling.clock import time_on_cpu
from fastscale.profiling.steps import time_steps
from fastscale.runtime.devices import precision

SIDES = {"cuda": 8192, "cpu": 1024}  # of the matrices: so large that arithmetic takes far longer than traffic
COPIED = {"cuda": 2**30, "cpu": 2**28}  # bytes, several times what caches hold
REPEATS = 3


def measure(device: torch.device) -> dict[str, Any]:
    """Measure floating-point operations (an add or a multiply each) and bytes per second: the best of `n` repeats.

    The best, as both are bounds: a disturbance only makes them slower.
    """
    dtype = precision(device)
    side, values = SIDES[device.type], COPIED[device.type] // 4
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.ones(values, device=device)
    target = torch.empty_like(source)

    def best(step: Callable[[], object]) -> float:
        if device.type == "cpu":
            return min(time_on_cpu(step, 1 + REPEATS)[0])
        return min(time_steps(step, WARM_UP_CALLS + REPEATS, device)[WARM_UP_CALLS:])

    return {
        "flops_per_second": 2 * side**3 / best(lambda: torch.mm(a, b, out=product)),
        "bytes_per_second": 2 * COPIED[device.type] / best(lambda: target.copy_(source)),
        "bytes_per_value": dtype.itemsize,
        "precision": str(dtype).removeprefix("torch."),
        "n": REPEATS,
    }


def best(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Combine measurements of one device's peaks: the best of each, and how many repeats these had (`n`)."""
    found = {key: max(each[key] for each in measured) for key in ("flops_per_second", "bytes_per_second")}
    return {**measured[-1], **found, "n": sum(each["n"] for each in measured)}
