"""Versions of the packages whose private parts are used or replaced, in one file per package: `_ffcv.py`, `_torch.py`.

The docstring of such a file says what it does, why, and which change of the other package would make it needless.
"""

from functools import cache
from importlib.metadata import version

from packaging.specifiers import SpecifierSet

# Versions whose private parts were read; pyproject.toml has the same bounds.
WRITTEN_FOR = {"ffcv": "==1.0.2", "numba": ">=0.68,<0.69", "torch": "==2.15.0"}


@cache
def is_known(package: str) -> bool:
    """Tell whether the installed version of a package is one whose private parts were read.

    Raises:
        PackageNotFoundError: the package is not installed (an ImportError).
    """
    return SpecifierSet(WRITTEN_FOR[package]).contains(version(package), prereleases=True)
