"""The training recipe of section 6.1 of the paper, and the learning rate that follows from it. No torch.

docs/recipe.md says how the defaults differ from those of the authors' code, and by how much.
"""

from typing import Annotated, Any, Literal

from pydantic import model_validator

from fastscale.errors import UserError
from fastscale.records.records import digest
from fastscale.validation.checks import checked
from fastscale.validation.forms import RISING, TYPED, Flag, Number, Sparse, about

REFERENCE_BATCH = 1024  # the batch at which the paper's learning rate is given
WARMUP_START = 0.1  # share of the learning rate at which the warm-up starts (the authors' pycls)
WEIGHT_DECAY = {"EfficientNet": 1e-5}  # every other family: 2e-5
# Settings that are younger than some records, and the value that a recipe without such a setting stands for.
LATER = {"nesterov": False, "precise_bn": 0, "lighting": 0.0}

Share = Annotated[float, Number(0.01, 1)]


class Recipe(Sparse):
    """How a network is trained; the defaults are what the paper says, and the authors' AutoAugment.

    `lr` is the learning rate at batch 1024 and scales linearly with the batch, `lr_decay` the paper's beta.
    `warmup_epochs` None means 5, or 5 % of a schedule of less than 100 epochs; `weight_decay` None means that of the
    family (`for_family`); batch norm has no weight decay. `ema` is the horizon of the weights' moving average as a
    share of all steps (0: none), `ema_period` the most steps between two of its updates. `mixup` is the alpha of its
    Beta distribution (0: none), `augment` the policy of AutoAugment (null: none), `crop_scale` the range of the random
    crop's area, `eval_crop` the side of the centre crop over the image's shorter side. `precision` auto is bf16 on a
    GPU that has it, fp16 on one that has not, and fp32 on a CPU.

    `norm_batch` is the number of images over which batch norm takes its statistics and mixup its partners, 128 on each
    of the paper's eight GPUs. A larger batch is computed in parts of `norm_batch` images, so that a training is the
    same on one GPU as on eight. None: all images that a GPU has of the batch.

    Raises:
        UserError: a value out of range.
    """

    epochs: Annotated[int, Number(1)] = 100
    batch: Annotated[int, Number(2)] = REFERENCE_BATCH
    norm_batch: Annotated[int | None, Number(2)] = 128
    lr: Annotated[float, Number(1e-9)] = 2.0
    lr_decay: Annotated[float, Number(1e-9, 1)] = 0.02
    warmup_epochs: Annotated[float | None, Number(0)] = about("the paper's if null", None)
    momentum: Annotated[float, Number(0, 1)] = 0.9
    nesterov: Flag = False
    weight_decay: Annotated[float | None, Number(0)] = about("the paper's if null", None)
    label_smoothing: Annotated[float, Number(0, 1)] = 0.1
    mixup: Annotated[float, Number(0)] = 0.2
    # pycls: alpha 1e-5 every 32 steps at batch 1024 over 100 epochs is a horizon of 7.8 % of the steps
    ema: Annotated[float, Number(0, 1)] = 0.078
    ema_period: Annotated[int, Number(1)] = 32
    precise_bn: Annotated[int, Number(0)] = 0
    # v0 is AutoAugment's policy in the official EfficientNet code; the others are the article's, by their data.
    augment: Annotated[Literal["v0", "imagenet", "cifar10", "svhn", None], TYPED] = "v0"
    crop_scale: Annotated[tuple[Share, Share], RISING] = (0.08, 1.0)
    eval_crop: Share = 224 / 256
    flip: Flag = True
    lighting: Annotated[float, Number(0)] = 0.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        """Raise where settings contradict one another."""
        if self.nesterov and not self.momentum:
            raise UserError("recipe: nesterov is true, but momentum is 0; give a momentum, or let nesterov be false")
        self.parts()
        return self

    @classmethod
    def from_dict(cls, differences: Any) -> "Recipe":
        """Return the paper's recipe with the differences of a mapping; 4, 4.0 and "4" give the same recipe.

        Raises:
            UserError: a misspelt key, or a value out of range.
        """
        recipe: Recipe = checked(differences, cls, "recipe")
        return recipe

    def changed(self, **changes: Any) -> "Recipe":
        """Return this recipe with some settings changed.

        Raises:
            UserError: settings that contradict one another.
        """
        return Recipe(**{**dict(self), **changes})

    def for_family(self, family: str) -> "Recipe":
        """Return this recipe with the weight decay that the paper uses for a family, unless the recipe has its own."""
        if self.weight_decay is not None:
            return self
        return self.changed(weight_decay=WEIGHT_DECAY.get(family, 2e-5))

    @property
    def hash(self) -> str:
        """Return the SHA-256 of all settings, without unused ones of `LATER`: an older recipe keeps its hash."""
        settings = self.to_dict()
        return digest({key: value for key, value in settings.items() if key not in LATER or value != LATER[key]})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; the inverse of `from_dict`."""
        return {**dict(self), "crop_scale": list(self.crop_scale)}

    def parts(self, ranks: int = 1) -> int:
        """Count the equal parts of a batch over which batch norm takes its statistics; `ranks` GPUs share the parts.

        Raises:
            UserError: the batch cannot be divided into such parts.
        """
        size = min(self.batch, self.norm_batch or self.batch)
        parts = max(self.batch // size, ranks)
        if self.batch % size or self.batch % parts or parts % ranks:
            shared = f", shared by {ranks} GPUs" if ranks > 1 else ""
            raise UserError(
                f"recipe: batch {self.batch} with norm_batch {self.norm_batch}{shared} has no equal parts over which "
                "batch norm could take its statistics; let batch be a multiple of "
                + (f"{ranks} and of " if ranks > 1 else "")
                + "norm_batch"
            )
        return parts

    def validation_batch(self, ranks: int = 1) -> int:
        """Return how many images are validated at once: four parts of a batch, as validation needs no gradients."""
        return 4 * self.batch // self.parts(ranks)

    def precise_batches(self, steps: int) -> int:
        """Return over how many batches of an epoch of `steps` batch norm takes its statistics anew; 0: not at all."""
        return min(steps, max(1, self.precise_bn // self.batch)) if self.precise_bn else 0

    def halved(self, ranks: int = 1) -> "Recipe":
        """Return this recipe with half the batch, in as many parts; the learning rate follows (section 6.1)."""
        parts = self.parts(ranks)
        images = self.batch // parts // 2
        return self.changed(batch=images * parts, norm_batch=self.norm_batch and images)

    @property
    def warmup(self) -> float:
        """Return the epochs of warm-up."""
        return min(5.0, 0.05 * self.epochs) if self.warmup_epochs is None else self.warmup_epochs

    def learning_rate(self, epoch: float) -> float:
        """Return the learning rate after `epoch` epochs (a fraction too): footnote 2, times a linear warm-up."""
        warmed = WARMUP_START + (1 - WARMUP_START) * epoch / self.warmup if epoch < self.warmup else 1.0
        decayed: float = self.lr_decay ** (epoch / self.epochs)
        return warmed * self.lr * self.batch / REFERENCE_BATCH * decayed

    def ema_schedule(self, steps: int) -> tuple[int, float]:
        """Return the steps between two updates of the weights' average, and the average's decay at each update.

        Both are for a schedule of `steps` steps. At least ten updates fall into the horizon, so that a short schedule
        is averaged over as well.
        """
        horizon = max(1.0, self.ema * steps)
        period = max(1, min(self.ema_period, int(horizon / 10)))
        return period, 1 - min(1.0, period / horizon)
