"""The order of an epoch: each image once, as well mixed as in a random order, the same on any number of ranks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscale.data import Dataset, write_betons
from fastscale.data.order import RUN, Share, draw_order, window, written_order
from fastscale.recipe import Recipe

IMAGES, BATCH = 20_000, 500  # more images than one window mixes, as in a file that is larger than memory
FASHION = {"kind": "fashion-mnist", "classes": 10, "train_images": IMAGES, "val_images": 100, "write_mode": "raw"}


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    assert window(BATCH) < IMAGES
    return write_betons(FASHION, tmp_path_factory.mktemp("fashion"))


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 2000), st.integers(0, 99), st.integers(0, 99))
def test_every_image_is_drawn_once(images: int, mixed: int, seed: int, epoch: int) -> None:
    order = draw_order(images, mixed, seed, epoch)
    assert (np.sort(order) == np.arange(images)).all()
    assert (draw_order(images, mixed, seed, epoch) == order).all()
    if images > 50:
        others = [draw_order(images, mixed, *other) for other in ((seed + 1, epoch), (seed, epoch + 1))]
        assert all((other != order).any() for other in others)


def test_a_window_is_read_in_long_runs() -> None:
    """Neighbours in the file are drawn in the same window."""
    order = draw_order(100_000, 10_000, 1, 0)
    for first in range(0, 100_000, 10_000):
        places = np.sort(order[first : first + 10_000])
        runs = 1 + (np.diff(places) > 1).sum()
        assert runs <= 10_000 / RUN + 3, "runs at the ends of the window are cut"


def test_batches_have_as_many_classes_as_random_batches() -> None:
    """For the numbers of ImageNet: 1,000 classes of 1,281 images, listed by class, in batches of 1024."""
    labels = np.repeat(np.arange(1000), 1281)[written_order(1_281_000)]
    order = draw_order(len(labels), window(1024), 1, 0)
    batches = labels[order[: 1251 * 1024 - 1024]].reshape(-1, 1024)
    classes = np.array([len(np.unique(batch)) for batch in batches])
    expected = 1000 * (1 - (1 - 1 / 1000) ** 1024)  # 641
    assert abs(classes.mean() - expected) < 2
    assert classes.min() > expected - 6 * 10  # the standard deviation of random batches is 10
    neighbours = (batches[:, :-1] == batches[:, 1:]).mean()
    assert neighbours == pytest.approx(1 / 1000, rel=0.05)


def test_epochs_mix_images_anew() -> None:
    """Two images of a batch that lie in different runs rarely meet again in the next epoch."""
    batch_of = np.empty((2, 200_000), int)
    for epoch in range(2):
        batch_of[epoch, draw_order(200_000, 16_384, 1, epoch)] = np.arange(200_000) // 1000
    pairs = np.random.default_rng(0).integers(200_000, size=(200_000, 2))
    pairs = pairs[np.abs(pairs[:, 0] - pairs[:, 1]) > RUN]
    together = [batch_of[epoch][pairs[:, 0]] == batch_of[epoch][pairs[:, 1]] for epoch in range(2)]
    again = (together[0] & together[1]).sum() / together[0].sum()
    assert again < 0.02  # of 200 batches: 0.005 by chance


def drawn(fashion: Dataset, first: int = 0, share: Share | None = None, threads: int = 1) -> list[list[int]]:
    """Return hashes of the images of each batch, in their order."""
    from fastscale.data.loaders import WHOLE, training_batches

    recipe = Recipe(batch=BATCH, norm_batch=None, crop_scale=(1.0, 1.0), flip=False, augment=None)
    batches = training_batches(fashion, 28, recipe, threads, 1, 0, first, share or WHOLE)
    return [[hash(image.tobytes()) for image in images.numpy()] for images, _, _ in batches]


def test_epochs_of_a_file_of_several_windows(fashion: Dataset) -> None:
    """Each image once per epoch; the same batches on 1, 2 and 4 ranks, and from the middle of an epoch on."""
    whole = drawn(fashion)
    assert len(whole) == IMAGES // BATCH
    counts = np.unique([image for batch in whole for image in batch], return_counts=True)[1]
    assert counts.sum() == IMAGES and (counts == 1).mean() > 0.99, "some images are drawn twice"
    for ranks in (2, 4):
        each = [drawn(fashion, share=Share(index, ranks)) for index in range(ranks)]
        assert [[image for part in parts for image in part] for parts in zip(*each, strict=True)] == whole
    assert drawn(fashion, first=17, threads=2) == whole[17:]
    halves = [drawn(fashion, first=33, share=Share(index, 2)) for index in range(2)]
    assert [part + other for part, other in zip(*halves, strict=True)] == whole[33:]
