"""Epochs drawn ahead of time by another thread: their random numbers equal those of epochs drawn when needed."""

import threading
from itertools import pairwise

import pytest
import torch
from tqdm import tqdm

from fastscale.data import Dataset, epochs, loaders, write_betons
from fastscale.data.epochs import Prefetcher
from fastscale.networks import base_network
from fastscale.recipe import Recipe
from fastscale.training.trainer import Training

NETWORK = base_network("EN-tiny").with_classes(10)
RECIPE = {
    "epochs": 3,
    "batch": 64,
    "lr": 2.0,
    "augment": "v0",
    "precise_bn": 128,
    "lighting": 0.1,
    "crop_scale": [0.3, 1],
}


@pytest.fixture(scope="module", params=["one window", "several windows"])
def fashion(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    data = {"kind": "fashion-mnist", "classes": 10, "train_images": 640, "val_images": 200, "write_mode": "raw"}
    dataset = write_betons(data, tmp_path_factory.mktemp("fashion"))
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "several windows":
            patch.setattr(loaders, "window", lambda batch: 2 * batch)
        yield dataset


def trained(fashion: Dataset) -> dict[str, torch.Tensor]:
    training = Training(
        NETWORK, fashion, Recipe.from_dict(RECIPE).for_family("EfficientNet"), 1, 1, torch.device("cpu"), []
    )
    for _ in range(RECIPE["epochs"]):
        assert training.run_epoch(tqdm(disable=True), lambda: False)
    return training.average.state_dict()


def test_results_equal_those_without_prefetching(fashion: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, although a reader holds the crops of the epoch that it reads."""
    prefetched = trained(fashion)
    monkeypatch.setattr(Prefetcher, "begin", lambda self, *arguments: None)
    monkeypatch.setattr(Prefetcher, "__call__", lambda self, *arguments: self.function(*arguments))
    serial = trained(fashion)
    assert all(torch.equal(tensor, serial[name]) for name, tensor in prefetched.items())


def test_the_next_epoch_is_drawn_while_one_is_trained(fashion: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step of an epoch waits until the next epoch is drawn, and would time out if that came later."""
    drawn: list[int] = []
    changed, main = threading.Condition(), threading.get_ident()

    def draw(*arguments: object) -> epochs.Epoch:
        epoch = original_draw(*arguments)
        assert threading.get_ident() != main
        with changed:
            drawn.append(arguments[-2])
            changed.notify_all()
        return epoch

    def update(self: Training, *arguments: object) -> torch.Tensor:
        if self.step == self.steps - 1 and self.epoch + 1 < RECIPE["epochs"]:
            with changed:
                assert changed.wait_for(lambda: self.epoch + 1 in drawn, timeout=60)
        return original_update(self, *arguments)

    original_draw, original_update = epochs.draw_epoch, Training._update
    monkeypatch.setattr("fastscale.training.trainer.draw_epoch", draw)
    monkeypatch.setattr(Training, "_update", update)
    trained(fashion)
    assert sorted(drawn) == [0, 0, 1, 1, 2, 2], "each epoch once to train, and once for the statistics of batch norm"


def test_an_error_of_a_call_is_raised_where_its_result_is_taken() -> None:
    prefetch = Prefetcher(lambda number: 1 / number)
    prefetch.begin(0)
    prefetch.begin(2)
    assert prefetch(2) == 0.5 and prefetch(4) == 0.25
    with pytest.raises(ZeroDivisionError):
        prefetch(0)


def test_calls_do_not_overlap() -> None:
    spans: list[int] = []

    def note(number: int) -> int:
        spans.append(number)
        threading.Event().wait(0.01)
        spans.append(number)
        return number

    prefetch = Prefetcher(note)
    for number in range(5):
        prefetch.begin(number)
        prefetch.begin(number)
    assert [prefetch(number) for number in (4, 0, 7, 1, 2, 3)] == [4, 0, 7, 1, 2, 3]
    assert len(spans) == 12 and all(begin == end for begin, end in list(pairwise(spans))[::2])
