"""AutoAugment on batches against torchvision's, which takes one image at a time."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.autoaugment import AutoAugmentPolicy

from fastscale.data import augment as ours
from fastscale.recipe import POLICIES

THEIRS = v2.AutoAugment()
GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


@pytest.fixture(scope="module", params=[(28, 28), (40, 24)], ids=str)
def images(request: pytest.FixtureRequest) -> torch.Tensor:
    """Twenty smooth pictures; one of them of a single colour, one of noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(20, 3, 7, 7, generator=generator) * 255
    pictures = torch.nn.functional.interpolate(coarse, size=request.param, mode="bilinear").to(torch.uint8)
    pictures[0] = 77
    pictures[1] = torch.randint(0, 256, pictures[1].shape, generator=generator)
    return pictures.contiguous(memory_format=torch.channels_last)


def applied_by_torchvision(image: torch.Tensor, name: str, level: int) -> torch.Tensor:
    magnitudes = THEIRS._AUGMENTATION_SPACE[name][0](ours.LEVELS + 1, *image.shape[-2:])
    magnitude = 0.0 if magnitudes is None else float(magnitudes[abs(level)]) * (1 if level >= 0 else -1)
    return THEIRS._apply_image_or_video_transform(
        image, name, magnitude, interpolation=THEIRS.interpolation, fill=THEIRS._fill
    )


@pytest.mark.parametrize("name", ours.NAMES)
def test_an_operation_is_torchvisions(images: torch.Tensor, name: str) -> None:
    """At every level, all in one batch. Nearest pixels may fall on either side of a tie, grey levels of a rounding."""
    lowest = -ours.LEVELS if name in ours.SIGNED else 0
    levels = [lowest + i % (ours.LEVELS + 1 - lowest) for i in range(len(images))]
    drawn = np.full((len(images), 2), ours.NOTHING, dtype=ours.DRAWN)
    drawn["operation"][:, 1] = ours.NAMES.index(name)
    drawn["level"][:, 1] = levels
    changed = ours.augment(images, drawn)
    expected = torch.stack(
        [applied_by_torchvision(image, name, level) for image, level in zip(images, levels, strict=True)]
    )
    difference = (changed.int() - expected.int()).abs()
    if name in GEOMETRIC:
        assert (difference > 0).float().mean() < 0.01
    else:
        assert difference.max() <= 1 and (difference > 0).float().mean() < 0.01


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_are_torchvisions(policy: str) -> None:
    theirs = v2.AutoAugment(AutoAugmentPolicy(policy))._policies
    assert [tuple(map(tuple, pair)) for pair in ours.policies()[policy]] == theirs


@pytest.mark.parametrize("policy", POLICIES)
def test_draws_have_the_policys_frequencies(policy: str) -> None:
    drawn = ours.draw_augmentations(policy, 200_000, seed=1, epoch=0)
    pairs = ours.policies()[policy]
    for step in range(2):
        for name in ours.NAMES:
            for level in range(ours.LEVELS + 1):
                for sign in (1, -1):
                    share = sum(pair[step][1] for pair in pairs if (pair[step][0], pair[step][2] or 0) == (name, level))
                    share /= len(pairs)
                    if name in ours.SIGNED and level:
                        share /= 2
                    elif sign == -1:
                        continue
                    is_it = (drawn["operation"] == ours.NAMES.index(name)) & (drawn["level"] == sign * level)
                    assert abs(is_it[:, step].mean() - share) < 5 * np.sqrt(share / len(drawn)) + 1e-9, (name, level)


def test_outcomes_are_distributed_as_torchvisions(images: torch.Tensor) -> None:
    """The mean picture of thousands of outcomes, pixel by pixel, within what chance allows."""
    torch.manual_seed(0)
    count = 3000
    picture = images[5]
    many = picture.expand(count, -1, -1, -1)
    found = ours.augment(many, ours.draw_augmentations("imagenet", count, seed=1, epoch=0)).double()
    expected = torch.stack([THEIRS(picture) for _ in range(count)]).double()
    chance = torch.sqrt((found.var(0) + expected.var(0)) / count) + 0.1
    off = (found.mean(0) - expected.mean(0)).abs() / chance
    assert off.max() < 5 and off.mean() < 1.5


def test_draws_belong_to_the_sample() -> None:
    few, many = (ours.draw_augmentations("imagenet", n, seed=3, epoch=2) for n in (50, 1000))
    assert (few == many[:50]).all()
    assert (many != ours.draw_augmentations("imagenet", 1000, seed=3, epoch=3)).any()
    assert (many != ours.draw_augmentations("imagenet", 1000, seed=4, epoch=2)).any()


def test_batches_that_are_augmented_together_are_as_by_themselves() -> None:
    drawn = ours.draw_augmentations("imagenet", 40, seed=1, epoch=0).reshape(5, 8, 2)
    buffer = torch.empty(8, 3, 12, 12, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    stored = [torch.randint(0, 256, buffer.shape, dtype=torch.uint8) for _ in range(5)]

    def loaded() -> Iterator[tuple[torch.Tensor, torch.Tensor, np.ndarray]]:
        for number, images in enumerate(stored):  # each where the one before was, as FFCV does
            yield buffer.copy_(images), torch.full((8,), number), drawn[number]

    alone = [ours.augment(images, changes) for images, changes in zip(stored, drawn, strict=True)]
    assert any((one != images).any() for one, images in zip(alone, stored, strict=True))
    for size in (1, 2, 5, 9):
        found = list(ours.augment_in_groups(loaded(), size))
        assert [labels.tolist() for _, labels in found] == [[number] * 8 for number in range(5)]
        for (images, _), expected in zip(found, alone, strict=True):
            assert torch.equal(images, expected) and images.is_contiguous(memory_format=torch.channels_last)
