"""Writing a data set to .beton files: the same images give the same bytes, with any number of threads."""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from fastscale.data.dataset import Dataset, fingerprint
from fastscale.data.folders import EXTENSIONS, SPLITS, describe_left_out
from fastscale.data.images import Split, open_source
from fastscale.data.order import written_order
from fastscale.data.pictures import Stored, store
from fastscale.data.writer import PAGE_BYTES, write_beton
from fastscale.errors import UserError
from fastscale.records.files import replacing, write_text
from fastscale.records.provenance import provenance
from fastscale.records.records import write_record

SETTINGS = ("max_resolution", "write_mode", "jpeg_quality")
MADE_BY = ("commit", "code", "python", "versions")  # parts of the provenance; time and machine would change the bytes
Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger(__name__)


def write_betons(config: Mapping[str, Any], folder: Path, threads: int = 1) -> Dataset:
    """Write train.beton, val.beton, data.hash and, last, data.json to `folder`, each whole or not at all.

    `config` is the data part of a sweep's configuration: kind, classes, path, train_images, val_images, max_resolution,
    write_mode (raw, jpg, or proportion: half of the images as JPEG) and jpeg_quality. Training images are shuffled by
    a fixed seed. data.hash holds the data set's hash alone, which rules compare to see whether the data have changed.

    Raises:
        UserError: images are missing, empty or unreadable, classes are others than configured, or the disk is full.
    """
    source = open_source(config, folder)
    for split, left_out in source.left_out.items():
        if left_out:
            others, read = describe_left_out(left_out), ", ".join(sorted(EXTENSIONS))
            log.warning("data: %s/%s: left out %s (what is read: %s)", config["path"], split, others, read)
    settings = {key: config[key] for key in SETTINGS if config.get(key)}
    content, files = {}, {}
    for name in SPLITS:
        path, split = folder / f"{name}.beton", getattr(source, name)
        order = written_order(len(split)).tolist() if name == "train" else range(len(split))
        content[name] = _write(path, split, order, settings, threads)
        files[name] = {"bytes": path.stat().st_size, "fingerprint": fingerprint(path)}
    dataset = Dataset(
        folder,
        config.get("name", config["kind"]),
        tuple(source.class_names),
        {name: len(getattr(source, name)) for name in SPLITS},
        content,
        source.mean,
        source.std,
        settings,
        files,
    )
    write_text(folder / "data.hash", f"{dataset.hash}\n")
    made_by = provenance("train", ("pillow", "numpy"))
    added = {"left_out": source.left_out, "provenance": {key: made_by[key] for key in MADE_BY}}
    write_record(folder / "data.json", {**dataset.to_record(), **added})
    return dataset


def _write(path: Path, split: Split, order: Iterable[int], settings: Mapping[str, Any], threads: int) -> str:
    """Write a split in the given order; return the SHA-256 of all stored images and labels, in that order.

    Raises:
        UserError: images cannot be read or stored; the sentence names the first of them.
    """
    from tqdm import tqdm  # here, as it takes a tenth of a second, and planning a sweep needs no bar

    content, unusable = hashlib.sha256(), []

    def images() -> Iterator[tuple[Stored, int]]:
        results = _in_turn(partial(_store, split, settings), order, threads)
        for index, result in tqdm(results, total=len(split), disable=None):
            if isinstance(result, str):
                unusable.append(f"{split.name(index)} {result}")
            elif not unusable:
                stored, label, digest = result
                content.update(digest)
                yield stored, label
        if unusable:
            raise UserError(
                f"data: {unusable[0]}; {len(unusable)} of {len(split)} images are like this: replace or remove them"
            )

    Image.init()  # loads Pillow's plug-ins, before several threads would do so at once
    with replacing(path) as temporary:
        write_beton(temporary, images(), len(split))
    return content.hexdigest()


def _store(split: Split, settings: Mapping[str, Any], index: int) -> tuple[Stored, int, bytes] | str:
    """Return an image as it is stored, with label and digest, or the words that say why it cannot be stored.

    Any exception of Pillow becomes such words, so that the other images are still checked.
    """
    label = int(split.labels[index])
    try:
        picture = split.read(index)
    except Exception as error:
        return f"cannot be read ({_reason(error)})"
    try:
        stored = store(picture, settings)
        if len(stored.data) > PAGE_BYTES:
            raise ValueError(
                f"{stored.width} x {stored.height} pixels take {len(stored.data):,} bytes, more than a page of "
                f"{PAGE_BYTES:,}; set max_resolution or write_mode: jpg"
            )
    except Exception as error:
        return f"cannot be stored ({_reason(error)})"
    return stored, label, stored.digest(label)


def _reason(error: Exception) -> str:
    """Return the first line of an error's text, or the name of its class."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def _in_turn(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[tuple[Item, Result]]:
    """Yield each item with the function's result for it, in the order of the items; threads compute a few at a time."""
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque[tuple[Item, Any]]()
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > 4 * threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
            for first, future in waiting:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)
