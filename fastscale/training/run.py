"""One training by the recipe of section 6.1 of the paper, from .beton files to a train record."""

import gc
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fastscale.data import Dataset
from fastscale.data.loaders import choose_reader, steps_per_epoch
from fastscale.errors import Stopped, UserError
from fastscale.networks import Network
from fastscale.profiling.autotune import autotune
from fastscale.recipe import Recipe
from fastscale.records.files import write_text
from fastscale.records.provenance import code_hash, provenance
from fastscale.records.records import write_record
from fastscale.runtime.devices import choose_device, describe, out_of_memory
from fastscale.runtime.distributed import any_rank, on_rank_zero, rank, run_ranks, world_size
from fastscale.runtime.host_memory import keep_freed_memory
from fastscale.runtime.signals import stop_requests
from fastscale.training.checkpoint import Checkpoints
from fastscale.training.trainer import Training

log = logging.getLogger(__name__)


def train(
    network: Network,
    data_folder: Path,
    recipe: Recipe,
    schedule: str,
    trial: int,
    *,
    record_path: Path,
    checkpoint_folder: Path,
    threads: int,
    device: str | None = None,
    ranks: int = 1,
) -> dict[str, Any]:
    """Train `network` and write its record, with a CSV of the epochs beside it; `trial` is the seed.

    `ranks` processes, one GPU each, share each batch and the `threads`.

    After each epoch, and when a signal asks to stop, the state is written to `checkpoint_folder`. An interrupted
    training goes on from there; on a CPU it ends with the same bits as an uninterrupted one. A training that the same
    code has finished already is not repeated: only its record is written again.

    Raises:
        UserError: data that are missing, damaged or of another number of classes; a batch that is larger than the data
            or that the ranks cannot share; fewer GPUs than are asked for; a full disk.
        Stopped: a signal asked to stop; the state is in `checkpoint_folder`.
    """
    recipe = recipe.for_family(network.family)
    dataset = Dataset.open(data_folder)
    if dataset.classes != network.classes:
        raise UserError(
            f"{network.id} has {network.classes} classes, but the data in {data_folder} has {dataset.classes}; "
            f"give --classes {dataset.classes} (data.classes in a sweep)"
        )
    identity = {
        "network_hash": network.hash,
        "recipe_hash": recipe.hash,
        "data_hash": dataset.hash,
        "seed": trial,
    }
    checkpoints = Checkpoints(checkpoint_folder, identity)
    if result := checkpoints.finished():
        if result["record"]["provenance"]["code"] == code_hash("train"):
            return _write(record_path, result["record"], result["log"])
        log.warning("the code of training has changed since %s was trained: training it anew", network.id)
        checkpoints.clear()

    chosen = choose_device(device)
    job = partial(_train, network, dataset, trial, threads // ranks or 1, checkpoints, record_path.with_suffix(".csv"))
    halved = recipe
    halved.parts(ranks)
    while True:
        try:
            outcome = run_ranks(ranks, chosen, job, halved)
            break
        except torch.OutOfMemoryError as error:
            if halved.batch // halved.parts(ranks) < 4:
                raise UserError(
                    f"{network.id}: not even {halved.batch} images fit in the memory of {ranks} of these GPUs"
                ) from error
        halved = halved.halved(ranks)
        checkpoints.clear()
        gc.collect()  # the failed training holds references to itself
        torch.cuda.empty_cache()
        log.warning(
            "%s does not fit in this GPU's memory: halving the batch to %d, lr with it", network.id, halved.batch
        )

    record = {
        "kind": "train",
        "network": network.id,
        "schedule": schedule,
        "trial": trial,
        **identity,
        "recipe": recipe.to_dict(),
        "data": {"name": dataset.name, "images": dict(dataset.images), "content": dict(dataset.content)},
        **outcome["measured"],
        "ranks": ranks,
        "provenance": provenance("train", ("torch", "ffcv", "numpy")),
    }
    checkpoints.finish({"record": record, "log": outcome["log"]})
    return _write(record_path, record, outcome["log"])


@out_of_memory()
def _train(
    network: Network,
    dataset: Dataset,
    trial: int,
    threads: int,
    checkpoints: Checkpoints,
    log_path: Path,
    device: torch.device,
    recipe: Recipe,
) -> dict[str, Any]:
    """Train in this rank, from the newest checkpoint on; returns what was measured, for the record, and the epochs."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    state = checkpoints.load()
    while state and recipe.batch > state["batch"]:  # the memory was too small for a larger batch
        recipe = recipe.halved(world_size())
    if state:
        timings = state["tried"]
    else:
        parts = recipe.parts(world_size())
        steps = recipe.epochs * steps_per_epoch(dataset, recipe.batch) * parts // world_size()
        images, graphs = recipe.batch // parts, world_size() == 1  # no graph can hold an exchange between GPUs
        timings = on_rank_zero(lambda: autotune(steps, network, images, device, graphs=graphs))
    with stop_requests() as stop:
        training = Training(network, dataset, recipe, trial, threads, device, timings)
        if state:
            training.load_state(state)
            log.warning("%s, trial %d: resumed after epoch %s", network.id, trial, training.progress)
        _complete(training, checkpoints, log_path, lambda: any_rank(stop()))
    last, has_diverged = training.log[-1], training.has_diverged
    measured = {
        "batch": training.recipe.batch,  # smaller than the recipe's where that did not fit
        "status": "diverged" if has_diverged else "finished",
        "epochs": training.epoch,
        **{key: None if has_diverged else last[key] for key in ("top1_error", "top5_error", "train_loss")},
        "seconds": round(sum(row["seconds"] for row in training.log), 3),
        "resumed": training.resumed,
        "earlier_code": training.earlier_codes,
        "loader": choose_reader()[0],
        "precision": training.precision,
        **training.execution._asdict(),
        "tried": timings,
        "device": describe(device),
    }
    return {"measured": measured, "log": training.log}


def _complete(training: Training, checkpoints: Checkpoints, log_path: Path, stop: Callable[[], bool]) -> None:
    """Train to the last epoch, or until the loss is lost; the state and the log are written after each epoch."""
    epochs, steps, is_first = training.recipe.epochs, training.steps, rank() == 0
    if is_first:
        write_text(log_path, _csv(training.log))
    done = training.epoch * steps + training.step
    with tqdm(total=epochs * steps, initial=done, disable=None if is_first else True) as bar:
        bar.set_description(f"{training.network.id} {training.seed}")
        while training.epoch < epochs and not training.has_diverged:
            is_over = not stop() and training.run_epoch(bar, stop)
            if is_first and not training.has_diverged:
                checkpoints.save(training.epoch * steps + training.step, training.state())
            if not is_over:
                raise Stopped(
                    f"{training.network.id}, trial {training.seed}: stopped by a signal after epoch {training.progress}"
                )
            if is_first:
                write_text(log_path, _csv(training.log))


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = ("epoch", "lr", "train_loss", "top1_error", "top5_error", "seconds", "images_per_second")
    lines = [",".join("" if row[c] is None else f"{row[c]:.8g}" for c in columns) for row in rows]
    return "\n".join([",".join(columns), *lines]) + "\n"


def _write(path: Path, record: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    write_text(path.with_suffix(".csv"), _csv(rows))
    return write_record(path, record)
