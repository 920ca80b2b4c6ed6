"""Images: their sources, the .beton files that store them, and the loaders that read these files.

The import of `write_betons` and `Dataset` loads only NumPy and Pillow; the first loader imports FFCV and torch.
"""

from fastscale.data.dataset import Dataset
from fastscale.data.writing import write_betons

__all__ = ["Dataset", "write_betons"]
