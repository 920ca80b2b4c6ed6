"""Forms: pydantic models of what the mappings of a configuration may hold, and the types of their values.

JSON schemas that are generated from forms have keywords beside the standard's, from which checks.py writes sentences:
`unit`, the unit of a number (quantities.py); `form`, a pattern in words; `rule`, a rule in words; and `lone`, of a list
whose only entry may stand without the list.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import NoneType
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fastscale.validation.quantities import typed


class Form(BaseModel):
    """A mapping's keys, their types and defaults. Numbers, true, false and null may also be written as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Sparse(Form):
    """A form that is written with only the keys that were given: its defaults stand in no record."""

    @model_serializer(mode="wrap")
    def _given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in write(self).items() if key in self.model_fields_set}


def about(meaning: str, default: Any = ...) -> Any:
    """Return the field of a key with this default and meaning; sentences, docs and editors show the meaning."""
    return Field(default, description=meaning)


def optional(meaning: str | None = None) -> Any:
    """Return the default of a key that is left out of the output when it was not given; null is not allowed."""
    return Field(default_factory=NoneType, exclude_if=lambda value: value is None, description=meaning)


@dataclass(frozen=True)
class Number:
    """The limits of an annotated number, and its unit (quantities.py): the text "4" is read as 4, "16GF" as 16e9."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    unit: str = "number"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Convert a value to the type that it stands for, before it is checked."""
        types = [entry if isinstance(entry, type) else type(entry) for entry in get_args(source) or (source,)]
        limited = handler(Annotated[source, Field(ge=self.low, le=self.high, gt=self.above)])
        return core_schema.no_info_before_validator_function(partial(typed, types=types, quantity=self.unit), limited)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Let the JSON schema accept text for a quantity with a unit."""
        return handler(schema) | ({} if self.unit == "number" else {"type": ["number", "string"], "unit": self.unit})


TYPED = Number()  # for true, false and null, which may also be written as text


@dataclass(frozen=True, eq=False)
class Rule:
    """A condition on an annotated value beside its type: a test, words to follow those of the type, JSON keywords."""

    words: str
    test: Callable[[Any], Any]
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Test a value after its type was checked."""

        def tested(value: Any) -> Any:
            if not self.test(value):
                raise PydanticCustomError("rule", "the rule is broken")
            return value

        return core_schema.no_info_after_validator_function(tested, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the words and the keywords to the JSON schema."""
        return handler(schema) | {**self.keywords, **({"rule": self.words} if self.words else {})}


def text(pattern: str, form: str) -> Rule:
    """Return the rule that a text matches a pattern as a whole; `form` says the pattern in words."""
    return Rule("", re.compile(pattern).fullmatch, {"pattern": f"^{pattern}$", "form": form})


def choice(names: Collection[str]) -> Rule:
    """Return the rule that a text is one of `names`."""
    return Rule("", names.__contains__, {"enum": [*names]})


class Lone:
    """Accepts one mapping in place of a list of mappings."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Put the mapping into a list before it is checked."""
        listed: Callable[[Any], Any] = lambda value: [value] if isinstance(value, dict) else value  # noqa: E731
        return core_schema.no_info_before_validator_function(listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Let the JSON schema accept a mapping or a list."""
        listed = handler(schema)
        return {"anyOf": [listed, listed["items"]], "lone": True}


Flag = Annotated[bool, TYPED]
ODD = Rule(", an odd one", lambda number: number % 2, {"not": {"multipleOf": 2}})
ONCE = Rule(", and none stands twice", lambda values: len(set(values)) == len(values), {"uniqueItems": True})
RISING = Rule(", the first not above the second", lambda values: values[0] <= values[1])


class JsonSchema(GenerateJsonSchema):
    """A generator of JSON schemas that refuse the keys of a mapping that do not match its pattern."""

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Write `propertyNames` instead of pydantic's `patternProperties`, which would let other keys pass."""
        made = super().dict_schema(schema)
        for pattern, values in made.pop("patternProperties", {}).items():
            made |= {"propertyNames": {"pattern": pattern, **made.get("propertyNames", {})}}
            made |= {"additionalProperties": values}
        return made
