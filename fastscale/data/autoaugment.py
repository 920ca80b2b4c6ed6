"""AutoAugment (Cubuk et al. 2019) of whole batches on the training device.

The article's policies are equal in distribution to torchvision's. The policy v0 is that of the official EfficientNet
code, which has other sub-policies and operations, and is equal in distribution to the paper's authors' (their pycls).

What an image undergoes is drawn on the host, for all images of an epoch at once, and belongs to the sample, as crops
do. The operations then run where the batch lies: each takes all images that drew it, with a magnitude of their own.
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
    """An operation of a policy: what changes images, and its magnitude at each level, in the unit that this takes.

    A `signed` one is drawn with either sign.
    """

    name: str
    change: Change
    magnitudes: np.ndarray
    signed: bool


def _article(name: str, change: Change, full: float = 1.0, signed: bool = False) -> Operation:
    return Operation(name, change, torch.linspace(0, full, 10).double().numpy(), signed)


def _v0(name: str, change: Change, least: float = 0.0, full: float = 1.0, signed: bool = False) -> Operation:
    return Operation(name, change, np.arange(11) / 10 * (full - least) + least, signed)


# Table 6 of the article, in pixels a pixel (shear), shares of the side (translate), degrees (rotate); what the others
# have is added to 1, the share of the image against that of what it is blended with.
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
# In the same units, but colour's is not added to 1; what follows has bits, thresholds and what is added.
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
NOTHING = len(OPERATIONS)
NAMES = np.array([operation.name for operation in OPERATIONS])
CHANGES = list(dict.fromkeys(operation.change for operation in OPERATIONS))
# Which of these each operation is computed by; NOTHING by none.
KINDS = np.array([*[CHANGES.index(operation.change) for operation in OPERATIONS], len(CHANGES)])
GROUPED_VALUES = {"cpu": 1 << 21, "cuda": 1 << 26}  # of images that are augmented together
BATCHES_READY = 4  # that the loader has at most: a GPU would wait for more
DRAWN = [("operation", "u1"), ("level", "i1")]  # an index into OPERATIONS, or NOTHING; below 0 for a negative magnitude


@cache
def policies() -> dict[str, list]:
    """Sub-policies by the policy's name: two operations, each with its probability and level (autoaugment.yaml)."""
    return yaml.safe_load(files("fastscale.data").joinpath("autoaugment.yaml").read_text())


def draw_augmentations(policy: str, images: int, seed: int, epoch: int) -> np.ndarray:
    """What each image undergoes: (images, 2) of dtype DRAWN. Row i depends on seed, epoch and i alone."""
    pairs, first, known = policies()[policy], 0, ARTICLE
    if policy == "v0":
        first, known = len(ARTICLE), V0
    names = [operation.name for operation in known]
    operation = np.array([[first + names.index(name) for name, _, _ in pair] for pair in pairs], "u1")
    probability = np.array([[share for _, share, _ in pair] for pair in pairs])
    level = np.array([[level or 0 for _, _, level in pair] for pair in pairs], "i1")
    signed = np.array([operation.signed for operation in OPERATIONS])[operation]

    uniform = stream("augmentations", seed, epoch).random((images, 5))
    chosen = (uniform[:, 0] * len(pairs)).astype(int)
    is_done = uniform[:, 1:3] < probability[chosen]
    is_negative = (uniform[:, 3:] < 0.5) & signed[chosen]
    drawn = np.empty((images, 2), DRAWN)
    drawn["operation"] = np.where(is_done, operation[chosen], NOTHING)
    drawn["level"] = np.where(is_negative, -level[chosen], level[chosen])
    return drawn


def group_size(images: int, resolution: int, device: torch.device) -> int:
    """Batches of so many images that are augmented together: several small ones, which would cost their launches."""
    fitting = max(1, GROUPED_VALUES[device.type] // (images * 3 * resolution**2))
    return fitting if device.type == "cpu" else min(fitting, BATCHES_READY)


def augment_in_groups(batches: Iterable[tuple[Tensor, Tensor, Any]], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels, `augment`ed as was drawn for them, `size` batches at a time."""
    batches = iter(batches)
    while group := list(_kept(islice(batches, size))):
        images, labels, drawn = zip(*group, strict=True)
        changed = augment(torch.cat(images), np.concatenate(drawn))
        yield from zip(changed.split([len(one) for one in labels]), labels, strict=True)


def _kept(batches: Iterable[tuple[Tensor, Tensor, Any]]) -> Iterator[tuple[Tensor, Tensor, Any]]:
    """Copies: the loader writes the next batch where it wrote one before."""
    return ((images.clone(), labels.clone(), drawn) for images, labels, drawn in batches)


def augment(images: Tensor, drawn: np.ndarray) -> Tensor:
    """Images (N, 3, h, w) of uint8, changed as `drawn` (N, 2) says: its first operation, then its second."""
    rows = images.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    now_at = np.arange(len(drawn))  # the image of each row
    for step in range(drawn.shape[1]):
        operation, level = drawn["operation"][:, step], drawn["level"][:, step].astype(int)
        kinds = KINDS[operation]
        # Sorted by what they undergo, the images of a kind lie together: none has to be picked out and put back.
        order = np.argsort(kinds, kind="stable")
        rows, now_at = _reordered(rows, now_at, order), order
        bounds = np.searchsorted(kinds[order], np.arange(len(CHANGES) + 1))
        for change, first, end in zip(CHANGES, bounds[:-1], bounds[1:], strict=True):
            if first < end:
                these = order[first:end]
                some = rows[first:end].permute(0, 3, 1, 2)
                some.copy_(change(some, NAMES[operation[these]], _magnitudes()[operation[these], level[these]]))
    return _reordered(rows, now_at, np.arange(len(drawn))).permute(0, 3, 1, 2)


def _reordered(rows: Tensor, now_at: np.ndarray, order: np.ndarray) -> Tensor:
    """Rows that hold the images `now_at`, as copies in the order of `order`."""
    place = np.empty_like(now_at)
    place[now_at] = np.arange(len(now_at))
    return rows.index_select(0, torch.from_numpy(place[order]).to(rows.device, non_blocking=True))


@cache
def _magnitudes() -> np.ndarray:
    """The magnitude of each operation at each level; negative levels stand at the end."""
    most = max(len(operation.magnitudes) for operation in OPERATIONS)
    positive = np.full((len(OPERATIONS), most), np.nan)
    for row, operation in zip(positive, OPERATIONS, strict=True):
        row[: len(operation.magnitudes)] = operation.magnitudes
    return np.concatenate([positive, -positive[:, :0:-1]], axis=1)
