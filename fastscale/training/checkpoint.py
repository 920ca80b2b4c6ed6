"""Checkpoints: the last two are kept, each whole or absent; damage is detected, and loading one runs no code of it."""

import json
import logging
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from fastscale.records.files import replacing
from fastscale.records.records import digest, write_record

KEPT = 2
log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one training, in a folder of their own that the training's `identity` (plain data) names.

    A training with a changed recipe thus starts anew and, when the recipe is changed back, goes on where it was.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]):
        self.identity = identity
        self.folder = folder / digest(identity)[:12]

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the state after `step` steps; then delete all but the last two states.

        Raises:
            UserError: the disk is full.
        """
        with replacing(self.folder / f"step-{step:09}.pt") as temporary, temporary.open("wb") as file:
            try:
                torch.save({"identity": self.identity, **state}, file)
            except RuntimeError as error:  # torch's, when it closes a file that the full disk cut off
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        for old in self._newest_first()[KEPT:]:
            old.unlink()

    def load(self) -> dict[str, Any] | None:
        """Load the newest whole state of this training to the CPU; None without one. A file passed over is logged."""
        for path in self._newest_first():
            try:
                _check(path)
                state = torch.load(path, map_location="cpu", weights_only=True)
                identity = state["identity"]
            except Exception as error:  # a damaged file may raise any error
                log.warning("%s is damaged (%s); using the one before", path, str(error) or type(error).__name__)
                continue
            if identity == self.identity:
                return state
            log.warning("%s belongs to a training with another network, recipe, data or seed; passing over it", path)
        return None

    def finish(self, result: dict[str, Any]) -> None:
        """Write the result of the finished training."""
        write_record(self.folder / "finished.json", {"digest": digest(result), "identity": self.identity, **result})

    def finished(self) -> dict[str, Any] | None:
        """Read the result of the finished training; None where there is none, or it is damaged."""
        try:
            result = json.loads((self.folder / "finished.json").read_text())
            checksum, identity = result.pop("digest"), result.pop("identity")
        except (OSError, ValueError, KeyError, AttributeError):
            return None
        return result if identity == self.identity and checksum == digest(result) else None

    def clear(self) -> None:
        """Delete all states and the result."""
        for path in [*self.folder.glob("step-*.pt"), self.folder / "finished.json"]:
            path.unlink(missing_ok=True)

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"), reverse=True)


def _check(path: Path) -> None:
    """Check a file that torch has saved (a zip archive) against its checksums, which torch's own reader ignores.

    Raises:
        BadZipFile: a byte is missing or wrong.
    """
    with ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise BadZipFile(f"the checksum of {damaged} in it is wrong")
