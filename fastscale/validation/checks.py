"""Values of a configuration against the description of what is allowed, a JSON schema; sentences for what is not.

Beside JSON schema's own keywords a description may say `unit` (of a number: quantities.py), `form` (what a pattern
asks for, in words) and `lone` (of a list: a mapping that stands alone is a list of one).
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from difflib import get_close_matches
from types import NoneType
from typing import Any

from fastscale.errors import UserError
from fastscale.validation.documents import plain, shown
from fastscale.validation.quantities import EXAMPLES, typed

Schema = Mapping[str, Any]

TYPES = {"integer": int, "number": float, "boolean": bool, "string": str, "null": NoneType}


def checked(value: Any, schema: Schema, place: str = "") -> Any:
    """Return `value`, which stands at `place`, with its defaults and each number as its type has it, if it is allowed.

    Raises:
        UserError: it is not: where, what was found, what is allowed.
    """
    import jsonschema  # here, as networks that are built in need no check

    filled = _filled(deepcopy(plain(value, place)), schema)
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(filled))
    if error is not None:
        raise UserError(_sentence(error, value, place))
    return filled


def _filled(value: Any, schema: Schema) -> Any:
    """`value` with the defaults that it lacks, lone mappings in lists, and what stands for a number as one."""
    if isinstance(value, dict) and schema.get("lone"):
        value = [value]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for key in [*known, *(key for key in value if key not in known)]:  # one order, as params are compared
            subschema = known.get(key, schema.get("additionalProperties"))
            if key not in value and "default" in subschema:
                value[key] = deepcopy(subschema["default"])
            if key in value and isinstance(subschema, dict):
                value[key] = _filled(value[key], subschema)
        return value
    if isinstance(value, list):
        return [_filled(one, schema.get("items", {})) for one in value]
    return typed(value, [TYPES[name] for name in _types(schema) if name in TYPES], schema.get("unit", "number"))


def _types(schema: Schema) -> Sequence[str]:
    """The types that a schema allows."""
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def _sentence(error: Any, given: Any, place: str) -> str:
    """One sentence for a failed check (a jsonschema.ValidationError)."""
    where, found, schema = _where(error.absolute_path, given, place), error.instance, error.schema
    if "propertyNames" in list(error.absolute_schema_path)[-2:]:
        return f"{where}: the name {shown(found)} cannot be; allowed {allowed(schema)}"
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            unknown = next(key for key in found if key not in known)
            close = get_close_matches(unknown, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            return f"unknown key {shown(unknown)} at {where}; {hint}allowed are {', '.join(known)}"
        case "required":
            missing = next(key for key in error.validator_value if key not in found)
            return f"{where} lacks the key {missing!r}; its keys are {', '.join(schema['properties'])}"
        case "dependentRequired":
            needs = error.validator_value.items()
            key, missing = next((key, one) for key, all_ in needs if key in found for one in all_ if one not in found)
            return f"{where} has {key!r}, which needs {missing!r} beside it"
    told = f" ({schema['description']})" if "description" in schema else ""
    return f"{where} is {shown(found)}; allowed {allowed(schema)}{_hint(found, schema)}{told}"


def _where(path: Iterable[str | int], given: Any, place: str) -> str:
    """The place of a value, as it was given: without the number of an entry that stood alone, not in a list."""
    keys = [place] if place else []
    for key in path:
        if not (isinstance(key, int) and isinstance(given, dict)):
            keys.append(str(key))
            given = given[key]
    return ".".join(keys) or "the top level"


def allowed(schema: Schema) -> str:
    """What a schema allows, in words, with their verb."""
    if "enum" in schema:
        *others, last = map(str, schema["enum"])
        return f"are {', '.join(others)} and {last}" if others else f"is {last}"
    return f"is {' or '.join(_words(name, schema) for name in _types(schema))}"


def _words(name: str, schema: Schema) -> str:
    """What a type of a schema allows."""
    match name:
        case "integer" | "number":
            noun = "a whole number" if name == "integer" else "a number"
            low = f" from {_number(schema['minimum'])}" if "minimum" in schema else ""
            low = f" above {_number(schema['exclusiveMinimum'])}" if "exclusiveMinimum" in schema else low
            high = f" to {_number(schema['maximum'])}" if "maximum" in schema else ""
            example = f", {EXAMPLES[schema['unit']]}" if "unit" in schema else ""
            return f"{noun}{low}{high}{', an odd one' if 'not' in schema else ''}{example}"
        case "array":
            least, most = schema.get("minItems", 0), schema.get("maxItems")
            size = f" of {most}" if least == most else f" of {least} or more" if least else ""
            once = ", and none stands twice" if schema.get("uniqueItems") else ""
            return f"a list{size}: each entry {allowed(schema['items'])}{once}"
        case "object":
            return "a mapping of keys to values" + (" that is not empty" if schema.get("minProperties") else "")
        case "string":
            return str(schema.get("form", "text"))
    return {"boolean": "true or false", "null": "null"}[name]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and value <= 1e6 else f"{value:g}"


def _hint(found: Any, schema: Schema) -> str:
    """What to write instead, where it is plain what was meant."""
    types = _types(schema)
    if found is None and "default" in schema:
        return "; leave the key out if there is nothing to say"
    if "string" in types and isinstance(found, bool | int | float):
        return "; text that YAML takes for something else stands in quotes"
    if "array" in types and isinstance(found, str):
        return f"; write [{found}]"
    return ""
