"""Training one network by the recipe of section 6.1 of the paper, from .beton files to a train record."""

import copy
import logging
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from fastscale.checkpoint import Checkpoints
from fastscale.data import Dataset
from fastscale.data.loaders import steps_per_epoch, training_batches, validation_batches
from fastscale.errors import UserError
from fastscale.model import build
from fastscale.networks import Network
from fastscale.optimizer import sgd
from fastscale.recipe import Recipe
from fastscale.records import code_hash, provenance, write_record, write_text
from fastscale.timing import choose_device, describe

log = logging.getLogger(__name__)

Batches = Iterable[tuple[Tensor, Tensor]]


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
) -> dict[str, Any]:
    """Train `network` and write its record, with a CSV of the epochs beside it; `trial` is the seed.

    After each epoch the state goes to `checkpoint_folder`: a training that was interrupted goes on from there, and one
    that has ended already, with the same code, is not repeated: just its record is written again.

    Raises:
        UserError: data that is missing, damaged or of another number of classes, a batch larger than the data, no GPU
            where one is asked for, or a full disk.
    """
    recipe = recipe.for_family(network.family)
    dataset = Dataset.open(data_folder)
    if dataset.classes != network.classes:
        raise UserError(
            f"{network.id} has {network.classes} classes, but the data in {data_folder} has {dataset.classes}; "
            "set data: classes to that number"
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
    torch.set_num_threads(threads)
    training = Training(network, dataset, recipe, trial, threads, chosen)
    if state := checkpoints.load():
        training.load_state(state)
        log.warning("%s, trial %d: resumed after epoch %d of %d", network.id, trial, training.epoch, recipe.epochs)
    write_text(record_path.with_suffix(".csv"), _csv(training.log))
    with tqdm(total=recipe.epochs * training.steps, initial=training.epoch * training.steps, disable=None) as bar:
        bar.set_description(f"{network.id} {schedule} {trial}")
        while training.epoch < recipe.epochs and not training.has_diverged:
            training.run_epoch(bar)
            if not training.has_diverged:
                checkpoints.save(training.epoch, training.state())
            write_text(record_path.with_suffix(".csv"), _csv(training.log))

    last = training.log[-1]
    record = {
        "kind": "train",
        "network": network.id,
        "schedule": schedule,
        "trial": trial,
        **identity,
        "recipe": recipe.to_dict(),
        "data": {"name": dataset.name, "images": dict(dataset.images), "content": dict(dataset.content)},
        "status": "diverged" if training.has_diverged else "finished",
        "epochs": training.epoch,
        **{key: None if training.has_diverged else last[key] for key in ("top1_error", "top5_error", "train_loss")},
        "seconds": round(sum(row["seconds"] for row in training.log), 3),
        "resumed": training.resumed,
        "earlier_code": training.codes[:-1],
        "precision": training.precision,
        "device": describe(chosen),
        "provenance": provenance("train", ("torch", "ffcv", "numpy")),
    }
    checkpoints.finish({"record": record, "log": training.log})
    return _write(record_path, record, training.log)


class Training:
    """A network that is being trained: `run_epoch` until `epoch` is the recipe's.

    All randomness but FFCV's crops follows from the seed and the epoch, so that a resumed training needs no other
    state. `log` has a row for each epoch, `resumed` the epochs after which it was resumed.
    """

    def __init__(
        self, network: Network, dataset: Dataset, recipe: Recipe, seed: int, threads: int, device: torch.device
    ):
        self.dataset, self.recipe, self.seed, self.threads, self.device = dataset, recipe, seed, threads, device
        self.resolution, self.classes = network.resolution, network.classes
        self.steps = steps_per_epoch(dataset, recipe.batch)
        self.epoch, self.log, self.resumed, self.codes = 0, [], [], [code_hash("train")]
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(seed)
        self.model = build(network).to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.weights = _floats(self.model)
        self.averages = _floats(self.average)
        self.optimizer = sgd(self.model, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
        self.precision = _precision(recipe.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in (dataset.mean, dataset.std))
        self.mean, self.inverse_std = mean, 1 / std

    @property
    def has_diverged(self) -> bool:
        """Whether the loss of the last epoch is not finite."""
        return bool(self.log) and not math.isfinite(self.log[-1]["train_loss"])

    def run_epoch(self, bar: tqdm) -> None:
        """Train for one epoch, then measure the averaged weights on all validation images."""
        start = time.perf_counter()
        loss = self._train_epoch(bar)
        trained = time.perf_counter()
        self.epoch += 1
        errors = self.validate() if math.isfinite(loss) else (None, None)
        row = {
            "epoch": self.epoch,
            "lr": self.recipe.learning_rate(self.epoch),
            "train_loss": loss,
            "top1_error": errors[0],
            "top5_error": errors[1],
            "seconds": round(time.perf_counter() - start, 3),
            "images_per_second": round(self.steps * self.recipe.batch / (trained - start), 1),
        }
        self.log.append(row)

    def _train_epoch(self, bar: tqdm) -> float:
        """The mean loss over the epoch's steps."""
        recipe, epoch = self.recipe, self.epoch
        batches = training_batches(
            self.dataset, self.resolution, recipe.batch, recipe.crop_scale, self.threads, self.seed, epoch
        )
        host, generator = np.random.default_rng([self.seed, epoch]), torch.Generator(self.device)
        generator.manual_seed(int(host.integers(2**63)))
        shares = host.beta(recipe.mixup, recipe.mixup, self.steps) if recipe.mixup else np.ones(self.steps)
        period, decay = recipe.ema_schedule(recipe.epochs * self.steps)
        copy_weights, average_weights = get_ema_multi_avg_fn(0.0), get_ema_multi_avg_fn(decay)
        total = torch.zeros((), device=self.device)
        self.model.train()
        for step, (images, labels) in enumerate(self._on_device(batches)):
            now = epoch + step / self.steps
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.learning_rate(now)
            total += self._step(images, labels, float(shares[step]), generator)
            if (epoch * self.steps + step + 1) % period == 0:
                update = copy_weights if now < recipe.warmup else average_weights
                update(self.averages, self.weights, None)
            bar.update()
        return total.item() / self.steps

    def _step(self, images: Tensor, labels: Tensor, share: float, generator: torch.Generator) -> Tensor:
        """One update: each image mixed with its counterpart in the reversed batch, `share` its own part (mixup)."""
        if self.recipe.flip:
            flipped = torch.rand(len(images), 1, 1, 1, device=self.device, generator=generator) < 0.5
            images = torch.where(flipped, images.flip(3), images)
        inputs = self._normalised(images)
        if share < 1:
            inputs = inputs.lerp_(inputs.flip(0), 1 - share)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            logits = self.model(inputs)
            loss = self._loss(logits, labels) * share
            if share < 1:
                loss = loss + self._loss(logits, labels.flip(0)) * (1 - share)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)

    @torch.inference_mode()
    def validate(self) -> tuple[float, float]:
        """Top-1 and top-5 error of the averaged weights, in percent of all validation images."""
        recipe = self.recipe
        batches = validation_batches(self.dataset, self.resolution, recipe.batch, recipe.eval_crop, self.threads)
        hits, seen = torch.zeros(2, dtype=torch.int64, device=self.device), 0
        for images, labels in self._on_device(batches):
            with self._autocast():
                logits = self.average(self._normalised(images))
            best = logits.topk(min(5, self.classes)).indices == labels[:, None]
            hits += torch.stack([best[:, 0].sum(), best.sum()])
            seen += len(labels)
        top1, top5 = (round(100 * (1 - hit / seen), 4) for hit in hits.tolist())
        return top1, top5

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on."""
        parts = {part: getattr(self, part).state_dict() for part in ("model", "average", "optimizer", "scaler")}
        return {**parts, "log": self.log, "resumed": self.resumed, "codes": self.codes}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned in another process."""
        for part in ("model", "average", "optimizer", "scaler"):
            getattr(self, part).load_state_dict(state[part])
        self.epoch, self.log, self.resumed = state["epoch"], state["log"], [*state["resumed"], state["epoch"]]
        self.codes = [*(code for code in state["codes"] if code != self.codes[0]), self.codes[0]]

    def _normalised(self, images: Tensor) -> Tensor:
        return images.float().sub_(self.mean).mul_(self.inverse_std)

    def _autocast(self):
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        return torch.autocast(self.device.type, dtype) if dtype else nullcontext()

    def _on_device(self, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches, on the training device."""
        for images, labels in batches:
            if self.device.type == "cpu":
                yield images, labels
                continue
            on_device = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
            copied = torch.cuda.current_stream(self.device).record_event()
            yield on_device
            # The next pair may be written where this one lies: its copy must be over. The step runs on meanwhile.
            copied.synchronize()


def _floats(model: nn.Module) -> list[Tensor]:
    """What is averaged: weights, and the running mean and variance of batch norm."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


def _precision(wanted: str, device: torch.device) -> str:
    if wanted != "auto":
        return wanted
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = ("epoch", "lr", "train_loss", "top1_error", "top5_error", "seconds", "images_per_second")
    lines = [",".join("" if row[c] is None else f"{row[c]:.8g}" for c in columns) for row in rows]
    return "\n".join([",".join(columns), *lines]) + "\n"


def _write(path: Path, record: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    write_text(path.with_suffix(".csv"), _csv(rows))
    write_record(path, record)
    return record
