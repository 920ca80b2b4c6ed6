"""A training in progress: its state, its steps and its validation."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from fastscale.data import Dataset
from fastscale.data.autoaugment import group_size
from fastscale.data.epochs import Prefetcher, draw_epoch
from fastscale.data.loaders import Share, steps_per_epoch, validation_batches
from fastscale.data.normalise import Normalise
from fastscale.data.prefetch import augmented, on_device
from fastscale.execution import fastest
from fastscale.models.build import build
from fastscale.models.optimizer import sgd
from fastscale.models.placement import MEMORY_FORMATS, place, prepared_forward, repeatable
from fastscale.networks import Network
from fastscale.recipe import Recipe
from fastscale.records.provenance import code_hash
from fastscale.runtime.devices import precision
from fastscale.runtime.distributed import average_over_ranks, rank, sum_over_ranks, world_size
from fastscale.training.batch_norm import RunningStatistics, renew_statistics, statistics_of

# A loss that is not finite for LOST_STEPS steps does not become finite again. Reading the loss waits for the device, so
# it is read every LOOK_STEPS steps only.
LOST_STEPS, LOOK_STEPS = 5, 100
# Steps between two exchanges in which several ranks ask each other whether to stop; an exchange waits for the device.
ASK_STEPS = 8

PROGRESS = ("epoch", "step", "spent", "loss_sum", "left_out", "lost", "log")


class Training:
    """A network in training; the caller calls `run_epoch` until `epoch` is the recipe's number of epochs.

    Several ranks share every batch, and have the same state after every step. All randomness follows from the seed, the
    epoch, and the sample or the step, so `state` is all that a training needs to go on wherever it was stopped.
    `log` has a row per finished epoch; `resumed` lists after how many epochs the training was resumed (a fraction:
    within an epoch). `timings` are those of executions, as records have them, none on a CPU: the fastest is taken.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        recipe: Recipe,
        seed: int,
        threads: int,
        device: torch.device,
        timings: list[dict[str, Any]],
    ):
        self.network, self.dataset, self.recipe = network, dataset, recipe
        self.seed, self.threads, self.device, self.timings = seed, threads, device, timings
        self.execution = fastest(timings)
        self.share = Share(rank(), world_size())
        self.parts = recipe.parts(self.share.ranks) // self.share.ranks  # per share of a batch
        self.ask_steps = ASK_STEPS if self.share.ranks > 1 else 1
        self.steps = steps_per_epoch(dataset, recipe.batch)
        self.epoch, self.step, self.spent = 0, 0, 0.0  # finished epochs; steps and seconds of the running one
        self.loss_sum = torch.zeros((), device=device)
        # Skipped steps, whose losses are not in this sum; consecutive steps without a finite loss.
        self.left_out, self.lost = (torch.zeros((), dtype=torch.int64, device=device) for _ in range(2))
        self.log: list[dict[str, Any]] = []
        self.resumed: list[float] = []
        self.earlier_codes: list[str] = []
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(seed)
        self.model = place(build(network), self.execution, device)
        self.average = place(copy.deepcopy(self.model), self.execution.eager, device).requires_grad_(False).eval()
        self.statistics = RunningStatistics(self.model, self.parts)
        self.parallel = self._parallel() if self.share.ranks > 1 else None
        self.forward = prepared_forward(self.parallel or self.model, self.execution)
        self.weights = _floats(self.model)
        self.averages = _floats(self.average)
        settings: dict[str, Any] = {name: getattr(recipe, name) for name in ("momentum", "nesterov", "weight_decay")}
        self.optimizer = sgd(self.model, **settings)
        self.precision = _precision(recipe.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.normalise = Normalise(
            dataset.mean, dataset.std, network.resolution, device, MEMORY_FORMATS[self.execution.memory_format]
        )
        self.grouped = group_size(recipe.batch // self.share.ranks, network.resolution, device) if recipe.augment else 0
        self.draw = Prefetcher(partial(draw_epoch, dataset, network.resolution, recipe, threads, seed, self.share))
        self.accumulate = repeatable(self._accumulate, self.execution, self._examples(), self.model.buffers())

    @property
    def progress(self) -> str:
        """Tell how many epochs are done, of how many."""
        return f"{self.epoch + self.step / self.steps:.4g} of {self.recipe.epochs}"

    @property
    def has_diverged(self) -> bool:
        """Tell whether the loss of the last epoch is not finite."""
        return bool(self.log) and not math.isfinite(self.log[-1]["train_loss"])

    def run_epoch(self, bar: tqdm, stop: Callable[[], bool]) -> bool:
        """Train to the end of the epoch, then measure the averaged weights on all validation images.

        Returns False if `stop` ended the epoch early; the next call goes on at the next step.
        """
        start, first = time.perf_counter(), self.step
        if not self.train_epoch(bar, stop):
            self.spent += time.perf_counter() - start
            return False
        trained = time.perf_counter() - start
        loss = self._loss()
        errors: tuple[float | None, float | None] = (None, None)
        if math.isfinite(loss):
            if self.recipe.precise_bn:
                self._renew_statistics()
            errors = self.validate()
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
        self.loss_sum.zero_(), self.left_out.zero_()
        return True

    def _loss(self) -> float:
        """Return the mean loss of the epoch's steps; not finite where the loss is lost."""
        counted = self.steps - self.left_out.item()
        return self.loss_sum.item() / counted if counted and self.lost < LOST_STEPS else math.nan

    def train_epoch(self, bar: tqdm, stop: Callable[[], bool]) -> bool:
        """Train the remaining steps of the epoch; returns False if stopped before the last one."""
        recipe, epoch = self.recipe, self.epoch
        batches = self._batches(epoch, self.step)
        if recipe.precise_bn:
            self.draw.begin(epoch, 0)
        if epoch + 1 < recipe.epochs:
            self.draw.begin(epoch + 1, 0)
        period, decay = recipe.ema_schedule(recipe.epochs * self.steps)
        copy_weights, average_weights = get_ema_multi_avg_fn(0.0), get_ema_multi_avg_fn(decay)
        self.model.train()
        for batch in batches:
            now = epoch + self.step / self.steps
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.learning_rate(now)
            loss = self._update(*batch)
            self.lost = torch.where(loss.isfinite(), 0, self.lost + 1)
            if self.optimizer.skipped is not None:
                is_out = (self.optimizer.skipped > 0) & ~loss.isfinite()
                self.left_out += is_out
                loss = torch.where(is_out, 0, loss)
            self.loss_sum += loss
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

    def _batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """Draw the arguments of `_update` for each step of an epoch from `first` on; images are read step by step."""
        done = first % self.grouped if self.grouped else 0  # batches before `first` that are augmented together with it
        drawn = self.draw(epoch, first - done)
        mixing = torch.from_numpy(drawn.mixing).to(self.device, torch.float32)
        lights: Sequence[Tensor | None] | Tensor = [None] * self.steps
        if drawn.lighting is not None:
            lights = torch.from_numpy(drawn.lighting / self.dataset.std).to(self.device, torch.float32)
        batches = augmented(drawn.batches, done, self.grouped, self.device)
        return ((*batch, mixing[step], lights[step]) for step, batch in enumerate(batches, start=first))

    def _update(self, images: Tensor, labels: Tensor, mixing: Tensor, lights: Tensor | None = None) -> Tensor:
        """Train one step; returns the loss of the whole batch.

        `mixing` is the share of the other image in mixup; `lights`, (N, 3), is added to the colours of the images.
        """
        self.optimizer.zero_grad(set_to_none=not self.execution.is_graph)
        losses = torch.zeros((), device=self.device)
        before = self.statistics.copied() if self.scaler.is_enabled() else None
        with self.statistics.step() as take_in:
            for part, batch in enumerate(self._parts(images, labels, lights), start=1):
                with self.parallel.no_sync() if self.parallel and part < self.parts else nullcontext():
                    losses += self.accumulate(mixing, *batch)
                take_in()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        average_over_ranks([*self.statistics.tensors, losses])
        if before is not None and self.optimizer.skipped is not None:
            self.statistics.restore(before, where=self.optimizer.skipped)
        return losses

    def _parts(self, *tensors: Tensor | None) -> Iterator[tuple[Tensor, ...]]:
        """Split the tensors of a batch, except those that are None, into its parts."""
        return zip(*(tensor.chunk(self.parts) for tensor in tensors if tensor is not None), strict=True)

    def _accumulate(self, mixing: Tensor, images: Tensor, labels: Tensor, lights: Tensor | None = None) -> Tensor:
        """Add the gradients of a part of a batch; returns the part's share of the loss."""
        loss = self._mixed_loss(self._inputs(images, lights), labels, mixing) / self.parts
        self.scaler.scale(loss).backward()
        return loss.detach()

    def _inputs(self, images: Tensor, lights: Tensor | None = None) -> Tensor:
        """Turn images, (N, 3, r, r) of uint8, into the model's inputs: normalised, plus `lights` on their colours."""
        inputs = self.normalise(images)
        return inputs if lights is None else inputs.add_(lights[:, :, None, None])

    def _mixed_loss(self, inputs: Tensor, labels: Tensor, mixing: Tensor) -> Tensor:
        """Return the loss with each image mixed with its counterpart in the reversed order (mixup)."""
        targets = F.one_hot(labels, self.network.classes).float()
        if self.recipe.mixup:
            inputs = inputs.lerp_(inputs.flip(0), mixing)
            targets = targets.lerp_(targets.flip(0), mixing)
        with self._autocast():
            return F.cross_entropy(self.forward(inputs), targets, label_smoothing=self.recipe.label_smoothing)

    def _examples(self) -> tuple[Tensor, ...]:
        """Make arguments for `_accumulate`: a part of a batch, of black images."""
        images, side = self.recipe.batch // self.share.ranks // self.parts, self.network.resolution
        black = torch.zeros(images, 3, side, side, dtype=torch.uint8, device=self.device)
        labels = torch.zeros(images, dtype=torch.int64, device=self.device)
        black = black.contiguous(memory_format=torch.channels_last)
        lights = [torch.zeros(images, 3, device=self.device)] if self.recipe.lighting else []
        return torch.zeros((), device=self.device), black, labels, *lights

    def _renew_statistics(self) -> None:
        """Take batch norm's statistics of the model and of its average anew, over the first images of the epoch.

        Full precision, as the authors have it, lets none of these batches overflow.
        """
        batches = islice(self._batches(self.epoch, 0), self.recipe.precise_batches(self.steps))
        parts = (self._inputs(*part) for images, _, _, lights in batches for part in self._parts(images, lights))
        renew_statistics(self.average, [self.model, self.average], parts)
        average_over_ranks([*self.statistics.tensors, *statistics_of(self.average)])

    @torch.inference_mode()
    def validate(self) -> tuple[float, float]:
        """Measure top-1 and top-5 error of the averaged weights, in percent of all validation images."""
        recipe, size = self.recipe, self.recipe.validation_batch(self.share.ranks)
        batches = validation_batches(
            self.dataset, self.network.resolution, size, recipe.eval_crop, self.threads, self.share
        )
        hits, seen = torch.zeros(2, dtype=torch.int64, device=self.device), self.dataset.images["val"]
        for images, labels in on_device(batches, self.device):
            with self._autocast():
                logits = self.average(self.normalise(images))
            best = logits.topk(min(5, self.network.classes)).indices == labels[:, None]
            hits += torch.stack([best[:, 0].sum(), best.sum()])
        top1, top5 = (round(100 * (1 - hit / seen), 4) for hit in sum_over_ranks(hits).tolist())
        return top1, top5

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        modules = {part: getattr(self, part).state_dict() for part in ("model", "average", "optimizer", "scaler")}
        progress = {part: getattr(self, part) for part in (*PROGRESS, "resumed")}
        codes = [*self.earlier_codes, code_hash("train")]
        return {**modules, **progress, "codes": codes, "batch": self.recipe.batch, "tried": self.timings}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state, which `state` returned in another process."""
        for part in ("model", "average", "optimizer", "scaler"):
            getattr(self, part).load_state_dict(state[part])
        for part in PROGRESS:
            value = state.get(part, getattr(self, part))  # an older state lacks parts: those keep their first values
            setattr(self, part, value.to(self.device) if isinstance(value, Tensor) else value)
        self.resumed = [*state["resumed"], round(self.epoch + self.step / self.steps, 4)]
        self.earlier_codes = [code for code in state["codes"] if code != code_hash("train")]

    def _parallel(self) -> DistributedDataParallel:
        """Wrap the model so that gradients are averaged over the ranks. `_update` averages its statistics."""
        device_ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(self.model, device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True)

    def _autocast(self):
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        return torch.autocast(self.device.type, dtype) if dtype else nullcontext()


def _floats(model: nn.Module) -> list[Tensor]:
    """List the tensors that are averaged: weights, and the running means and variances of batch norm."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


def _precision(requested: str, device: torch.device) -> str:
    names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    return names[precision(device)] if requested == "auto" else requested
