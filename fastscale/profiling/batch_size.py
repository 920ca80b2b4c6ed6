"""The largest batch that fits, found in few tries: memory is linear in the batch, so two small batches predict it."""

from collections.abc import Callable

LARGEST = 4096
SMALL = (16, 32)
GRAIN = 32  # larger batches are multiples of it; smaller ones are powers of two
TRIES = 6  # beside the two small batches
MARGIN = 0.95  # share of the free memory to fill: allocators waste some, and convolutions take any room as workspace


def largest_batch(peak_of: Callable[[int], int | None], free: int, most: int = LARGEST) -> int:
    """Find the largest batch that fits into `free` bytes, to within a tenth, at most `most`; 0 if no image fits.

    `peak_of` runs a step of a batch, and returns its peak memory in bytes, or None where the batch does not fit.
    """
    peaks: list[int] = []
    for batch in SMALL:
        if (peak := peak_of(batch)) is None:
            return SMALL[0] if peaks else _below(peak_of, batch)
        peaks.append(peak)
    per_image = max(1.0, (peaks[1] - peaks[0]) / (SMALL[1] - SMALL[0]))
    fitting, failing = SMALL[1], most + GRAIN
    guess = SMALL[1] + (MARGIN * free - peaks[1]) / per_image
    for _ in range(TRIES):
        batch = min(_rounded(guess), failing - GRAIN)
        if batch <= fitting:
            break
        peak = peak_of(batch)
        if peak is None:
            failing, guess = batch, max(fitting, 0.92 * batch)
            continue
        fitting = batch
        # A larger batch may take less memory per image than the small ones, so the slope is taken from it.
        guess = batch + (MARGIN * free - peak) / max(1.0, (peak - peaks[0]) / (batch - SMALL[0]))
        if guess < 1.1 * batch:
            break
    return fitting


def _below(peak_of: Callable[[int], int | None], batch: int) -> int:
    while batch > 1:
        batch //= 2
        if peak_of(batch) is not None:
            return batch
    return 0


def _rounded(batch: float) -> int:
    return int(batch) // GRAIN * GRAIN
