"""torchvision's reference training (references/classification/train.py), its own networks and transforms."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.transforms import v2

from fastscale.data.images import Split
from fastscale.models.build import build
from fastscale.networks import Network
from fastscale.networks.complexity import count
from fastscale.recipe import Recipe


def model_of(network: Network) -> nn.Module:
    """torchvision's own module of a RegNetY or an EfficientNet; ours of another, with torch's convolutions."""
    inputs = network.stage_inputs()
    if network.family == "RegNetY":
        strides = [stage.stride for stage in network.stages]
        shape = network.depths, network.widths, network.group_widths, [1.0] * len(strides), strides
        model = RegNet(BlockParams(*shape, network.se_ratio), network.classes, stem_width=network.stem.width)
    elif network.family == "EfficientNet":
        blocks = [
            MBConvConfig(stage.ratio, stage.kernel, stage.stride, width_in, stage.width, stage.depth, 1.0, 1.0)
            for stage, width_in in zip(network.stages, inputs, strict=True)
        ]
        model = EfficientNet(blocks, 0.0, 0.0, network.classes, last_channel=network.head_width)
    else:
        model = build(network)  # its convolutions are torch's own, as no execution was asked for
    assert sum(p.numel() for p in model.parameters()) == count(network).params, network.id
    return model


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images in memory, each transformed when it is asked for."""

    def __init__(self, split: Split, transform: Any):
        self.images = [split.read(i) for i in range(len(split))]
        self.labels, self.transform = list(map(int, split.labels)), transform

    def __len__(self) -> int:
        """How many."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """An image and its label."""
        return self.transform(self.images[index]), self.labels[index]


def transforms(recipe: Recipe, resolution: int, mean: Any, std: Any, augment: bool) -> v2.Compose:
    """Those of its presets.py for training."""
    chosen = [v2.RandomResizedCrop(resolution, recipe.crop_scale, antialias=True), v2.RandomHorizontalFlip()]
    chosen += [v2.AutoAugment()] if augment else []
    chosen += [v2.PILToTensor(), v2.ToDtype(torch.float, scale=True), v2.Normalize(mean, std), v2.ToPureTensor()]
    return v2.Compose(chosen)


class Reference:
    """A training by the same recipe: batches from worker processes, mixup in them, meters read in every step."""

    def __init__(
        self, network: Network, split: Split, mean: Any, std: Any, recipe: Recipe, workers: int, augment: bool
    ):
        self.model = model_of(network).to(memory_format=torch.channels_last)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)
        mixup = v2.MixUp(alpha=recipe.mixup, num_classes=network.classes)
        self.loader = DataLoader(
            Pictures(split, transforms(recipe, network.resolution, mean, std, augment)),
            recipe.batch,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=(lambda samples: mixup(*default_collate(samples))) if recipe.mixup else None,
            drop_last=True,
        )
        self.criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.1, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )

    def epoch(self) -> None:
        """One epoch: load, augment, step."""
        self.model.train()
        meters = np.zeros(2)
        for step, (images, labels) in enumerate(self._batches()):
            output = self.model(images)
            loss = self.criterion(output, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if step % 32 == 0:
                self.average.update_parameters(self.model)
            wanted = labels.argmax(1) if labels.ndim == 2 else labels
            meters += loss.item(), (output.argmax(1) == wanted).float().mean().item()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.loader:
            yield images.to(memory_format=torch.channels_last), labels
