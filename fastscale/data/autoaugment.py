"""AutoAugment (Cubuk et al. 2019) of whole batches on the training device.

The policies of the article give the same distribution as torchvision's. The policy v0 is that of the official
EfficientNet code, which has other sub-policies and operations than the article; it gives the same distribution as v0
in pycls, the code of the paper's authors.

The operations of each image are drawn on the host, for all images of an epoch at once, and like crops they depend on
the image alone, not on its batch. The operations then run on the device of the batch: each changes all images for which
it was drawn, with a magnitude per image.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor

from fastscale.data import like_pillow, like_torchvision
from fastscale.data.streams import stream

Change = Callable[[Tensor, np.ndarray, np.ndarray], Tensor]


class Operation(NamedTuple):
    """An operation of a policy: the function `change`, and the magnitude that it gets at each level.

    The magnitude of a `signed` operation is drawn with either sign.
    """

    name: str
    change: Change
    magnitudes: np.ndarray
    signed: bool


def _article(name: str, change: Change, full: float = 1.0, signed: bool = False) -> Operation:
    """Return an operation whose magnitudes grow from 0 to `full` over ten levels, as in torchvision."""
    return Operation(name, change, torch.linspace(0, full, 10).double().numpy(), signed)


def _v0(name: str, change: Change, least: float = 0.0, full: float = 1.0, signed: bool = False) -> Operation:
    """Return an operation whose magnitudes grow over eleven levels, as in the official EfficientNet code."""
    return Operation(name, change, np.arange(11) / 10 * (full - least) + least, signed)


# Table 6 of the article. Magnitudes are pixels of shift per pixel of distance (shear), shares of the side (translate)
# and degrees (rotate). For brightness, colour, contrast and sharpness, 1 + magnitude is the weight of the image, and
# -magnitude the weight of the image with which it is blended.
ARTICLE = [
    *[_article(name, like_torchvision.warp, 0.3, signed=True) for name in ("ShearX", "ShearY")],
    *[_article(name, like_torchvision.warp, 150 / 331, signed=True) for name in ("TranslateX", "TranslateY")],
    _article("Rotate", like_torchvision.warp, 30.0, signed=True),
    *[_article(name, like_torchvision.blend, 0.9, signed=True) for name in ("Brightness", "Color", "Contrast")],
    _article("Sharpness", like_torchvision.sharpen, 0.9, signed=True),
    _article("Posterize", like_torchvision.posterize),
    *[_article(name, like_torchvision.solarize) for name in ("Solarize", "Invert")],
    _article("AutoContrast", like_torchvision.auto_contrast),
    _article("Equalize", like_torchvision.equalize),
]
# In the same units, but the magnitude of colour is the weight of the image itself. Those of posterize are bits to keep,
# of solarize thresholds, and of solarize_add grey levels to add.
V0 = [
    *[_v0(name, like_pillow.warp, full=0.3, signed=True) for name in ("ShearX", "ShearY")],
    _v0("TranslateY", like_pillow.warp, full=0.45, signed=True),
    _v0("Rotate", like_pillow.warp, full=30.0, signed=True),
    _v0("Color", like_pillow.colour, 0.1, 1.9),
    _v0("Posterize", like_pillow.posterize, full=4.0),
    _v0("Solarize", like_pillow.solarize, full=256.0),
    _v0("SolarizeAdd", like_pillow.solarize_add, full=110.0),
    _v0("Invert", like_pillow.solarize),
    _v0("AutoContrast", like_pillow.auto_contrast),
    _v0("Equalize", like_torchvision.equalize),
]
OPERATIONS = [*ARTICLE, *V0]
NO_OPERATION = len(OPERATIONS)
NAMES = np.array([operation.name for operation in OPERATIONS])
CHANGES = list(dict.fromkeys(operation.change for operation in OPERATIONS))
# The index in CHANGES of each operation's function; that of NO_OPERATION is len(CHANGES).
CHANGE_OF = np.array([*[CHANGES.index(operation.change) for operation in OPERATIONS], len(CHANGES)])
GROUP_VALUES = {"cpu": 1 << 21, "cuda": 1 << 26}  # values of the images that are augmented together, at most
BATCHES_READY = 4  # batches that the loader has ready, at most: a GPU would wait for a larger group
# `operation` is an index in OPERATIONS or NO_OPERATION; `level` is below 0 for a negative magnitude.
AUGMENTATION = [("operation", "u1"), ("level", "i1")]


@cache
def policies() -> dict[str, list]:
    """Return the sub-policies of each policy by name: two operations, each with probability and level.

    The sub-policies stand in autoaugment.yaml.
    """
    return yaml.safe_load(files("fastscale.data").joinpath("autoaugment.yaml").read_text())


def draw_augmentations(policy: str, images: int, seed: int, epoch: int) -> np.ndarray:
    """Draw the two operations of each image: (images, 2) of dtype AUGMENTATION.

    Row i depends on seed, epoch and i alone.
    """
    pairs, first, operations = policies()[policy], 0, ARTICLE
    if policy == "v0":
        first, operations = len(ARTICLE), V0
    names = [operation.name for operation in operations]
    operation = np.array([[first + names.index(name) for name, _, _ in pair] for pair in pairs], "u1")
    probability = np.array([[share for _, share, _ in pair] for pair in pairs])
    level = np.array([[level or 0 for _, _, level in pair] for pair in pairs], "i1")
    signed = np.array([operation.signed for operation in OPERATIONS])[operation]

    uniform = stream("augmentations", seed, epoch).random((images, 5))
    chosen = (uniform[:, 0] * len(pairs)).astype(int)
    is_applied = uniform[:, 1:3] < probability[chosen]
    is_negative = (uniform[:, 3:] < 0.5) & signed[chosen]
    drawn = np.empty((images, 2), AUGMENTATION)
    drawn["operation"] = np.where(is_applied, operation[chosen], NO_OPERATION)
    drawn["level"] = np.where(is_negative, -level[chosen], level[chosen])
    return drawn


def group_size(images: int, resolution: int, device: torch.device) -> int:
    """Return how many batches of `images` images to augment together: one by one, small batches cost more launches."""
    fitting = max(1, GROUP_VALUES[device.type] // (images * 3 * resolution**2))
    return fitting if device.type == "cpu" else min(fitting, BATCHES_READY)


def augment_in_groups(batches: Iterable[tuple[Tensor, Tensor, Any]], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of augmented images and their labels; `size` batches are augmented at a time.

    Each of the `batches` is images, labels and the augmentations that were drawn for these images.
    """
    batches = iter(batches)
    while group := list(_copied(islice(batches, size))):
        images, labels, drawn = zip(*group, strict=True)
        changed = augment(torch.cat(images), np.concatenate(drawn))
        yield from zip(changed.split([len(batch_labels) for batch_labels in labels]), labels, strict=True)


