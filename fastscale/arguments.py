"""Arguments that verbs of the command line share. Heavy imports wait for their use."""

import json
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


JSON, PATH = _Json(), click.Path(path_type=Path)
threads_option = click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
sweep_option = click.option(
    "--sweep", "description", required=True, type=PATH, help="The sweep's description (sweep.json)."
)
device_option = click.option("--device", default=None, help="cpu or cuda; by default cuda where there is one.")


def network_options(command: Any) -> Any:
    """The arguments that name one network: BASE is a name, or a whole description as networks records hold them."""
    for option in reversed(
        [
            click.argument("base"),
            click.option("--strategy", default="dWr", show_default=True, help=STRATEGIES),
            click.option("--scale", "s", type=float, help="By how much flops grow; 1 by default."),
            click.option("--flops", type=float, help="Instead of --scale: flops to come as near to as can be built."),
            click.option(
                "--classes", type=click.IntRange(1), default=1000, show_default=True, help="Of the classifier."
            ),
            click.option("--define", "own", type=JSON, default="{}", help="Bases of one's own."),
        ]
    ):
        command = option(command)
    return command


def named_network(
    base: str, strategy: str, s: float | None, flops: float | None, classes: int, own: dict[str, Any]
) -> "tuple[Network, float]":
    """The network that the options name, and its nominal scale."""
    from fastscale.networks import Network, base_network
    from fastscale.scaling import parse_strategy, scale_to_flops
    from fastscale.scaling import scale as scale_network

    if s is not None and flops is not None:
        raise UserError(f"--scale {s:g} and --flops {flops:g} are both given; give one of them")
    if base.startswith("{"):
        try:
            unscaled = Network.from_dict(json.loads(base))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{base[:70]}... describes no network ({error}); give a base's name instead") from None
    else:
        unscaled = base_network(base, own).with_classes(classes)
    chosen = parse_strategy(strategy)
    s = scale_to_flops(unscaled, chosen, flops) if flops is not None else 1.0 if s is None else s
    return scale_network(unscaled, chosen, s), s
