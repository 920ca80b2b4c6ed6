"""What a sweep's configuration may say: the check against sweep.schema.yaml, and what no schema can tell."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from fastscale.errors import UserError
from fastscale.networks import checked_definitions, known_bases
from fastscale.recipe import Recipe, differences
from fastscale.sweep.search import Search
from fastscale.validation.checks import checked


@cache
def schema() -> Mapping[str, Any]:
    """Read what a sweep's configuration may say (sweep.schema.yaml)."""
    text = files("fastscale.sweep").joinpath("sweep.schema.yaml").read_text()
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def checked_sweep(config: Any) -> dict[str, Any]:
    """Check a sweep's configuration and fill in its defaults; a selection that stands alone becomes a list of one.

    Raises:
        UserError: a misspelt or missing key, a value out of range, a recipe or a base that cannot be, an unknown
            schedule, or nothing that is asked for.
    """
    filled = checked(config, schema())
    filled.setdefault("schedule", next(iter(filled["schedules"])))
    filled["data"] = checked_data(filled["data"])
    filled["define"] = checked_definitions(filled["define"], "define", filled["search"])
    filled["recipe"] = differences(filled["recipe"])
    Recipe.from_dict(filled["recipe"])
    if "epochs" in filled["recipe"]:
        raise UserError("recipe.epochs: a sweep's epochs are those of its schedules; set schedules instead")
    if filled["search"] and not filled["train"]:
        raise UserError(f"search.{next(iter(filled['search']))} trains its candidates, but train is false")
    if taken := sorted(filled["search"].keys() & known_bases().keys()):
        raise UserError(f"search.{taken[0]}: a base of that name is built in; give the one to be found another name")
    for key in ("search", "schedules"):
        _refuse_alike(key, filled[key])
    _refuse_nothing(filled)
    for key, name in _schedules(filled):
        if name not in filled["schedules"]:
            raise UserError(f"{key} is {name!r}; allowed are those of schedules: {', '.join(filled['schedules'])}")
    return filled


def checked_data(data: Any) -> dict[str, Any]:
    """Check the data part of a sweep's configuration and fill in its defaults.

    Raises:
        UserError: a misspelt or missing key, or a value out of range.
    """
    filled = checked(data, schema()["properties"]["data"], "data")
    filled.setdefault("name", filled["kind"])
    if filled["kind"] == "imagefolder" and "path" not in filled:
        raise UserError("data.path is missing; an imagefolder needs the folder that holds train/ and val/")
    if filled["kind"] != "imagefolder" and "path" in filled:
        raise UserError(f"data.path is given, but {filled['kind']} has none; leave it out, or set kind: imagefolder")
    return filled


def selections(config: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield all that is asked for: the artefact, or "grid", its place in the configuration, and the selection."""
    shown = {("grid", "grid"): config["grid"]}
    shown |= {(name, f"{part}.{name}"): config[part][name] for part in ("figures", "tables") for name in config[part]}
    for (name, place), entries in shown.items():
        for index, entry in enumerate(entries):
            yield name, f"{place}.{index}" if len(entries) > 1 else place, entry


def _refuse_nothing(config: Mapping[str, Any]) -> None:
    """Raise where a sweep, or a selection of it, asks for nothing."""
    asked = list(selections(config))
    if not asked and not config["search"]:
        raise UserError(
            "nothing is asked for; add grid, figures, tables or search, such as grid: {bases: [EN-B0], strategies: [w]}"
        )
    for _, place, entry in asked:
        if ("bases" in entry) == ("networks" in entry):
            has = "both bases and networks" if "bases" in entry else "neither bases nor networks"
            raise UserError(f"{place} has {has}; give one of them (bases with strategies, networks by name)")


def _refuse_alike(place: str, names: Collection[str]) -> None:
    """Raise where a disk that does not tell upper from lower case would take two names for one."""
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(name.lower(), name)) != name:
            raise UserError(f"{place}: {other!r} and {name!r} differ in case alone, which some disks do not see")


def _schedules(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every schedule that is asked for, and where."""
    yield "schedule", config["schedule"]
    for _, place, entry in selections(config):
        yield from ((f"{place}.schedules", name) for name in entry.get("schedules", []))
    for name, search in config["search"].items():
        yield f"search.{name}.schedule", search.get("schedule", Search.schedule)