def _copied(batches: Iterable[tuple[Tensor, Tensor, Any]]) -> Iterator[tuple[Tensor, Tensor, Any]]:
    """Yield copies of batches, as the loader overwrites a batch when it loads the next one."""
    return ((images.clone(), labels.clone(), drawn) for images, labels, drawn in batches)


def augment(images: Tensor, drawn: np.ndarray) -> Tensor:
    """Return images (N, 3, h, w) of uint8, changed by their first and then by their second drawn operation.

    `drawn`, (N, 2) of dtype AUGMENTATION, holds these operations.
    """
    rows = images.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    held = np.arange(len(drawn))  # the image that each row holds
    for step in range(drawn.shape[1]):
        operation, level = drawn["operation"][:, step], drawn["level"][:, step].astype(int)
        change_of = CHANGE_OF[operation]
        # Images that the same function changes are made neighbours, so that it takes a slice, which is not copied.
        order = np.argsort(change_of, kind="stable")
        rows, held = _reordered(rows, held, order), order
        bounds = np.searchsorted(change_of[order], np.arange(len(CHANGES) + 1))
        for change, first, end in zip(CHANGES, bounds[:-1], bounds[1:], strict=True):
            if first < end:
                indices = order[first:end]
                part = rows[first:end].permute(0, 3, 1, 2)
                part.copy_(change(part, NAMES[operation[indices]], _magnitudes()[operation[indices], level[indices]]))
    return _reordered(rows, held, np.arange(len(drawn))).permute(0, 3, 1, 2)


def _reordered(rows: Tensor, held: np.ndarray, order: np.ndarray) -> Tensor:
    """Return copies of the rows, of which row i holds image `held[i]`, so that row i holds image `order[i]`."""
    place = np.empty_like(held)
    place[held] = np.arange(len(held))
    return rows.index_select(0, torch.from_numpy(place[order]).to(rows.device, non_blocking=True))


@cache
def _magnitudes() -> np.ndarray:
    """Return the magnitudes of all operations, (operations, levels): index -n of the second axis is level -n."""
    most = max(len(operation.magnitudes) for operation in OPERATIONS)
    positive = np.full((len(OPERATIONS), most), np.nan)
    for row, operation in zip(positive, OPERATIONS, strict=True):
        row[: len(operation.magnitudes)] = operation.magnitudes
    return np.concatenate([positive, -positive[:, :0:-1]], axis=1)
