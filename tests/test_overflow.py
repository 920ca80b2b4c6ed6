"""What fp16 cannot hold: a step that is skipped leaves nothing behind, and a training that is lost is said to be."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from fastscale.data import Dataset, write_betons
from fastscale.networks import base_network
from fastscale.recipe import Recipe
from fastscale.training.trainer import Training

NETWORK = replace(base_network("RegNetY-tiny").with_classes(10), resolution=16)  # so that it learns in few steps
BATCH, STEPS = 64, 10
RECIPE = {"epochs": 3, "batch": BATCH, "lr": 4.0, "precision": "fp16", "augment": None, "ema": 0.2}
HUGE = 1e6  # times what a layer gives: beyond fp16's 65504


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    data = {"kind": "fashion-mnist", "classes": 10, "train_images": 640, "val_images": 200, "write_mode": "raw"}
    return write_betons(data, tmp_path_factory.mktemp("fashion"))


def begun(fashion: Dataset, **changes: object) -> Training:
    """A training that has had an epoch."""
    recipe = Recipe.from_dict({**RECIPE, **changes}).for_family("RegNetY")
    training = Training(NETWORK, fashion, recipe, 1, 1, torch.device("cpu"), [])
    training.run_epoch(tqdm(disable=True), lambda: False)
    return training


class Overflowing:
    """The model's first layer overflows in these steps of all."""

    def __init__(self, training: Training, steps: range):
        self.training, self.steps, self.step, self.original = training, steps, 0, training._update
        self.losses: list[torch.Tensor] = []
        training._update = self

    def __call__(self, *given: object) -> torch.Tensor:
        stem = self.training.model.stem[0].weight.data
        usual = stem.clone()
        stem.mul_(HUGE if self.step in self.steps else 1)
        loss = self.original(*given)
        if self.step in self.steps:
            stem.copy_(usual)
        self.step += 1
        self.losses.append(loss)
        return loss


def floats(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


@pytest.mark.parametrize("norm_batch", [None, 16])
@pytest.mark.parametrize("kind", ["forward", "backward"])
def test_a_skipped_step_changes_nothing(fashion: Dataset, norm_batch: int | None, kind: str) -> None:
    """Weights, momentum and running statistics, whether activations overflowed or just the gradients by their scale."""
    training = begun(fashion, norm_batch=norm_batch)
    images = torch.randint(0, 256, (BATCH, 3, NETWORK.resolution, NETWORK.resolution), dtype=torch.uint8)
    batch = images.contiguous(memory_format=torch.channels_last), torch.arange(BATCH) % 10, torch.tensor(0.3)
    before, momenta = floats(training.model), [s["momentum_buffer"].clone() for s in training.optimizer.state.values()]
    if kind == "forward":
        loss = Overflowing(training, range(1))(*batch)
        assert not loss.isfinite()
    else:
        training.scaler.load_state_dict({**training.scaler.state_dict(), "scale": 2.0**60})
        loss = training._update(*batch)
        assert loss.isfinite()
    assert training.optimizer.skipped > 0
    for name, tensor in floats(training.model).items():
        assert torch.equal(tensor, before[name]), name
    for state, momentum in zip(training.optimizer.state.values(), momenta, strict=True):
        assert torch.equal(state["momentum_buffer"], momentum)
    training.scaler.load_state_dict({**training.scaler.state_dict(), "scale": 1.0})
    assert training._update(*batch).isfinite() and training.optimizer.skipped == 0
    changed = floats(training.model)
    assert all(tensor.isfinite().all() for tensor in changed.values())
    assert all((changed[name] != before[name]).any() for name in before if "running" in name)


def test_some_skipped_steps_do_no_harm(fashion: Dataset) -> None:
    """The loss is the mean of the others', and nothing of them is found in the average."""
    training = begun(fashion)
    overflowing = Overflowing(training, range(3, 3 + 4))  # one less than makes a training lost
    assert training.run_epoch(tqdm(disable=True), lambda: False)
    losses = [loss.item() for loss in overflowing.losses if loss.isfinite()]
    assert len(losses) == STEPS - 4 and training.log[-1]["train_loss"] == pytest.approx(sum(losses) / len(losses))
    assert training.run_epoch(tqdm(disable=True), lambda: False) and not training.has_diverged
    assert training.log[-1]["top1_error"] < 90, "which is chance"
    assert all(tensor.isfinite().all() for tensor in floats(training.average).values())


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_a_training_that_is_lost_has_diverged(fashion: Dataset, precision: str) -> None:
    """Whether its steps are skipped or not; it goes on from no checkpoint as if nothing had been."""
    training = begun(fashion, precision=precision)
    steps = range(STEPS - 5, STEPS) if precision == "fp16" else range(STEPS - 1, STEPS)
    Overflowing(training, steps)
    if precision == "fp32":
        update = training._update
        training._update = lambda *given: update(*given) * (torch.nan if update.step > STEPS - 1 else 1)
    assert training.run_epoch(tqdm(disable=True), lambda: False)
    assert training.has_diverged and training.log[-1]["top1_error"] is None


def test_what_was_left_out_is_kept_over_a_stop(fashion: Dataset, tmp_path: Path) -> None:
    """The loss of an epoch that was stopped is that of one that was not; older states know of nothing left out."""

    def losses(*, stopped: bool) -> list[float]:
        training = begun(fashion)
        overflowing = Overflowing(training, range(2, 4))
        if stopped:
            assert not training.run_epoch(tqdm(disable=True), lambda: overflowing.step == 6)
            torch.save(training.state(), tmp_path / "state.pt")
            training = Training(*(getattr(training, key) for key in KEYS), [])
            training.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
        assert training.run_epoch(tqdm(disable=True), lambda: False)
        return [row["train_loss"] for row in training.log]

    KEYS = ("network", "dataset", "recipe", "seed", "threads", "device")
    assert losses(stopped=True) == losses(stopped=False)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state.pop("left_out") == 2
    training = begun(fashion)
    training.load_state(state)
    assert training.left_out == 0 and training.run_epoch(tqdm(disable=True), lambda: False)
