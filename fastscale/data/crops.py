"""Random resized crops and flips, drawn per image: the same seed, epoch and image give the same crop.

Batches, threads, ranks and interruptions of a training change no crop.
"""

import numpy as np

from fastscale.data.streams import stream

RATIO = (3 / 4, 4 / 3)  # smallest and largest width over height
TRIES = 10
CROP = [("top", "<u2"), ("left", "<u2"), ("crop_height", "<u2"), ("crop_width", "<u2"), ("flip", "u1")]


def draw_crops(
    heights: np.ndarray, widths: np.ndarray, scale: tuple[float, float], flip: bool, seed: int, epoch: int
) -> np.ndarray:
    """Draw a crop for each image, as torchvision's RandomResizedCrop does, and with `flip` mirror half of the images.

    `heights` and `widths`, (n,), are the sizes of all images in pixels; `scale` bounds the area of a crop as a share of
    the image's. Returns (n,) of dtype CROP. Row i depends on seed, epoch and i alone.
    """
    uniform = stream("crops", seed, epoch)
    crops = np.zeros(len(heights), CROP)
    is_open = np.ones(len(heights), bool)  # images into which no drawn crop has fitted yet
    for _ in range(TRIES):
        area, aspect, top, left = uniform.random((4, len(heights)))
        target = heights * widths * (scale[0] + (scale[1] - scale[0]) * area)
        ratio = np.exp(np.log(RATIO[0]) + (np.log(RATIO[1]) - np.log(RATIO[0])) * aspect)
        width, height = np.rint(np.sqrt(target * ratio)), np.rint(np.sqrt(target / ratio))
        fits = is_open & (width > 0) & (width <= widths) & (height > 0) & (height <= heights)
        _fill(crops, fits, np.floor(top * (heights - height + 1)), np.floor(left * (widths - width + 1)), height, width)
        is_open &= ~fits
    # Images that are still open get a centre crop, as wide and as high as the ratio allows.
    height = np.minimum(heights, np.rint(widths / RATIO[0]))
    width = np.minimum(widths, np.rint(heights * RATIO[1]))
    _fill(crops, is_open, (heights - height) // 2, (widths - width) // 2, height, width)
    if flip:
        crops["flip"] = uniform.random(len(heights)) < 0.5
    return crops


def _fill(crops: np.ndarray, chosen: np.ndarray, *values: np.ndarray) -> None:
    """Set top, left, height and width of the `chosen` crops."""
    for name, value in zip(("top", "left", "crop_height", "crop_width"), values, strict=True):
        crops[name][chosen] = value[chosen]


def center_crops(heights: np.ndarray, widths: np.ndarray, share: float) -> np.ndarray:
    """Return a centred square crop of each image: its side is `share` times the image's shorter side, at least a pixel.

    `heights` and `widths`, (n,), are the sizes of all images in pixels; the result is (n,) of dtype CROP.
    """
    side = np.maximum(1, np.floor(np.minimum(heights, widths) * share))
    crops = np.zeros(len(heights), CROP)
    _fill(crops, np.ones(len(heights), bool), (heights - side) // 2, (widths - side) // 2, side, side)
    return crops
