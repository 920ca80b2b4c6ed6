"""Folders of images as they lie on disk: their classes and files, without reading one. The standard library alone."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from pathlib import Path

from fastscale.errors import UserError

SPLITS = ("train", "val")
# What torchvision's ImageFolder reads, and other names and formats of pictures that Pillow reads by itself.
EXTENSIONS = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".bmp",
        ".tif",
        ".tiff",
        ".webp",
        ".gif",
        ".avif",
    )
)
ADDED = frozenset({"@eaDir", "__MACOSX", "lost+found"})  # by file servers, archives and file systems
LAYOUT = "path must hold train/ and val/, each with a folder of images a class"
THREADS = 16  # that list folders: on a file server each waits


@dataclass(frozen=True)
class Listing:
    """The images of one split: files by class, in order, and how many other files lie there, by extension."""

    images: Mapping[str, Sequence["os.DirEntry[str]"]]
    left_out: Mapping[str, int]


def find_classes(root: Path) -> dict[str, dict[str, Path]]:
    """Find the class folders of `root`/train and `root`/val: by split, then by class name, in the order of names.

    Hidden folders are none. Names are compared in Unicode's normal form C: a disk may write "café" in two ways.

    Raises:
        UserError: a split is missing or cannot be read, holds no classes or other ones than its sibling, or holds a
            name twice or one that is not UTF-8.
    """
    found = {split: _classes_of(root / split) for split in SPLITS}
    for lacking, other in (SPLITS[::-1], SPLITS):
        if different := [name for name in found[other] if name not in found[lacking]]:
            raise UserError(
                f"data: {root / lacking} lacks the class folder {different[0]!r} that its sibling has; "
                "train/ and val/ must hold the same classes"
            )
    return found


def list_images(root: Path) -> dict[str, Listing]:
    """List the images of `root`/train and `root`/val as torchvision's ImageFolder does, without reading any.

    A class has the files below its folder too, and of folders to which links lead. What is hidden is left out, and so
    is a file whose extension is none of `EXTENSIONS`, but that one is counted.

    Raises:
        UserError: see `find_classes`; a class without images, a folder that cannot be read or that a link within it
            leads back to, or a link to nothing.
    """
    listings = {}
    for split, classes in find_classes(root).items():
        with ThreadPoolExecutor(THREADS) as pool, _told():
            listed = dict(zip(classes, pool.map(_list_class, classes.values()), strict=True))
            _, beside = _visible(root / split)
        for name, (images, left_out) in listed.items():
            if not images:
                others = f", but {told(left_out)}" if left_out else ""
                raise UserError(f"data: {classes[name]} holds no image{others}; add images or remove the class")
        counts = Counter(f"{_extension(entry)} outside of the class folders" for entry in beside)
        counts = sum((left_out for _, left_out in listed.values()), start=counts)
        listings[split] = Listing({name: images for name, (images, _) in listed.items()}, dict(sorted(counts.items())))
    return listings


def folder_state(root: Path) -> str:
    """Digest the names, sizes and times of all images: it changes when one of them does. None of them is read.

    Raises:
        UserError: see `list_images`.
    """
    hashed = hashlib.sha256()
    for split, listing in list_images(root).items():
        with ThreadPoolExecutor(THREADS) as pool, _told():
            for state in pool.map(_class_state, listing.images.values()):
                hashed.update(state)
        hashed.update(split.encode())
    return hashed.hexdigest()


def told(left_out: Mapping[str, int]) -> str:
    """Say what was left out: "2 .csv, 1 without extension"."""
    return ", ".join(f"{count:,} {extension}" for extension, count in left_out.items())


def _classes_of(folder: Path) -> dict[str, Path]:
    with _told():
        if not folder.is_dir():
            raise UserError(f"data: {folder} is missing; {LAYOUT}")
        folders = [Path(entry.path) for entry in _visible(folder)[0]]
    classes: dict[str, Path] = {}
    for path in folders:
        name = unicodedata.normalize("NFC", path.name)
        if not _is_utf8(name):
            raise UserError(f"data: the name of the class folder {name!r} in {folder} is not UTF-8; rename it")
        if name in classes:
            raise UserError(
                f"data: {folder} holds the class folder {name!r} twice, written in two ways (Unicode's composed and "
                "decomposed letters): merge or rename them"
            )
        classes[name] = path
    if not classes:
        raise UserError(f"data: {folder} holds no class folders; {LAYOUT}")
    return dict(sorted(classes.items()))


def _list_class(folder: Path) -> tuple[list["os.DirEntry[str]"], Counter[str]]:
    images, left_out = [], Counter[str]()
    for _, files in sorted(_walk(folder), key=itemgetter(0)):
        for file in files:
            if (extension := _extension(file)) not in EXTENSIONS:
                left_out[extension] += 1
            elif file.is_file():
                images.append(file)
            else:
                raise UserError(f"data: {file.path} is a link to nothing, or no file; replace or remove it")
    return images, left_out


def _walk(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[tuple[str, list["os.DirEntry[str]"]]]:
    """Each folder from this one down, with its visible files by name; `above` are those in which it lies."""
    status = folder.stat()
    here = status.st_dev, status.st_ino
    if here in above:
        raise UserError(f"data: {folder} is a link to a folder in which it lies; remove it")
    folders, files = _visible(folder)
    yield str(folder), files
    for entry in folders:
        yield from _walk(Path(entry.path), (*above, here))


def _visible(folder: Path) -> tuple[list["os.DirEntry[str]"], list["os.DirEntry[str]"]]:
    """The folders and the files in a folder that are not hidden, by name."""
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name not in ADDED:
                (folders if entry.is_dir() else files).append(entry)
    by_name = attrgetter("name")
    return sorted(folders, key=by_name), sorted(files, key=by_name)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _extension(file: "os.DirEntry[str]") -> str:
    name, dot, extension = file.name.rpartition(".")
    return dot + extension.lower() if name else "without extension"


def _class_state(files: Sequence["os.DirEntry[str]"]) -> bytes:
    states = ((file.path, file.stat()) for file in files)
    told = "".join([f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0" for path, status in states])
    return hashlib.sha256(os.fsencode(told)).digest()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"data: {error.filename} cannot be read ({error.strerror}); correct that, or remove it"
        ) from None
