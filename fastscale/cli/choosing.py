"""The verbs for people who choose a network or a device: advise, probes and compare."""

import json
from pathlib import Path
from typing import Any

import click

from fastscale.cli.extras import require
from fastscale.cli.options import PATH, base_options, count, limit_options, named_base, requested_limit


@click.command()
@base_options
@limit_options
@click.option("--profiles", multiple=True, type=PATH, help="Profiles record of the device; repeat for several.")
@click.option("--sweep", "description", type=PATH, help="A sweep.json: its errors, its timings, its own bases.")
@click.option("--batch", type=count(), help="Images per step; by default the median of the profiles.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def advise(
    base: str,
    profiles: tuple[Path, ...],
    description: Path | None,
    batch: int | None,
    as_json: bool,
    classes: int,
    defined: Any,
    **limits: Any,
) -> None:
    """Recommend an alpha and a scale for BASE, within a limit. The limit is in flops, time or memory.

    With a sweep that scales BASE and has trained its networks, say which error to expect of each strategy.
    """
    measured = None
    if description:
        require("workflow")
        from fastscale.planning.measured import Measured

        measured = Measured.read(description, base)
    from fastscale.planning.advice import advise as find
    from fastscale.planning.device import Device

    network = measured.network if measured else named_base(base, classes, defined)
    device = Device.read(profiles, batch) if profiles else measured.device(batch) if measured else None
    advised = find(base, network, *requested_limit(**limits), device, measured)
    click.echo(json.dumps(advised.to_dict()) if as_json else advised.text())


@click.command()
@base_options
@click.option("--record", "path", required=True, type=PATH, help="Where to write the networks record.")
def probes(base: str, path: Path, classes: int, defined: Any) -> None:
    """Write networks of BASE for `fastscale profile` to time. `fastscale advise` predicts others from their timings."""
    from fastscale.planning import advice
    from fastscale.records.networks import write_networks

    write_networks(path, advice.probes(named_base(base, classes, defined)))


@click.command()
@click.argument("folders", metavar="RESULTS...", nargs=-1, required=True, type=PATH)
def compare(folders: tuple[Path, ...]) -> None:
    """Put the verdicts of several devices side by side. RESULTS are folders of `fastscale verdict`, or of sweeps.

    Each folder is judged by itself: correlations of runtime with activations, flops and params, how much faster dWr is
    than dwr, and what bounds runtime.
    """
    require("workflow")
    from fastscale.analysis.tables.compare import compare as side_by_side

    click.echo(side_by_side(folders).markdown(), nl=False)
