"""What mkdocs adds to the pages: tables generated from the code, and files outside docs/ that pages link to."""

import inspect
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from fastscale.analysis.claims import PARTS
from fastscale.cli.main import main
from fastscale.networks import DERIVATIONS, FAMILIES, known_bases
from fastscale.networks.definitions import forms
from fastscale.recipe import Recipe
from fastscale.sweep.captions import title
from fastscale.sweep.catalogue import ARTEFACTS
from fastscale.sweep.schema import Configuration, Selection
from fastscale.validation.checks import Schema, allowed, described

REPOSITORY = Path(__file__).parents[1]
MAKERS = REPOSITORY / "fastscale/analysis"
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
GENERATED = re.compile(r"^<!-- generated: ([\w ]+) -->$", re.M)
CODE_OR_MARKUP = re.compile(r"`[^`]*`|[|<]")
ESCAPED = {"|": "&#124;", "<": "&lt;"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ that pages link to, so that a link leads to the same file here and on the site."""
    waiting = [file for file in files if file.is_documentation_page()]
    while waiting:
        file = waiting.pop()
        for target in LINK.findall(file.content_string):
            path = _target(file, target)
            if not path.startswith(("docs/", "../")) and (REPOSITORY / path).is_file() and path not in files.src_uris:
                added = File.generated(config, path, abs_src_path=str(REPOSITORY / path))
                added.inclusion = InclusionLevel.NOT_IN_NAV
                files.append(added)
                if added.is_documentation_page():
                    waiting.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put generated tables in place of their marks, and let links to files outside docs/ lead to their copies."""
    markdown = GENERATED.sub(lambda mark: GENERATORS[mark[1]](), markdown)
    return LINK.sub(lambda link: _on_site(page.file, link[1]), markdown)


def _target(file: File, link: str) -> str:
    """Resolve a link of a page to a path within the repository."""
    folder = posixpath.dirname(file.src_uri)
    return posixpath.normpath(posixpath.join("" if file.generated_by else "docs", folder, link))


def _on_site(file: File, link: str) -> str:
    """Resolve a link of a page to the path of its target on the site, relative to the page."""
    return posixpath.relpath(_target(file, link).removeprefix("docs/"), posixpath.dirname(file.src_uri) or ".")


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a Markdown table; outside code, characters that Markdown would take for markup are escaped."""
    lines = [list(header), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    escaped = (
        [CODE_OR_MARKUP.sub(lambda part: ESCAPED.get(part[0], part[0]), cell) for cell in line] for line in lines
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def artefacts(of_paper: bool) -> str:
    """List the artefacts: for each one its target, what it shows and the module of its maker."""
    rows = []
    for name, artefact in ARTEFACTS.items():
        if title(name).startswith(("Figure", "Table")) == of_paper:
            module = artefact.maker.partition(":")[0].removeprefix("fastscale.analysis.").replace(".", "/")
            file = f"{module}.py" if (MAKERS / f"{module}.py").exists() else f"{module}/__init__.py"
            shows = " ".join(filter(None, (artefact.caption, artefact.of_errors)))
            rows.append([title(name).replace(" ", "\u00a0"), f"`{name}`", shows, f"`{file}`"])
    return _table(["", "target", "what it shows", "maker, in `fastscale/analysis/`"], rows)


def claims() -> str:
    """List the claims of the paper by their part of the claims page."""
    parts = []
    for part, listed in PARTS.items():
        rows = ([claim.where, claim.text, claim.paper, f"{claim.test}: {claim.bound.words}"] for claim in listed)
        parts += [f"### {part}", _table(["where", "claim", "in the paper", "holds here if"], rows)]
    return "\n\n".join(parts)


def bases() -> str:
    """List the built-in bases: name and definition."""
    shown = (
        [f"`{name}`", ", ".join(f"{key}: {value}" for key, value in base.items())]
        for name, base in known_bases().items()
    )
    return _table(["base", "definition"], shown)


def commands() -> str:
    """List the commands of `fastscale`: for each one its usage, what it does, and its options."""
    parts = []
    for name, command in main.commands.items():
        context = click.Context(command, info_name=f"fastscale {name}")
        usage = command.get_usage(context).removeprefix("Usage: ")
        options = filter(None, (parameter.get_help_record(context) for parameter in command.params))
        rows = ([f"`{option}`", meaning] for option, meaning in options if meaning)
        parts += [
            f"## {name}",
            f"```text\n{usage}\n```",
            inspect.cleandoc(command.help or ""),
            _table(["option", "meaning"], rows),
        ]
    return "\n\n".join(parts)


def configuration() -> str:
    """List the keys of a sweep's configuration, a table for each part that has keys of its own; see `recipe` too."""
    return "\n\n".join(_parts(described(Configuration), "", leave_out="recipe"))


def _parts(form: Schema, place: str, leave_out: str = "") -> Iterator[str]:
    """Yield the table of a mapping's keys, then those of the mappings in it."""
    if place:
        yield f"### {place}"
    if names := form.get("propertyNames", {}).get("enum"):
        yield f"Keys: {', '.join(f'`{name}`' for name in names)}. Each one is a selection, or a list of selections."
        return
    required = form.get("required", [])
    yield _table(
        ["key", "allowed", "default", "meaning"],
        (
            [f"`{key}`", _words(value), _default(value, key in required), value.get("description", "")]
            for key, value in form["properties"].items()
        ),
    )
    for key, value in form["properties"].items():
        within = f"{place}.{key}".lstrip(".")
        inner = value.get("additionalProperties") or {}
        if key != leave_out and ("properties" in value or "enum" in value.get("propertyNames", {})):
            yield from _parts(value, within)
        elif "properties" in inner:
            yield from _parts(inner, f"{within}.NAME")


def selection() -> str:
    """List the keys of a selection."""
    return "\n\n".join(_parts(described(Selection), ""))


def recipe() -> str:
    """List the keys of a recipe: for each one what is allowed, and the paper's value."""
    return "\n\n".join(_parts(described(Recipe), ""))


def families() -> str:
    """List the keys of a base that a sweep defines, for each family and for each derivation from another base."""
    parts = []
    for name in FAMILIES:
        parts += [f"### family: {name}", *_parts(_parameters(name), "")]
    for name, derive in DERIVATIONS.items():
        parts += [f"### {name}: another base", (derive.__doc__ or "").partition("\n")[0]]
        if (keys := _parameters(name))["properties"]:
            parts += _parts(keys, "")
    return "\n\n".join(parts)


def _parameters(kind: str) -> Schema:
    """Describe what a definition says beside the family, or the base that it is derived from."""
    form = described(forms()[kind])
    kept = {key: value for key, value in form["properties"].items() if key not in ("family", kind)}
    return {**form, "properties": kept}


def _default(value: Schema, is_required: bool) -> str:
    if is_required:
        return "must be given"
    return f"`{'{}' if 'properties' in value else _yaml(value['default'])}`" if "default" in value else ""


def _yaml(value: Any) -> str:
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case tuple() | list():
            return f"[{', '.join(map(_yaml, value))}]"
        case dict():
            return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def _words(value: Schema) -> str:
    """Say what a JSON schema allows, in the words of its error messages."""
    return "a selection, or a list of selections" if value.get("lone") else allowed(value).partition(" ")[2]


GENERATORS: Mapping[str, Callable[[], str]] = {
    "artefacts of the paper": lambda: artefacts(of_paper=True),
    "artefacts beyond the paper": lambda: artefacts(of_paper=False),
    "bases": bases,
    "claims": claims,
    "commands": commands,
    "configuration": configuration,
    "families": families,
    "recipe": recipe,
    "selection": selection,
}
