"""AutoAugment on batches, compared with torchvision's and, for v0, with Pillow's, which take one image at a time."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from fastscale.data import autoaugment as ours
from fastscale.data import like_pillow

GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
ARTICLES = ("imagenet", "cifar10", "svhn")
POLICIES = ("v0", *ARTICLES)
# The policy of the paper's authors as their pycls has it, each level as a share of the highest.
V0 = """
equalize 0.8 0.1, shear_y 0.8 0.4               color 0.4 0.9, equalize 0.6 0.3
color 0.4 0.1, rotate 0.6 0.8                   solarize 0.8 0.3, equalize 0.4 0.7
solarize 0.4 0.2, solarize 0.6 0.2              color 0.2 0.0, equalize 0.8 0.8
equalize 0.4 0.8, solarize_add 0.8 0.3          shear_x 0.2 0.9, rotate 0.6 0.8
color 0.6 0.1, equalize 1.0 0.2                 invert 0.4 0.9, rotate 0.6 0.0
equalize 1.0 0.9, shear_y 0.6 0.3               color 0.4 0.7, equalize 0.6 0.0
posterize 0.4 0.6, auto_contrast 0.4 0.7        solarize 0.6 0.8, color 0.6 0.9
solarize 0.2 0.4, rotate 0.8 0.9                rotate 1.0 0.7, trans_y 0.8 0.9
shear_x 0.0 0.0, solarize 0.8 0.4               shear_y 0.8 0.0, color 0.6 0.4
color 1.0 0.0, rotate 0.6 0.2                   equalize 0.8 0.4, equalize 0.0 0.8
equalize 1.0 0.4, auto_contrast 0.6 0.2         shear_y 0.4 0.7, solarize_add 0.6 0.7
posterize 0.8 0.2, solarize 0.6 1.0             solarize 0.6 0.8, equalize 0.6 0.1
color 0.8 0.6, rotate 0.4 0.5
"""
WORDS = V0.replace(",", " ").split()
STEPS = [(WORDS[i], float(WORDS[i + 1]), float(WORDS[i + 2])) for i in range(0, len(WORDS), 3)]
PAIRS = list(zip(STEPS[::2], STEPS[1::2], strict=True))
NAMES = {"ShearX": "shear_x", "ShearY": "shear_y", "TranslateY": "trans_y", "Rotate": "rotate", "Color": "color"}
NAMES |= {"Posterize": "posterize", "Solarize": "solarize", "SolarizeAdd": "solarize_add", "Invert": "invert"}
NAMES |= {"AutoContrast": "auto_contrast", "Equalize": "equalize"}


def by_pillow(image: Image.Image, name: str, share: float, sign: int) -> Image.Image:
    """Apply an operation of v0 at a share of its highest level."""

    def moved(*matrix: float) -> Image.Image:
        return image.transform(image.size, Image.AFFINE, matrix, Image.BILINEAR, fillcolor=(128, 128, 128))

    height = image.size[1]
    return {
        "shear_x": lambda: moved(1, sign * 0.3 * share, 0, 0, 1, 0),
        "shear_y": lambda: moved(1, 0, 0, sign * 0.3 * share, 1, 0),
        "trans_y": lambda: moved(1, 0, 0, 0, 1, sign * 0.45 * share * height),
        "rotate": lambda: image.rotate(sign * 30 * share, Image.BILINEAR, fillcolor=(128, 128, 128)),
        "color": lambda: ImageEnhance.Color(image).enhance(0.1 + 1.8 * share),
        "posterize": lambda: ImageOps.posterize(image, max(1, int(4 * share))),
        "solarize": lambda: ImageOps.solarize(image, int(256 * share)),
        "solarize_add": lambda: image.point([v + round(110 * share) if v < 128 else v for v in range(256)] * 3),
        "invert": lambda: ImageOps.invert(image),
        "auto_contrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
    }[name]()


def to_pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def from_pillow(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def index_of(operation: ours.Operation) -> int:
    return next(i for i, other in enumerate(ours.OPERATIONS) if other is operation)


def at_all_levels(images: torch.Tensor, operation: ours.Operation) -> tuple[np.ndarray, list[int]]:
    """Return augmentations whose second operation is this one, at all its levels in turn; and the levels."""
    highest = len(operation.magnitudes) - 1
    lowest = -highest if operation.signed else 0
    levels = [lowest + i % (highest + 1 - lowest) for i in range(len(images))]
    drawn = np.full((len(images), 2), ours.NO_OPERATION, dtype=ours.AUGMENTATION)
    drawn["operation"][:, 1], drawn["level"][:, 1] = index_of(operation), levels
    return drawn, levels


@pytest.fixture(scope="module", params=[(28, 28), (40, 24)], ids=str)
def images(request: pytest.FixtureRequest) -> torch.Tensor:
    """24 pictures, more than there are levels: one of a single colour, one of noise, the others smooth."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(24, 3, 7, 7, generator=generator) * 255
    pictures = torch.nn.functional.interpolate(coarse, size=request.param, mode="bilinear").to(torch.uint8)
    pictures[0] = 77
    pictures[1] = torch.randint(0, 256, pictures[1].shape, generator=generator)
    return pictures.contiguous(memory_format=torch.channels_last)


