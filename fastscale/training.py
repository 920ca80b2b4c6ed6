"""One training in the making: its state, its steps and its validation."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from fastscale import ranks
from fastscale.data import Dataset
from fastscale.data.loaders import Share, steps_per_epoch, training_batches, validation_batches
from fastscale.model import build
from fastscale.networks import Network
from fastscale.optimizer import sgd
from fastscale.recipe import Recipe
from fastscale.records import code_hash

Batches = Iterable[tuple[Tensor, Tensor]]

# A loss that is not finite for so many steps does not come back. To look costs a synchronisation, so it is done rarely.
LOST_STEPS, LOOK_STEPS = 5, 100
# Steps between two times that several ranks ask each other whether to stop, for the same reason.
ASK_STEPS = 8

MOMENTUM = 0.1  # of batch norm's running statistics: torch's own

PROGRESS = ("epoch", "step", "spent", "loss_sum", "lost", "log")


class Training:
    """A network that is being trained: `run_epoch` until `epoch` is the recipe's.

    Where there are several ranks, each has its share of every batch and all have the same state after every step.
    All randomness follows from the seed, the epoch, and the sample or the step, so that a training that was stopped
    anywhere needs no other state than `state`. `log` has a row for each epoch that is over, `resumed` the epochs (a
    fraction: within one) after which it was resumed.
    """

    def __init__(
        self, network: Network, dataset: Dataset, recipe: Recipe, seed: int, threads: int, device: torch.device
    ):
        self.network, self.dataset, self.recipe = network, dataset, recipe
        self.seed, self.threads, self.device = seed, threads, device
        self.share = Share(ranks.index(), ranks.count())
        self.parts = recipe.parts(self.share.ranks) // self.share.ranks  # of this rank's share of a batch
        self.ask_steps = ASK_STEPS if self.share.ranks > 1 else 1
        self.steps = steps_per_epoch(dataset, recipe.batch)
        self.epoch, self.step, self.spent = 0, 0, 0.0  # epochs that are over; steps and seconds of the present one
        self.loss_sum, self.lost = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
        self.log, self.resumed, self.codes = [], [], [code_hash("train")]
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(seed)
        self.model = build(network).to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.norms = [module for module in self.model.modules() if isinstance(module, nn.BatchNorm2d)]
        self.statistics = [tensor for norm in self.norms for tensor in (norm.running_mean, norm.running_var)]
        self.forward = self._parallel() if self.share.ranks > 1 else self.model
        self.weights = _floats(self.model)
        self.averages = _floats(self.average)
        self.optimizer = sgd(self.model, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
        self.precision = _precision(recipe.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in (dataset.mean, dataset.std))
        self.mean, self.inverse_std = mean, 1 / std

    @property
    def progress(self) -> str:
        """How many epochs are done, of how many."""
        return f"{self.epoch + self.step / self.steps:.4g} of {self.recipe.epochs}"

    @property
    def has_diverged(self) -> bool:
        """Whether the loss of the last epoch is not finite."""
        return bool(self.log) and not math.isfinite(self.log[-1]["train_loss"])

    def run_epoch(self, bar: tqdm, stop: Callable[[], bool]) -> bool:
        """Train to the end of the epoch, then measure the averaged weights on all validation images.

        False if `stop` said so before its end: nothing is lost, the next call goes on at the same step.
        """
        start, first = time.perf_counter(), self.step
        if not self._train_epoch(bar, stop):
            self.spent += time.perf_counter() - start
            return False
        trained = time.perf_counter() - start
        loss = self.loss_sum.item() / self.steps
        errors = self.validate() if math.isfinite(loss) else (None, None)
        row = {
            "epoch": self.epoch + 1,
            "lr": self.recipe.learning_rate(self.epoch + 1),
            "train_loss": loss,
            "top1_error": errors[0],
            "top5_error": errors[1],
            "seconds": round(self.spent + time.perf_counter() - start, 3),
            "images_per_second": round((self.step - first) * self.recipe.batch / trained, 1),
        }
        self.log.append(row)
        self.epoch, self.step, self.spent = self.epoch + 1, 0, 0.0
        self.loss_sum.zero_()
        return True

    def _train_epoch(self, bar: tqdm, stop: Callable[[], bool]) -> bool:
        """The steps of the epoch that are still to be done; False if stopped before the last one."""
        recipe, epoch = self.recipe, self.epoch
        batches = training_batches(
            self.dataset, self.network.resolution, recipe, self.threads, self.seed, epoch, self.step, self.share
        )
        host = np.random.default_rng([self.seed, epoch])
        shares = host.beta(recipe.mixup, recipe.mixup, self.steps) if recipe.mixup else np.ones(self.steps)
        period, decay = recipe.ema_schedule(recipe.epochs * self.steps)
        copy_weights, average_weights = get_ema_multi_avg_fn(0.0), get_ema_multi_avg_fn(decay)
        self.model.train()
        for images, labels in self._on_device(batches):
            now = epoch + self.step / self.steps
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.learning_rate(now)
            loss = self._update(images, labels, float(shares[self.step]))
            self.loss_sum += loss
            self.lost = torch.where(loss.isfinite(), 0, self.lost + 1)
            self.step += 1
            if (epoch * self.steps + self.step) % period == 0:
                update = copy_weights if now < recipe.warmup else average_weights
                update(self.averages, self.weights, None)
            bar.update()
            if self.step % LOOK_STEPS == 0 and self.lost >= LOST_STEPS:
                return True
            if self.step < self.steps and self.step % self.ask_steps == 0 and stop():
                return False
        return True

    def _update(self, images: Tensor, labels: Tensor, share: float) -> Tensor:
        """One step; returns the loss of the whole batch. `share` is an image's own part in mixup."""
        self.optimizer.zero_grad(set_to_none=True)
        losses = torch.zeros((), device=self.device)
        for part, batch in enumerate(zip(images.chunk(self.parts), labels.chunk(self.parts), strict=True), start=1):
            self._weigh_statistics(part)
            is_to_be_exchanged = self.share.ranks == 1 or part == self.parts
            with nullcontext() if is_to_be_exchanged else self.forward.no_sync():
                loss = self._mixed_loss(*batch, share) / self.parts
                self.scaler.scale(loss).backward()
            losses += loss.detach()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        ranks.average([*self.statistics, losses])
        return losses

    def _mixed_loss(self, images: Tensor, labels: Tensor, share: float) -> Tensor:
        """The loss with each image mixed with its counterpart in the reversed order (mixup)."""
        inputs = self._normalised(images)
        if share < 1:
            inputs = inputs.lerp_(inputs.flip(0), 1 - share)
        with self._autocast():
            logits = self.forward(inputs)
            loss = self._loss(logits, labels) * share
            if share < 1:
                loss = loss + self._loss(logits, labels.flip(0)) * (1 - share)
        return loss

    def _weigh_statistics(self, part: int) -> None:
        """Have the running statistics of batch norm take in the mean of those of all parts, whichever rank has them.

        With momentum m they become (1 - m) old + m / n (first + ... + n-th part), here one part after the other.
        """
        if self.parts > 1:
            momentum = MOMENTUM / self.parts / (1 - MOMENTUM + MOMENTUM * part / self.parts)
            for norm in self.norms:
                norm.momentum = momentum

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)

    @torch.inference_mode()
    def validate(self) -> tuple[float, float]:
        """Top-1 and top-5 error of the averaged weights, in percent of all validation images."""
        recipe, size = self.recipe, self.recipe.batch // self.share.ranks // self.parts
        batches = validation_batches(
            self.dataset, self.network.resolution, size, recipe.eval_crop, self.threads, self.share
        )
        hits, seen = torch.zeros(2, dtype=torch.int64, device=self.device), self.dataset.images["val"]
        for images, labels in self._on_device(batches):
            with self._autocast():
                logits = self.average(self._normalised(images))
            best = logits.topk(min(5, self.network.classes)).indices == labels[:, None]
            hits += torch.stack([best[:, 0].sum(), best.sum()])
        top1, top5 = (round(100 * (1 - hit / seen), 4) for hit in ranks.total(hits).tolist())
        return top1, top5

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        modules = {part: getattr(self, part).state_dict() for part in ("model", "average", "optimizer", "scaler")}
        progress = {part: getattr(self, part) for part in (*PROGRESS, "resumed", "codes")}
        return {**modules, **progress, "batch": self.recipe.batch}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned in another process."""
        for part in ("model", "average", "optimizer", "scaler"):
            getattr(self, part).load_state_dict(state[part])
        for part in PROGRESS:
            value = state[part]
            setattr(self, part, value.to(self.device) if isinstance(value, Tensor) else value)
        self.resumed = [*state["resumed"], round(self.epoch + self.step / self.steps, 4)]
        self.codes = [*(code for code in state["codes"] if code != self.codes[0]), self.codes[0]]

    def _normalised(self, images: Tensor) -> Tensor:
        return images.float().sub_(self.mean).mul_(self.inverse_std)

    def _parallel(self) -> DistributedDataParallel:
        """The model, with gradients that are averaged over the ranks. Its statistics are averaged in `_update`."""
        device_ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(self.model, device_ids, broadcast_buffers=False, gradient_as_bucket_view=True)

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
