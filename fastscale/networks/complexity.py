"""What a network costs: flops, params and acts, counted exactly in pure Python (section 3.1 of the paper).

flops are the multiply-adds of conv and linear layers, biases included; params are all parameters, batch norm's two
vectors included; acts are the elements of the outputs of conv and linear layers, and of a ResNet stem's max pool.
"""

from typing import NamedTuple

from fastscale.networks.layers import Conv, SqueezeExcitation, block_layers
from fastscale.networks.network import Network, Stage, halved


class Complexity(NamedTuple):
    """Exact counts for one image: flops (multiply-adds), params, acts (elements); they add up layer by layer."""

    flops: int
    params: int
    acts: int

    def plus(self, other: "Complexity", times: int = 1) -> "Complexity":
        """The sum of this and `times` times the other."""
        return Complexity(*(a + times * b for a, b in zip(self, other, strict=True)))


NOTHING = Complexity(0, 0, 0)


def conv(width_in: int, width_out: int, r: int, kernel: int = 1, groups: int = 1, bias: bool = False) -> Complexity:
    """A convolution whose output is `r` x `r`, with batch norm behind it unless it has a bias (equations 1 and 3)."""
    weights = kernel * kernel * (width_in // groups) * width_out
    outputs = width_out * r * r
    return Complexity(weights * r * r + bias * outputs, weights + width_out * (1 if bias else 2), outputs)


def count_block(network: Network, stage: Stage, width_in: int, stride: int, r: int) -> Complexity:
    """Count one block that is fed `width_in` channels at resolution `r`."""
    layers, side, counts = block_layers(network, stage, width_in, stride), r, []
    for layer in layers.residual:
        if isinstance(layer, Conv):
            side = halved(side, layer.stride)
            counts.append(conv(layer.width_in, layer.width_out, side, layer.kernel, layer.groups))
        else:
            counts.append(conv(layer.width, layer.squeezed, 1, bias=True))
            counts.append(conv(layer.squeezed, layer.width, 1, bias=True))
    if layers.projection:
        counts.append(conv(width_in, stage.width, side))
    return Complexity(*map(sum, zip(*counts, strict=True)))


def count_stages(network: Network, only_group_convs: bool = False) -> Complexity:
    """The stages as section 3 has them, d equal layers of one width and resolution: all blocks as the later ones.

    With `only_group_convs` just the blocks' inner convolutions (equation 3).
    """
    r, total = halved(network.resolution, 2), NOTHING
    if network.stem.pool:
        r = halved(r, 2)
    for stage in network.stages:
        r, inner = halved(r, stage.stride), network.inner_width(stage, stage.width)
        group_conv = conv(inner, inner, r, stage.kernel, inner // stage.group_width)
        layer = group_conv if only_group_convs else count_block(network, stage, stage.width, 1, r)
        total = total.plus(layer, times=stage.depth)
    return total


def count(network: Network) -> Complexity:
    """flops, params and acts of one forward pass of one image; each distinct block is counted once."""
    r = halved(network.resolution, 2)
    total = conv(3, network.stem.width, r, network.stem.kernel)
    if network.stem.pool:
        r = halved(r, 2)
        total = total.plus(Complexity(0, 0, network.stem.width * r * r))
    width = network.stem.width
    for stage in network.stages:
        total = total.plus(count_block(network, stage, width, stage.stride, r))
        r, width = halved(r, stage.stride), stage.width
        if stage.depth > 1:
            total = total.plus(count_block(network, stage, width, 1, r), times=stage.depth - 1)
    if network.head_width:
        total = total.plus(conv(width, network.head_width, r))
        width = network.head_width
    return total.plus(conv(width, network.classes, 1, bias=True))


def count_layers(network: Network) -> int:
    """Convolutions and linear layers, those of squeeze-excitation included: what a step launches kernels for.

    Norms, activations and sums come with them, and counting those as well predicts no better: for the 54 networks that
    the default sweep knows without its search, each at the best of six timings on a CPU, the three-term prediction was
    off by 12.4 % with layers and by 12.3 % with all operations; by 13.8 % without the layers of squeeze-excitation, and
    by 14.1 % with blocks.
    """
    count, width = 2 + bool(network.head_width), network.stem.width  # the stem, the classifier and the head
    for stage in network.stages:
        for width_in, stride, times in ((width, stage.stride, 1), (stage.width, 1, stage.depth - 1)):
            layers = block_layers(network, stage, width_in, stride).all
            count += times * sum(2 if isinstance(layer, SqueezeExcitation) else 1 for layer in layers)
        width = stage.width
    return count
