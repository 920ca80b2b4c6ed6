"""The verb `verdict`: time a sweep that trains nothing on one device, and make its artefacts."""

import logging
import math
import time
from itertools import accumulate
from pathlib import Path

from fastscale.analysis import aggregate
from fastscale.analysis.results.reading import Scope
from fastscale.errors import UserError
from fastscale.records.networks import write_networks
from fastscale.records.records import read_record, write_record
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.priority import FIRST, by_priority
from fastscale.sweep.sweep import Sweep
from fastscale.validation.documents import read_yaml

PAPER = Path(__file__).with_name("verdict.yaml")
log = logging.getLogger(__name__)


def verdict(
    out: Path,
    config: Path | None,
    *,
    batch: int,
    threads: int,
    device: str | None,
    minutes: float | None = None,
    autotune: int = 0,
) -> str:
    """Time a sweep's networks; write records, tables, figures and a page to `out`; return the answer and its path.

    After some `minutes` no further network is begun, and the page, in partial/, says which are left; another call goes
    on with these. On a GPU networks are timed in the order of what they tell, as CUDA graphs unless the sweep says
    otherwise, with the sweep's largest batch or what fits; cuDNN tries `autotune` kernels for each convolution.

    Raises:
        UserError: the configuration is wrong or trains, the device is unknown, or the disk is full.
    """
    sweep = read(config or PAPER, out)
    import torch

    from fastscale.profiling.options import Options
    from fastscale.profiling.profile import profile_all
    from fastscale.runtime.devices import choose_device, describe

    torch.set_num_threads(threads)
    began, chosen, path = time.monotonic(), choose_device(device), sweep.profile_record(FIXED)
    log.warning(
        "timing %d networks on %s%s; each timing is kept: you may stop and start again at any time",
        len(sweep.networks),
        describe(chosen)["name"],
        "" if chosen.type == "cuda" else " (no GPU: networks of full size take hours)",
    )
    write_record(sweep.description, dict(sweep.config))
    groups = [group.networks for group in by_priority(sweep.points)]
    networks = [network for group in groups for network in group]
    write_networks(sweep.network_record(FIXED), networks)
    deadline = math.inf if minutes is None else began + 60 * minutes
    is_one = minutes is None and chosen.type == "cpu"  # all rounds visit all networks: none is timed earlier
    portions = [] if is_one else list(accumulate(map(len, groups)))[FIRST - 1 :]
    options = Options(batch=batch, **sweep.config["profile"]).of_verdict(chosen, autotune)
    before = _rounds(path)
    profile_all(networks, path, options, chosen, deadline, portions)
    after = _rounds(path)
    scope: Scope = "all" if after.keys() >= sweep.networks.keys() else "partial"
    if left := sum(max(0, options.rounds - after.get(network.id, 0)) for network in networks):
        made = sum(after.values()) - sum(before.values())
        log.warning(
            "%d of %d networks are timed in all rounds, those that tell most first; the same command goes on%s",
            sum(rounds >= options.rounds for rounds in after.values()),
            len(networks),
            f", for about {(time.monotonic() - began) * left / made / 60:.0f} minutes" if made else "",
        )
    for artefact in sweep.artefacts:
        aggregate(sweep, artefact, scope)
    page = next(sweep.in_scope(file, scope) for file in sweep.artefacts["verdict"] if file.suffix == ".md")
    return f"{page.read_text()}\n{page}"


def _rounds(path: Path) -> dict[str, int]:
    """Count the rounds of each network in a profiles record."""
    records = read_record(path, "profiles")["records"] if path.exists() else []
    return {record["network"]: len(record["rounds"]) for record in records}


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
