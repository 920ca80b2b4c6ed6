"""The command line: one verb per rule, and `scale` for a single network. Heavy imports wait for their verb."""

import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from fastscale.cli.options import (
    JSON,
    PATH,
    Sentences,
    base_options,
    count,
    device_option,
    given_limit,
    limit_options,
    named_base,
    named_network,
    network_options,
    sweep_option,
    threads_option,
)
from fastscale.errors import UserError
from fastscale.execution import CONVOLUTIONS, EAGER_CONVOLUTIONS, FORMATS, MODES


@contextmanager
def fewer_collections() -> Iterator[None]:
    """What is imported inside stays: the garbage collector need not look through it again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@click.group(cls=Sentences, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fastscale")
def main() -> None:
    """Which way of making a network bigger keeps it fast?"""
    os.environ["PYTHONSAFEPATH"] = "1"  # no Python that is started from here imports from the current folder


@main.command()
@network_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def scale(base: str, strategy: str, as_json: bool, **options: Any) -> None:
    """Scale the network BASE and count what it costs."""
    from fastscale.records.networks import network_record

    network, s = named_network(base, strategy, **options)
    record = network_record(network)
    shown = {"base": base, "strategy": strategy, "scale": s, "network": record.pop("id")}
    shown |= {key: value for key, value in record.items() if key not in ("network", "network_hash")}
    if as_json:
        click.echo(json.dumps(shown))
    else:
        for key, value in shown.items():
            click.echo(f"{key:13} {f'{value:,}' if isinstance(value, int) else value}")


@main.command()
@base_options
@limit_options
@click.option("--profiles", multiple=True, type=PATH, help="Profile records of this device; may be given again.")
@click.option("--batch", type=count(), help="Images of a step; by default the median of the profiles.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def advise(
    base: str, profiles: tuple[Path, ...], batch: int | None, as_json: bool, classes: int, own: Any, **limits: Any
) -> None:
    """Say which alpha and scale to take for BASE, within a limit in flops, time or memory."""
    from fastscale.planning import advice

    device = advice.Device.read(profiles, batch) if profiles else None
    made = advice.advise(base, named_base(base, classes, own), *given_limit(**limits), device)
    click.echo(json.dumps(made.to_dict()) if as_json else made.text())


@main.command()
@base_options
@click.option("--record", "path", required=True, type=PATH, help="Where to write the networks record.")
def probes(base: str, path: Path, classes: int, own: Any) -> None:
    """Write a dozen networks of BASE that tell how fast a device is, for `fastscale profile` to time."""
    from fastscale.planning.advice import probes as make
    from fastscale.records.networks import write_networks

    write_networks(path, make(named_base(base, classes, own)))


@main.command()
@click.argument("path", type=PATH)
@click.option("--config", type=JSON, required=True, help="The sweep's configuration.")
def describe(path: Path, config: Any) -> None:
    """Write a sweep's whole configuration to PATH, for the artefacts to read."""
    from fastscale.records.records import write_record
    from fastscale.sweep.sweep import Sweep

    write_record(path, dict(Sweep.from_config(config, "--config").config))


@main.command()
@click.argument("source")
@sweep_option
@click.option("--record", "path", required=True, type=PATH, help="Where to write the networks record.")
def networks(source: str, description: Path, path: Path) -> None:
    """Scale and count all networks of a sweep that come from SOURCE: a search, or `fixed` for all others."""
    from fastscale.records.networks import write_networks
    from fastscale.sweep.expansion import FIXED
    from fastscale.sweep.sweep import Sweep

    sweep = Sweep.load(description)
    if source not in (known := [FIXED, *sweep.searches]):
        raise UserError(f"unknown source {source!r}: the sweep {sweep.name!r} has {', '.join(known)}")
    write_networks(path, [network for name, network in sweep.networks.items() if sweep.sources[name] == source])


@main.command()
@click.option("--config", type=JSON, required=True, help="The data part of a sweep's configuration.")
@click.argument("folder", type=PATH)
@threads_option
def data(config: Any, folder: Path, threads: int) -> None:
    """Write the .beton files of a data set to FOLDER."""
    from fastscale.sweep.schema import checked_data

    checked = checked_data(config)
    from fastscale.data import write_betons

    write_betons(checked, folder, threads=threads)


@main.command()
@click.argument("networks", type=PATH)
@click.option("--record", "path", required=True, type=PATH, help="Where to write the profile records.")
@click.option("--batch", type=count(), default=128, show_default=True, help="Batch size on a CPU.")
@click.option("--repeats", type=count(2), default=20, show_default=True, help="Timed steps.")
@click.option("--images", type=count(high=1e12), default=1281167, show_default=True, help="Images of an epoch.")
@click.option("--format", "formats", type=click.Choice(FORMATS), multiple=True, default=FORMATS, help="Memory formats.")
@click.option("--mode", "modes", type=click.Choice(MODES), multiple=True, default=MODES[:1], help="Ways to execute.")
@click.option(
    "--convolutions",
    type=click.Choice(CONVOLUTIONS),
    multiple=True,
    default=EAGER_CONVOLUTIONS,
    help="Kinds of grouped convolutions, on a GPU.",
)
@click.option("--largest-batch", type=count(32), default=4096, show_default=True, help="Of those a GPU fits.")
@click.option("--devices", type=count(), default=8, show_default=True, help="An epoch on so many, too.")
@threads_option
@device_option
def profile(networks: Path, path: Path, threads: int, device: str | None, **options: Any) -> None:
    """Time the training steps of NETWORKS (a networks record), one after the other, on one device.

    Each is timed in each memory format, mode and kind of grouped convolutions; these options may be given again. The
    fastest counts.
    """
    from fastscale.records.networks import read_networks

    known = read_networks(networks)
    import torch

    from fastscale.profiling import profile as timing
    from fastscale.runtime.devices import choose_device

    torch.set_num_threads(threads)
    chosen = choose_device(device)
    timing.profile_all(known, path, timing.Options(**options), chosen)


