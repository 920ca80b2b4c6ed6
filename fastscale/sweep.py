"""A sweep: which networks are scaled from which bases, where their records lie and which artefacts show them.

Pure Python, no torch: the DAG is expanded from here.
"""

import json
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from fastscale.artefacts import ARTEFACTS
from fastscale.errors import UserError
from fastscale.networks import Network, base_network
from fastscale.recipe import Recipe
from fastscale.records import digest
from fastscale.scaling import parse_strategy, scale


@dataclass(frozen=True)
class Point:
    """A base, scaled by a strategy to a nominal scale: one point of a curve. At scale 1 the strategy is `base`."""

    base: str
    strategy: str
    scale: float
    network: Network = field(compare=False)


@dataclass(frozen=True)
class Sweep:
    """A validated configuration and what follows from it; make one with `Sweep.from_config`."""

    config: Mapping[str, Any]

    @classmethod
    def from_config(cls, config: Mapping[str, Any], source: str = "config.yaml") -> "Sweep":
        """Check a configuration against the schema, fill in its defaults and expand it.

        Raises:
            UserError: a misspelt key, a value out of range, an unknown base, strategy or schedule.
        """
        schema = yaml.safe_load(files("fastscale").joinpath("sweep.schema.yaml").read_text())
        config = _with_defaults(deepcopy(dict(config)), schema)
        error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(config))
        if error is not None:
            raise UserError(_sentence(error, source))
        config.setdefault("schedule", next(iter(config["schedules"])))
        config["data"].setdefault("name", config["data"]["kind"])
        if config["schedule"] not in config["schedules"]:
            raise UserError(
                f"{source}: schedule is {config['schedule']!r}; allowed are those of schedules: "
                f"{', '.join(config['schedules'])}"
            )
        if config["data"]["kind"] == "imagefolder" and "path" not in config["data"]:
            raise UserError(
                f"{source}: data.path is missing; an imagefolder needs the folder that holds train/ and val/"
            )
        Recipe.from_dict(config["recipe"])
        sweep = cls(config)
        # What only the expansion finds is told now too: unknown bases and strategies, impossible scales, own bases.
        _ = sweep.points, [base_network(name, config["define"]) for name in config["define"]]
        return sweep

    @classmethod
    def load(cls, path: Path) -> "Sweep":
        """The sweep whose expansion wrote `path` (a sweep.json)."""
        try:
            return cls.from_config(json.loads(path.read_text()), str(path))
        except FileNotFoundError:
            raise UserError(f"{path} is missing: it is the sweep's own description; run `snakemake {path}`") from None
        except ValueError as error:
            raise UserError(f"{path} is not JSON ({error}); delete it and run snakemake again") from None

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.config["sweep"]

    @property
    def folder(self) -> Path:
        """Where its results lie."""
        return Path(self.config["results"], self.name)

    @property
    def description(self) -> Path:
        """Where the sweep describes itself: its whole configuration, defaults filled in."""
        return self.folder / "sweep.json"

    @property
    def data_folder(self) -> Path:
        """Where the .beton files lie; sweeps with equal data settings share it."""
        return Path("data", f"{self.config['data']['name']}-{digest(self.config['data'])[:8]}")

    def recipe(self, schedule: str) -> dict[str, Any]:
        """The recipe of a schedule, as differences from the paper's."""
        return {**self.config["recipe"], "epochs": self.config["schedules"][schedule]}

    @property
    def schedule(self) -> str:
        """The schedule that the artefacts show."""
        return self.config["schedule"]

    @property
    def trials(self) -> range:
        """The trials of each network, from 1."""
        return range(1, self.config["trials"] + 1)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every point that the grid or a figure asks for, once, in the order in which they are asked for."""
        selections = [self.config["grid"], *self.config["figures"].values()]
        return tuple(dict.fromkeys(point for selection in selections for point in self._expand(selection)))

    @cached_property
    def networks(self) -> dict[str, Network]:
        """The distinct networks of all points, by id: what is counted, timed and trained, each one once."""
        return {point.network.id: point.network for point in self.points}

    def scale_arguments(self, network: str) -> list[str]:
        """Arguments of `fastscale scale` that give the network of that id."""
        point = next(point for point in self.points if point.network.id == network)
        arguments = [point.base, "--scale", repr(point.scale), "--classes", str(self.config["data"]["classes"])]
        if point.scale != 1:
            arguments += ["--strategy", point.strategy]
        if point.base in self.config["define"]:
            arguments += ["--define", json.dumps(self.config["define"])]
        return arguments

    def selection(self, artefact: str) -> tuple[Point, ...]:
        """The points that an artefact shows: a figure's own; a table of networks shows all; others none."""
        if not ARTEFACTS[artefact].reads:
            return ()
        if ARTEFACTS[artefact].kind == "table":
            return self.points
        return tuple(dict.fromkeys(self._expand(self.config["figures"][artefact])))

    @cached_property
    def artefacts(self) -> dict[str, tuple[Path, ...]]:
        """The files of each artefact of this sweep, by the artefact's name."""
        return {
            name: tuple(self.folder / f"{artefact.kind}s" / f"{name}.{suffix}" for suffix in artefact.suffixes)
            for name, artefact in ARTEFACTS.items()
            if artefact.kind == "table" or name in self.config["figures"]
        }

    def records(self, artefact: str) -> list[Path]:
        """The records that an artefact reads."""
        reads, networks = ARTEFACTS[artefact].reads, {point.network.id for point in self.selection(artefact)}
        paths = [self.network_record(network) for network in networks]
        if "time" in reads:
            paths += [self.profile_record(network) for network in networks]
        if "error" in reads:
            paths += [self.train_record(network, self.schedule, trial) for network in networks for trial in self.trials]
        return sorted(paths)

    def network_record(self, network: str) -> Path:
        """Where a network's description and counts lie."""
        return self.folder / "networks" / f"{network}.json"

    def profile_record(self, network: str) -> Path:
        """Where a network's measured runtime lies."""
        return self.folder / "profile" / f"{network}.json"

    def train_record(self, network: str, schedule: str, trial: int | str) -> Path:
        """Where the outcome of one training lies."""
        return self.folder / "train" / network / f"{schedule}-{trial}.json"

    def _expand(self, selection: Mapping[str, Any]) -> Iterable[Point]:
        classes, own = self.config["data"]["classes"], self.config["define"]
        strategies = [parse_strategy(name) for name in selection["strategies"]]
        for name in selection["bases"]:
            base = base_network(name, own).with_classes(classes)
            yield Point(name, "base", 1, base)
            for strategy in strategies:
                for s in selection.get("scales", self.config["grid"]["scales"]):
                    if s != 1:
                        yield Point(name, strategy.name, s, scale(base, strategy, s))


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
    if error.validator == "required":
        return f"{source}: {error.message.replace(' property', ' key')} at {where}"
    rule = {key: error.schema[key] for key in ("description",) if key in error.schema}
    told = f" ({rule['description']})" if rule else ""
    return f"{source}: {where} is {error.instance!r}, but must satisfy {error.validator}: {error.validator_value}{told}"
