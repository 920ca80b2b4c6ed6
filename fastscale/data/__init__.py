"""Images: where they come from, the .beton files that hold them and the loaders that read those.

`write_betons` and `Dataset` need numpy alone to be imported; FFCV and torch wait for the first file and loader.
"""

from fastscale.data.beton import write_betons
from fastscale.data.dataset import Dataset

__all__ = ["Dataset", "write_betons"]
