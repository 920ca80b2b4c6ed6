"""Versions of Snakemake and submitit whose private parts are relied on or replaced: `_snakemake.py`, `_submitit.py`.

Each of these files says in its docstring what it does, why, and which change of the other package would end it.
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
    """Refuse to run with packages whose private parts may be others.

    Raises:
        ApiError: one of them is installed in another version.
    """
    for package, versions in WRITTEN_FOR.items():
        installed = version(package)
        if not SpecifierSet(versions).contains(installed, prereleases=True):
            raise ApiError(
                f"The submitit executor was written for {package} {versions}, of which it uses private parts, but "
                f'{installed} is installed: pip install "{package}{versions}".'
            )