def by_torchvision(policy: str = "imagenet") -> Any:
    """Torchvision's transform, imported only here: each process of the tests collects this module."""
    from torchvision.transforms import v2
    from torchvision.transforms.autoaugment import AutoAugmentPolicy

    return v2.AutoAugment(AutoAugmentPolicy(policy))


def applied_by_torchvision(theirs: Any, image: torch.Tensor, name: str, level: int) -> torch.Tensor:
    magnitudes = theirs._AUGMENTATION_SPACE[name][0](10, *image.shape[-2:])
    magnitude = 0.0 if magnitudes is None else float(magnitudes[abs(level)]) * (1 if level >= 0 else -1)
    return theirs._apply_image_or_video_transform(
        image, name, magnitude, interpolation=theirs.interpolation, fill=theirs._fill
    )


@pytest.mark.parametrize("operation", ours.ARTICLE, ids=lambda operation: operation.name)
def test_operations_of_the_article_equal_torchvisions(images: torch.Tensor, operation: ours.Operation) -> None:
    """At every level, all in one batch. Ties of nearest pixels and of rounding may be broken either way."""
    theirs, (drawn, levels) = by_torchvision(), at_all_levels(images, operation)
    changed = ours.augment(images, drawn)
    expected = torch.stack(
        [
            applied_by_torchvision(theirs, image, operation.name, level)
            for image, level in zip(images, levels, strict=True)
        ]
    )
    difference = (changed.int() - expected.int()).abs()
    if operation.name in GEOMETRIC:
        assert (difference > 0).float().mean() < 0.01
    else:
        assert difference.max() <= 1 and (difference > 0).float().mean() < 0.01


