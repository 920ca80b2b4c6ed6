"""How much the choice of validation images adds to the noise of a difference of two errors.

    python benchmarks/mistakes.py results/small

Two networks are tested on the same images, and err on the same ones mostly. Let p(i) be the share of a network's
trials that get image i wrong. Over another sample of N images the difference of two networks' mean errors varies with
the variance of p_a(i) - p_b(i) over images, divided by N. Trials are few, so that each p(i) varies itself: that part,
which the spread between trials holds already, is estimated from pairs of trials of one network and subtracted. The rest
is printed as a share of the mean error, for each pair of networks that have two trials with a checkpoint.
"""

import itertools
import statistics
import sys
from pathlib import Path

import torch

from fastscale.data import Dataset
from fastscale.data.loaders import Share, validation_batches
from fastscale.data.normalise import Normalise
from fastscale.models.build import build
from fastscale.networks.network import Network
from fastscale.sweep.sweep import Sweep


@torch.inference_mode()
def mistakes(network: Network, state: dict[str, torch.Tensor], dataset: Dataset, crop: float) -> torch.Tensor:
    """Tell for each validation image whether a trained network errs on it: 1 or 0."""
    model = build(network).eval()
    model.load_state_dict(state)
    device = torch.device("cpu")
    normalise = Normalise(dataset.mean, dataset.std, network.resolution, device, torch.channels_last)
    batches = validation_batches(dataset, network.resolution, 500, crop, 1, Share(0, 1))
    return torch.cat([(model(normalise(images)).argmax(1) != labels).double() for images, labels in batches])


def excess(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    """Estimate the variance over images of p_a - p_b, without that of trials, as a share of the mean error."""
    between = statistics.fmean(((x - y) ** 2).mean().item() for x in a for y in b)
    within = statistics.fmean(
        statistics.fmean(((x - y) ** 2).mean().item() for x, y in itertools.combinations(c, 2)) for c in (a, b)
    )
    gap = torch.stack(a).mean() - torch.stack(b).mean()
    return (between - within - gap.item() ** 2) / torch.stack([*a, *b]).mean().item()


def main(folder: Path) -> None:
    """Print the excess of each pair of networks, and their mean and range."""
    torch.set_num_threads(1)
    sweep = Sweep.load(folder / "sweep.json")
    dataset = Dataset.open(sweep.data_folder)
    found: dict[str, list[torch.Tensor]] = {}
    for name, schedule in sweep.trainings(sweep.everything):
        for trial in sweep.trials:
            states = sorted((folder / "checkpoints" / name / f"{schedule}-{trial}").glob("*/step-*.pt"))
            if schedule == sweep.schedule and sweep.train_record(name, schedule, trial).exists() and states:
                state = torch.load(states[-1], weights_only=True)["average"]
                crop = sweep.recipe(schedule).get("eval_crop", 0.875)
                found.setdefault(name, []).append(mistakes(sweep.networks[name], state, dataset, crop))
    several = {name: errors for name, errors in found.items() if len(errors) > 1}
    shares = []
    for a, b in itertools.combinations(several, 2):
        shares.append(excess(several[a], several[b]))
        print(f"{a} {b} {len(several[a])} {len(several[b])} {shares[-1]:.3f}")
    if shares:
        print(f"{len(shares)} pairs: mean {statistics.fmean(shares):.3f}, {min(shares):.3f} to {max(shares):.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
