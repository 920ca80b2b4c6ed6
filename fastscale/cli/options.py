"""Arguments, options and types that verbs of the command line share, and the handling of mistakes.

Imports wait until they are used, so that light verbs start fast.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastscale.errors import Stopped, UserError
from fastscale.execution import CONVOLUTIONS, EAGER_CONVOLUTIONS, FORMATS, MODES
from fastscale.validation.documents import read_json
from fastscale.validation.quantities import EXAMPLES, parse

if TYPE_CHECKING:
    from fastscale.networks import Network

STRATEGIES = "d, w, r, dw, dr, wr, dwr, dWr, orig, w-only, g-only or alpha=X."

TRY_AGAIN = 75  # the system's EX_TEMPFAIL: a signal stopped the verb, and no work is lost


class Sentences(click.Group):
    """A group of commands that shows a user's mistake as one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the requested command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from None
        except Stopped as stopped:
            click.echo(f"{stopped}; run it again, and it goes on from there", err=True)
            sys.exit(TRY_AGAIN)


class _Json(click.ParamType):
    """The type of JSON without repeated keys."""

    name = "json"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse the text of the command line."""
        return read_json(value, param.opts[0]) if isinstance(value, str) else value


class Quantity(click.ParamType):
    """The type of a number from `low` to `high`, with or without a unit: 20GB, 2h, 1e9; an int if `whole`."""

    def __init__(self, quantity: str = "number", low: float = 0, high: float = 1e99, whole: bool = False):
        self.quantity, self.low, self.high, self.whole = quantity, low, high, whole
        self.name = "whole number" if whole else quantity

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse the text of the command line; a default is a number already."""
        number = parse(value, self.quantity) if isinstance(value, str) else value
        if number is None or not self.low <= number <= self.high or (self.whole and number != int(number)):
            kind = "a whole number" if self.whole else "a number"
            examples = "such as 4 or 1e3" if self.whole else EXAMPLES[self.quantity]
            within = f" from {self.low:g} to {self.high:g}" if self.low > -1e99 else ""
            self.fail(f"{value!r} is not {kind}{within}, {examples}")
        return int(number) if self.whole else number


def count(low: int = 1, high: float = 1e9) -> Quantity:
    """Return the type of a whole number from `low` to `high`."""
    return Quantity(low=low, high=high, whole=True)


JSON, PATH = _Json(), click.Path(path_type=Path)
# No range is checked here: which limits are out of reach depends on the base, so `advise` and `scale` refuse those.
FLOPS, SECONDS, BYTES = (Quantity(quantity, low=-1e99, high=1e99) for quantity in ("flops", "seconds", "bytes"))
threads_option = click.option("--threads", type=count(high=4096), default=1, show_default=True, help="CPU threads.")
sweep_option = click.option(
    "--sweep", "description", required=True, type=PATH, help="The sweep's description (sweep.json)."
)
device_option = click.option("--device", default=None, help="cpu or cuda; by default cuda if this machine has a GPU.")


CLASSES = click.option(
    "--classes", type=count(high=1e6), default=1000, show_default=True, help="Classes of the classifier."
)
DEFINE = click.option(
    "--define", "defined", type=JSON, default="{}", help="Your own bases, as under define in a sweep."
)


def _with(command: Any, *options: Any) -> Any:
    """Add arguments and options to a command, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def base_options(command: Any) -> Any:
    """Add the arguments that name a base."""
    return _with(command, click.argument("base"), CLASSES, DEFINE)


def network_options(command: Any) -> Any:
    """Add the arguments that name a network: BASE is a name, or a whole description as in a networks record."""
    return _with(
        command,
        click.argument("base"),
        click.option("--strategy", default="dWr", show_default=True, help=STRATEGIES),
        click.option(
            "--scale", "s", type=Quantity(low=1e-6, high=1e6), help="Factor by which flops grow, about; 1 by default."
        ),
        click.option("--flops", type=FLOPS, help="Instead of --scale: take the scale with flops nearest to these."),
        CLASSES,
        DEFINE,
    )


def limit_options(command: Any) -> Any:
    """Add the options that limit a network's cost."""
    return _with(
        command,
        click.option("--flops", type=FLOPS, help="The limit: multiply-adds per image, such as 16GF."),
        click.option("--seconds", type=SECONDS, help="The limit: time per epoch on one device, such as 2h."),
        click.option("--memory", type=BYTES, help="The limit: peak memory of a step, such as 20GB."),
    )


def execution_options(command: Any) -> Any:
    """Add the options for the executions to time; each option may be repeated."""
    return _with(
        command,
        _repeatable("--format", "formats", FORMATS, FORMATS, "Memory format to try; repeat for several."),
        _repeatable("--mode", "modes", MODES, MODES[:1], "Mode of execution to try; repeat for several."),
        _repeatable(
            "--convolutions",
            "convolutions",
            CONVOLUTIONS,
            EAGER_CONVOLUTIONS,
            "Kind of grouped convolutions to try on a GPU; repeat for several.",
        ),
    )


def _repeatable(option: str, name: str, choices: Sequence[str], default: Sequence[str], help_text: str) -> Any:
    """Return an option that takes one of `choices`, and may be repeated."""
    return click.option(option, name, type=click.Choice(choices), multiple=True, default=default, help=help_text)


def requested_limit(**limits: float | None) -> tuple[Any, float]:
    """Return the quantity that is limited, and its limit.

    Raises:
        UserError: not exactly one limit is given.
    """
    requested = [(quantity, limit) for quantity, limit in limits.items() if limit is not None]
    if len(requested) != 1:
        raise UserError(f"{len(requested)} limits are given; give one of {', '.join(f'--{name}' for name in limits)}")
    return requested[0]


def named_base(base: str, classes: int, defined: Any) -> "Network":
    """Build the base of that name, or the network that `base` describes as JSON.

    Raises:
        UserError: the base is unknown, or a definition or description cannot be built.
    """
    from fastscale.networks import base_network, checked_definitions, described_network

    defined = checked_definitions(defined, "--define")
    if base.lstrip().startswith("{"):
        return described_network(read_json(base, "the description of BASE"), "the description of BASE")
    return base_network(base, defined).with_classes(classes)


def named_network(
    base: str, strategy: str, s: float | None, flops: float | None, classes: int, defined: Any
) -> "tuple[Network, float]":
    """Build the network that the options name; return it with its nominal scale.

    Raises:
        UserError: the base or the strategy is unknown, or the scale or the flops are out of reach.
    """
    from fastscale.cost.budget import scale_to_flops
    from fastscale.networks import grown
    from fastscale.networks.scaling import parse_strategy

    if s is not None and flops is not None:
        raise UserError(f"--scale {s:g} and --flops {flops:g} are both given; give one of them")
    unscaled = named_base(base, classes, defined)
    if flops is not None:
        s = scale_to_flops(unscaled, parse_strategy(strategy), flops)
    s = 1.0 if s is None else s
    return grown(unscaled, strategy, s), s
