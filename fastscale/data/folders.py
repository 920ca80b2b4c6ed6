"""Folders of images on disk: their classes and files. Reads no file, and imports the standard library alone."""

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
# Those that torchvision's ImageFolder reads, and those of other formats that Pillow reads without further packages.
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
IGNORED = frozenset({"@eaDir", "__MACOSX", "lost+found"})  # added by file servers, archives and file systems
LAYOUT = "path must hold train/ and val/, each with one folder of images per class"
THREADS = 16  # list folders: on a file server each thread waits most of the time


@dataclass(frozen=True)
class Listing:
    """The files of one split: images by class, in order, and the number of other files, by extension."""

    images: Mapping[str, Sequence["os.DirEntry[str]"]]
    left_out: Mapping[str, int]


def find_classes(root: Path) -> dict[str, dict[str, Path]]:
    """Find the class folders of `root`/train and `root`/val: by split, then by class name, in the order of names.

    Hidden folders are no classes. Names are compared in Unicode's normal form C: a disk may write "café" in two ways.

    Raises:
        UserError: a split is missing, cannot be read or holds no classes; the splits hold different classes; a class
            name occurs twice or is not UTF-8.
    """
    classes = {split: _classes_of(root / split) for split in SPLITS}
    for lacking, other in (SPLITS[::-1], SPLITS):
        if missing := [name for name in classes[other] if name not in classes[lacking]]:
            raise UserError(
                f"data: {root / lacking} lacks the class folder {missing[0]!r} that its sibling has; "
                "train/ and val/ must hold the same classes"
            )
    return classes


def list_images(root: Path) -> dict[str, Listing]:
    """List the images of `root`/train and `root`/val as torchvision's ImageFolder does, without reading any.

    A class holds the files of its folder and of all folders below, links included. Hidden files and folders are left
    out. Files whose extension is not in `EXTENSIONS` are left out and counted.

    Raises:
        UserError: see `find_classes`; a class without images, a folder that cannot be read, a link to a folder in which
            it lies, or a link to nothing.
    """
    listings = {}
    for split, classes in find_classes(root).items():
        with ThreadPoolExecutor(THREADS) as pool, _reported():
            listed = dict(zip(classes, pool.map(_list_class, classes.values()), strict=True))
            _, outside = _visible(root / split)
        for name, (images, left_out) in listed.items():
            if not images:
                others = f", but {describe_left_out(left_out)}" if left_out else ""
                raise UserError(f"data: {classes[name]} holds no image{others}; add images or remove the class")
        counts = Counter(f"{_extension(entry)} outside of the class folders" for entry in outside)
        counts = sum((left_out for _, left_out in listed.values()), start=counts)
        listings[split] = Listing({name: images for name, (images, _) in listed.items()}, dict(sorted(counts.items())))
    return listings


def folder_state(root: Path) -> str:
    """Digest the names, sizes and times of all images, so as to see changes without reading the images.

    Raises:
        UserError: see `list_images`.
    """
    hashed = hashlib.sha256()
    for split, listing in list_images(root).items():
        with ThreadPoolExecutor(THREADS) as pool, _reported():
            for state in pool.map(_class_state, listing.images.values()):
                hashed.update(state)
        hashed.update(split.encode())
    return hashed.hexdigest()


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Write the numbers of files that were left out, by extension: "2 .csv, 1 without extension"."""
    return ", ".join(f"{count:,} {extension}" for extension, count in left_out.items())


def _classes_of(folder: Path) -> dict[str, Path]:
    """Find the class folders of a split's `folder`, by name in Unicode's normal form C."""
    with _reported():
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
    """List the images of a class folder in order, and count its other files by extension."""
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
    """Yield `folder` and all folders below it, each with its visible files by name.

    `above` holds the devices and inodes of the folders in which `folder` lies, to find links that lead back.
    """
    status = folder.stat()
    inode = status.st_dev, status.st_ino
    if inode in above:
        raise UserError(f"data: {folder} is a link to a folder in which it lies; remove it")
    folders, files = _visible(folder)
    yield str(folder), files
    for entry in folders:
        yield from _walk(Path(entry.path), (*above, inode))


def _visible(folder: Path) -> tuple[list["os.DirEntry[str]"], list["os.DirEntry[str]"]]:
    """Return the folders and the files of a folder that are not hidden, both sorted by name."""
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name not in IGNORED:
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
    """Return a file's extension in lower case, or "without extension"."""
    name, dot, extension = file.name.rpartition(".")
    return dot + extension.lower() if name else "without extension"


def _class_state(files: Sequence["os.DirEntry[str]"]) -> bytes:
    """Digest the names, sizes and times of a class's images."""
    statuses = ((file.path, file.stat()) for file in files)
    state = "".join([f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0" for path, status in statuses])
    return hashlib.sha256(os.fsencode(state)).digest()


@contextmanager
def _reported() -> Iterator[None]:
    """Raise an OSError within the block as a UserError that names the file or folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"data: {error.filename} cannot be read ({error.strerror}); correct that, or remove it"
        ) from None
