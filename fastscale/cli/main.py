"""The verbs of the command line: those that rules call, and those for a single network or device.

Each verb imports what it needs when it runs, so that light verbs start fast.
"""

import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from fastscale.cli import choosing
from fastscale.cli.extras import require
from fastscale.cli.options import (
    JSON,
    PATH,
    Quantity,
    Sentences,
    count,
    device_option,
    execution_options,
    named_network,
    network_options,
    sweep_option,
    threads_option,
)
from fastscale.errors import UserError


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Disable garbage collection during the imports of the block, then exempt the imported objects from it."""
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
    os.environ["PYTHONSAFEPATH"] = "1"  # Pythons started from here import nothing from the current folder


@main.command()
@network_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def scale(base: str, strategy: str, as_json: bool, **options: Any) -> None:
    """Scale the network BASE and count its flops, params and acts."""
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


for verb in (choosing.advise, choosing.probes, choosing.compare):
    main.add_command(verb)


@main.command()
@click.argument("path", type=PATH)
@click.option("--config", type=JSON, required=True, help="The sweep's configuration.")
def describe(path: Path, config: Any) -> None:
    """Write a sweep's description to PATH. The description is the configuration with all defaults filled in."""
    from fastscale.records.records import write_record
    from fastscale.sweep.sweep import Sweep

    write_record(path, dict(Sweep.from_config(config, "--config").config))


@main.command()
@click.argument("source")
@sweep_option
@click.option("--record", "path", required=True, type=PATH, help="Where to write the networks record.")
def networks(source: str, description: Path, path: Path) -> None:
    """Scale and count a sweep's networks from one SOURCE. SOURCE is a search, or `fixed` for networks without one."""
    from fastscale.records.networks import write_networks
    from fastscale.sweep.expansion import FIXED
    from fastscale.sweep.sweep import Sweep

    sweep = Sweep.load(description)
    if source not in (sources := [FIXED, *sweep.searches]):
        raise UserError(f"unknown source {source!r}: the sweep {sweep.name!r} has {', '.join(sources)}")
    write_networks(path, [network for name, network in sweep.networks.items() if sweep.sources[name] == source])


@main.command()
@click.option("--config", type=JSON, required=True, help="The data part of a sweep's configuration.")
@click.argument("folder", type=PATH)
@threads_option
def data(config: Any, folder: Path, threads: int) -> None:
    """Pack the images of a data set into .beton files in FOLDER."""
    require("train")
    from fastscale.sweep.schema import checked_data

    checked = checked_data(config)
    from fastscale.data import write_betons

    write_betons(checked, folder, threads=threads)


@main.command()
@click.argument("networks", type=PATH)
@click.option("--record", "path", required=True, type=PATH, help="Where to write the profiles record.")
@click.option("--batch", type=count(), default=128, show_default=True, help="Batch size on a CPU.")
@click.option("--repeats", type=count(2), default=20, show_default=True, help="Timed steps, in 5 rounds or more.")
@click.option("--images", type=count(high=1e12), default=1281167, show_default=True, help="Images per epoch.")
@execution_options
@click.option("--largest-batch", type=count(32), default=4096, show_default=True, help="Largest batch to try on a GPU.")
@click.option(
    "--devices", type=count(), default=8, show_default=True, help="Also give the time of an epoch on this many devices."
)
@threads_option
@device_option
def profile(networks: Path, path: Path, threads: int, device: str | None, **options: Any) -> None:
    """Time the training steps of networks on one device. NETWORKS is a networks record.

    Each is timed in every combination of the given memory formats, modes and kinds of grouped convolutions; its fastest
    round by the fastest combination counts. On a CPU each round visits all networks. The same command continues.
    """
    from fastscale.records.networks import read_networks

    timed = read_networks(networks)  # before torch is imported, so that a wrong record is refused at once
    import torch

    from fastscale.profiling.options import Options
    from fastscale.profiling.profile import profile_all
    from fastscale.runtime.devices import choose_device

    torch.set_num_threads(threads)
    chosen = choose_device(device)
    profile_all(timed, path, Options(**options), chosen)


