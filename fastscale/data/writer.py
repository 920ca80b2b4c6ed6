"""A writer and reader of FFCV's file format (.beton, version 2): the same images and labels give the same bytes.

FFCV's own writer lets processes race for the pages of a file, so that files differ each time, and waits for ever for a
process that has died.
"""

import mmap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fastscale.data.crops import CROP
from fastscale.data.pictures import Stored

VERSION = 2
PAGE_BYTES = 1 << 23  # FFCV's default; each image must fit into one page
HEADER = np.dtype(
    [
        ("version", "<u2"),
        ("num_fields", "<u2"),
        ("page_size", "<u4"),
        ("num_samples", "<u8"),
        ("alloc_table_ptr", "<u8"),
    ],
    align=True,
)
FIELD = np.dtype([("type_id", "<u1"), ("name", "<u1", 16), ("arguments", "<u1", 1024)], align=True)
FIELDS = {"image": 2, "label": 1}  # FFCV's numbers of RGBImageField and IntField
IMAGE = np.dtype([("mode", "<u1"), ("width", "<u2"), ("height", "<u2"), ("data_ptr", "<u8")])
SAMPLE = np.dtype([("f0", IMAGE), ("f1", "<i8")], align=True)
SAMPLE_AND_CROP = np.dtype([("f0", [*IMAGE.descr, ("size", "<u8"), *CROP]), ("f1", "<i8")])  # all that decoders need
ALLOCATION = np.dtype([("sample_id", "<u8"), ("ptr", "<u8"), ("size", "<u8")])


def write_beton(path: Path, images: Iterable[tuple[Stored, int]], count: int) -> None:
    """Write `count` images with their labels in the order of `images`; no image crosses the border of two pages.

    Raises:
        OSError: the file cannot be written, as on a full disk.
    """
    header, fields = np.zeros(1, HEADER), np.zeros(len(FIELDS), FIELD)
    samples, allocations = np.zeros(count, SAMPLE), np.zeros(count, ALLOCATION)
    for field, (name, number) in zip(fields, FIELDS.items(), strict=True):
        field["type_id"], field["name"][: len(name)] = number, list(name.encode())
    with path.open("wb") as file:
        file.seek(_next_page(header.nbytes + fields.nbytes + samples.nbytes))
        for i, (stored, label) in enumerate(images):
            place, size = file.tell(), len(stored.data)
            if place % PAGE_BYTES + size > PAGE_BYTES:
                place = file.seek(_next_page(place))
            file.write(stored.data)
            samples[i] = (stored.mode, stored.width, stored.height, place), label
            allocations[i] = i, place, size
        end = file.seek(_next_page(file.tell()))
        file.write(allocations.tobytes())
        header[0] = VERSION, len(FIELDS), PAGE_BYTES, count, end
        file.seek(0)
        for part in (header, fields, samples):
            file.write(part.tobytes())


def _next_page(place: int) -> int:
    return -(-place // PAGE_BYTES) * PAGE_BYTES


def read_samples(path: Path) -> np.ndarray:
    """Read the metadata of a file: (n,) of dtype SAMPLE_AND_CROP, with the whole image as each crop."""
    header = np.fromfile(path, HEADER, 1)[0]
    stored = np.fromfile(path, SAMPLE, header["num_samples"], offset=HEADER.itemsize + len(FIELDS) * FIELD.itemsize)
    allocations = np.fromfile(path, ALLOCATION, len(stored), offset=header["alloc_table_ptr"])
    samples = np.zeros(len(stored), SAMPLE_AND_CROP)
    samples["f1"], images = stored["f1"], samples["f0"]
    for name in IMAGE.names or ():
        images[name] = stored["f0"][name]
    images["size"][allocations["sample_id"]] = allocations["size"]
    images["crop_height"], images["crop_width"] = images["height"], images["width"]
    return samples


def map_bytes(path: Path) -> np.ndarray:
    """Map a file into memory as (bytes,) of uint8; the system reads only pages that are used, none around them."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    mapped.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(mapped, np.uint8)
