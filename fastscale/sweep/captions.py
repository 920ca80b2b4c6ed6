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
    artefact, parts = ARTEFACTS[name], []
    if folders["train"]:
        parts.append(artefact.of_errors)
    if artefact.kind == "figure" and artefact.points == "own":  # learning curves, of all points, have bands
        spreads = {"train": "errors ± standard deviation over trials", "profile": "times to the most of their rounds"}
        bars = [words for part, words in spreads.items() if folders[part]]
        parts.append(f"Bars: {'; '.join(bars)}." if bars else "")
    parts.append(f"Made from {f'records: {made}' if made else 'the definitions alone'}.")
    return " ".join(filter(None, [artefact.caption, *parts]))
