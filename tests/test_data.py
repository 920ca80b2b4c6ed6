"""Data: real images through .beton files and FFCV's loaders, and the mistakes that a user may make."""

import gzip
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from checkout import HOSTILE
from PIL import Image

from fastscale.data import Dataset, write_betons
from fastscale.data.images import fashion_mnist, open_source
from fastscale.errors import UserError
from fastscale.recipe import Recipe

FASHION = {"kind": "fashion-mnist", "classes": 10, "train_images": 600, "val_images": 300, "write_mode": "raw"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return open_source(FASHION, downloads=tmp_path_factory.mktemp("downloads"))


@pytest.fixture(scope="module")
def fashion(tmp_path_factory):
    return write_betons(FASHION, tmp_path_factory.mktemp("fashion"), threads=2)


@pytest.fixture
def folder(tmp_path, source):
    """Class folders of real pictures: for each of three classes ten PNG and JPEG files of two sizes."""
    pictures = tmp_path / HOSTILE
    for split, per_class in (("train", 10), ("val", 4)):
        images = getattr(source, split)
        for label, name in enumerate(("coat", "dress", "trouser")):
            (pictures / split / name).mkdir(parents=True)
            for n, i in enumerate(np.flatnonzero(np.asarray(images.labels) == label)[:per_class]):
                picture = Image.fromarray(images.images[i]).resize((40, 30) if n % 2 else (32, 48))
                picture.save(pictures / split / name / f"{i}.{'png' if n % 2 else 'jpg'}")
    return pictures


def config_of(folder, **changes):
    return {
        "kind": "imagefolder",
        "classes": 3,
        "path": str(folder),
        "write_mode": "jpg",
        "jpeg_quality": 95,
        **changes,
    }


def validation(dataset, resolution, crop=1.0, batch=128):
    from fastscale.data.loaders import validation_batches

    batches = [(x.clone(), y.clone()) for x, y in validation_batches(dataset, resolution, batch, crop, threads=1)]
    return np.concatenate([x.numpy() for x, _ in batches]), np.concatenate([y.numpy() for _, y in batches])


def test_fashion_mnist_is_complete_and_its_subset_balanced(source, tmp_path):
    whole = fashion_mnist(tmp_path)
    assert (len(whole.train), len(whole.val)) == (60_000, 10_000)
    pixels = np.stack(whole.train.images) / np.float32(255)
    assert np.allclose([*whole.mean, *whole.std], [pixels.mean()] * 3 + [pixels.std()] * 3, atol=1e-4)
    assert np.bincount(source.train.labels).tolist() == [60] * 10
    assert sorted(np.bincount(whole.train.balanced(25).labels)) == [2] * 5 + [3] * 5


def test_validation_sees_every_image_once_in_order(fashion, source):
    pixels, labels = validation(fashion, 28)
    assert labels.tolist() == list(source.val.labels)
    assert (pixels == np.stack(source.val.images)[:, None]).all()  # at full size no pixel changes


def test_training_order_depends_on_seed_and_epoch_and_repeats(fashion):
    from fastscale.data.loaders import steps_per_epoch, training_batches

    def labels(seed, epoch):
        batches = training_batches(fashion, 24, Recipe(batch=128), 1, seed, epoch)
        pairs = [(tuple(x.shape), y.tolist()) for x, y, _ in batches]
        assert [shape for shape, _ in pairs] == [(128, 3, 24, 24)] * steps_per_epoch(fashion, 128)
        return [label for _, batch in pairs for label in batch]

    first = labels(1, 0)
    assert first == labels(1, 0)
    assert len({tuple(labels(seed, epoch)) for seed in (1, 2) for epoch in (0, 1, 2)}) == 6
    assert np.bincount(first).max() <= 60


@pytest.mark.slow
def test_an_epoch_goes_on_from_any_batch(fashion):
    """With the images, crops, flips and augmentations of a whole epoch, after other epochs, on one thread or two."""
    from fastscale.data.autoaugment import augment
    from fastscale.data.loaders import training_batches

    def pixels(first, threads, epoch=3):
        batches = training_batches(fashion, 24, Recipe(batch=64), threads, 1, epoch, first)
        return np.stack([augment(x, drawn).numpy() for x, _, drawn in batches])

    whole = pixels(0, 1)
    assert len(whole) == 9 and (whole[1:] != whole[:-1]).any()
    assert (pixels(4, 1) == whole[4:]).all()
    assert (pixels(0, 2, epoch=2) != whole).any() and (pixels(2, 2) == whole[2:]).all()


def largest_difference(sample, other):
    """Return the largest difference of two samples' distribution functions."""
    values = np.union1d(sample, other)
    first, second = (np.searchsorted(np.sort(each), values, side="right") / len(each) for each in (sample, other))
    return np.abs(first - second).max()


def test_crops_are_distributed_as_torchvisions_and_differ_per_image():
    """On large and small, wide and high images; other epochs have other crops."""
    from torchvision.transforms import RandomResizedCrop

    from fastscale.data.crops import draw_crops

    torch.manual_seed(1)
    for height, width in ((240, 320), (500, 100), (28, 28)):
        sizes = np.full(4000, float(height)), np.full(4000, float(width))
        crops = draw_crops(*sizes, (0.08, 1.0), True, 1, 0)
        ours = np.stack([crops[name].astype(float) for name in ("top", "left", "crop_height", "crop_width")])
        assert (ours[0] + ours[2] <= height).all() and (ours[1] + ours[3] <= width).all() and ours[2:].min() > 0
        image = torch.empty(3, height, width)
        expected = np.array([RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(4000)]).T
        for sample, other in zip(ours, expected, strict=True):
            assert largest_difference(sample, other) < 0.05  # 1 in 10,000 by chance (Kolmogorov and Smirnov)
        assert abs(crops["flip"].mean() - 0.5) < 0.03
        assert len(np.unique(crops)) > 1000
    more = draw_crops(np.full(50, 28.0), np.full(50, 28.0), (0.08, 1.0), True, 1, 0)
    assert (more != draw_crops(np.full(50, 28.0), np.full(50, 28.0), (0.08, 1.0), True, 1, 1)).any()
    assert not draw_crops(np.full(50, 28.0), np.full(50, 28.0), (0.08, 1.0), False, 1, 0)["flip"].any()


def test_batch_larger_than_the_data(fashion):
    from fastscale.data.loaders import steps_per_epoch

    with pytest.raises(UserError, match="batch is 1024, but fashion-mnist has 600 training images"):
        steps_per_epoch(fashion, 1024)


def test_image_folder_of_mixed_sizes_and_formats(folder, tmp_path):
    dataset = write_betons(config_of(folder, max_resolution=36), tmp_path / "out", threads=2)
    assert (dataset.class_names, dict(dataset.images)) == (("coat", "dress", "trouser"), {"train": 30, "val": 12})
    pixels, labels = validation(dataset, 24, crop=0.875, batch=5)
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert pixels.shape == (12, 3, 24, 24) and pixels.std() > 20
    assert dataset.hash == Dataset.open(tmp_path / "out").hash


def test_hash_depends_on_content_and_not_on_threads(folder, tmp_path):
    once = write_betons(config_of(folder), tmp_path / "one", threads=1)
    again = write_betons(config_of(folder), tmp_path / "two", threads=2)
    assert once.hash == again.hash
    picture = next((folder / "train" / "dress").glob("*.png"))
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(picture)
    assert write_betons(config_of(folder), tmp_path / "three").hash != once.hash


def one_class_more(folder):
    for split in ("train", "val"):
        shutil.copytree(folder / split / "coat", folder / split / "shoe")


def no_picture(folder):
    next((folder / "train/coat").glob("*.png")).write_bytes(b"no picture")


def half_a_picture(folder):
    picture = next((folder / "val/coat").glob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:300])


