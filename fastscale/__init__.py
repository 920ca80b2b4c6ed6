"""fastscale: which way of making a network bigger keeps it fast? (Dollar, Singh, Girshick, arXiv 2103.06877)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def create_model(base: str, strategy: str = "dWr", scale: float = 1.0, classes: int = 1000) -> "nn.Module":
    """A network of the paper, or any other scaled one, as a plain torch module with fresh weights.

    `base` is a name of bases.yaml: `create_model("RegNetY-4GF->16GF")`, `create_model("EN-B0", "dWr", scale=11)`. The
    module takes (N, 3, r, r) images, r being its attribute `resolution`, and gives (N, classes) logits.

    Raises:
        UserError: an unknown base or strategy, or a scale so small that a dimension would vanish, or so large that no
            device could hold the network.
    """
    from fastscale.models import build as model
    from fastscale.networks import base_network, grown

    network = base_network(base).with_classes(classes)
    return model.build(grown(network, strategy, scale))
