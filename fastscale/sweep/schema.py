"""The form of a sweep's configuration, and checks that a form cannot express.

Upper limits of numbers catch slips of three digits, before they fill the memory.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import Field, GetJsonSchemaHandler, TypeAdapter, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from fastscale.errors import UserError
from fastscale.networks import checked_definitions, known_bases
from fastscale.networks.definitions import Name, forms
from fastscale.recipe import Recipe
from fastscale.sweep.catalogue import ARTEFACTS
from fastscale.sweep.search import Search
from fastscale.validation.checks import filled
from fastscale.validation.forms import ONCE, Flag, Form, Lone, Number, about, choice, optional, text

FILE = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
FILE_WORDS = "text of letters, digits, dots, dashes and underscores, at most 100, that begins with a letter or digit"
LABEL = r"[^\\$|<`\x00-\x1f\x7f-\x9f\u2028\u2029]{1,100}"

FileName = Annotated[str, text(FILE, FILE_WORDS)]
SearchName = Annotated[str, text(f"(?!fixed$){FILE}", FILE_WORDS)]  # "fixed" names the networks that need no search
Label = Annotated[str, text(LABEL, r"text of 1 to 100 characters but \ $ | < ` and line breaks")]
ResultsPath = Annotated[
    str, text(r"(?!-)[^{}\x00-\x1f\x7f]+", "a path without braces and line breaks that begins with no dash")
]
DataPath = Annotated[str, text(r"[\s\S]+", "a folder's path")]
Names = Annotated[list[str], Field(min_length=1), ONCE]
Scales = Annotated[list[Annotated[float, Number(1e-6, 1_000_000)]], Field(min_length=1), ONCE]
Targets = Annotated[list[Annotated[float, Number(1, 1e18, unit="flops")]], Field(min_length=1), ONCE]
Images = Annotated[int | None, Number(1, 1_000_000_000_000)]
Formats = Annotated[list[Literal["channels_last", "contiguous"]], Field(min_length=1), ONCE]
Modes = Annotated[list[Literal["eager", "graph", "compiled", "compiled-graph"]], Field(min_length=1), ONCE]
Convolutions = Annotated[list[Literal["plain", "packed", "shifted"]], Field(min_length=1), ONCE]


class Definitions:
    """The type of definitions, for the JSON schema of editors only; networks.checked_definitions checks definitions."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the JSON schema that accepts each form of a definition."""
        kinds: Any = Union[tuple(forms().values())]  # noqa: UP007  (| takes no tuple)
        return handler(TypeAdapter(kinds).core_schema)


Definition = Annotated[dict[str, Any], Definitions()]


class Selection(Form):
    """What an artefact shows: bases and the strategies that scale them, or networks by their names."""

    bases: Names = optional("the bases to scale: built-in ones, and those under define and search")
    strategies: Names = optional("the strategies that scale the bases")
    scales: Scales = optional("scales of this selection; the sweep's scales by default")
    flops: Targets = optional(
        "instead of scales: budgets, to which each strategy's realised flops come as near as they can"
    )
    networks: Names = optional("instead of bases and strategies: networks by their names")
    curve: Label = optional("with networks: they are one curve of that name, from its base on")
    label: Label = optional("with networks: what a table writes behind their names")
    schedules: Names = optional("schedules of the trainings; the sweep's schedule by default")

    @model_validator(mode="after")
    def _whole(self) -> "Selection":
        """Refuse a key without another key that it needs; require either bases or networks."""
        needs = {"bases": "strategies", "strategies": "bases", "curve": "networks"}
        needs |= {"scales": "bases", "flops": "bases"}
        for name, needed in needs.items():
            if getattr(self, name) and not getattr(self, needed):
                raise PydanticCustomError("sentence", f"has {name!r}, which needs {needed!r} beside it")
        if bool(self.bases) == bool(self.networks):
            has = "both bases and networks" if self.bases else "neither bases nor networks"
            advice = "give one of them (bases with strategies, networks by name)"
            raise PydanticCustomError("sentence", f"has {has}; {advice}")
        if self.scales and self.flops:
            raise PydanticCustomError("sentence", "has both scales and flops; give one of them")
        return self


Selections = Annotated[list[Selection], Lone()]
Shown = Annotated[list[Selection], Field(min_length=1), Lone()]


def _own(kind: str) -> list[str]:
    """List the artefacts of a kind whose points the configuration chooses."""
    return [name for name, artefact in ARTEFACTS.items() if (artefact.kind, artefact.points) == (kind, "own")]


FigureName = Annotated[str, choice(_own("figure"))]
TableName = Annotated[str, choice(_own("table"))]


class Data(Form):
    """The data part: the images that a sweep trains on."""

    kind: Literal["fashion-mnist", "imagefolder"]
    classes: Annotated[int, Number(2, 1_000_000)]
    path: DataPath = optional("imagefolder: the folder that holds train/ and val/")
    train_images: Images = None
    val_images: Images = None
    max_resolution: Annotated[int, Number(8, 65535)] = 500
    write_mode: Literal["raw", "jpg", "proportion"] = "proportion"
    jpeg_quality: Annotated[int, Number(1, 100)] = 90
    name: FileName = Field(
        default_factory=lambda data: data["kind"],
        description="the folder under data/ that holds the .beton files; the kind by default",
    )

    @model_validator(mode="after")
    def _whole(self) -> "Data":
        """Refuse an imagefolder without a path, and other data with a path."""
        if self.kind == "imagefolder" and not self.path:
            raise UserError("data.path is missing; an imagefolder needs the folder that holds train/ and val/")
        if self.kind != "imagefolder" and self.path:
            raise UserError(f"data.path is given, but {self.kind} has none; leave it out, or set kind: imagefolder")
        return self


