"""Folders of images: which folders are classes and which files images, compared with torchvision; users' mistakes."""

import os
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscale.data.folders import find_classes, folder_state, list_images
from fastscale.data.images import image_folder
from fastscale.data.sources import count_images, source_state
from fastscale.errors import UserError

CAFE = unicodedata.normalize("NFC", "café")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of two images in both splits; the files are no pictures, as no test reads them."""
    for split in ("train", "val"):
        for name in ("a", CAFE):
            (tmp_path / split / name).mkdir(parents=True)
            for image in ("0.png", "1.JPEG"):
                (tmp_path / split / name / image).write_bytes(b"x")
    return tmp_path


def counted(root: Path) -> dict[str, int]:
    return count_images({"kind": "imagefolder", "path": str(root), "classes": 2})


PARTS = st.sampled_from(["b", "B", "b c", "b-c", "ü", "10", "9", "x.png"])
FILES = st.sampled_from(["0.png", "Z.JPG", "a b.webp", "a.tar.tiff", "é.jpeg", "notes.txt", "png", "x.ppm.gz"])


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.tuples(PARTS, st.lists(PARTS, max_size=2).map(tuple)), st.sets(FILES, min_size=1)))
def test_images_and_their_order_equal_torchvisions(drawn: dict) -> None:
    from torchvision.datasets import ImageFolder  # slow to import, and each process of the tests collects this module

    with tempfile.TemporaryDirectory() as name:
        for split in ("train", "val"):
            for (class_name, below), files in {("a", ()): {"0.png"}, **drawn}.items():
                folder = Path(name, split, class_name, *below)
                folder.mkdir(parents=True, exist_ok=True)
                (Path(name, split, class_name) / "first.png").touch()
                for file in files:
                    (folder / file).touch()
        expected, ours = ImageFolder(Path(name, "train")), image_folder(Path(name))
        assert list(zip(ours.train.images, ours.train.labels, strict=True)) == expected.samples
        assert list(ours.class_names) == expected.classes


def hidden_class(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / ".ipynb_checkpoints").mkdir()
        (root / split / ".ipynb_checkpoints/0-checkpoint.png").touch()


def hidden_folder_in_a_class(root: Path) -> None:
    (root / "val/a/.ipynb_checkpoints").mkdir()
    (root / "val/a/.ipynb_checkpoints/0-checkpoint.png").touch()


def hidden_files(root: Path) -> None:
    (root / "train/.DS_Store").touch()
    (root / "train/a/.DS_Store").touch()
    (root / "train/a/._0.png").touch()


def folders_of_file_servers(root: Path) -> None:
    (root / "train/@eaDir").mkdir()
    (root / "train/a/@eaDir").mkdir()
    (root / "train/a/@eaDir/0.png").touch()
    (root / "val/__MACOSX").mkdir()


def a_folder_named_like_an_image(root: Path) -> None:
    (root / "train/a/x.png").mkdir()


def a_split_beside(root: Path) -> None:
    (root / "test/b").mkdir(parents=True)


@pytest.mark.parametrize(
    "add",
    [
        hidden_class,
        hidden_folder_in_a_class,
        hidden_files,
        folders_of_file_servers,
        a_folder_named_like_an_image,
        a_split_beside,
    ],
)
def test_files_and_folders_that_are_no_images_change_nothing(root: Path, add: Callable[[Path], None]) -> None:
    add(root)
    assert counted(root) == {"train": 4, "val": 4}
    assert list(find_classes(root)["train"]) == ["a", CAFE]


def test_files_that_are_left_out_are_counted_by_extension(root: Path) -> None:
    for name in ("x.txt", "y.TXT", "sub/z.csv", "README"):
        (root / "train/a" / name).parent.mkdir(exist_ok=True)
        (root / "train/a" / name).touch()
    (root / "train/labels.csv").touch()
    (root / "train/loose.png").touch()
    outside = {".csv outside of the class folders": 1, ".png outside of the class folders": 1}
    assert list_images(root)["train"].left_out == {".txt": 2, ".csv": 1, "without extension": 1, **outside}
    assert list_images(root)["val"].left_out == {}


@pytest.mark.parametrize("name", ["x.jfif", "x.gif", "x.avif", "x.JPE"])
def test_other_extensions_of_pictures_are_images(root: Path, name: str) -> None:
    (root / "val/a" / name).touch()
    assert counted(root) == {"train": 4, "val": 5}


def test_links_are_followed(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "val/a").rename(root / "elsewhere/a")
    (root / "val/a").symlink_to(root / "elsewhere/a")
    (root / "val/a/more").symlink_to(root / "train/a")
    assert counted(root) == {"train": 4, "val": 6}


def test_a_name_in_two_forms_of_unicode_is_one_class(root: Path) -> None:
    (root / "train" / CAFE).rename(root / "train" / unicodedata.normalize("NFD", CAFE))
    source = image_folder(root)
    assert list(source.class_names) == ["a", CAFE]
    assert list(source.train.labels) == list(source.val.labels) == [0, 0, 1, 1]


def twice(root: Path) -> None:
    (root / "val" / unicodedata.normalize("NFD", CAFE)).mkdir()


def not_utf8(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / "caf\udce9").mkdir()


def loop(root: Path) -> None:
    (root / "train/a/back").symlink_to(root / "train/a")


def loop_through_the_split(root: Path) -> None:
    (root / "train/a/back").symlink_to(root / "train")


def link_to_itself(root: Path) -> None:
    (root / "train/a/x.png").symlink_to("x.png")


def link_to_nothing(root: Path) -> None:
    (root / "val/a/x.png").symlink_to("nowhere")


def pipe(root: Path) -> None:
    os.mkfifo(root / "val/a/x.png")


def other_files_alone(root: Path) -> None:
    for image in (root / "val/a").iterdir():
        image.rename(image.with_suffix(".xyz"))


def file_for_a_split(root: Path) -> None:
    (root / "val").rename(root / "away")
    (root / "val").touch()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (twice, f"val holds the class folder '{CAFE}' twice"),
        (not_utf8, r"the name of the class folder 'caf\\udce9' in .*train is not UTF-8"),
        (loop, "train/a/back is a link to a folder in which it lies"),
        (loop_through_the_split, "train/a/back/a is a link to a folder in which it lies"),
        (link_to_itself, r"train/a/x.png cannot be read \(Too many levels of symbolic links\)"),
        (link_to_nothing, "val/a/x.png is a link to nothing"),
        (pipe, "val/a/x.png is a link to nothing, or no file"),
        (other_files_alone, "val/a holds no image, but 2 .xyz"),
        (file_for_a_split, "val is missing"),
    ],
)
def test_a_mistake_in_the_folders_is_one_sentence(root: Path, spoil: Callable[[Path], None], sentence: str) -> None:
    spoil(root)
    with pytest.raises(UserError, match=sentence) as raised:
        counted(root)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("locked", ["train", "val/a", "val/a/sub"])
def test_a_locked_folder_is_an_error_and_not_left_out(locked: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root, user = Path(name), os.geteuid()
        root.chmod(0o755)
        for folder in ("train/a", "val/a/sub"):
            (root / folder).mkdir(parents=True)
            (root / folder / "0.png").touch()
        (root / locked).chmod(0)
        try:
            if user == 0:
                os.seteuid(65534)  # root may read locked folders
            with pytest.raises(UserError, match=rf"{locked} cannot be read \(Permission denied\)"):
                list_images(root)
        finally:
            os.seteuid(user)
            (root / locked).chmod(0o755)


def test_state_changes_with_images_alone(root: Path) -> None:
    state = folder_state(root)
    (root / "train/a/notes.txt").touch()
    assert folder_state(root) == state
    image = root / "val" / CAFE / "0.png"
    times = image.stat().st_atime_ns, image.stat().st_mtime_ns
    states = {state}
    for change in (
        lambda: image.write_bytes(b"y"),
        lambda: (image.write_bytes(b"longer"), os.utime(image, ns=times)),
        lambda: image.rename(image.with_name("2.png")),
        lambda: (root / "train/a/3.png").touch(),
        lambda: (root / "train/a/3.png").rename(root / "train" / CAFE / "3.png"),
    ):
        change()
        states.add(folder_state(root))
    assert len(states) == 6


def test_state_of_images_that_are_out_of_reach(root: Path) -> None:
    """Its state is None; a mistake in the folders is a state too."""
    config = {"kind": "imagefolder", "path": str(root), "classes": 2}
    assert source_state(config) == folder_state(root)
    (root / "val").rename(root / "away")
    assert "val is missing" in source_state(config)
    (root / "train").rename(root / "far away")
    assert source_state(config) is None, "like a disk that is not mounted"
    assert source_state({**config, "path": str(root / "nowhere")}) is None
    fashion = {"kind": "fashion-mnist", "classes": 10}
    assert source_state(fashion) == source_state(fashion)


def test_folders_are_listed_without_heavy_imports(root: Path) -> None:
    heavy = {"torch", "torchvision", "ffcv", "numba"}
    code = "import sys; from fastscale.data.sources import count_images; "
    code += f"count_images({{'kind': 'imagefolder', 'path': {str(root)!r}, 'classes': 2}}); "
    subprocess.run([sys.executable, "-c", f"{code} assert not {heavy} & set(sys.modules)"], check=True)
