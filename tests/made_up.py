"""Records of a whole sweep, computed by formulas: tests know what artefacts must show of them."""

from collections.abc import Callable
from typing import Any

from fastscale.analysis.results.reading import present_data
from fastscale.cost.prediction import Costs
from fastscale.networks import Network
from fastscale.networks.complexity import Complexity, count
from fastscale.recipe import Recipe
from fastscale.records.files import write_text
from fastscale.records.networks import write_networks
from fastscale.records.provenance import code_hash
from fastscale.records.records import write_record
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.sweep import Sweep


def minutes_of(cost: Complexity) -> float:
    """Return the minutes per epoch: linear in activations, so that activations predict them exactly."""
    return cost.acts / 1e4 + 1


def error_of(cost: Complexity, trial: int) -> float:
    """Return the top-1 error in per cent: it falls with flops, and trials differ by 0.1."""
    return 60 - 4 * len(f"{cost.flops:b}") / 2 + trial / 10


def write_records(
    sweep: Sweep,
    minutes: Callable[[Complexity], float] = minutes_of,
    error: Callable[[Complexity, int], float] = error_of,
) -> Sweep:
    """Write every record of `sweep`, those of searches first; return the sweep with the bases that searches found."""
    write_record(sweep.description, dict(sweep.config))
    for name, candidates in sweep.candidates.items():
        for candidate in candidates:
            write_training(sweep, candidate.network, sweep.searches[name].schedule, 1, error)
        from fastscale.planning.choice import choose

        choose(sweep, name)
    sweep = Sweep.from_config(sweep.config)
    for source in {FIXED, *sweep.searches}:
        networks = [network for name, network in sweep.networks.items() if sweep.sources[name] == source]
        write_networks(sweep.network_record(source), networks)
        records = [profile_record(network, minutes) for network in networks]
        write_record(sweep.profile_record(source), {"kind": "profiles", "records": records})
    for name, schedule in sweep.trainings(sweep.everything):
        for trial in sweep.trials:
            write_training(sweep, sweep.networks[name], schedule, trial, error)
    return sweep


def profile_record(network: Network, minutes: Callable[[Complexity], float]) -> dict[str, Any]:
    """Return a profile record of a network."""
    seconds = 60 * minutes(count(network))
    steps = dict.fromkeys(("least", "median", "most"), seconds * 10 / 1281167)
    return {
        "network": network.id,
        "network_hash": network.hash,
        "costs": Costs.from_network(network)._asdict(),
        "device": {"type": "cpu", "name": "abacus", "threads": 1},
        "precision": "float32",
        "images": 1281167,
        "batch": 10,
        "n": 5,
        "rounds": [steps["least"]] * 5,
        "loads": [1.0] * 5,
        "memory_format": "channels_last",
        "mode": "eager",
        "tried": [
            {
                "memory_format": "channels_last",
                "mode": "eager",
                "n": 5,
                "step_seconds": {"median": seconds * 10 / 1281167},
            }
        ],
        "step_seconds": steps,
        "inference_seconds": steps,
        "launch_seconds": 0.001,
        "peaks": {"flops_per_second": 1e12, "bytes_per_second": 1e11, "bytes_per_value": 4, "precision": "float32"},
        "several": {"devices": 8, "is_measured": False, "epoch_seconds": dict.fromkeys(steps, seconds / 8)},
        "epoch_seconds": dict.fromkeys(steps, seconds),
        "peak_memory_bytes": None,
        "provenance": provenance("profile"),
    }


def write_training(
    sweep: Sweep, network: Network, schedule: str, trial: int, error: Callable[[Complexity, int], float]
) -> None:
    """Write the record and the log of one training."""
    recipe = Recipe.from_dict(sweep.recipe(schedule)).for_family(network.family)
    top1 = error(count(network), trial)
    record = {
        "kind": "train",
        "network": network.id,
        "network_hash": network.hash,
        "schedule": schedule,
        "trial": trial,
        "recipe": recipe.to_dict(),
        "data_hash": present_data(sweep) or "0",  # the default sweep's data may lie here, as it has run
        "data": {"images": {"train": 2500, "val": 1000}},
        "status": "finished",
        "epochs": recipe.epochs,
        "top1_error": top1,
        "seconds": 10.0,
        "resumed": [],
        "device": {"type": "cpu", "name": "abacus", "threads": 1},
        "provenance": provenance("train"),
    }
    path = sweep.train_record(network.id, schedule, trial)
    write_record(path, record)
    write_text(path.with_suffix(".csv"), "epoch,top1_error\n" + "".join(f"{e},{top1}\n" for e in range(1, 3)))


def provenance(stage: str) -> dict[str, Any]:
    """Return the provenance of a record that the present code makes."""
    return {
        "date": "2026-01-02T03:04:05Z",
        "commit": "0123456789ab",
        "code": code_hash(stage),
        "python": "3.11.0",
        "versions": {"torch": "2.0"},
        "processor": "abacus",
        "slurm_job": None,
    }
