"""Titles and captions of artefacts, for pages and the report."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from fastscale.sweep.catalogue import ARTEFACTS


def title(name: str, digits: int = 1) -> str:
    """Return an artefact's title: Figure 6 for fig6, Claims for claims. Spaces pad its number to `digits` digits."""
    number = name.removeprefix("fig").removeprefix("table")
    return f"{ARTEFACTS[name].kind.capitalize()} {int(number):{digits}d}" if number.isdecimal() else name.capitalize()


def caption(name: str, records: Iterable[Path], folder: Path) -> str:
    """Return an artefact's caption, which ends with the numbers of its records in each part of the sweep's folder."""
    folders = Counter(path.relative_to(folder).parts[0] for path in records)
    made = ", ".join(f"{n} in {part}/" for part, n in sorted(folders.items()))
    # Learning curves, of all points, are a curve per trial.
    has_bars = ARTEFACTS[name].kind == "figure" and ARTEFACTS[name].points == "own" and folders["train"]
    bars = "Bars are the standard deviation over trials. " if has_bars else ""
    return f"{ARTEFACTS[name].caption} {bars}Made from {f'records: {made}' if made else 'the definitions alone'}."
