"""Decoding and resizing of an image's bytes, compared with Pillow."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fastscale.data.crops import CROP
from fastscale.data.images import fashion_mnist
from fastscale.data.pictures import MODES


def decode_image(*arguments: Any) -> None:
    """Decode as fastscale does; a process that only collects tests need not import FFCV, which takes seconds."""
    from fastscale.data.decoding import decode_image

    decode_image(*arguments)


IMAGE = np.dtype([("mode", "u1"), ("width", "<u2"), ("height", "<u2"), *CROP])


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Image.Image:
    """A colourful picture, smooth and sharp, of 600 x 600 pixels: its channels are three images of clothing."""
    images = fashion_mnist(tmp_path_factory.mktemp("downloads")).train.images[:3]
    return Image.merge("RGB", [Image.fromarray(image).resize((600, 600), Image.Resampling.LANCZOS) for image in images])


def row(mode: str, picture: Image.Image, crop: tuple[int, ...]) -> np.void:
    """Return an image's row of the metadata."""
    return np.array([(MODES[mode], *picture.size, *crop)], IMAGE)[0]


def by_pillow(picture: Image.Image, crop: tuple[int, ...], side: int) -> np.ndarray:
    top, left, height, width, flip = crop
    part = picture.crop((left, top, left + width, top + height)).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else part).astype(int)


@st.composite
def crops(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, ...], int]:
    """Draw the size of an image, a crop of the image, and the side to which the crop is resized."""
    width, height = draw(st.integers(1, 600)), draw(st.integers(1, 600))
    part = draw(st.integers(1, height)), draw(st.integers(1, width))
    top, left = draw(st.integers(0, height - part[0])), draw(st.integers(0, width - part[1]))
    return (width, height), (top, left, *part, draw(st.booleans())), draw(st.integers(1, 300))


@settings(deadline=None, max_examples=200)
@given(crops())
@example(((28, 28), (0, 0, 28, 28, False), 28))
def test_raw_pixels_are_resized_as_by_pillow(photo: Image.Image, drawn: tuple) -> None:
    size, crop, side = drawn
    picture = photo.crop((0, 0, *size))
    result = np.zeros((side, side, 3), np.uint8)
    decode_image(np.asarray(picture).reshape(-1), row("raw", picture, crop), result)
    assert np.abs(by_pillow(picture, crop, side) - result).max() <= 1


@settings(deadline=None, max_examples=200)
@given(crops(), st.sampled_from([0, 1, 2]))
@example(((3, 5), (1, 1, 3, 1, True), 4), 2)
@example(((401, 399), (3, 7, 301, 299, True), 224), 2)
def test_jpegs_are_decoded_as_by_pillow(photo: Image.Image, drawn: tuple, sampling: int) -> None:
    """To within rounding; colours of half the resolution are interpolated once here, and twice by Pillow."""
    size, crop, side = drawn
    stored = io.BytesIO()
    photo.crop((0, 0, *size)).save(stored, "JPEG", quality=95, subsampling=sampling)
    picture = Image.open(stored)
    result = np.zeros((side, side, 3), np.uint8)
    decode_image(np.frombuffer(stored.getvalue(), np.uint8), row("jpg", picture, crop), result)
    difference = np.abs(by_pillow(picture.convert("RGB"), crop, side) - result)
    assert difference.max() <= (8 if sampling == 0 else 20)
    assert difference.mean() < 1.5 or min(side**2, crop[2] * crop[3]) < 64  # few pixels may all be off
