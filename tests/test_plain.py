"""Without FFCV: the same batches and trainings to the bit, a whole sweep, and a warning that FFCV is missing."""

import hashlib
import inspect
import json
import os
import random
import re
import shutil
import subprocess
import sys
import sysconfig
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import clone
from PIL import Image

from fastscale.data import Dataset, loaders, plain, write_betons
from fastscale.data.images import fashion_mnist
from fastscale.data.order import WHOLE, Share
from fastscale.recipe import Recipe

ffcv_reader = pytest.importorskip("fastscale.data.ffcv_reader", reason="FFCV is not built here", exc_type=ImportError)

DATA = {"kind": "fashion-mnist", "classes": 10, "train_images": 640, "val_images": 250, "write_mode": "raw"}
RECIPE = {"epochs": 2, "batch": 64, "norm_batch": 16, "lr": 0.5, "crop_scale": [0.25, 1.0], "augment": "imagenet"}
STEPS = 10  # per epoch
STOPPING = str(Path(__file__).with_name("stopping"))
READERS = (ffcv_reader.Reader, plain.Reader)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_betons(DATA, tmp_path_factory.mktemp("raw"), threads=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Colourful pictures of several sizes, as JPEGs: the channels of each are three images of clothing."""
    folder, generator = tmp_path_factory.mktemp("photos"), random.Random(1)
    images = fashion_mnist(folder).train.images
    for i in range(60):
        size = generator.randint(20, 300), generator.randint(20, 300)
        parts = (Image.fromarray(images[3 * i + c]).resize(size, Image.Resampling.LANCZOS) for c in range(3))
        path = folder / f"{'val' if i % 3 == 0 else 'train'}/{'ab'[i % 2]}/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.merge("RGB", list(parts)).save(path)
    config = {"kind": "imagefolder", "path": str(folder), "classes": 2, "write_mode": "jpg", "jpeg_quality": 90}
    return write_betons(config, folder / "written")


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch):
    """Read all batches of an epoch and then of the validation, by each of the two readers."""

    def read(dataset: Dataset, recipe: Recipe, resolution: int, threads: int, first: int = 0, share: Share = WHOLE):
        by_reader = []
        for reader in READERS:
            loaders._reader.cache_clear()
            monkeypatch.setattr(loaders, "choose_reader", lambda reader=reader: ("", reader))
            training = loaders.training_batches(dataset, resolution, recipe, threads, 7, 2, first, share)
            validation = loaders.validation_batches(dataset, resolution, 16, 0.875, threads, share)
            batches = [[None if part is None else part.copy() for part in map(_array, batch)] for batch in training]
            batches += [[part.copy() for part in map(_array, batch)] for batch in validation]
            by_reader.append(batches)
        loaders._reader.cache_clear()
        return by_reader

    return read


def _array(part: torch.Tensor | np.ndarray | None) -> np.ndarray | None:
    return part.numpy() if isinstance(part, torch.Tensor) else part


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("first", "share"), [(0, WHOLE), (3, Share(1, 2)), (9, Share(3, 4))])
def test_batches_of_raw_images_equal_ffcvs_to_the_bit(
    batches, raw: Dataset, threads: int, first: int, share: Share
) -> None:
    by_ffcv, by_plain = batches(raw, Recipe.from_dict(RECIPE), 20, threads, first, share)
    assert len(by_ffcv) == STEPS - first + len(range(share.index, -(-250 // 16), share.ranks))
    for batch, other in zip(by_ffcv, by_plain, strict=True):
        for array, expected in zip(other, batch, strict=True):
            assert array.dtype == expected.dtype and array.shape == expected.shape and array.strides == expected.strides
            assert (array == expected).all()


@pytest.mark.parametrize("resolution", [16, 64])
def test_batches_of_jpegs_equal_ffcvs_to_the_bit(batches, photos: Dataset, resolution: int) -> None:
    by_ffcv, by_plain = batches(photos, Recipe(batch=8), resolution, 2)
    for batch, other in zip(by_ffcv, by_plain, strict=True):
        assert all((array == expected).all() for array, expected in zip(other, batch, strict=True))


def test_without_libturbojpeg_jpegs_equal_pillows(batches, photos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same crops and flips as by FFCV, and the pixels that Pillow makes of a file, to within rounding."""
    monkeypatch.setattr(plain, "LIBRARY", None)
    by_ffcv, by_plain = batches(photos, Recipe(batch=8), 24, 2)
    for batch, other in zip(by_ffcv, by_plain, strict=True):
        assert (batch[1] == other[1]).all()
        off = np.abs(batch[0].astype(int) - other[0]).mean(axis=(1, 2, 3))
        assert off.max() < 6, "another image would be tens of grey levels off"
    reader = plain.Reader(photos.beton("val"), 100, 1)
    ((images, _),) = reader.pairs(np.arange(len(reader.samples)), reader.samples, 24)
    for sample, image in zip(reader.samples["f0"], images, strict=True):
        stored = BytesIO(reader.data[sample["data_ptr"] : sample["data_ptr"] + sample["size"]])
        expected = np.asarray(Image.open(stored).resize((24, 24), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(expected - image.permute(1, 2, 0).numpy()).max() <= 1


def test_a_batch_that_is_kept_does_not_change(raw: Dataset) -> None:
    reader = plain.Reader(raw.beton("train"), 10, 2)
    kept = [images for images, _ in reader.pairs(np.arange(50), reader.samples, 28)]
    again = [images.clone() for images, _ in reader.pairs(np.arange(50), reader.samples, 28)]
    assert all((images == expected).all() for images, expected in zip(kept, again, strict=True))


def test_an_unfinished_epoch_ends_its_threads(raw: Dataset) -> None:
    import threading

    reader, before = plain.Reader(raw.beton("train"), 10, 2), threading.active_count()
    pairs = reader.pairs(np.arange(600), reader.samples, 28)
    next(pairs)
    assert threading.active_count() > before
    pairs.close()
    assert threading.active_count() == before


@pytest.fixture(scope="module")
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with all packages but FFCV; "broken": FFCV is there, but cannot be loaded (no OpenCV)."""
    kind = getattr(request, "param", "absent")
    folder = tmp_path_factory.mktemp(kind)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    installed = Path(sysconfig.get_path("purelib"))
    packages = folder / installed.relative_to(sys.prefix)
    for package in installed.iterdir():
        if not package.name.startswith("ffcv"):
            (packages / package.name).symlink_to(package)
    if kind == "broken":
        shutil.copytree(installed / "ffcv", packages / "ffcv")
        (library,) = (packages / "ffcv").glob("_libffcv*")
        library.write_bytes(b"no library")
    script = folder / "bin/fastscale"
    script.write_text(f"#!{folder}/bin/python\nfrom fastscale.cli.main import main\nmain()\n")
    script.chmod(0o755)
    return folder / "bin/python"


def digest_of_batches(data: Dataset) -> str:
    batches = loaders.validation_batches(data, 24, 8, 1.0, 1)
    return hashlib.sha256(b"".join(images.numpy().tobytes() for images, _ in batches)).hexdigest()


BATCHES = f"""
import hashlib, sys
from pathlib import Path
from fastscale.data import Dataset, loaders
{inspect.getsource(digest_of_batches)}
print(loaders.choose_reader()[0], digest_of_batches(Dataset.open(Path(sys.argv[1]))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("python", ["absent", "broken"], indirect=True)
def test_libturbojpeg_is_found_without_ffcv(photos: Dataset, python: Path) -> None:
    """JPEGs are decoded to the same bits as with FFCV."""
    command = [python, "-c", BATCHES, photos.folder]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert loaders.choose_reader()[0] == "ffcv" and words == ["plain", digest_of_batches(photos)]


def train(python: Path | str, data: Dataset, folder: Path, **environment: str) -> tuple[int, str]:
    command = [python, "-m", "fastscale.cli.main", "train", "EN-tiny", "--classes", "10", "--data", data.folder]
    command += ["--recipe", json.dumps(RECIPE), "--schedule", "1x", "--device", "cpu"]
    command += ["--checkpoints", folder / "checkpoints", "--record", folder / "record.json"]
    environment = {**os.environ, **environment}
    ran = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return ran.returncode, ran.stdout


def outcome(folder: Path) -> tuple[str, dict, dict]:
    """Return the name of the reader, the results in the record, and every bit of the last checkpoint."""
    record = json.loads((folder / "record.json").read_text())
    state = torch.load(max((folder / "checkpoints").glob("*/step-*.pt")), weights_only=True)
    bits = {(part, name): t.numpy().tobytes() for part in ("model", "average") for name, t in state[part].items()}
    momenta = state["optimizer"]["state"].items()
    bits |= {i: values["momentum_buffer"].numpy().tobytes() for i, values in momenta}
    results = ("status", "epochs", "top1_error", "top5_error", "train_loss", "data_hash")
    return record["loader"], {key: record[key] for key in results}, bits


@pytest.fixture(scope="module")
def by_ffcv(raw: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict, dict]:
    """The outcome of a training by FFCV."""
    folder = tmp_path_factory.mktemp("ffcv")
    code, output = train(sys.executable, raw, folder)
    assert code == 0 and "a plain loader" not in output, output
    return outcome(folder)


@pytest.mark.slow
def test_a_training_goes_on_without_ffcv_to_the_same_bits(
    raw: Dataset, python: Path, by_ffcv: tuple[str, dict, dict], tmp_path: Path
) -> None:
    """After a stop in its first epoch with FFCV; the next test trains without FFCV from the start."""
    code, output = train(sys.executable, raw, tmp_path, PYTHONPATH=STOPPING, STOP_AFTER_STEP="5")
    assert code == 75, output
    code, output = train(python, raw, tmp_path)
    assert code == 0 and output.count("a plain loader reads the same images") == 1, output
    resumed = outcome(tmp_path)
    assert (by_ffcv[0], resumed[0]) == ("ffcv", "plain") and resumed[1:] == by_ffcv[1:]


@pytest.mark.slow
def test_trainings_equal_those_by_ffcv_to_the_bit(
    raw: Dataset, python: Path, by_ffcv: tuple[str, dict, dict], tmp_path: Path
) -> None:
    """On one rank. On several, a test above compares each rank's batches, and nothing else depends on the reader."""
    code, output = train(python, raw, tmp_path)
    assert code == 0 and output.count("a plain loader reads") == 1, output
    by_plain = outcome(tmp_path)
    assert (by_ffcv[0], by_plain[0]) == ("ffcv", "plain") and by_plain[1:] == by_ffcv[1:]


@pytest.mark.slow
def test_a_sweep_needs_no_ffcv(python: Path, tmp_path: Path) -> None:
    """From images to figures, warm starts included; one line at the start and each record name the plain reader."""
    checkout = clone(tmp_path, python)
    small = {"bases": ["EN-tiny"], "strategies": ["w"], "scales": [1]}
    checkout.configure(grid=small, figures={"fig6": small})
    ran = checkout.snakemake("fig6", "readme")
    assert ran.returncode == 0, ran.stdout
    records = [json.loads(path.read_text()) for path in (tmp_path / "results/small/train").glob("*/*.json")]
    assert len(records) == 2 and {record["loader"] for record in records} == {"plain"}
    assert {record["status"] for record in records} == {"finished"}
    assert "| images read by |  | plain |" in (tmp_path / "results/small/README.md").read_text()
    assert len(re.findall("FFCV", ran.stdout)) == 1, ran.stdout
    again = checkout.snakemake("fig6", "readme")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout
