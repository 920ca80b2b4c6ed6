"""What verbs of the command line share: arguments, and how a mistake is told. Heavy imports wait for their use."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastscale.errors import Stopped, UserError
from fastscale.validation.documents import read_json
from fastscale.validation.quantities import EXAMPLES, parse

if TYPE_CHECKING:
    from fastscale.networks import Network

STRATEGIES = "d, w, r, dw, dr, wr, dwr, dWr, orig, w-only, g-only or alpha=X."

TRY_AGAIN = 75  # the system's EX_TEMPFAIL: stopped by a signal, nothing lost


class Sentences(click.Group):
    """A group whose commands tell a user's mistake in one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is asked for."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from None
        except Stopped as stopped:
            click.echo(f"{stopped}; run it again, and it goes on from there", err=True)
            sys.exit(TRY_AGAIN)


class _Json(click.ParamType):
    """Plain data, of which no key stands twice."""

    name = "json"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse what stands on the command line."""
        return read_json(value, param.opts[0]) if isinstance(value, str) else value


class Quantity(click.ParamType):
    """A number from `low` to `high`, with or without a unit: 20GB, 2h, 1e9. `whole` ones become int."""

    def __init__(self, quantity: str = "number", low: float = 0, high: float = 1e99, whole: bool = False):
        self.quantity, self.low, self.high, self.whole = quantity, low, high, whole
        self.name = "whole number" if whole else quantity

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse what stands on the command line; a default is a number already."""
        found = parse(value, self.quantity) if isinstance(value, str) else value
        if found is None or not self.low <= found <= self.high or (self.whole and found != int(found)):
            what = "a whole number" if self.whole else "a number"
            examples = "such as 4 or 1e3" if self.whole else EXAMPLES[self.quantity]
            within = f" from {self.low:g} to {self.high:g}" if self.low > -1e99 else ""
            self.fail(f"{value!r} is not {what}{within}, {examples}")
        return int(found) if self.whole else found


def count(low: int = 1, high: float = 1e9) -> Quantity:
    """Make the type of a whole number within these."""
    return Quantity(low=low, high=high, whole=True)


JSON, PATH = _Json(), click.Path(path_type=Path)
# Which ones are out of reach depends on the base, and is told with it.
FLOPS, SECONDS, BYTES = (Quantity(quantity, low=-1e99, high=1e99) for quantity in ("flops", "seconds", "bytes"))
threads_option = click.option("--threads", type=count(high=4096), default=1, show_default=True, help="CPU threads.")
sweep_option = click.option(
    "--sweep", "description", required=True, type=PATH, help="The sweep's description (sweep.json)."
)
device_option = click.option("--device", default=None, help="cpu or cuda; by default cuda where there is one.")


CLASSES = click.option("--classes", type=count(high=1e6), default=1000, show_default=True, help="Of the classifier.")
OWN = click.option("--define", "own", type=JSON, default="{}", help="Bases of one's own, as under define in a sweep.")


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
        click.option("--scale", "s", type=Quantity(low=1e-6, high=1e6), help="By how much flops grow; 1 by default."),
        click.option("--flops", type=FLOPS, help="Instead of --scale: flops to come as near to as can be built."),
        CLASSES,
        OWN,
    )


def limit_options(command: Any) -> Any:
    """The arguments that limit what a network may cost."""
    return _with(
        command,
        click.option("--flops", type=FLOPS, help="The limit: multiply-adds of an image, such as 16GF."),
        click.option("--seconds", type=SECONDS, help="The limit: time of an epoch on one device, such as 2h."),
        click.option("--memory", type=BYTES, help="The limit: peak memory of a step, such as 20GB."),
    )


def given_limit(**limits: float | None) -> tuple[Any, float]:
    """What is limited, and to how much."""
    given = [(quantity, limit) for quantity, limit in limits.items() if limit is not None]
    if len(given) != 1:
        raise UserError(f"{len(given)} limits are given; give one of {', '.join(f'--{name}' for name in limits)}")
    return given[0]


def named_base(base: str, classes: int, own: Any) -> "Network":
    """The base of that name, or the one that is described.

    Raises:
        UserError: an unknown base, or a definition or description of what cannot be.
    """
    from fastscale.networks import base_network, checked_definitions, described_network

    own = checked_definitions(own, "--define")
    if base.lstrip().startswith("{"):
        return described_network(read_json(base, "the description of BASE"), "the description of BASE")
    return base_network(base, own).with_classes(classes)


def named_network(
    base: str, strategy: str, s: float | None, flops: float | None, classes: int, own: Any
) -> "tuple[Network, float]":
    """The network that the options name, and its nominal scale.

    Raises:
        UserError: an unknown base or strategy, or a scale or flops that cannot be.
    """
    from fastscale.cost.budget import scale_to_flops
    from fastscale.networks import grown
    from fastscale.networks.scaling import parse_strategy

    if s is not None and flops is not None:
        raise UserError(f"--scale {s:g} and --flops {flops:g} are both given; give one of them")
    unscaled = named_base(base, classes, own)
    if flops is not None:
        s = scale_to_flops(unscaled, parse_strategy(strategy), flops)
    s = 1.0 if s is None else s
    return grown(unscaled, strategy, s), s
