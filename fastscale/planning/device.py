"""A timed device: predictions of time and memory, fitted on its profiles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastscale.analysis.results.reading import device_name
from fastscale.cost.prediction import FEWEST, Costs, Prediction, Timing
from fastscale.errors import UserError
from fastscale.records.records import read_record


@dataclass(frozen=True)
class Device:
    """A timed device: the prediction fitted on its timings, for an epoch of `images` in steps of `batch` images."""

    name: str
    prediction: Prediction
    images: int
    batch: float
    flops: tuple[int, int]  # the least and the most flops among the timed networks

    @classmethod
    def read(cls, paths: Sequence[Path], batch: int | None = None) -> "Device":
        """Read a device from profiles records; `batch` None is the median batch of the timings.

        Raises:
            UserError: a record is broken, or the records are of several devices or of too few networks.
        """
        source = ", ".join(map(str, paths))
        records = [record for path in paths for record in read_record(path, "profiles")["records"]]
        try:
            return cls._from_records(records, source, batch)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{source} has no timings that this fastscale can read ({error!r}); time the networks again"
            ) from None

    @classmethod
    def _from_records(cls, records: Sequence[Mapping[str, Any]], source: str, batch: int | None) -> "Device":
        for what, values in (
            ("devices", {device_name(record) for record in records}),
            ("numbers of images per epoch", {record["images"] for record in records}),
        ):
            if len(values) > 1:
                listed = " and ".join(sorted(map(str, values)))
                raise UserError(f"{source}: timed with several {what} ({listed}); give profiles of one of them")
        if any("costs" not in record for record in records):
            raise UserError(f"{source}: timed by an older fastscale, without the networks' costs; time them again")
        timings = [Timing.from_record(Costs(**record["costs"]), record) for record in records]
        if (prediction := Prediction.fit(timings)) is None:
            raise UserError(f"{source}: {len(timings)} networks are timed; {FEWEST} are needed for a prediction")
        flops = sorted(timing.costs.flops for timing in timings)
        name, images = device_name(records[0]), records[0]["images"]
        return cls(name, prediction, images, batch or prediction.batch, (flops[0], flops[-1]))

    def seconds(self, costs: Costs) -> float:
        """Predict the seconds per epoch."""
        return self.prediction.seconds(costs, self.batch) * self.images

    def memory(self, costs: Costs) -> float | None:
        """Predict the peak bytes of a step; return None where no memory was measured."""
        memory = self.prediction.memory
        return memory.predict(costs.memory_terms(self.batch)) if memory else None
