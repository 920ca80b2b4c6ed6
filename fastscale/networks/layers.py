"""The layers of a block, listed in one place: counting sums them, building maps them to torch, Figure 3 draws them."""

from typing import NamedTuple

from fastscale.networks.network import BLOCKS, Network, Stage


class Conv(NamedTuple):
    """A padded convolution, then batch norm, then the activation (empty: no activation)."""

    width_in: int
    width_out: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    activation: str = ""


class SqueezeExcitation(NamedTuple):
    """Two 1x1 convolutions with biases on the pooled channels: `width` to `squeezed` and back (Hu et al. 2018)."""

    width: int
    squeezed: int
    activation: str


class BlockLayers(NamedTuple):
    """The layers of a block: the residual branch, the shortcut's 1x1 conv or None, the activation after the sum.

    Without a shortcut there is no sum, only the residual branch. An empty `activation` means that none follows.
    """

    residual: tuple[Conv | SqueezeExcitation, ...]
    has_shortcut: bool
    projection: Conv | None
    activation: str

    @property
    def all(self) -> tuple[Conv | SqueezeExcitation, ...]:
        """Return the layers of the residual branch and of the shortcut."""
        return (*self.residual, self.projection) if self.projection else self.residual


def block_layers(network: Network, stage: Stage, width_in: int, stride: int) -> BlockLayers:
    """List the layers of a block of `stage` with `width_in` input channels (Figure 3).

    The residual branch is a 1x1 conv, a k x k group conv with the stride, squeeze-excitation and a 1x1 conv.
    """
    kind, activation, inner = BLOCKS[network.block], network.activation, network.inner_width(stage, width_in)
    residual: list[Conv | SqueezeExcitation] = []
    if kind.always_expands or inner != width_in:
        residual.append(Conv(width_in, inner, activation=activation))
    residual.append(Conv(inner, inner, stage.kernel, stride, inner // stage.group_width, activation))
    if squeezed := network.se_width(width_in):
        residual.append(SqueezeExcitation(inner, squeezed, activation))
    residual.append(Conv(inner, stage.width))
    has_same_shape = stride == 1 and width_in == stage.width
    projection = Conv(width_in, stage.width, stride=stride) if kind.projects and not has_same_shape else None
    return BlockLayers(
        tuple(residual), has_same_shape or kind.projects, projection, activation if kind.final_activation else ""
    )
