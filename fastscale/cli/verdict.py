"""The verb `verdict`: time a sweep that trains nothing on one device, and make its artefacts."""

import logging
from pathlib import Path

from fastscale.analysis import aggregate
from fastscale.errors import UserError
from fastscale.records.networks import write_networks
from fastscale.records.records import write_record
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.sweep import Sweep
from fastscale.validation.documents import read_yaml

PAPER = Path(__file__).with_name("verdict.yaml")
log = logging.getLogger(__name__)


def verdict(out: Path, config: Path | None, *, batch: int, threads: int, device: str | None) -> str:
    """Time a sweep's networks; write records, tables, figures and a page to `out`; return the answer and its path.

    Raises:
        UserError: the configuration is wrong or trains, the device is unknown, or the disk is full.
    """
    sweep = read(config or PAPER, out)
    import torch

    from fastscale.profiling.options import Options
    from fastscale.profiling.profile import profile_all
    from fastscale.runtime.devices import choose_device, describe

    torch.set_num_threads(threads)
    chosen, path = choose_device(device), sweep.profile_record(FIXED)
    log.warning(
        "timing %d networks on %s%s; each timing is kept: you may stop and start again at any time",
        len(sweep.networks),
        describe(chosen)["name"],
        "" if chosen.type == "cuda" else " (no GPU: networks of full size take hours)",
    )
    write_record(sweep.description, dict(sweep.config))
    write_networks(sweep.network_record(FIXED), sweep.networks.values())
    profile_all(list(sweep.networks.values()), path, Options(batch=batch, **sweep.config["profile"]), chosen)
    for artefact in sweep.artefacts:
        aggregate(sweep, artefact)
    page = next(file for file in sweep.artefacts["verdict"] if file.suffix == ".md")
    return f"{page.read_text()}\n{page}"


def read(path: Path, out: Path) -> Sweep:
    """Read a sweep from a configuration file, with `out` as the folder of its results.

    Raises:
        UserError: the file is missing, no YAML, no sweep, or a sweep that trains.
    """
    config = read_yaml(path)
    if isinstance(config, dict):
        config = {**config, "sweep": out.name, "results": str(out.parent)}
    sweep = Sweep.from_config(config, f"{path}, into {out}")
    if sweep.config["train"]:
        raise UserError(f"{path} is a sweep that trains; a verdict rests on timings alone, so set train: false")
    return sweep
