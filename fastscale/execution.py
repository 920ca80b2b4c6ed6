"""Ways to execute a network: memory format, mode, and how grouped convolutions are computed. No torch.

Which is fastest depends on network, batch and device: grouped convolutions differ by a factor of three between the two
formats on some stacks. So ways are tried (fastscale/profiling/steps.py), and what was measured stands in the record.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args

if TYPE_CHECKING:
    from fastscale.networks import Network

MemoryFormat = Literal["channels_last", "contiguous"]
# Each kernel by itself, or as torch's compiler fuses them; launched one by one, or all at once, as a CUDA graph.
Mode = Literal["eager", "graph", "compiled", "compiled-graph"]
# On a GPU; a CPU has its own way. fastscale/models/convolution.py says what these are.
Convolutions = Literal["plain", "packed", "shifted"]
FORMATS: tuple[MemoryFormat, ...] = get_args(MemoryFormat)
MODES: tuple[Mode, ...] = get_args(Mode)
CONVOLUTIONS: tuple[Convolutions, ...] = get_args(Convolutions)

TINY = 2  # the smallest batch: batch norm needs more than one value
PACKED_WIDTH = 64  # channels of a group that a GPU's matrix units compute at once, whatever is zero among them


class Execution(NamedTuple):
    """One way to execute a network."""

    memory_format: MemoryFormat = "channels_last"
    mode: Mode = "eager"
    convolutions: Convolutions = "plain"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The one that a record tells of; of what it does not tell, the default, as nothing else was known then."""
        return cls(**{key: record[key] for key in cls._fields if key in record})

    @property
    def is_compiled(self) -> bool:
        """Whether torch's compiler is used."""
        return self.mode.startswith("compiled")

    @property
    def is_graph(self) -> bool:
        """Whether CUDA graphs are replayed."""
        return self.mode.endswith("graph")

    @property
    def eager(self) -> Self:
        """The same without compiler and graph, for what is done rarely."""
        convolutions: Convolutions = "plain" if self.convolutions == "shifted" else self.convolutions
        return self._replace(mode="eager", convolutions=convolutions)

    @property
    def without_graph(self) -> Self:
        """The same with its kernels launched one by one: no graph can hold an exchange between GPUs."""
        return self._replace(mode="compiled" if self.is_compiled else "eager")

    def __str__(self) -> str:
        """For people."""
        return ", ".join(part for part in self if part != "plain")


def combinations(
    formats: Iterable[MemoryFormat] = FORMATS,
    modes: Iterable[Mode] = ("eager",),
    convolutions: Iterable[Convolutions] = ("plain",),
) -> list[Execution]:
    """All combinations, the cheapest to try first; shifted images are for the compiler alone."""
    executions = [Execution(*execution) for execution in itertools.product(formats, modes, convolutions)]
    executions = [execution for execution in executions if execution.is_compiled or execution.convolutions != "shifted"]
    return sorted(executions, key=lambda execution: MODES.index(execution.mode))


def kinds(network: "Network", asked: Iterable[Convolutions]) -> list[Convolutions]:
    """Those of the `asked` kinds of convolutions that differ for this network on a GPU; plain ones if none does."""
    narrowest = min(network.group_widths)
    differ = {"plain": True, "packed": narrowest <= PACKED_WIDTH // 2, "shifted": narrowest == 1}
    return [kind for kind in asked if differ[kind]] or ["plain"]


def fastest(tried: Iterable[Mapping[str, Any]]) -> Execution:
    """The one of least median time; the default where none was timed, as on a CPU."""
    timed = [one for one in tried if "gap" not in one]
    return Execution.from_record(min(timed, key=lambda one: one["step_seconds"]["median"])) if timed else Execution()


def result_of(execution: Execution, tried: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What was found for a way that was timed."""
    return next(one for one in tried if Execution.from_record(one) == execution and "gap" not in one)