@main.command()
@click.option("--out", type=PATH, default=Path("results/verdict"), show_default=True, help="The folder to write to.")
@click.option("--config", type=PATH, help="Another sweep with `train: false`, for example of your own bases.")
@click.option("--batch", type=count(), default=16, show_default=True, help="Batch size on a CPU.")
@click.option(
    "--minutes",
    type=Quantity(low=0, high=1e6),
    help="Begin no further network after these: the page is made of those timed by then, which tell most.",
)
@click.option(
    "--autotune",
    type=count(0, 1000),
    default=0,
    show_default=True,
    help="On a GPU: kernels that cuDNN tries for each convolution, a second or more apiece; with 0 it tries none.",
)
@threads_option
@device_option
def verdict(out: Path, config: Path | None, device: str | None, **how: Any) -> None:
    """Say whether fast scaling holds on a device, by timing networks.

    The networks are the paper's bases and scaled ones, on synthetic images: neither data nor Snakemake is needed.
    Networks that were timed before are not timed again: with --minutes, another call goes on with those that are left.
    """
    require("workflow")
    from fastscale.cli.verdict import verdict as judge

    click.echo(judge(out, config, device=device, **how))


@main.command()
@network_options
@click.option("--data", "folder", required=True, type=PATH, help="The folder with the .beton files.")
@click.option("--recipe", "differences", type=JSON, required=True, help="Differences from the paper's recipe.")
@click.option("--schedule", required=True, help="The schedule's name; the recipe gives its epochs.")
@click.option("--trial", type=count(), default=1, show_default=True, help="Number of the trial; it is the seed.")
@click.option("--checkpoints", required=True, type=PATH, help="The folder for this training's checkpoints.")
@click.option("--record", required=True, type=PATH, help="Where to write the train record.")
@click.option(
    "--ranks", type=count(0, 1024), default=1, show_default=True, help="Processes that share the training, one per GPU."
)
@click.option("--warm/--cold", default=False, show_default=True, help="Start from a prepared process (CPU only).")
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
    """Scale the network BASE and train it."""
    require("train")
    if warm:
        from fastscale.cli import warm as server

        if ranks <= 1 and server.can_run(device):
            try:
                sys.exit(server.run([*sys.argv[1:], "--cold"], folder, differences, threads))
            except server.NoServer as reason:
                click.echo(
                    f"no prepared process ({reason}): this training starts by itself, a few seconds later", err=True
                )
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
        ranks=max(1, ranks),  # rules pass the number of GPUs, which is 0 on a CPU
    )


@main.command()
@click.argument("name")
@sweep_option
def search(name: str, description: Path) -> None:
    """Choose the best candidate of the search NAME. The choice becomes the search record."""
    from fastscale.planning.choice import choose
    from fastscale.sweep.sweep import Sweep

    choose(Sweep.load(description), name)


@main.command()
@sweep_option
@click.option("--jobs", is_flag=True, help="List each training too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(description: Path, jobs: bool, as_json: bool) -> None:
    """Estimate the jobs, epochs and device-hours of a sweep. Times are measured, or follow a stated model."""
    from fastscale.planning.plan import plan as plan_sweep
    from fastscale.sweep.sweep import Sweep

    planned = plan_sweep(Sweep.load(description))
    click.echo(json.dumps(planned.to_dict()) if as_json else planned.text(jobs))


@main.command()
@click.argument("artefacts", nargs=-1, required=True)
@sweep_option
@click.option("--partial", "scope", flag_value="partial", help="Show a gap for each missing record, in partial/.")
@click.option("--complexity", "scope", flag_value="complexity", help="Show counts alone, in complexity/.")
@click.option("--whole", "scope", flag_value="all", default=True, help="Refuse if a record is missing (the default).")
def aggregate(artefacts: tuple[str, ...], description: Path, scope: Any) -> None:
    """Make ARTEFACTS (table1, fig6 ...) from the records of a sweep."""
    require("workflow")
    from fastscale.analysis import aggregate as make_artefact
    from fastscale.sweep.sweep import Sweep

    sweep = Sweep.load(description)
    for artefact in artefacts:
        if artefact not in sweep.artefacts:
            raise UserError(sweep.needs.why_absent(artefact))
    for artefact in artefacts:
        for path in make_artefact(sweep, artefact, scope):
            click.echo(path)


if __name__ == "__main__":
    sys.exit(main())
