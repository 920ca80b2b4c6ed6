"""What a sweep's configuration may say: the check against sweep.schema.yaml, defaults, sentences for mistakes."""

import re
from collections.abc import Mapping
from copy import deepcopy
from difflib import get_close_matches
from importlib.resources import files
from typing import Any

import jsonschema
import yaml

from fastscale.errors import UserError


def checked(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`config` with its defaults filled in; a selection that stands alone becomes a list of one.

    Raises:
        UserError: a misspelt or missing key, or a value out of range.
    """
    schema = yaml.safe_load(files("fastscale").joinpath("sweep.schema.yaml").read_text())
    filled = _with_defaults(deepcopy(dict(config)), schema)
    for place, keys in ((filled, ["grid"]), (filled["figures"], None), (filled["tables"], None)):
        for key in (keys or list(place)) if isinstance(place, dict) else ():
            if isinstance(place[key], dict):
                place[key] = [place[key]]
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(filled))
    if error is not None:
        raise UserError(_sentence(error, source))
    return filled


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
