"""Random resized crops and flips that belong to the sample: the same seed, epoch and image give the same one.

However the images are batched, threaded or spread over ranks, and wherever a training was interrupted.
"""

import numpy as np

RATIO = (3 / 4, 4 / 3)  # of width to height
TRIES = 10
CROP = [("top", "<u2"), ("left", "<u2"), ("crop_height", "<u2"), ("crop_width", "<u2"), ("flip", "u1")]


def draw_crops(
    heights: np.ndarray, widths: np.ndarray, scale: tuple[float, float], flip: bool, seed: int, epoch: int
) -> np.ndarray:
    """A crop for each image, as torchvision's RandomResizedCrop draws it, and whether it is flipped (half of them).

    Takes the (n,) heights and widths of all images in pixels; returns (n,) of dtype CROP. Row i depends on seed, epoch
    and i alone.
    """
    uniform = np.random.default_rng([seed, epoch])
    crops = np.zeros(len(heights), CROP)
    open_ = np.ones(len(heights), bool)  # those that no try has fitted yet
    for _ in range(TRIES):
        area, aspect, top, left = uniform.random((4, len(heights)))
        target = heights * widths * (scale[0] + (scale[1] - scale[0]) * area)
        ratio = np.exp(np.log(RATIO[0]) + (np.log(RATIO[1]) - np.log(RATIO[0])) * aspect)
        width, height = np.rint(np.sqrt(target * ratio)), np.rint(np.sqrt(target / ratio))
        fits = open_ & (width > 0) & (width <= widths) & (height > 0) & (height <= heights)
        _fill(crops, fits, np.floor(top * (heights - height + 1)), np.floor(left * (widths - width + 1)), height, width)
        open_ &= ~fits
    # What is left is a centre crop, as wide and as high as the ratio allows.
    height = np.minimum(heights, np.rint(widths / RATIO[0]))
    width = np.minimum(widths, np.rint(heights * RATIO[1]))
    _fill(crops, open_, (heights - height) // 2, (widths - width) // 2, height, width)
    if flip:
        crops["flip"] = uniform.random(len(heights)) < 0.5
    return crops


def _fill(crops: np.ndarray, chosen: np.ndarray, *values: np.ndarray) -> None:
    for name, value in zip(("top", "left", "crop_height", "crop_width"), values, strict=True):
        crops[name][chosen] = value[chosen]


def center_crops(heights: np.ndarray, widths: np.ndarray, share: float) -> np.ndarray:
    """For each image a square in its middle, of `share` times its shorter side, or one pixel; (n,) of dtype CROP."""
    side = np.maximum(1, np.floor(np.minimum(heights, widths) * share))
    crops = np.zeros(len(heights), CROP)
    _fill(crops, np.ones(len(heights), bool), (heights - side) // 2, (widths - side) // 2, side, side)
    return crops