def empty_class(folder):
    for picture in (folder / "val/dress").iterdir():
        picture.unlink()


def no_classes(folder):
    shutil.rmtree(folder / "train")
    (folder / "train").mkdir()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (shutil.rmtree, r"train is missing; path must hold train/ and val/"),
        (lambda folder: shutil.rmtree(folder / "val"), r"val is missing"),
        (no_classes, r"train holds no class folders"),
        (lambda folder: shutil.rmtree(folder / "val/dress"), r"val lacks the class folder 'dress'"),
        (empty_class, r"val/dress holds no image"),
        (no_picture, r"coat/\d+\.png cannot be read .*1 of 30"),
        (half_a_picture, r"coat/\d+\.jpg cannot be read"),
        (one_class_more, r"classes is 3, but .* holds 4 .*set classes: 4"),
    ],
)
def test_a_spoilt_folder_gives_one_sentence_and_leaves_no_file(folder, tmp_path, spoil, sentence):
    spoil(folder)
    with pytest.raises(UserError, match=sentence):
        write_betons(config_of(folder), tmp_path / "out")
    assert not (tmp_path / "out/data.json").exists()
    assert not list((tmp_path / "out").glob(".*")), "temporary files are left"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "imagenet"}, "kind is 'imagenet'; allowed are fashion-mnist and imagefolder"),
        ({"kind": "imagefolder"}, "needs path"),
        ({"classes": 100}, "classes is 100, but fashion-mnist holds 10"),
        ({"train_images": 70_000}, "train_images is 70000, but only 60000 are there"),
    ],
)
def test_wrong_configuration(tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        write_betons({**FASHION, **changes}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_image_larger_than_a_page(folder, tmp_path):
    Image.fromarray(np.zeros((2000, 2000, 3), np.uint8)).save(folder / "train/coat/large.png")
    with pytest.raises(UserError, match=r"large.png cannot be stored \(2000 x 2000 pixels .*set max_resolution"):
        write_betons(config_of(folder, write_mode="raw"), tmp_path / "out")
    assert write_betons(config_of(folder, write_mode="raw", max_resolution=400), tmp_path / "out").images["train"] == 31


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_damaged_beton_is_reported_before_ffcv_reads_it(fashion, tmp_path, split):
    copy = shutil.copytree(fashion.folder, tmp_path / "copy")
    beton = copy / f"{split}.beton"
    content = beton.read_bytes()
    beton.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{split}.beton is damaged: it has \d+ bytes instead of {len(content)}"):
        Dataset.open(copy)
    beton.write_bytes(content[:-9] + b"x" + content[-8:])
    with pytest.raises(UserError, match=f"{split}.beton is damaged: it has other content"):
        Dataset.open(copy)
    beton.unlink()
    with pytest.raises(UserError, match=rf"{split}.beton is missing"):
        Dataset.open(copy)


def test_damaged_or_unreachable_fashion_mnist(tmp_path, monkeypatch):
    raw = tmp_path / "FashionMNIST/raw"
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", ["file:///nowhere/"])
    with pytest.raises(UserError, match=r"cannot be downloaded .* put train-images-idx3-ubyte.gz, .* into .*raw"):
        fashion_mnist(tmp_path, installed=tmp_path / "absent")
    raw.mkdir(parents=True, exist_ok=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte.gz").write_bytes(gzip.compress(bytes(100))[:20])
    with pytest.raises(UserError, match="is not a readable IDX file"):
        fashion_mnist(tmp_path, installed=tmp_path / "absent")


def test_data_json_describes_the_data_without_their_place(fashion):
    record = json.loads((fashion.folder / "data.json").read_text())
    assert (record["kind"], record["classes"], record["data_hash"]) == ("data", 10, fashion.hash)
    assert record["images"] == {"train": 600, "val": 300}
    assert str(fashion.folder) not in json.dumps(record)


@pytest.mark.slow
def test_configuration_checks_and_loaders_import_no_heavy_packages():
    checks = (
        "import sys, fastscale.data.sources, fastscale.recipe; assert not {'torch', 'ffcv', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", checks], check=True)
    training = "import sys, fastscale.training.run; assert not {'torchvision', 'torch._dynamo'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", training], check=True)
