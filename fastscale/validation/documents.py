"""YAML and JSON of users, limited to values that JSON can hold; repeated keys are refused."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastscale.errors import UserError

if TYPE_CHECKING:
    import yaml

MERGE = "tag:yaml.org,2002:merge"

DEEPEST = 20  # lists and mappings within one another; a YAML anchor that contains itself has no end
MOST = 100_000  # values in one document; a few nested anchors of YAML stand for millions
LARGEST = 1e300  # the largest number that is accepted; a float holds a little more


def read_yaml(path: Path) -> Any:
    """Read a YAML or JSON file.

    Raises:
        UserError: the file cannot be read, is neither YAML nor JSON, repeats a key, or holds a value that JSON lacks.
    """
    import yaml  # imported late, because most verbs read no YAML

    try:
        text = path.read_text(encoding="utf-8-sig")
        loader, root = _composed(text, str(path))
        value = None if root is None else loader.construct_document(root)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as YAML ({one_line(error)})") from None
    return plain(value, str(path))


def read_json(text: str, place: str) -> Any:
    """Read JSON that a user gives at `place`.

    Raises:
        UserError: the text is not JSON, repeats a key, or holds NaN or an infinite number.
    """

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = {}
        for key, value in pairs:
            if key in values:
                raise UserError(f"{place}: the key {shown(key)} stands twice in one mapping; leave one of them")
            values[key] = value
        return values

    try:
        value = json.loads(text, object_pairs_hook=mapping)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: {shown(text)} is not JSON ({one_line(error)})") from None
    return plain(value, place)


def refuse_repeats(paths: Iterable[str | Path], arguments: Sequence[str] = ()) -> None:
    """Refuse keys that stand twice in configuration files, or among the values behind `--config` in `arguments`.

    Snakemake has read both before: it keeps the last value of such a key, and reports all other mistakes itself.

    Raises:
        UserError: a key stands twice; the sentence names the file, the key and both lines, or both arguments.
    """
    import yaml

    for path in map(Path, paths):
        text = path.read_text(encoding="utf-8-sig")
        try:
            _composed(text, str(path))
        except yaml.YAMLError:  # JSON may hold tabs that YAML refuses
            read_json(text, str(path))
    pairs: dict[str, str] = {}
    starts = [number for number, argument in enumerate(arguments) if argument in ("--config", "-C")]
    for argument in takewhile(
        lambda argument: not argument.startswith("-"), arguments[starts[-1] + 1 :] if starts else ()
    ):
        name, _, text = argument.partition("=")
        if pairs.setdefault(name, argument) != argument:
            raise UserError(f"--config: {pairs[name]!r} and {argument!r} are both given; give one of them")
        with suppress(yaml.YAMLError):
            _composed(text, f"--config {name}")


def _composed(text: str, place: str) -> "tuple[yaml.SafeLoader, yaml.Node | None]":
    """Parse YAML to nodes; return the loader, which makes values from nodes, and the root node.

    Repeated keys are refused, except those that `<<:` merges. The parser is the one in Python: deeply nested text
    crashes the one in C.

    Raises:
        UserError: a key stands twice; the sentence names the key and both lines.
        yaml.YAMLError: the text is not YAML.
    """
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
    except RecursionError:
        raise yaml.YAMLError("too many lists within one another") from None
    known, left = set(), [root]
    while left:
        node = left.pop()
        if node is None or id(node) in known:
            continue
        known.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                left += [key, value]
                line, name = key.start_mark.line + 1, (key.tag, str(key.value))
                if name in lines and key.tag != MERGE:
                    raise UserError(
                        f"{place}: the key {shown(key.value)} stands twice in one mapping, on lines {lines[name]} and "
                        f"{line}; leave one of them"
                    )
                lines[name] = line
    return loader, root


def plain(value: Any, place: str = "") -> Any:
    """Return `value` if it is made of mappings with text as keys, lists, text, finite numbers, true, false and null.

    Raises:
        UserError: a value is of another type, nested too deeply, or one of too many; the sentence names its place.
    """
    for number, (where, part, depth) in enumerate(_walk(value, place, 0)):
        if depth > DEEPEST or number > MOST:
            what = f"more than {MOST:,} values" if number > MOST else f"more than {DEEPEST} lists within one another"
            raise UserError(
                f"{place or 'the configuration'} holds {what}; make it smaller, or look for a YAML anchor (&name) that "
                "contains itself (*name)"
            )
        for key in part if isinstance(part, dict) else ():
            if not isinstance(key, str):
                raise UserError(f"{where}: the key {shown(key)} is {_kind(key)}; a key is text: put it in quotes")
            _refuse_unwritable(key, where)
        if isinstance(part, str):
            _refuse_unwritable(part, where)
        elif isinstance(part, int | float):
            if not -LARGEST < part < LARGEST:
                raise UserError(f"{where} is {shown(part)}; allowed are finite numbers")
        elif not isinstance(part, dict | list | None):
            raise UserError(f"{where} is {_kind(part)} ({shown(part)}); if it is meant as text, put it in quotes")
    return value


def _walk(value: Any, where: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    """Yield `value` and each value inside it, each with its place and depth."""
    yield where or "the top level", value, depth
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from _walk(part, f"{where}.{key}" if where else str(key), depth + 1)


def _refuse_unwritable(text: str, where: str) -> None:
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
        raise UserError(f"{where}: {shown(text)} has characters that no file can hold; write it without them")


def _kind(value: Any) -> str:
    """Say in words what YAML reads a value as."""
    if isinstance(value, bool):
        return "true or false to YAML, which reads on, off, yes and no so"
    kinds = {int: "a number", float: "a number", type(None): "empty"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def shown(value: Any, length: int = 70) -> str:
    """Write a value for a sentence: true, false and null as in YAML, cut to `length` characters."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def one_line(error: Exception) -> str:
    """Write an error's message on one line."""
    return " ".join(str(error).split())
