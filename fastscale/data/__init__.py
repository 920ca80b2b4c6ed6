"""Images: where they come from, the .beton files that hold them and the loaders that read those.

`write_betons` and `Dataset` need numpy and Pillow to be imported; FFCV and torch wait for the first loader.
"""

from fastscale.data.dataset import Dataset
from fastscale.data.writing import write_betons

__all__ = ["Dataset", "write_betons"]
