"""Arguments that verbs of the command line share. Heavy imports wait for their use."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastscale.errors import UserError

if TYPE_CHECKING:
    from fastscale.networks import Network

STRATEGIES = "d, w, r, dw, dr, wr, dwr, dWr, orig, w-only, g-only or alpha=X."


class _Json(click.ParamType):
    """Plain data."""

    name = "json"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse what stands on the command line."""
        try:
            return json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} is not JSON: {error}", param, ctx)


class _Bytes(click.ParamType):
    """A size in bytes, such as 20GB or 16GiB."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse what stands on the command line."""
        found = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?) *([kMGT]?)(i?)B?", str(value))
        try:
            number, prefix, binary = found.groups() if found else ("", "", "")
            return float(number) * (1024 if binary else 1000) ** " kMGT".index(prefix or " ")
        except ValueError:
            self.fail(f"{value!r} is no size; allowed are bytes, and such as 512MB, 20GB or 16GiB", param, ctx)


BYTES, JSON, PATH = _Bytes(), _Json(), click.Path(path_type=Path)
threads_option = click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
sweep_option = click.option(
    "--sweep", "description", required=True, type=PATH, help="The sweep's description (sweep.json)."
)
device_option = click.option("--device", default=None, help="cpu or cuda; by default cuda where there is one.")


CLASSES = click.option("--classes", type=click.IntRange(1), default=1000, show_default=True, help="Of the classifier.")
OWN = click.option("--define", "own", type=JSON, default="{}", help="Bases of one's own.")


def _with(command: Any, *options: Any) -> Any:
    """A command with these arguments and options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def base_options(command: Any) -> Any:
    """The arguments that name one base."""
    return _with(command, click.argument("base"), CLASSES, OWN)


def network_options(command: Any) -> Any:
    """The arguments that name one network: BASE is a name, or a whole description as networks records hold them."""
    return _with(
        command,
        click.argument("base"),
        click.option("--strategy", default="dWr", show_default=True, help=STRATEGIES),
        click.option("--scale", "s", type=float, help="By how much flops grow; 1 by default."),
        click.option("--flops", type=float, help="Instead of --scale: flops to come as near to as can be built."),
        CLASSES,
        OWN,
    )


def limit_options(command: Any) -> Any:
    """The arguments that limit what a network may cost."""
    return _with(
        command,
        click.option("--flops", type=float, help="The limit: multiply-adds of an image, such as 16e9."),
        click.option("--seconds", type=float, help="The limit: seconds of an epoch on one device."),
        click.option("--memory", type=BYTES, help="The limit: peak memory of a step, such as 20GB."),
    )


def given_limit(**limits: float | None) -> tuple[Any, float]:
    """What is limited, and to how much."""
    given = [(quantity, limit) for quantity, limit in limits.items() if limit is not None]
    if len(given) != 1:
        raise UserError(f"{len(given)} limits are given; give one of {', '.join(f'--{name}' for name in limits)}")
    return given[0]


def named_base(base: str, classes: int, own: dict[str, Any]) -> "Network":
    """The base of that name, or the one that is described."""
    from fastscale.networks import Network, base_network

    if not base.startswith("{"):
        return base_network(base, own).with_classes(classes)
    try:
        return Network.from_dict(json.loads(base))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{base[:70]}... describes no network ({error}); give a base's name instead") from None


def named_network(
    base: str, strategy: str, s: float | None, flops: float | None, classes: int, own: dict[str, Any]
) -> "tuple[Network, float]":
    """The network that the options name, and its nominal scale."""
    from fastscale.scaling import parse_strategy, scale_to_flops
    from fastscale.scaling import scale as scale_network

    if s is not None and flops is not None:
        raise UserError(f"--scale {s:g} and --flops {flops:g} are both given; give one of them")
    unscaled = named_base(base, classes, own)
    chosen = parse_strategy(strategy)
    s = scale_to_flops(unscaled, chosen, flops) if flops is not None else 1.0 if s is None else s
    return scale_network(unscaled, chosen, s), s
