"""What bounds a training step: arithmetic, memory traffic, or the launching of its kernels. Pure arithmetic.

Of an image, with f multiply-adds and a activations of e bytes each, on a device of P operations and B bytes a second:

    compute bound    6 f / P         a multiply and an add each, in the forward pass and twice in the backward pass,
                                     which makes the gradients of the inputs and of the weights
    traffic bound    k a e / B       each activation is written or read k times
    launch bound     t_0 / N         what a step takes however few its images are, over the batch N: by steps of two
                                     images and of N, on a line through both times, t_0 = (N t_2 - 2 t_N) / (N - 2)
    crossings        kappa = t B / (e a), of a measured t: as if all of it were traffic

An activation (section 3.1: an output of a convolution) goes through a convolution, a batch norm, and mostly a ReLU.
Where each of them is a kernel of its own, as in eager execution, this crosses the memory so often, if the convolution's
input w is as large as its output x:

    forward     conv         reads w, writes x                                              2
                batch norm   reads x for its mean and variance; reads x, writes y           3
                ReLU         reads y, writes z (in place as well)                           2
    backward    ReLU         reads z and dz, writes dy                                      3
                batch norm   reads x and dy for two sums; reads x and dy, writes dx         5
                conv         reads w and dx for the weights; reads dx, writes dw            4

that is k = 7 + 12 = 19.

Fused as far as can be, batch norm and ReLU belong to the convolutions beside them. Forward, x is written once, with its
mean and variance, and read once by the next convolution, which normalises what it reads: 2. Backward, the gradient is
read once, the activation once, and the input's gradient is written once: 3. So k = 5, and that is a lower bound: batch
norm needs two sums of the gradient before it can pass it on, which is a sixth crossing where no cache holds it.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from fastscale.execution import TINY, Execution

FUSED_CROSSINGS, EAGER_CROSSINGS = 5, 19
OPERATIONS = 6  # of a multiply-add in a training step

Limit = Literal["flops", "traffic", "launches"]


class Roofline(NamedTuple):
    """Seconds of an image: measured, and by arithmetic, traffic (fused, eager) and launches; and the crossings."""

    seconds: float
    compute: float
    fused_traffic: float
    eager_traffic: float
    launches: float
    crossings: float
    is_eager: bool

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """That of a profile record."""
        peaks, costs = record["peaks"], record["costs"]
        seconds = record["epoch_seconds"]["median"] / record["images"]
        crossing = costs["acts"] * peaks["bytes_per_value"] / peaks["bytes_per_second"]
        return cls(
            seconds=seconds,
            compute=OPERATIONS * costs["flops"] / peaks["flops_per_second"],
            fused_traffic=FUSED_CROSSINGS * crossing,
            eager_traffic=EAGER_CROSSINGS * crossing,
            launches=_without_images(record["launch_seconds"], seconds, record["batch"]),
            crossings=seconds / crossing,
            is_eager=not Execution.from_record(record).is_compiled,
        )

    @property
    def bound(self) -> Limit:
        """The largest of the three bounds; that of traffic is the one of how the network was executed."""
        traffic = self.eager_traffic if self.is_eager else self.fused_traffic
        bounds: dict[Limit, float] = {"flops": self.compute, "traffic": traffic, "launches": self.launches}
        return max(bounds, key=bounds.__getitem__)


def _without_images(tiny_step: float, seconds: float, batch: int) -> float:
    """Seconds an image of what each step takes; 0 where no larger batch than the tiny one fitted, to tell it from."""
    return max(0.0, (tiny_step - TINY * seconds) / (batch - TINY)) if batch > TINY else 0.0