class Profile(Form):
    """The profile part: how networks are timed."""

    images: Annotated[int, Number(1, 1_000_000_000_000)] = optional(
        "images of the epoch that times are given for; by default the training images of an imagefolder, or else "
        "ImageNet's 1,281,167"
    )
    repeats: Annotated[int, Number(2, 100_000)] = about(
        "timed steps of a network, in all of its rounds together; there are at least 5 rounds", 20
    )
    formats: Formats = about("memory formats to try", ["channels_last", "contiguous"])
    modes: Modes = about(
        "modes to try: by itself or compiled by torch, launched one by one or as a CUDA graph", ["eager"]
    )
    convolutions: Convolutions = about(
        "kinds of grouped convolutions to try on a GPU (fastscale/models/convolution.py); shifted ones only where "
        "compiled",
        ["plain", "packed"],
    )
    largest_batch: Annotated[int, Number(32, 1_000_000)] = about("the largest batch to try on a GPU", 4096)
    devices: Annotated[int, Number(1, 100_000)] = about(
        "the time of an epoch is also given for this many devices: measured where the job has them", 8
    )


class Configuration(Form):
    """A sweep's configuration."""

    sweep: FileName = about("the sweep's name: its results lie in <results>/<sweep>/")
    results: ResultsPath = about("the folder of the results of all sweeps", "results")
    define: dict[Name, Definition] = about(
        "bases of one's own, by name, in the form of fastscale/networks/bases.yaml", {}
    )
    search: dict[SearchName, Search] = about(
        "bases that a random search finds, by the name that they get (fastscale/sweep/search.py)", {}
    )
    scales: Scales = about("the scales of selections that give none", [1.0, 4.0, 16.0])
    grid: Selections = about("points beside those of figures and tables; a selection or a list of selections", [])
    figures: dict[FigureName, Shown] = about("what each figure shows; a selection or a list of selections", {})
    tables: dict[TableName, Shown] = about("the rows of Tables 5 to 8; a selection or a list of selections", {})
    schedules: Annotated[dict[FileName, Annotated[int, Number(1, 100_000)]], Field(min_length=1)] = about(
        "epochs of each schedule, by name", {"1x": 100}
    )
    trials: Annotated[int, Number(1, 1000)] = about("trainings per network and schedule, with different seeds", 3)
    train: Flag = about("false: networks are timed alone, and what shows errors is left out", True)
    data: Data = about("the images that the sweep trains on")
    recipe: Recipe = about("differences from the paper's recipe (fastscale/recipe.py)", Recipe())
    profile: Profile = about("how networks are timed", Profile())
    gpus: Annotated[int, Number(0, 1024)] = about("GPUs that a profile or train job asks for (0: CPU)", 0)
    gpu_hour_price: Annotated[float, Number(0, 1_000_000)] = about("the price of one GPU hour, for the plan", 2.0)
    train_threads: Annotated[int, Number(1, 4096)] = about("CPU threads of a training", 1)
    schedule: str = Field(
        default_factory=lambda config: next(iter(config["schedules"])),
        description="the schedule that the figures show; the first one by default",
    )


def checked_sweep(config: Any) -> dict[str, Any]:
    """Check a sweep's configuration and fill in its defaults; a selection that stands alone becomes a list of one.

    Raises:
        UserError: a key is unknown or missing, a value is out of range, a recipe, a base or a search is impossible, a
            schedule is unknown, or there is no selection and no search at all.
    """
    whole = filled(config, Configuration)
    whole["define"] = checked_definitions(whole["define"], "define", whole["search"])
    if "epochs" in whole["recipe"]:
        raise UserError("recipe.epochs: a sweep's epochs are those of its schedules; set schedules instead")
    if whole["search"] and not whole["train"]:
        raise UserError(f"search.{next(iter(whole['search']))} trains its candidates, but train is false")
    if taken := sorted(whole["search"].keys() & known_bases().keys()):
        raise UserError(f"search.{taken[0]}: a base of that name is built in; give the one to be found another name")
    for key in ("search", "schedules"):
        _refuse_alike(key, whole[key])
    if not (whole["search"] or any(selections(whole))):
        raise UserError(
            "nothing is asked for; add grid, figures, tables or search, such as grid: {bases: [EN-B0], strategies: [w]}"
        )
    for key, name in _schedules(whole):
        if name not in whole["schedules"]:
            raise UserError(f"{key} is {name!r}; allowed are those of schedules: {', '.join(whole['schedules'])}")
    return whole


def checked_data(data: Any) -> dict[str, Any]:
    """Check the data part of a sweep's configuration and fill in its defaults.

    Raises:
        UserError: a key is unknown or missing, or a value is out of range.
    """
    return filled(data, Data, "data")


def selections(config: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield each selection with its artefact (or "grid") and its place: the artefact, the place, the selection."""
    shown = {("grid", "grid"): config["grid"]}
    shown |= {(name, f"{part}.{name}"): config[part][name] for part in ("figures", "tables") for name in config[part]}
    for (name, place), entries in shown.items():
        for index, entry in enumerate(entries):
            yield name, f"{place}.{index}" if len(entries) > 1 else place, entry


def _refuse_alike(place: str, names: Collection[str]) -> None:
    """Refuse names that differ only in upper and lower case: some disks treat them as one name."""
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(name.lower(), name)) != name:
            raise UserError(f"{place}: {other!r} and {name!r} differ in case alone, which some disks do not see")


def _schedules(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each requested schedule with its place: the place, then the schedule."""
    yield "schedule", config["schedule"]
    for _, place, entry in selections(config):
        yield from ((f"{place}.schedules", name) for name in entry.get("schedules", []))
    for name, search in config["search"].items():
        yield f"search.{name}.schedule", search.get("schedule", Search.model_fields["schedule"].default)
