"""Extras of the package: what some verbs need, and `pip install fastscale` alone leaves out."""

from importlib.metadata import PackageNotFoundError, distribution, requires

from packaging.requirements import Requirement

from fastscale.errors import UserError


def require(extra: str) -> None:
    """Check that each package of an extra of pyproject.toml is installed, before a verb begins its work.

    Raises:
        UserError: packages of the extra are missing, or fastscale is not installed.
    """
    try:
        requirements = [Requirement(text) for text in requires("fastscale") or ()]
    except PackageNotFoundError:
        raise UserError(
            "fastscale is not installed here, only its files were found: "
            f'pip install "fastscale[{extra}]" installs it with what this command needs'
        ) from None
    names = [item.name for item in requirements if item.marker and item.marker.evaluate({"extra": extra})]
    if missing := ", ".join(name for name in names if not _is_installed(name)):
        raise UserError(
            f"this command needs packages that are not installed ({missing}): "
            f'pip install "fastscale[{extra}]" adds them'
        )


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
