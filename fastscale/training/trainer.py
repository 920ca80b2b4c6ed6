"""One training in the making: its state, its steps and its validation."""

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
from fastscale.models.placement import MEMORY_FORMATS, forward_of, place, repeatable
from fastscale.networks import Network
from fastscale.recipe import Recipe
from fastscale.records.provenance import code_hash
from fastscale.runtime import distributed as ranks
from fastscale.runtime.devices import precision
from fastscale.training.batch_norm import RunningStatistics, renew_statistics, statistics_of

# A loss that is not finite for so many steps does not come back. To look costs a synchronisation, so it is done rarely.
LOST_STEPS, LOOK_STEPS = 5, 100
# Steps between two times that several ranks ask each other whether to stop, for the same reason.
ASK_STEPS = 8

PROGRESS = ("epoch", "step", "spent", "loss_sum", "left_out", "lost", "log")


class Training:
    """A network that is being trained: `run_epoch` until `epoch` is the recipe's.

    Where there are several ranks, each has its share of every batch and all have the same state after every step.
    All randomness follows from the seed, the epoch, and the sample or the step, so that a training that was stopped
    anywhere needs no other state than `state`. `log` has a row for each epoch that is over, `resumed` the epochs (a
    fraction: within one) after which it was resumed. `tried` are the ways to execute the network that were timed (none
    on a CPU): the fastest is taken.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        recipe: Recipe,
        seed: int,
        threads: int,
        device: torch.device,
        tried: list[dict[str, Any]],
    ):
        self.network, self.dataset, self.recipe = network, dataset, recipe
        self.seed, self.threads, self.device, self.tried = seed, threads, device, tried
        self.execution = fastest(tried)
        self.share = Share(ranks.index(), ranks.count())
        self.parts = recipe.parts(self.share.ranks) // self.share.ranks  # of this rank's share of a batch
        self.ask_steps = ASK_STEPS if self.share.ranks > 1 else 1
        self.steps = steps_per_epoch(dataset, recipe.batch)
        self.epoch, self.step, self.spent = 0, 0, 0.0  # epochs that are over; steps and seconds of the present one
        self.loss_sum = torch.zeros((), device=device)
        # Steps whose losses are not in this sum, as they were skipped and had none; those without, one after the other.
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
        self.forward = forward_of(self.parallel or self.model, self.execution)
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
        """The mean loss of the epoch's steps; not finite where it is lost."""
        counted = self.steps - self.left_out.item()
        return self.loss_sum.item() / counted if counted and self.lost < LOST_STEPS else math.nan

    def train_epoch(self, bar: tqdm, stop: Callable[[], bool]) -> bool:
        """The steps of the epoch that are still to be done; False if stopped before the last one."""
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
        """What `_update` takes, for each step of an epoch from `first` on: drawn at once, but read when it is taken."""
        done = first % self.grouped if self.grouped else 0  # of a group of batches that are augmented together
        drawn = self.draw(epoch, first - done)
        mixing = torch.from_numpy(drawn.mixing).to(self.device, torch.float32)
        lights: Sequence[Tensor | None] | Tensor = [None] * self.steps
        if drawn.lighting is not None:
            lights = torch.from_numpy(drawn.lighting / self.dataset.std).to(self.device, torch.float32)
        batches = augmented(drawn.batches, done, self.grouped, self.device)
        return ((*batch, mixing[step], lights[step]) for step, batch in enumerate(batches, start=first))

    def _update(self, images: Tensor, labels: Tensor, mixing: Tensor, lights: Tensor | None = None) -> Tensor:
        """One step; returns the loss of the whole batch.

        `mixing` is the part that another image has in mixup, `lights`, (N, 3), what is added to colours.
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
        ranks.average([*self.statistics.tensors, losses])
        if before is not None and self.optimizer.skipped is not None:
            self.statistics.restore(before, where=self.optimizer.skipped)
        return losses

    def _parts(self, *tensors: Tensor | None) -> Iterator[tuple[Tensor, ...]]:
        """Those of the tensors that there are, of a batch, for each of its parts."""
        return zip(*(tensor.chunk(self.parts) for tensor in tensors if tensor is not None), strict=True)

    def _accumulate(self, mixing: Tensor, images: Tensor, labels: Tensor, lights: Tensor | None = None) -> Tensor:
        """Add the gradients of a part of a batch; returns its part of the loss."""
        loss = self._mixed_loss(self._inputs(images, lights), labels, mixing) / self.parts
        self.scaler.scale(loss).backward()
        return loss.detach()

    def _inputs(self, images: Tensor, lights: Tensor | None = None) -> Tensor:
        """What the model is fed with: pixels as floats, and what is added to the colours of each image."""
        inputs = self.normalise(images)
        return inputs if lights is None else inputs.add_(lights[:, :, None, None])

    def _mixed_loss(self, inputs: Tensor, labels: Tensor, mixing: Tensor) -> Tensor:
        """The loss with each image mixed with its counterpart in the reversed order (mixup)."""
        wanted = F.one_hot(labels, self.network.classes).float()
        if self.recipe.mixup:
            inputs = inputs.lerp_(inputs.flip(0), mixing)
            wanted = wanted.lerp_(wanted.flip(0), mixing)
        with self._autocast():
            return F.cross_entropy(self.forward(inputs), wanted, label_smoothing=self.recipe.label_smoothing)

    def _examples(self) -> tuple[Tensor, ...]:
        """What `_accumulate` takes: a part of a batch, of black images."""
        images, side = self.recipe.batch // self.share.ranks // self.parts, self.network.resolution
        black = torch.zeros(images, 3, side, side, dtype=torch.uint8, device=self.device)
        labels = torch.zeros(images, dtype=torch.int64, device=self.device)
        black = black.contiguous(memory_format=torch.channels_last)
        lights = [torch.zeros(images, 3, device=self.device)] if self.recipe.lighting else []
        return torch.zeros((), device=self.device), black, labels, *lights

    def _renew_statistics(self) -> None:
        """Take batch norm's statistics anew, of the model and its average, over the first images of the epoch.

        In full precision, as the authors do it: none of these batches may overflow.
        """
        batches = islice(self._batches(self.epoch, 0), self.recipe.precise_batches(self.steps))
        parts = (self._inputs(*part) for images, _, _, lights in batches for part in self._parts(images, lights))
        renew_statistics(self.average, [self.model, self.average], parts)
        ranks.average([*self.statistics.tensors, *statistics_of(self.average)])

    @torch.inference_mode()
    def validate(self) -> tuple[float, float]:
        """Top-1 and top-5 error of the averaged weights, in percent of all validation images."""
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
        top1, top5 = (round(100 * (1 - hit / seen), 4) for hit in ranks.total(hits).tolist())
        return top1, top5

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        modules = {part: getattr(self, part).state_dict() for part in ("model", "average", "optimizer", "scaler")}
        progress = {part: getattr(self, part) for part in (*PROGRESS, "resumed")}
        codes = [*self.earlier_codes, code_hash("train")]
        return {**modules, **progress, "codes": codes, "batch": self.recipe.batch, "tried": self.tried}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned in another process."""
        for part in ("model", "average", "optimizer", "scaler"):
            getattr(self, part).load_state_dict(state[part])
        for part in PROGRESS:
            value = state.get(part, getattr(self, part))  # of before there was this part, that of the beginning
            setattr(self, part, value.to(self.device) if isinstance(value, Tensor) else value)
        self.resumed = [*state["resumed"], round(self.epoch + self.step / self.steps, 4)]
        self.earlier_codes = [code for code in state["codes"] if code != code_hash("train")]

    def _parallel(self) -> DistributedDataParallel:
        """The model, with gradients that are averaged over the ranks. Its statistics are averaged in `_update`."""
        device_ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(self.model, device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True)

    def _autocast(self):
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        return torch.autocast(self.device.type, dtype) if dtype else nullcontext()


def _floats(model: nn.Module) -> list[Tensor]:
    """What is averaged: weights, and the running mean and variance of batch norm."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


def _precision(wanted: str, device: torch.device) -> str:
    names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    return names[precision(device)] if wanted == "auto" else wanted
