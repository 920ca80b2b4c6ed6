"""fastscale: how to scale networks so that they stay fast (Dollar, Singh, Girshick, arXiv 2103.06877)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def create_model(base: str, strategy: str = "dWr", scale: float = 1.0, classes: int = 1000) -> "nn.Module":
    """Return a base, or a network that is scaled from it, as a plain torch module with fresh weights.

    `base` is a name of fastscale/networks/bases.yaml: `create_model("RegNetY-4GF->16GF")`,
    `create_model("EN-B0", "dWr", scale=11)`. The module maps images of shape (N, 3, r, r) to logits of shape
    (N, classes); r is the module's attribute `resolution`.

    Raises:
        UserError: the base or the strategy is unknown, or the scale is so small that a dimension would vanish, or so
            large that no device could hold the network.
    """
    from fastscale.models.build import build
    from fastscale.networks import base_network, grown

    network = base_network(base).with_classes(classes)
    return build(grown(network, strategy, scale))