@pytest.mark.parametrize("operation", ours.V0, ids=lambda operation: operation.name)
def test_operations_of_v0_equal_pillows(
    images: torch.Tensor, operation: ours.Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, at every level, warped three images at a time."""
    monkeypatch.setattr(like_pillow, "CHUNK_VALUES", 3 * images[0].numel() + 1)
    drawn, levels = at_all_levels(images, operation)
    changed = ours.augment(images, drawn)
    for image, level, result in zip(images, levels, changed, strict=True):
        sign = 1 if level >= 0 else -1
        expected = from_pillow(by_pillow(to_pillow(image), NAMES[operation.name], abs(level) / 10, sign))
        difference = (result.int() - expected.int()).abs()
        if operation.name == "Rotate":  # the sines of the angles may differ in their last digit
            assert difference.max() <= 1 and (difference > 0).float().mean() < 0.001, level
        else:
            assert difference.max() == 0, level


@pytest.mark.parametrize("policy", ARTICLES)
def test_policies_of_the_article_equal_torchvisions(policy: str) -> None:
    assert [tuple(map(tuple, pair)) for pair in ours.policies()[policy]] == by_torchvision(policy)._policies


def test_v0_equals_the_authors_policy() -> None:
    pairs = [tuple((NAMES[name], share, level / 10) for name, share, level in pair) for pair in ours.policies()["v0"]]
    assert pairs == PAIRS and len(pairs) == 25


@pytest.mark.parametrize("policy", POLICIES)
def test_draws_have_the_policys_frequencies(policy: str) -> None:
    drawn = ours.draw_augmentations(policy, 200_000, seed=1, epoch=0)
    pairs = ours.policies()[policy]
    operations = ours.V0 if policy == "v0" else ours.ARTICLE
    count = 0
    for step in range(2):
        for operation in operations:
            index = index_of(operation)
            for level in range(len(operation.magnitudes)):
                entry = (operation.name, level)
                share = sum(pair[step][1] for pair in pairs if (pair[step][0], pair[step][2] or 0) == entry)
                share /= len(pairs)
                is_signed = operation.signed and level > 0
                for sign in (1, -1) if is_signed else (1,):
                    is_entry = (drawn["operation"][:, step] == index) & (drawn["level"][:, step] == sign * level)
                    expected = share / 2 if is_signed else share
                    assert abs(is_entry.mean() - expected) < 5 * np.sqrt(expected / len(drawn)) + 1e-9, entry
                    count += is_entry.sum()
    assert count + (drawn["operation"] == ours.NO_OPERATION).sum() == drawn.size, "other operations are drawn"


def augmented_as_by_authors(image: Image.Image) -> Image.Image:
    """Draw and apply a sub-policy of v0 as the paper's authors do."""
    for name, probability, share in random.choice(PAIRS):
        if random.random() < probability:
            image = by_pillow(image, name, share, random.choice([1, -1]))
    return image


@pytest.mark.parametrize("policy", ["imagenet", "v0"])
def test_augmented_images_have_the_same_distribution(images: torch.Tensor, policy: str) -> None:
    """The mean of thousands of augmented copies of a picture differs in no pixel by more than chance allows."""
    torch.manual_seed(0)
    random.seed(0)
    count = 3000
    picture = images[5]
    many = picture.expand(count, -1, -1, -1)
    results = ours.augment(many, ours.draw_augmentations(policy, count, seed=1, epoch=0)).double()
    others = (
        (lambda image: from_pillow(augmented_as_by_authors(to_pillow(image)))) if policy == "v0" else by_torchvision()
    )
    expected = torch.stack([others(picture) for _ in range(count)]).double()
    chance = torch.sqrt((results.var(0) + expected.var(0)) / count) + 0.1
    off = (results.mean(0) - expected.mean(0)).abs() / chance
    assert off.max() < 5 and off.mean() < 1.5


def test_draws_depend_on_seed_epoch_and_image_alone() -> None:
    few, many = (ours.draw_augmentations("imagenet", n, seed=3, epoch=2) for n in (50, 1000))
    assert (few == many[:50]).all()
    assert (many != ours.draw_augmentations("imagenet", 1000, seed=3, epoch=3)).any()
    assert (many != ours.draw_augmentations("imagenet", 1000, seed=4, epoch=2)).any()


def test_groups_of_batches_are_augmented_as_single_batches_are() -> None:
    drawn = ours.draw_augmentations("imagenet", 40, seed=1, epoch=0).reshape(5, 8, 2)
    buffer = torch.empty(8, 3, 12, 12, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    stored = [torch.randint(0, 256, buffer.shape, dtype=torch.uint8) for _ in range(5)]

    def loaded() -> Iterator[tuple[torch.Tensor, torch.Tensor, np.ndarray]]:
        for number, images in enumerate(stored):  # each overwrites the one before, as in FFCV
            yield buffer.copy_(images), torch.full((8,), number), drawn[number]

    alone = [ours.augment(images, changes) for images, changes in zip(stored, drawn, strict=True)]
    assert any((changed != images).any() for changed, images in zip(alone, stored, strict=True))
    for size in (1, 2, 5, 9):
        grouped = list(ours.augment_in_groups(loaded(), size))
        assert [labels.tolist() for _, labels in grouped] == [[number] * 8 for number in range(5)]
        for (images, _), expected in zip(grouped, alone, strict=True):
            assert torch.equal(images, expected) and images.is_contiguous(memory_format=torch.channels_last)
