"""Exact counts of flops, params and acts of a network, in pure Python (section 3.1 of the paper).

flops are the multiply-adds of conv and linear layers, biases included. params are all parameters, batch norm's two
vectors included. acts are the elements of the outputs of conv and linear layers, and of a ResNet stem's max pool.
"""

from typing import NamedTuple

from fastscale.networks.layers import Conv, SqueezeExcitation, block_layers
from fastscale.networks.network import Network, Stage, output_side


class Complexity(NamedTuple):
    """Exact counts for one image: flops (multiply-adds), params, acts (elements). Counts of layers add up."""

    flops: int
    params: int
    acts: int

    def plus(self, other: "Complexity", times: int = 1) -> "Complexity":
        """Add `times` times the other counts to these."""
        return Complexity(*(count + times * added for count, added in zip(self, other, strict=True)))


def conv(width_in: int, width_out: int, r: int, kernel: int = 1, groups: int = 1, bias: bool = False) -> Complexity:
    """Count a convolution with `r` x `r` outputs, and its batch norm unless it has a bias (equations 1 and 3)."""
    weights = kernel * kernel * (width_in // groups) * width_out
    outputs = width_out * r * r
    return Complexity(weights * r * r + bias * outputs, weights + width_out * (1 if bias else 2), outputs)


def count_block(network: Network, stage: Stage, width_in: int, stride: int, r: int) -> Complexity:
    """Count one block whose input has `width_in` channels and `r` x `r` pixels."""
    layers = block_layers(network, stage, width_in, stride)
    side, counts = r, []
    for layer in layers.residual:
        if isinstance(layer, Conv):
            side = output_side(side, layer.stride)
            counts.append(conv(layer.width_in, layer.width_out, side, layer.kernel, layer.groups))
        else:
            counts.append(conv(layer.width, layer.squeezed, 1, bias=True))
            counts.append(conv(layer.squeezed, layer.width, 1, bias=True))
    if layers.projection:
        counts.append(conv(width_in, stage.width, side))
    return Complexity(*map(sum, zip(*counts, strict=True)))


def count_stages(network: Network, only_group_conv: bool = False) -> Complexity:
    """Count the stages as section 3 models them: `depth` equal blocks at the stage's own width and resolution.

    So a stage's first block is counted like its later ones. With `only_group_conv`, count the inner convolution of one
    block of the last stage alone, without batch norm (equation 3): the widest, where a group width has room to grow.
    """
    r, total = output_side(network.resolution, 2), Complexity(0, 0, 0)
    if network.stem.pool:
        r = output_side(r, 2)
    for stage in network.stages:
        r, inner = output_side(r, stage.stride), network.inner_width(stage, stage.width)
        total = total.plus(count_block(network, stage, stage.width, 1, r), times=stage.depth)
    if only_group_conv:
        layer = conv(inner, inner, r, stage.kernel, inner // stage.group_width)
        return layer.plus(Complexity(0, -2 * inner, 0))
    return total


def count(network: Network) -> Complexity:
    """Count flops, params and acts of a forward pass of one image."""
    r = output_side(network.resolution, 2)
    total = conv(3, network.stem.width, r, network.stem.kernel)
    if network.stem.pool:
        r = output_side(r, 2)
        total = total.plus(Complexity(0, 0, network.stem.width * r * r))
    width = network.stem.width
    for stage in network.stages:
        total = total.plus(count_block(network, stage, width, stage.stride, r))
        r, width = output_side(r, stage.stride), stage.width
        if stage.depth > 1:
            total = total.plus(count_block(network, stage, width, 1, r), times=stage.depth - 1)
    if network.head_width:
        total = total.plus(conv(width, network.head_width, r))
        width = network.head_width
    return total.plus(conv(width, network.classes, 1, bias=True))


def count_layers(network: Network) -> int:
    """Count convolutions and linear layers, those of squeeze-excitation included: a step launches kernels for each.

    Norms, activations and sums are not counted, as they come with the layers and improve no prediction. Measured on 54
    networks of an earlier default sweep, each at the best of six timings on a CPU: the error of the three-term
    prediction (fastscale/cost/prediction.py) was 12.4 % with these layers, 12.3 % with all operations, 13.8 % without
    the layers of squeeze-excitation, and 14.1 % with blocks.
    """
    count, width = 2 + bool(network.head_width), network.stem.width  # the stem, the classifier and the head
    for stage in network.stages:
        for width_in, stride, times in ((width, stage.stride, 1), (stage.width, 1, stage.depth - 1)):
            layers = block_layers(network, stage, width_in, stride).all
            count += times * sum(2 if isinstance(layer, SqueezeExcitation) else 1 for layer in layers)
        width = stage.width
    return count
