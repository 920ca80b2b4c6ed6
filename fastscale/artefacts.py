"""Which tables and figures there are, and which measurements each one reads. No matplotlib here: the DAG asks this."""

from dataclasses import dataclass
from typing import Literal

Measurement = Literal["time", "error"]


@dataclass(frozen=True)
class Artefact:
    """A table or figure; `reads` are the measurements that it shows of each point of its selection."""

    kind: Literal["table", "figure"]
    reads: tuple[Measurement, ...] = ()

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The forms in which it is written."""
        return ("csv", "md") if self.kind == "table" else ("svg", "pdf")


ARTEFACTS = {
    "networks": Artefact("table", ("time", "error")),
    "gain": Artefact("table", ("error",)),
    "table1": Artefact("table"),
    "table2": Artefact("table"),
    "table3": Artefact("table"),
    "table4": Artefact("table"),
    "published": Artefact("table"),
    "fig1": Artefact("figure", ("time", "error")),
    "fig2": Artefact("figure", ("time",)),
    "fig6": Artefact("figure", ("time", "error")),
}
