"""Bounds of a training step's time by arithmetic, by memory traffic, and by the launches of its kernels.

Bounds are in seconds per image, for an image with f multiply-adds and a activations of e bytes each, on a device of P
operations per second and B bytes per second:

    compute bound    6 f / P         each multiply-add is two operations, once in the forward pass and twice in the
                                     backward pass, which computes the gradients of the inputs and of the weights
    traffic bound    k a e / B       each activation is written or read k times
    launch bound     t_0 / N         t_0 is the time of a step without images, N the batch. t_0 lies on the line through
                                     the times of steps of 2 and of N images: t_0 = (N t_2 - 2 t_N) / (N - 2)
    crossings        t B / (e a)     the k for which the traffic bound is t, the measured time per image

An activation (section 3.1: an output of a convolution) goes through a convolution, a batch norm, and mostly a ReLU. In
eager execution each of these is a kernel of its own. Then activations cross the memory as often as this table says, if
the convolution's input w is as large as its output x:

    forward     conv         reads w, writes x                                              2
                batch norm   reads x for its mean and variance; reads x, writes y           3
                ReLU         reads y, writes z (in place as well)                           2
    backward    ReLU         reads z and dz, writes dy                                      3
                batch norm   reads x and dy for two sums; reads x and dy, writes dx         5
                conv         reads w and dx for the weights; reads dx, writes dw            4

So k = 7 + 12 = 19.

In execution that is fused as far as possible, batch norm and ReLU are part of the convolutions beside them. Forward, x
is written once, with its mean and variance, and read once by the next convolution, which normalises its input: 2.
Backward, the gradient is read once, the activation once, and the input's gradient is written once: 3. So k = 5. This is
a lower bound: batch norm needs two sums of the gradient before it can pass the gradient on, which is a sixth crossing
where no cache holds the gradient.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from fastscale.execution import TINY, Execution

FUSED_CROSSINGS, EAGER_CROSSINGS = 5, 19
OPERATIONS = 6  # per multiply-add in a training step

EXPLAINED = 0.5  # the least share of the measured time for which a limit is said to bound it

Limit = Literal["arithmetic", "traffic", "launches"]


class Roofline(NamedTuple):
    """Seconds per image, measured and as bounded by arithmetic, traffic (fused, eager) and launches; the crossings."""

    seconds: float
    compute: float
    fused_traffic: float
    eager_traffic: float
    launches: float
    crossings: float
    is_eager: bool

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Compute the bounds from a profile record."""
        peaks, costs = record["peaks"], record["costs"]
        seconds = record["epoch_seconds"]["least"] / record["images"]
        crossing = costs["acts"] * peaks["bytes_per_value"] / peaks["bytes_per_second"]
        return cls(
            seconds=seconds,
            compute=OPERATIONS * costs["flops"] / peaks["flops_per_second"],
            fused_traffic=FUSED_CROSSINGS * crossing,
            eager_traffic=EAGER_CROSSINGS * crossing,
            launches=_launch_bound(record["launch_seconds"], seconds, record["batch"]),
            crossings=seconds / crossing,
            is_eager=not Execution.from_record(record).is_compiled,
        )

    @property
    def limits(self) -> dict[Limit, float]:
        """Return the limits by name; traffic is that of compiled (fused) or eager execution, as measured."""
        traffic = self.eager_traffic if self.is_eager else self.fused_traffic
        return {"arithmetic": self.compute, "traffic": traffic, "launches": self.launches}

    @property
    def share(self) -> float:
        """Return the share of the measured time that the largest limit explains."""
        return max(self.limits.values()) / self.seconds

    @property
    def bound(self) -> Limit | Literal["none"]:
        """Name the largest limit; none where it explains less than half of the measured time."""
        largest, _ = max(self.limits.items(), key=lambda limit: limit[1])
        return largest if self.share >= EXPLAINED else "none"


def _launch_bound(tiny_step: float, seconds: float, batch: int) -> float:
    """Return the launch bound in seconds per image; 0 where only the batch of `TINY` images fitted into memory.

    `tiny_step` is the time of a step of `TINY` images, `seconds` the time per image at `batch`.
    """
    return max(0.0, (tiny_step - TINY * seconds) / (batch - TINY)) if batch > TINY else 0.0
