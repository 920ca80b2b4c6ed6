"""One command for one device: time a sweep that trains nothing, and make all that shows timings."""

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
    """Records, tables, figures and a page in `out`; returns the answer and where the page lies.

    Raises:
        UserError: a configuration that cannot be, or that trains; no such device; a full disk.
    """
    sweep = read(config or PAPER, out)
    import torch

    from fastscale.profiling import profile as timing
    from fastscale.runtime.devices import choose_device, describe

    torch.set_num_threads(threads)
    chosen, path = choose_device(device), sweep.profile_record(FIXED)
    log.warning(
        "timing %d networks on %s%s; each one is kept: stop and go on at will",
        len(sweep.networks),
        describe(chosen)["name"],
        "" if chosen.type == "cuda" else " (no GPU: networks of full size take hours)",
    )
    write_record(sweep.description, dict(sweep.config))
    write_networks(sweep.network_record(FIXED), sweep.networks.values())
    timing.profile_all(
        list(sweep.networks.values()), path, timing.Options(batch=batch, **sweep.config["profile"]), chosen
    )
    for artefact in sweep.artefacts:
        aggregate(sweep, artefact)
    page = next(file for file in sweep.artefacts["verdict"] if file.suffix == ".md")
    return f"{page.read_text()}\n{page}"


def read(path: Path, out: Path) -> Sweep:
    """The sweep of a configuration file, its results in `out`.

    Raises:
        UserError: no such file, no YAML, no sweep, or one that trains.
    """
    config = read_yaml(path)
    placed = {**config, "sweep": out.name, "results": str(out.parent)} if isinstance(config, dict) else config
    sweep = Sweep.from_config(placed, f"{path}, into {out}")
    if sweep.config["train"]:
        raise UserError(f"{path} is a sweep that trains; a verdict rests on timings alone, so set train: false")
    return sweep
