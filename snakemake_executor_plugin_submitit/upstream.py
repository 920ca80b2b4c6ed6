"""Versions of Snakemake and submitit whose private parts are used or replaced in `_snakemake.py` and `_submitit.py`.

The docstring of each file says what is used or replaced, why, and which change upstream would make that needless.
"""

from importlib.metadata import version

from packaging.specifiers import SpecifierSet
from snakemake_interface_common.exceptions import ApiError

# Versions whose private parts were read; pyproject.toml has the same bounds.
WRITTEN_FOR = {
    "snakemake": ">=9.27,<9.28",
    "snakemake-interface-executor-plugins": ">=9.3,<10",
    "submitit": ">=1.5.4,<1.6",
}


def require_known_versions() -> None:
    """Refuse to run with other versions, whose private parts may differ.

    Raises:
        ApiError: a package is installed in another version.
    """
    for package, versions in WRITTEN_FOR.items():
        installed = version(package)
        if not SpecifierSet(versions).contains(installed, prereleases=True):
            raise ApiError(
                f"The submitit executor was written for {package} {versions}, of which it uses private parts, but "
                f'{installed} is installed: pip install "{package}{versions}".'
            )
