"""Options of the recipe that the authors' code has on, beside a plain loop of torch that has none of ours."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from fastscale.data import Dataset, write_betons
from fastscale.data.lighting import draw_lighting
from fastscale.data.loaders import training_batches
from fastscale.data.streams import stream
from fastscale.models.build import build
from fastscale.networks import base_network
from fastscale.recipe import Recipe
from fastscale.training.trainer import Training

NETWORK = base_network("EN-tiny").with_classes(10)
BATCH, PART, STEPS = 64, 16, 10
RECIPE = Recipe.from_dict(
    {"epochs": 2, "batch": BATCH, "norm_batch": PART, "lr": 2.0, "augment": None, "weight_decay": 2e-5, "ema": 0.3}
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    data = {"kind": "fashion-mnist", "classes": 10, "train_images": 640, "val_images": 200, "write_mode": "raw"}
    return write_betons(data, tmp_path_factory.mktemp("fashion"))


def trained(fashion: Dataset, epochs: int, **changes: object) -> Training:
    recipe = Recipe.from_dict({**RECIPE.to_dict(), **changes})
    training = Training(NETWORK, fashion, recipe, 1, 1, CPU, [])
    for _ in range(epochs):
        assert training.run_epoch(tqdm(disable=True), lambda: False)
    return training


def colours(deviation: float, epoch: int) -> np.ndarray:
    """What is added to each image of an epoch, number by number, as Krizhevsky et al. have it."""
    alphas = stream("lighting", 1, epoch).normal(0, deviation, (STEPS * BATCH, 3))
    vectors = [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    added = np.zeros((STEPS * BATCH, 3))
    for image, alpha in enumerate(alphas):
        for channel in range(3):
            for component, value in enumerate([0.2175, 0.0188, 0.0045]):
                added[image, channel] += vectors[channel][component] * alpha[component] * value
    return added.reshape(STEPS, BATCH, 3)


def inputs(fashion: Dataset, epoch: int, lighting: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Images as a network is fed with them, and labels."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (fashion.mean, fashion.std))
    batches = training_batches(fashion, NETWORK.resolution, RECIPE, 1, 1, epoch)
    for (images, labels, _), added in zip(batches, colours(lighting, epoch), strict=True):
        pictures = [
            image / 255 + torch.tensor(rgb, dtype=torch.float32).view(3, 1, 1)
            for image, rgb in zip(images, added, strict=True)
        ]
        yield torch.stack([(picture - mean) / std for picture in pictures]), labels.clone()


@pytest.mark.parametrize(
    "options", [{"nesterov": True}, {"lighting": 0.1}, {"nesterov": True, "lighting": 0.3, "precise_bn": 640}], ids=str
)
def test_a_training_with_them_is_a_plain_one(fashion: Dataset, options: dict) -> None:
    """Weights after an epoch, by torch's SGD, image by image; neither of them is what it is without the options."""
    training = trained(fashion, 1, **options)
    torch.manual_seed(1)
    model = build(NETWORK)
    shares = stream("mixup", 1, 0).beta(0.2, 0.2, STEPS)
    norms = {p for module in model.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()}
    groups = [{"params": [p for p in model.parameters() if p not in norms], "weight_decay": 2e-5}, {"params": [*norms]}]
    optimizer = torch.optim.SGD(groups, lr=1, momentum=0.9, nesterov=options.get("nesterov", False), foreach=False)
    for step, (images, labels) in enumerate(inputs(fashion, 0, options.get("lighting", 0.0))):
        for group in optimizer.param_groups:
            group["lr"] = training.recipe.learning_rate(step / STEPS)
        optimizer.zero_grad()
        targets = F.one_hot(labels, 10).float()
        for part, wanted in zip(images.split(PART), targets.split(PART), strict=True):
            mixed = shares[step] * part + (1 - shares[step]) * part.flip(0)
            soft = shares[step] * wanted + (1 - shares[step]) * wanted.flip(0)
            loss = F.cross_entropy(model(mixed.float()), soft.float(), label_smoothing=0.1)
            (loss * PART / BATCH).backward()
        optimizer.step()
    found, usual = training.model.state_dict(), trained(fashion, 1).model.state_dict()
    off = apart = 0.0
    for name, parameter in model.named_parameters():
        off = max(off, (found[name] - parameter).abs().max().item())
        apart = max(apart, (found[name] - usual[name]).abs().max().item())
    assert off < 1e-6 and apart > 1e-3


def test_statistics_are_those_of_the_training_images(fashion: Dataset) -> None:
    """Precise batch norm: of model and average, means over parts of the first images, by what each layer is given."""
    training = trained(fashion, 2, precise_bn=200, lighting=0.1)
    assert training.recipe.precise_batches(STEPS) == 3
    parts = [part for images, _ in [*inputs(fashion, 1, 0.1)][:3] for part in images.split(PART)]
    assert len(parts) == 12
    for trained_model in (training.model, training.average):
        model = build(NETWORK).double().train()
        model.load_state_dict(trained_model.state_dict())
        norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
        seen = {name: [] for name in norms}
        for name, norm in norms.items():
            norm.register_forward_pre_hook(lambda _, given, to=seen[name]: to.append(given[0].detach()))
        for part in parts:
            model(part.double())
        state = trained_model.state_dict()
        for name in norms:
            means = torch.stack([given.mean((0, 2, 3)) for given in seen[name]]).mean(0)
            variances = torch.stack([given.var((0, 2, 3), unbiased=True) for given in seen[name]]).mean(0)
            torch.testing.assert_close(state[f"{name}.running_mean"].double(), means, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(state[f"{name}.running_var"].double(), variances, rtol=1e-3, atol=1e-4)
        assert all(norm.momentum == 0.1 for name, norm in training.average.named_modules() if name in norms)
    assert not training.average.training


def test_the_error_is_that_of_the_precise_statistics(fashion: Dataset) -> None:
    """And nothing else of a training depends on them."""
    precise, usual = trained(fashion, 2, precise_bn=640), trained(fashion, 2)
    assert [row["train_loss"] for row in precise.log] == [row["train_loss"] for row in usual.log]
    assert [row["top1_error"] for row in precise.log] != [row["top1_error"] for row in usual.log]
    for name, parameter in usual.average.named_parameters():
        assert torch.equal(parameter, precise.average.state_dict()[name])
    assert precise.validate() == (precise.log[-1]["top1_error"], precise.log[-1]["top5_error"])


def test_lights_are_distributed_as_the_colours_of_images() -> None:
    """Their covariance is the eigenvalues', squared, in the eigenvectors' directions; row i is that of image i."""
    lights = draw_lighting(0.1, 200_000, 1, 0)
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    expected = vectors @ np.diag((0.1 * np.array([0.2175, 0.0188, 0.0045])) ** 2) @ vectors.T
    assert np.allclose(np.cov(lights.T), expected, atol=0.01 * np.abs(expected).max())
    assert (draw_lighting(0.1, 50, 1, 0) == lights[:50]).all()
    assert (draw_lighting(0.1, 50, 1, 1) != lights[:50]).any() and (draw_lighting(0.1, 50, 2, 0) != lights[:50]).any()