@main.command()
@click.option("--out", type=PATH, default=Path("results/verdict"), show_default=True, help="The folder to write to.")
@click.option("--config", "own", type=PATH, help="Another sweep with `train: false`, of bases of your own, say.")
@click.option("--batch", type=count(), default=16, show_default=True, help="Batch size on a CPU.")
@threads_option
@device_option
def verdict(out: Path, own: Path | None, batch: int, threads: int, device: str | None) -> None:
    """Time the paper's bases and their scaled networks on one device: does fast scaling hold here?

    About 15 minutes on one GPU; synthetic images, no data, no Snakemake. What was timed before is kept.
    """
    from fastscale.cli.verdict import verdict as judge

    click.echo(judge(out, own, batch=batch, threads=threads, device=device))


@main.command()
@network_options
@click.option("--data", "folder", required=True, type=PATH, help="The folder with the .beton files.")
@click.option("--recipe", "differences", type=JSON, required=True, help="Differences from the paper's recipe.")
@click.option("--schedule", required=True, help="The schedule's name; its epochs stand in the recipe.")
@click.option("--trial", type=count(), default=1, show_default=True, help="The seed.")
@click.option("--checkpoints", required=True, type=PATH, help="The folder for this training's checkpoints.")
@click.option("--record", required=True, type=PATH, help="Where to write the train record.")
@click.option(
    "--ranks", type=count(0, 1024), default=1, show_default=True, help="Processes that share it, one for each GPU."
)
@click.option("--warm/--cold", default=False, show_default=True, help="Start from a process kept ready (CPU only).")
@threads_option
@device_option
def train(
    folder: Path,
    differences: Any,
    schedule: str,
    trial: int,
    checkpoints: Path,
    record: Path,
    ranks: int,
    warm: bool,
    threads: int,
    device: str | None,
    **options: Any,
) -> None:
    """Train the network BASE, scaled."""
    if warm:
        from fastscale.cli import warm as server

        if ranks <= 1 and server.can_run(device):
            try:
                sys.exit(server.run([*sys.argv[1:], "--cold"], folder, differences, threads))
            except server.NoServer as reason:
                click.echo(f"no process to start this training from ({reason}): it starts by itself", err=True)
    with fewer_collections():
        from fastscale.recipe import Recipe
        from fastscale.training.run import train as train_network

    network, _ = named_network(**options)
    recipe = Recipe.from_dict(differences).for_family(network.family)
    train_network(
        network,
        folder,
        recipe,
        schedule,
        trial,
        record_path=record,
        checkpoint_folder=checkpoints,
        threads=threads,
        device=device,
        ranks=max(1, ranks),  # 0 GPUs: this process
    )


@main.command()
@click.argument("name")
@sweep_option
def search(name: str, description: Path) -> None:
    """Choose the best candidate of the search NAME by its trainings, and write the search record."""
    from fastscale.planning.choice import choose
    from fastscale.sweep.sweep import Sweep

    choose(Sweep.load(description), name)


@main.command()
@sweep_option
@click.option("--jobs", is_flag=True, help="Also list each training.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(description: Path, jobs: bool, as_json: bool) -> None:
    """Price a sweep: networks, jobs, epochs, and device-hours by measured times, or a stated model."""
    from fastscale.planning.plan import plan as make
    from fastscale.sweep.sweep import Sweep

    made = make(Sweep.load(description))
    click.echo(json.dumps(made.to_dict()) if as_json else made.text(jobs))


@main.command()
@click.argument("artefacts", nargs=-1, required=True)
@sweep_option
@click.option("--partial", "scope", flag_value="partial", help="Show a gap where a record is missing, in partial/.")
@click.option("--complexity", "scope", flag_value="complexity", help="Show what can be counted, in complexity/.")
@click.option("--whole", "scope", flag_value="all", default=True, help="A missing record is an error (the default).")
def aggregate(artefacts: tuple[str, ...], description: Path, scope: Any) -> None:
    """Make ARTEFACTS (table1, fig6 ...) from the records of a sweep."""
    from fastscale.analysis import aggregate as make
    from fastscale.sweep.sweep import Sweep

    sweep = Sweep.load(description)
    for artefact in artefacts:
        if artefact not in sweep.artefacts:
            raise UserError(sweep.needs.why_absent(artefact))
    for artefact in artefacts:
        for path in make(sweep, artefact, scope):
            click.echo(path)


if __name__ == "__main__":
    sys.exit(main())
