"""Torch modules built from network descriptions; their convolutions stand in the order in which they are counted."""

import math
from typing import Any

from torch import Tensor, nn

from fastscale.models.convolution import Conv2d
from fastscale.networks import Network, layers

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU}


def build(network: Network) -> nn.Module:
    """Build a module that maps images (N, 3, r, r) to logits (N, classes), initialised for training."""
    model = Classifier(network)
    model.apply(_initialise)
    for module in model.modules():
        if isinstance(module, BlockModule) and module.has_shortcut:
            # The residual branch starts at zero (Goyal et al. 2017, the paper's [7]).
            nn.init.zeros_(module.last_norm.weight)
    return model


class ConvNorm(nn.Sequential):
    """A padded convolution without bias, batch norm, and the layer's activation if it has one."""

    def __init__(self, layer: layers.Conv):
        width_in, width_out, kernel, stride, groups, activation = layer
        conv = Conv2d(width_in, width_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(width_out))
        if activation:
            self.append(ACTIVATIONS[activation](inplace=True))


class SqueezeExcitation(nn.Module):
    """Channels multiplied by weights that are computed from the global averages of all channels (Hu et al. 2018)."""

    def __init__(self, layer: layers.SqueezeExcitation):
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            Conv2d(layer.width, layer.squeezed, 1),
            ACTIVATIONS[layer.activation](inplace=True),
            Conv2d(layer.squeezed, layer.width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of (N, width, r, r); returns the same shape."""
        return x * self.weigh(x)


class BlockModule(nn.Module):
    """A block: 1x1 conv, k x k group conv, SE, 1x1 conv, and a shortcut (Figure 3 of the paper)."""

    def __init__(self, block: layers.BlockLayers):
        super().__init__()
        self.residual = nn.Sequential(*map(_layer, block.residual))
        self.has_shortcut = block.has_shortcut
        self.projection = ConvNorm(block.projection) if block.projection else None
        self.activation = ACTIVATIONS[block.activation](inplace=True) if block.activation else nn.Identity()

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """Return the batch norm at the end of the residual branch."""
        last: Any = self.residual[-1]
        return last[1]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width_in, r, r) to (N, width, ceil(r / stride), ceil(r / stride))."""
        y = self.residual(x)
        if self.has_shortcut:
            y = y + (x if self.projection is None else self.projection(x))
        return self.activation(y)


class Classifier(nn.Module):
    """A whole network: stem, stages, head; it was scaled for images of `resolution` pixels a side."""

    def __init__(self, network: Network):
        super().__init__()
        self.resolution = network.resolution
        act, stem = network.activation, network.stem
        self.stem = ConvNorm(layers.Conv(3, stem.width, stem.kernel, stride=2, activation=act))
        if stem.pool:
            self.stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.Sequential()
        for stage, width_in in zip(network.stages, network.stage_inputs(), strict=True):
            widths = [width_in, *[stage.width] * (stage.depth - 1)]
            self.stages.append(
                nn.Sequential(
                    *(
                        BlockModule(layers.block_layers(network, stage, w, stage.stride if i == 0 else 1))
                        for i, w in enumerate(widths)
                    )
                )
            )
        width = network.widths[-1]
        head = layers.Conv(width, network.head_width, activation=act)
        self.head = ConvNorm(head) if network.head_width else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(network.head_width or width, network.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, r, r) to logits (N, classes)."""
        features = self.pool(self.head(self.stages(self.stem(images))))
        return self.classifier(features.flatten(1))


def _layer(layer: layers.Conv | layers.SqueezeExcitation) -> nn.Module:
    return ConvNorm(layer) if isinstance(layer, layers.Conv) else SqueezeExcitation(layer)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.zeros_(module.bias)
