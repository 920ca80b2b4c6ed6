"""The training recipe of section 6.1 of the paper, and the learning rate that follows from it. No torch.

docs/recipe.md lists the differences from the authors' code and its defaults.
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
# Settings that were added later, with the value that an older recipe, which lacks them, implies.
LATER = {"nesterov": False, "precise_bn": 0, "lighting": 0.0}

Share = Annotated[float, Number(0.01, 1)]


class Recipe(Sparse):
    """How a network is trained; the defaults are the paper's recipe, with the authors' AutoAugment.

    `lr` is the learning rate at batch 1024 and scales linearly with the batch; `lr_decay` is the paper's beta.
    `warmup_epochs` None means 5, or 5 % of a schedule of less than 100 epochs. `weight_decay` None means the family's
    value (`for_family`); batch norm is never decayed. `ema` is the horizon of the weights' moving average as a share of
    all steps (0: no average); `ema_period` is the largest number of steps between two updates of the average. `mixup`
    is the alpha of mixup's Beta distribution (0: no mixup), `augment` the policy of AutoAugment (None: no policy),
    `crop_scale` the range of the random crop's share of the image's area, `eval_crop` the side of the centre crop
    relative to the image's shorter side. `precision` auto means bf16 on a GPU that has bf16, fp16 on other GPUs, and
    fp32 on a CPU.

    `norm_batch` is the number of images over which batch norm takes its statistics and among which mixup finds
    partners: 128, as on each of the paper's eight GPUs. A larger batch is computed in parts of `norm_batch` images, so
    that a training is the same on one GPU as on eight. None means one part per GPU.

    Raises:
        UserError: a value is out of range, or settings contradict one another.
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
    # v0 is the policy of the official EfficientNet code; the AutoAugment article names the others by their data.
    augment: Annotated[Literal["v0", "imagenet", "cifar10", "svhn", None], TYPED] = "v0"
    crop_scale: Annotated[tuple[Share, Share], RISING] = (0.08, 1.0)
    eval_crop: Share = 224 / 256
    flip: Flag = True
    lighting: Annotated[float, Number(0)] = 0.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        """Raise if settings contradict one another."""
        if self.nesterov and not self.momentum:
            raise UserError("recipe: nesterov is true, but momentum is 0; give a momentum, or let nesterov be false")
        self.parts()
        return self

    @classmethod
    def from_dict(cls, differences: Any) -> "Recipe":
        """Build the paper's recipe with the given differences, a mapping of settings; the text "4" is the number 4.

        Raises:
            UserError: a key is unknown, a value is out of range, or settings contradict one another.
        """
        recipe: Recipe = checked(differences, cls, "recipe")
        return recipe

    def changed(self, **changes: Any) -> "Recipe":
        """Return this recipe with some settings changed.

        Raises:
            UserError: settings contradict one another.
        """
        return Recipe(**{**dict(self), **changes})

    def for_family(self, family: str) -> "Recipe":
        """Return this recipe with the paper's weight decay for a family, unless the recipe sets a weight decay."""
        if self.weight_decay is not None:
            return self
        return self.changed(weight_decay=WEIGHT_DECAY.get(family, 2e-5))

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the settings.

        Settings in `LATER` count only if they differ from the value there, so that older recipes keep their hash.
        """
        settings = self.to_dict()
        return digest({key: value for key, value in settings.items() if key not in LATER or value != LATER[key]})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; the inverse of `from_dict`."""
        return {**dict(self), "crop_scale": list(self.crop_scale)}

    def parts(self, ranks: int = 1) -> int:
        """Count the equal parts into which a batch is cut; batch norm takes its statistics per part.

        Raises:
            UserError: the batch cannot be cut into equal parts that `ranks` GPUs share evenly.
        """
        size = min(self.batch, self.norm_batch or self.batch)
        parts = max(self.batch // size, ranks)
        if self.batch % size or self.batch % parts or parts % ranks:
            gpus = f" for {ranks} GPUs" if ranks > 1 else ""
            raise UserError(
                f"recipe: batch {self.batch} with norm_batch {self.norm_batch} cannot be cut into equal parts{gpus}; "
                f"let batch be a multiple of {ranks * (self.norm_batch or 1)}"
            )
        return parts

    def validation_batch(self, ranks: int = 1) -> int:
        """Count the images per validation step and rank: four parts of a batch, as no gradients are kept."""
        return 4 * self.batch // self.parts(ranks)

    def precise_batches(self, steps: int) -> int:
        """Count the batches over which precise batch norm averages per epoch of `steps` steps; 0 without precise_bn."""
        return min(steps, max(1, self.precise_bn // self.batch)) if self.precise_bn else 0

    def halved(self, ranks: int = 1) -> "Recipe":
        """Return this recipe with half the batch in as many parts; the learning rate halves (section 6.1)."""
        parts = self.parts(ranks)
        images = self.batch // parts // 2
        return self.changed(batch=images * parts, norm_batch=self.norm_batch and images)

    @property
    def warmup(self) -> float:
        """Return the length of the warm-up in epochs."""
        return min(5.0, 0.05 * self.epochs) if self.warmup_epochs is None else self.warmup_epochs

    def learning_rate(self, epoch: float) -> float:
        """Compute the learning rate after `epoch` epochs (or a fraction): footnote 2, times a linear warm-up."""
        warmed = WARMUP_START + (1 - WARMUP_START) * epoch / self.warmup if epoch < self.warmup else 1.0
        decayed: float = self.lr_decay ** (epoch / self.epochs)
        return warmed * self.lr * self.batch / REFERENCE_BATCH * decayed

    def ema_schedule(self, steps: int) -> tuple[int, float]:
        """Return the steps between two updates of the weights' average, and the decay per update, for `steps` steps.

        At least ten updates fall into the horizon if it has ten steps, so that short schedules are averaged as well.
        """
        horizon = max(1.0, self.ema * steps)
        period = max(1, min(self.ema_period, int(horizon / 10)))
        return period, 1 - min(1.0, period / horizon)
