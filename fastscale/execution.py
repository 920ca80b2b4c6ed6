"""How a network is executed: memory format, mode, and how its grouped convolutions are computed. No torch.

Which execution is the fastest depends on network, batch and device: on some stacks the two memory formats differ by a
factor of three for grouped convolutions. So several executions are timed (fastscale/profiling/autotune.py), and each
record names the one that ran.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args

if TYPE_CHECKING:
    from fastscale.networks import Network

MemoryFormat = Literal["channels_last", "contiguous"]
# Kernels run one by one or fused by torch's compiler; they are launched one by one, or all at once as a CUDA graph.
Mode = Literal["eager", "graph", "compiled", "compiled-graph"]
# Plain convolutions are torch's own; packed and shifted ones are for a GPU (fastscale/models/convolution.py).
Convolutions = Literal["plain", "packed", "shifted"]
FORMATS: tuple[MemoryFormat, ...] = get_args(MemoryFormat)
MODES: tuple[Mode, ...] = get_args(Mode)
CONVOLUTIONS: tuple[Convolutions, ...] = get_args(Convolutions)
EAGER_CONVOLUTIONS = CONVOLUTIONS[:2]  # shifted ones are slow where torch's compiler does not fuse them

TINY = 2  # the smallest batch: batch norm needs more than one value
PACKED_WIDTH = 64  # channels of a group that a GPU's matrix units compute at once, zeros included


class Execution(NamedTuple):
    """One way to execute a network."""

    memory_format: MemoryFormat = "channels_last"
    mode: Mode = "eager"
    convolutions: Convolutions = "plain"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Parse the execution that a record names; a key that an older record lacks takes its default.

        Records of a CPU from before 27 November 2026 call convolutions plain that kernels of our own computed in part.
        """
        return cls(**{key: record[key] for key in cls._fields if key in record})

    @property
    def is_compiled(self) -> bool:
        """Tell whether torch's compiler is used."""
        return self.mode.startswith("compiled")

    @property
    def is_graph(self) -> bool:
        """Tell whether CUDA graphs are replayed."""
        return self.mode.endswith("graph")

    @property
    def eager(self) -> Self:
        """Return this execution without compiler and graph, for computations that are rare."""
        return self._replace(mode="eager").without_shifts

    @property
    def without_shifts(self) -> Self:
        """Return this execution with plain convolutions if its own are shifted: these are slow unless compiled."""
        return self._replace(convolutions="plain") if self.convolutions == "shifted" else self

    @property
    def without_graph(self) -> Self:
        """Return this execution with kernels launched one by one: no graph can hold an exchange between GPUs."""
        return self._replace(mode="compiled" if self.is_compiled else "eager")

    def __str__(self) -> str:
        """Name the execution for people; plain convolutions go without saying."""
        return ", ".join(part for part in self if part != "plain")


def combinations(
    formats: Iterable[MemoryFormat] = FORMATS,
    modes: Iterable[Mode] = ("eager",),
    convolutions: Iterable[Convolutions] = ("plain",),
) -> list[Execution]:
    """List all combinations, each once, the cheapest to try first.

    Plain convolutions stand in for shifted ones where there is no compiler to fuse these.
    """
    executions = [Execution(*execution) for execution in itertools.product(formats, modes, convolutions)]
    sensible = [execution if execution.is_compiled else execution.without_shifts for execution in executions]
    return sorted(dict.fromkeys(sensible), key=lambda execution: MODES.index(execution.mode))


def kinds(network: "Network", requested: Iterable[Convolutions], device_type: str) -> list[Convolutions]:
    """List the requested kinds of convolutions that differ for this network on a "cuda" or "cpu" device.

    Plain ones where none of them does; on a CPU there are no others.
    """
    if device_type == "cpu":
        return ["plain"]
    narrowest = min(network.group_widths)
    differ = {"plain": True, "packed": narrowest <= PACKED_WIDTH // 2, "shifted": narrowest == 1}
    return [kind for kind in requested if differ[kind]] or ["plain"]


def fastest(timings: Iterable[Mapping[str, Any]]) -> Execution:
    """Return the execution of least median time; where none was timed, as on a CPU, the default."""
    timed = [timing for timing in timings if "gap" not in timing]
    if not timed:
        return Execution()
    return Execution.from_record(min(timed, key=lambda timing: timing["step_seconds"]["median"]))


def result_of(execution: Execution, timings: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return what was measured of an execution that was timed."""
    return next(timing for timing in timings if Execution.from_record(timing) == execution and "gap" not in timing)
