"""The epoch that times are given for: one of the sweep's own images, or of ImageNet's, as in the paper."""

from pathlib import Path
from typing import NamedTuple

from fastscale.records.records import read_record
from fastscale.sweep.sweep import Sweep

PAPER_IMAGES = 1_281_167  # ImageNet's training images


class Epoch(NamedTuple):
    """A number of training images; `is_own` says that it is the number of the sweep's own data set."""

    images: int = PAPER_IMAGES
    is_own: bool = False

    @property
    def words(self) -> str:
        """Return the words of an axis or a column: "time for 1.28 M images", "time per epoch of 12,000 images"."""
        shown = f"{self.images / 1e6:.3g} M" if self.images >= 1e6 and not self.is_own else f"{self.images:,}"
        return f"time per epoch of {shown} images" if self.is_own else f"time for {shown} images"


PAPER_EPOCH = Epoch()


def epoch_of(sweep: Sweep) -> Epoch:
    """Find the epoch of a sweep's times.

    It is the number that the configuration gives (`profile.images`), or else that of the training images if they are
    the user's own (`kind: imagefolder`), or else ImageNet's: a reproduction on Fashion-MNIST keeps to the paper's.
    A sweep that trains nothing needs no images, so it has none to count.

    Raises:
        UserError: a record is broken, or the images are not as configured.
    """
    config = sweep.config
    if "images" in config["profile"]:
        return Epoch(config["profile"]["images"])
    if config["data"]["kind"] != "imagefolder" or not config["train"]:
        return PAPER_EPOCH
    own = _own_images(sweep)
    return PAPER_EPOCH if own is None else Epoch(own, is_own=True)


def _own_images(sweep: Sweep) -> int | None:
    """Count the sweep's own training images: as packed, as trained on, as limited, or those in the folder.

    None where this machine has neither records of them nor the folder.
    """
    packed = sweep.data_folder / "data.json"
    if packed.exists():
        return int(read_record(packed, "data")["images"]["train"])
    for network, schedule in sweep.trainings(sweep.everything):
        for path in (sweep.train_record(network, schedule, trial) for trial in sweep.trials):
            if path.exists():
                return int(read_record(path, "train")["data"]["images"]["train"])
    if limit := sweep.config["data"]["train_images"]:
        return int(limit)
    from fastscale.data.sources import count_images

    data = sweep.config["data"]
    return count_images(data)["train"] if Path(data["path"], "train").exists() else None
