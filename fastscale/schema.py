"""What a sweep's configuration may say: the check against sweep.schema.yaml, defaults, sentences for mistakes."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from difflib import get_close_matches
from importlib.resources import files
from typing import Any

import jsonschema
import yaml

from fastscale.errors import UserError
from fastscale.recipe import Recipe
from fastscale.search import Search


def checked(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`config` with its defaults filled in; a selection that stands alone becomes a list of one.

    Raises:
        UserError: a misspelt or missing key, a value out of range, a recipe that cannot be, or an unknown schedule.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"{source} holds {config!r}; a sweep's configuration is a mapping of keys to values")
    schema = yaml.safe_load(files("fastscale").joinpath("sweep.schema.yaml").read_text())
    filled = _with_defaults(deepcopy(dict(config)), schema)
    for place, keys in ((filled, ["grid"]), (filled["figures"], None), (filled["tables"], None)):
        for key in (keys or list(place)) if isinstance(place, dict) else ():
            if isinstance(place[key], dict):
                place[key] = [place[key]]
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(filled))
    if error is not None:
        raise UserError(_sentence(error, source))
    filled.setdefault("schedule", next(iter(filled["schedules"])))
    data = filled["data"]
    data.setdefault("name", data["kind"])
    if data["kind"] == "imagefolder" and "path" not in data:
        raise UserError(f"{source}: data.path is missing; an imagefolder needs the folder that holds train/ and val/")
    if filled["search"] and not filled["train"]:
        raise UserError(f"{source}: search.{next(iter(filled['search']))} trains its candidates, but train is false")
    Recipe.from_dict(filled["recipe"])
    for key, name in _schedules(filled):
        if name not in filled["schedules"]:
            allowed = ", ".join(filled["schedules"])
            raise UserError(f"{source}: {key} is {name!r}; allowed are those of schedules: {allowed}")
    return filled


def _schedules(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every schedule that is asked for, and where."""
    yield "schedule", config["schedule"]
    shown = {**config["figures"], **config["tables"], "grid": config["grid"]}
    for artefact, entries in shown.items():
        for entry in entries:
            yield from ((f"{artefact}: schedules", name) for name in entry.get("schedules", []))
    for name, search in config["search"].items():
        yield f"search.{name}.schedule", search.get("schedule", Search.schedule)


def _with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """`value` with the defaults of `schema` for the keys that it lacks."""
    for key, subschema in schema.get("properties", {}).items() if isinstance(value, dict) else ():
        if key not in value and "default" in subschema:
            value[key] = deepcopy(subschema["default"])
        if key in value:
            value[key] = _with_defaults(value[key], subschema)
    return value


def _sentence(error: jsonschema.ValidationError, source: str) -> str:
    """One sentence for a failed check: where, what was found, what is allowed."""
    where = ".".join(map(str, error.absolute_path)) or "the top level"
    if error.validator == "additionalProperties":
        allowed = [*error.schema.get("properties", {}), *error.schema.get("patternProperties", {})]
        patterns = tuple(error.schema.get("patternProperties", {}))
        unknown = next(k for k in error.instance if k not in allowed and not any(re.search(p, k) for p in patterns))
        close = get_close_matches(unknown, allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{source}: unknown key {unknown!r} at {where}; {hint}allowed are {', '.join(allowed)}"
    if error.validator in ("required", "dependentRequired"):
        return f"{source}: {error.message.replace(' property', ' key')} at {where}"
    rule = {key: error.schema[key] for key in ("description",) if key in error.schema}
    told = f" ({rule['description']})" if rule else ""
    return f"{source}: {where} is {error.instance!r}, but must satisfy {error.validator}: {error.validator_value}{told}"
