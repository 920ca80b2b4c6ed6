"""How networks are timed."""

from typing import Any, NamedTuple, Self

import torch

from fastscale.execution import (
    EAGER_CONVOLUTIONS,
    FORMATS,
    Convolutions,
    Execution,
    MemoryFormat,
    Mode,
    combinations,
    kinds,
)
from fastscale.networks import Network
from fastscale.profiling.batch_size import LARGEST

FEWEST_ROUNDS = 5  # so many that some are not disturbed, even where other programs run
STEPS = 2  # of a round, where there are as many
CUDNN_LIMIT = 10  # kernels that cuDNN tries for a convolution by torch's default


class Options(NamedTuple):
    """How networks are timed: with `batch` images on a CPU, on a GPU with all that fit, up to `largest_batch`.

    About `repeats` steps are timed, in rounds. With `fill` False a GPU takes `batch` images too, or half as many until
    they fit. For each convolution of a training step cuDNN tries `autotune` kernels, and takes the fastest; with 0, and
    for what is timed beside the step, it chooses by heuristics.
    """

    batch: int
    repeats: int = 20
    images: int = 1281167
    formats: tuple[MemoryFormat, ...] = FORMATS
    modes: tuple[Mode, ...] = ("eager",)
    convolutions: tuple[Convolutions, ...] = EAGER_CONVOLUTIONS
    largest_batch: int = LARGEST
    devices: int = 8
    fill: bool = True
    autotune: int = CUDNN_LIMIT

    @property
    def rounds(self) -> int:
        """Return the number of rounds: those of `STEPS` steps that make up `repeats`, but at least `FEWEST_ROUNDS`."""
        return max(FEWEST_ROUNDS, self.repeats // STEPS)

    @property
    def steps(self) -> int:
        """Return the timed steps of a round."""
        return max(1, self.repeats // self.rounds)

    def executions(self, network: Network, device: torch.device) -> list[Execution]:
        """List the executions of a network to time on a device."""
        return combinations(self.formats, self.modes, kinds(network, self.convolutions, device.type))

    def is_interleaved(self, device: torch.device) -> bool:
        """Tell whether each round visits all networks: where it is cheap to build one again for every round."""
        return device.type == "cpu" and set(self.modes) == {"eager"}

    def of_verdict(self, device: torch.device, autotune: int) -> Self:
        """Return the options of a verdict: those of this sweep on a CPU; on a GPU what takes least time to set up.

        There the batch is the largest allowed, or what fits, and eager steps, which wait for the host, become graphs.
        """
        if device.type == "cpu":
            return self
        modes: tuple[Mode, ...] = ("graph",) if set(self.modes) == {"eager"} else self.modes
        return self._replace(batch=self.largest_batch, fill=False, modes=modes, autotune=autotune)

    def recorded(self, device: torch.device) -> dict[str, Any]:
        """Return the options as records have them; without the batch where the largest is searched for."""
        recorded = {key: list(value) if isinstance(value, tuple) else value for key, value in self._asdict().items()}
        is_searched = device.type == "cuda" and self.fill
        return {key: value for key, value in recorded.items() if not (is_searched and key == "batch")}
