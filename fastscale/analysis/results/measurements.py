"""What was measured of the networks of a sweep, each with its standard error: the readings on which judgements rest."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fastscale.analysis.results.estimate import Part, Reading
from fastscale.analysis.results.reading import Error
from fastscale.analysis.results.results import Results, Row
from fastscale.analysis.results.uncertainty import Spread, pooled_spread, sampling_sd

UNKNOWN = Spread(math.nan, 1)  # of one trial, or one round
IMAGES = "images"  # ends the name of the part of an error that is by the choice of validation images


@dataclass(frozen=True)
class Measurements:
    """The measurements of a sweep's results.

    A quantity is "error" (top-1, in percent), or the natural logarithm of "time" (seconds per epoch), "memory" (peak
    bytes per image), "inference" (seconds per image) or of a count: "flops", "params", "acts".
    """

    results: Results

    def reading(self, row: Row, quantity: str, schedule: str = "") -> Reading | None:
        """Return the measured or counted `quantity` of a row; None where the row lacks it.

        Errors are by `schedule`, by default the schedule of the figures.
        """
        schedule = schedule or self.results.schedule
        key = row.point.network.id, quantity, schedule
        if key not in self._readings:
            self._readings[key] = self._read(row, quantity, schedule)
        return self._readings[key]

    @cached_property
    def trial_spreads(self) -> Mapping[str, Spread]:
        """Pool the standard deviation over trials of all networks, by schedule; without those of single trials."""
        by_schedule: dict[str, list[Error]] = {}
        for row in {row.point.network.id: row for row in self.results.rows}.values():
            for schedule, error in row.errors.items():
                by_schedule.setdefault(schedule, []).append(error)
        pooled = {schedule: pooled_spread(errors) for schedule, errors in by_schedule.items()}
        return {schedule: spread for schedule, spread in pooled.items() if spread}

    @cached_property
    def _readings(self) -> dict[tuple[str, str, str], Reading | None]:
        return {}

    def _read(self, row: Row, quantity: str, schedule: str) -> Reading | None:
        network, time = row.point.network.id, row.time
        if quantity == "error":
            error = row.errors.get(schedule)
            if error is None:
                return None
            spread = self.trial_spreads.get(schedule, UNKNOWN)
            parts = {f"{network} {schedule}": Part(1, Spread(spread.sd / math.sqrt(error.n), spread.df))}
            if images := self.results.val_images:
                sampling = Spread(sampling_sd(error.mean, images), math.inf)
                parts[f"{network} {IMAGES}"] = Part(1, sampling)  # the same for all schedules
            return Reading(error.mean, parts, error.n)
        if quantity == "time":
            spread = self.results.time_spread or UNKNOWN
            return Reading(math.log(time.seconds), {f"{network} time": Part(1, spread)}, time.n) if time else None
        exact = {"memory": time and time.memory, "inference": time and time.inference}
        value = exact[quantity] if quantity in exact else float(getattr(row, quantity))
        return Reading(math.log(value)) if value else None  # it repeats exactly, or nearly so


def over_trials(reading: Reading) -> Reading:
    """Return a reading of errors on the validation images that were there: its standard error is that of trials."""
    parts = {name: part for name, part in reading.parts.items() if not name.endswith(f" {IMAGES}")}
    return Reading(reading.value, parts, reading.n)
