"""Checks of a configuration's values against their form; each mistake becomes one sentence."""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fastscale.errors import UserError
from fastscale.validation.documents import plain, shown
from fastscale.validation.forms import JsonSchema
from fastscale.validation.quantities import EXAMPLES

Schema = Mapping[str, Any]


def checked(value: Any, form: Any, place: str = "") -> Any:
    """Return `value` converted to `form`, a form or another type; `place` begins the sentence of a mistake.

    Raises:
        UserError: the value is not allowed; the sentence says where it stands, what it is, and what is allowed.
    """
    try:
        # As JSON, where pydantic's strict types accept what users can write: a list for a tuple.
        return TypeAdapter(form).validate_json(json.dumps(plain(value, place)))
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # Unknown keys first: a misspelt key would else be reported as a missing key.
        first = min(errors, key=lambda detail: detail["type"] != "extra_forbidden")
        raise UserError(_sentence(first, value, described(form), place)) from None


def filled(value: Any, form: Any, place: str = "") -> dict[str, Any]:
    """Return a checked mapping as plain data: the given keys in their order, then the defaults; numbers as typed.

    Raises:
        UserError: the value is not allowed; the sentence says where it stands, what it is, and what is allowed.
    """
    ordered: dict[str, Any] = _in_order(checked(value, form, place).model_dump(mode="json"), value)
    return ordered


def _in_order(value: Any, given: Any) -> Any:
    """Return `value` with its keys in the order of `given`, and all other keys behind them."""
    if isinstance(value, list):
        return [_in_order(*pair) for pair in zip(value, [given] if isinstance(given, dict) else given, strict=True)]
    if isinstance(value, dict) and isinstance(given, dict):
        return {key: _in_order(value[key], given[key]) if key in given else value[key] for key in {**given, **value}}
    return value


@cache
def described(form: Any) -> Schema:
    """Return the JSON schema of a form, or of another type, with each definition in the place of its references.

    The descriptions of keys are kept. Docstrings of forms are left out: they are for readers of the code.
    """
    schema = TypeAdapter(form).json_schema(schema_generator=JsonSchema)
    definitions = schema.pop("$defs", {})
    for definition in (schema, *definitions.values()):
        definition.pop("description", None)
    whole: Schema = _inlined(schema, definitions)
    return whole


def _inlined(schema: Any, definitions: Schema) -> Any:
    if isinstance(schema, list):
        return [_inlined(entry, definitions) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    definition = definitions.get(schema.get("$ref", "").rpartition("/")[2], {})
    return {key: _inlined(value, definitions) for key, value in {**definition, **schema}.items() if key != "$ref"}


def _sentence(error: Mapping[str, Any], given: Any, schema: Schema, place: str) -> str:
    """Write the sentence for one of the errors of a pydantic.ValidationError."""
    path, kind, found = list(error["loc"]), error["type"], error["input"]
    is_name = path[-1:] == ["[key]"]
    if is_name:
        path.pop()
    if is_name or kind in ("extra_forbidden", "missing"):
        key = path.pop()
    schema, where = _at(schema, path), _where(path, given, place)
    names = schema.get("propertyNames", {})
    if kind == "extra_forbidden" or (is_name and "enum" in names):
        known = names.get("enum") or list(schema["properties"])
        close = get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"unknown key {shown(key)} at {where}; {hint}allowed are {', '.join(known)}"
    if is_name:
        return f"{where}: the name {shown(key)} cannot be; allowed {allowed({'type': 'string', **names})}"
    if kind == "missing" and "properties" in schema:  # else an entry of a list is missing
        return f"{where} lacks the key {key!r}; its keys are {', '.join(schema['properties'])}"
    if kind == "sentence":
        return f"{where} {error['msg']}"
    meaning = f" ({schema['description']})" if "description" in schema else ""
    return f"{where} is {shown(found)}; allowed {allowed(schema)}{_hint(found, schema)}{meaning}"


def _at(schema: Schema, path: Iterable[str | int]) -> Schema:
    """Return the schema of the value at a path."""
    for key in path:
        inner = (_inside(branch, key) for branch in (schema, *schema.get("anyOf", ())))
        schema = next(branch for branch in inner if isinstance(branch, dict))
    return schema


def _inside(schema: Schema, key: str | int) -> Any:
    if isinstance(key, int):
        return schema.get("items") or next(iter(schema.get("prefixItems", ())), None)
    return schema.get("properties", {}).get(key, schema.get("additionalProperties"))


def _where(path: Iterable[str | int], given: Any, place: str) -> str:
    """Return the place of a value as its user wrote it: without an index for a mapping that stands alone."""
    keys = [place] if place else []
    for key in path:
        if not (isinstance(key, int) and isinstance(given, dict)):
            keys.append(str(key))
            given = given[key]
    return ".".join(keys) or "the top level"


def allowed(schema: Schema) -> str:
    """Say what a schema allows, to follow "allowed": "is a number", "are raw and jpg"."""
    if "enum" in schema:
        *others, last = ("null" if name is None else str(name) for name in schema["enum"])
        return f"are {', '.join(others)} and {last}" if others else f"is {last}"
    return f"is {_words(schema)}"


def _words(schema: Schema) -> str:
    """Say what a schema allows, without a verb."""
    if "anyOf" in schema:
        branches = schema["anyOf"][:1] if schema.get("lone") else schema["anyOf"]
        return " or ".join(dict.fromkeys(map(_words, branches)))
    rule = schema.get("rule", "")
    match _type(schema):
        case "integer" | "number" as name:
            noun = "a whole number" if name == "integer" else "a number"
            low = f" from {_number(schema['minimum'])}" if "minimum" in schema else ""
            low = f" above {_number(schema['exclusiveMinimum'])}" if "exclusiveMinimum" in schema else low
            high = f" to {_number(schema['maximum'])}" if "maximum" in schema else ""
            example = f", {EXAMPLES[schema['unit']]}" if "unit" in schema else ""
            return f"{noun}{low}{high}{rule}{example}"
        case "array":
            least, most = schema.get("minItems", 0), schema.get("maxItems")
            size = f" of {most}" if least == most else f" of {least} or more" if least else ""
            return f"a list{size}: each entry {allowed(_inside(schema, 0))}{rule}"
        case "object":
            return "a mapping of keys to values" + (" that is not empty" if schema.get("minProperties") else "")
        case "string":
            return str(schema.get("form", "text"))
        case name:
            return {"boolean": "true or false", "null": "null"}[name]


def _type(schema: Schema) -> str:
    """Return the type of a schema; for a quantity, which may also be text, its first type."""
    name = schema.get("type", "")
    return str(name[0] if isinstance(name, list) else name)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and value <= 1e6 else f"{value:g}"


def _hint(found: Any, schema: Schema) -> str:
    """Return advice on what to write instead, if it is clear what the user meant."""
    types = {_type(branch) for branch in (schema, *schema.get("anyOf", ()))}
    if found is None and "default" in schema:
        return "; leave the key out if there is nothing to say"
    if "string" in types and isinstance(found, bool | int | float):
        return "; text that YAML takes for something else stands in quotes"
    if "array" in types and isinstance(found, str):
        return f"; write [{found}]"
    return ""
