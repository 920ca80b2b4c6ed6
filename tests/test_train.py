"""Training: the recipe's numbers, and real trainings of a tiny network on real images that end, resume and repeat."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import pytest

from fastscale.data import write_betons
from fastscale.errors import UserError
from fastscale.networks import base_network
from fastscale.recipe import Recipe

NETWORK = base_network("RegNetY-tiny").with_classes(10)
SHORT = {
    "epochs": 2,
    "batch": 64,
    "lr": 4.0,
    "crop_scale": [0.75, 1.0],
    "eval_crop": 1.0,
    "mixup": 0.1,
    "augment": None,
}
STEPS = 31  # per epoch
FASHION = {"kind": "fashion-mnist", "classes": 10, "train_images": 2000, "val_images": 500, "write_mode": "raw"}


@pytest.fixture(scope="module")
def fashion(tmp_path_factory):
    return write_betons(FASHION, tmp_path_factory.mktemp("fashion")).folder


@pytest.fixture
def run(fashion, tmp_path):
    """Return what trains; the checkpoints of all calls of a test lie in one folder, unless a call names another."""
    from fastscale.training.run import train

    def run(trial=1, network=NETWORK, data=fashion, record="record.json", checkpoints="checkpoints", **changes):
        return train(
            network,
            data,
            Recipe.from_dict({**SHORT, **changes}),
            "1x",
            trial,
            record_path=tmp_path / record,
            checkpoint_folder=tmp_path / checkpoints,
            threads=1,
            device="cpu",
        )

    return run


@pytest.fixture
def no_training(monkeypatch):
    """Return what makes each epoch that is trained from now on an error."""

    def forbid():
        monkeypatch.setattr("fastscale.training.run.Training.run_epoch", lambda *_: pytest.fail("an epoch was trained"))

    return forbid


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_paper_is_the_default():
    paper = Recipe()
    assert (paper.epochs, paper.batch, paper.momentum, paper.label_smoothing, paper.mixup) == (100, 1024, 0.9, 0.1, 0.2)
    assert paper.for_family("EfficientNet").weight_decay == 1e-5
    assert paper.for_family("RegNetZ").weight_decay == paper.for_family("ResNet").weight_decay == 2e-5
    assert Recipe(weight_decay=0.1).for_family("RegNetY").weight_decay == 0.1
    assert Recipe.from_dict(paper.to_dict()) == paper
    assert paper.hash != Recipe(lr=1.0).hash


@pytest.mark.parametrize("epochs", [2, 100, 400])
def test_learning_rate_is_the_papers(epochs):
    recipe = Recipe(epochs=epochs, batch=256)
    warmup = min(5, epochs / 20)
    assert recipe.warmup == pytest.approx(warmup)
    for t in (warmup, epochs / 2, 0.9 * epochs, epochs):
        assert recipe.learning_rate(t) == pytest.approx(2.0 * 256 / 1024 * 0.02 ** (t / epochs))
    assert recipe.learning_rate(0) == pytest.approx(0.1 * 0.5)
    assert recipe.learning_rate(warmup / 2) == pytest.approx(0.55 * 0.5 * 0.02 ** (warmup / 2 / epochs))


def test_average_has_the_same_horizon_in_short_schedules():
    period, decay = Recipe().ema_schedule(125_100)  # the paper's: 100 epochs of ImageNet
    assert period == 32 and 1 - decay == pytest.approx(1e-5 * 1024 / 100 * 32, rel=0.01)  # pycls' alpha
    for steps in (50, 300, 5_000):
        period, decay = Recipe().ema_schedule(steps)
        assert period / (1 - decay) == pytest.approx(max(1, 0.078 * steps))
    assert Recipe(ema=0).ema_schedule(1000) == (1, 0.0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"mix_up": 0.2}, "unknown key 'mix_up' at recipe; did you mean 'mixup'"),
        ({"epochs": 0}, "epochs is 0; allowed is a whole number from 1"),
        ({"batch": 12.5}, "batch is 12.5; allowed is a whole number"),
        ({"lr": "fast"}, "lr is 'fast'; allowed is a number"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"label_smoothing": 1.5}, "from 0 to 1"),
        ({"crop_scale": [0.9, 0.1]}, "crop_scale is .* allowed is"),
        ({"crop_scale": 0.5}, "crop_scale is 0.5"),
        ({"flip": 1}, "flip is 1; allowed is true or false"),
        ({"precision": "fp8"}, "precision is 'fp8'; allowed are auto, fp32, bf16 and fp16"),
        ({"augment": "v1"}, "augment is 'v1'; allowed are v0, imagenet, cifar10, svhn and null"),
        ({"nesterov": 1}, "nesterov is 1; allowed is true or false"),
        ({"nesterov": True, "momentum": 0}, "nesterov is true, but momentum is 0"),
        ({"precise_bn": True}, "precise_bn is true; allowed is a whole number from 0"),
        ({"lighting": -0.1}, "lighting is -0.1; allowed is a number from 0"),
    ],
)
def test_wrong_recipe_is_one_sentence(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        Recipe.from_dict(wrong)


@pytest.mark.parametrize("base", ["RegNetY-tiny", "RegNetZ-tiny", "EN-tiny"])
def test_no_batch_norm_is_decayed_and_all_else_is(base):
    from torch import nn

    from fastscale.models.build import build
    from fastscale.models.optimizer import parameter_groups

    model = build(base_network(base).with_classes(10))
    decayed, kept = ({id(p) for p in group["params"]} for group in parameter_groups(model, 2e-5))
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    assert kept == norms and decayed == {id(p) for p in model.parameters()} - norms and not decayed & kept


@pytest.mark.parametrize("nesterov", [False, True])
def test_optimizer_is_torchs_sgd(nesterov):
    import torch

    from fastscale.models.optimizer import sgd

    def trained(make):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten())
        optimizer = make(model)
        for lr in (0.1, 0.5, 0.2):
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad()
            model(torch.randn(8, 3, 5, 5)).square().sum().backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    ours = trained(lambda model: sgd(model, momentum=0.9, weight_decay=0.01, nesterov=nesterov))
    groups = lambda model: [{"params": model[0].parameters(), "weight_decay": 0.01}, {"params": model[1].parameters()}]  # noqa: E731
    theirs = trained(
        lambda model: torch.optim.SGD(groups(model), lr=0.1, momentum=0.9, nesterov=nesterov, foreach=False)
    )
    assert torch.allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_first_step_that_overflows_leaves_nothing_behind(nesterov):
    """With fp16 the first step may overflow, as its scale begins too high."""
    import torch

    from fastscale.models.optimizer import sgd

    def trained(scales):
        torch.manual_seed(0)
        model = torch.nn.Conv2d(3, 4, 3)
        optimizer = sgd(model, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
        scaler = torch.amp.GradScaler("cpu")
        optimizer.param_groups[0]["lr"] = 0.1
        for scale in scales:
            optimizer.zero_grad()
            scaler.scale(model.weight.sum() * scale).backward()
            scaler.step(optimizer)
            scaler.update()
        return model.weight.detach()

    torch.use_deterministic_algorithms(True)  # these fill undefined memory with NaN
    try:
        assert torch.equal(trained([float("inf"), 1, 1]), trained([1, 1]))
    finally:
        torch.use_deterministic_algorithms(False)


def test_trains_records_and_repeats_nothing(run, tmp_path, no_training):
    record = run()
    assert record == json.loads((tmp_path / "record.json").read_text())
    assert (record["kind"], record["status"], record["epochs"], record["trial"]) == ("train", "finished", 2, 1)
    assert record["network_hash"] == NETWORK.hash and record["resumed"] == []
    assert record["recipe"]["weight_decay"] == 2e-5
    assert record["top5_error"] < record["top1_error"] < 80, "it learns: chance is 90 % error"
    epochs = rows(tmp_path / "record.csv")
    assert [row["epoch"] for row in epochs] == ["1", "2"]
    assert float(epochs[1]["top1_error"]) == pytest.approx(record["top1_error"])
    assert float(epochs[1]["train_loss"]) < float(epochs[0]["train_loss"])

    # Snakemake deletes declared outputs before a job: they are written again without training.
    no_training()
    (tmp_path / "record.json").unlink()
    (tmp_path / "record.csv").unlink()
    assert run() == record
    assert len(rows(tmp_path / "record.csv")) == 2
    with pytest.raises(pytest.fail.Exception, match="an epoch was trained"):
        run(lr=1.0)
    with pytest.raises(pytest.fail.Exception, match="an epoch was trained"):
        run(trial=2)


def test_error_is_of_the_averaged_weights_on_every_validation_image(run, fashion, tmp_path):
    import torch

    from fastscale.data import Dataset
    from fastscale.data.loaders import validation_batches
    from fastscale.models.build import build

    record = run()
    (newest,) = (tmp_path / "checkpoints").glob("*/step-000000062.pt")
    model = build(NETWORK)
    model.load_state_dict(torch.load(newest, weights_only=True)["average"])
    model.eval()
    wrong = seen = 0
    dataset = Dataset.open(fashion)
    for images, labels in validation_batches(dataset, NETWORK.resolution, 500, 1.0, threads=1):
        images = (images / 255 - 0.2860) / 0.3530
        wrong += (model(images).argmax(1) != labels).sum().item()
        seen += len(labels)
    assert seen == 500 and record["top1_error"] == pytest.approx(100 * wrong / seen, abs=0.41)


TRAIN_SCRIPT = """
import sys
from pathlib import Path
from fastscale.networks import base_network
from fastscale.recipe import Recipe
from fastscale.training.run import train
network = base_network("RegNetY-tiny").with_classes(10)
train(network, Path(sys.argv[1]), Recipe.from_dict({recipe}), "1x", 1, record_path=Path(sys.argv[2]) / "record.json",
      checkpoint_folder=Path(sys.argv[2]) / "checkpoints", threads=1, device="cpu")
"""


@pytest.mark.slow
def test_killed_training_resumes_at_its_last_epoch(run, fashion, tmp_path, caplog):
    long = {**SHORT, "epochs": 200}
    command = [sys.executable, "-c", TRAIN_SCRIPT.format(recipe=long), str(fashion), str(tmp_path)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 120
    while len(rows(tmp_path / "record.csv") if (tmp_path / "record.csv").exists() else []) < 3:
        assert process.poll() is None and time.monotonic() < deadline, "the training ended or never began"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "record.json").exists()
    kept = sorted((tmp_path / "checkpoints").glob("*/step-*.pt"))
    assert 2 <= len(kept) <= 3  # a third if killed between writing one and deleting the oldest
    last = int(kept[-1].stem.removeprefix("step-")) // STEPS

    from fastscale.training.run import Training

    stop_at = last + 2
    original = Training.run_epoch
    with pytest.MonkeyPatch.context() as patch:  # the next process is ended by an error after two more epochs
        patch.setattr(
            Training, "run_epoch", lambda self, *rest: original(self, *rest) if self.epoch < stop_at else 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            run(epochs=200)
    assert f"resumed after epoch {last} of 200" in caplog.text
    epochs = [int(row["epoch"]) for row in rows(tmp_path / "record.csv")]
    assert epochs == list(range(1, stop_at + 1)), "each epoch once, in order"


def with_flipped_bit(whole):
    """Flip a bit in the midst of the largest file of an archive: between two files it would do no harm."""
    with ZipFile(io.BytesIO(whole)) as archive:
        values = archive.read(max(archive.infolist(), key=lambda entry: entry.file_size))
    place = whole.index(values) + len(values) // 2
    return whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]


def test_resumed_training_says_so_and_passes_over_damaged_checkpoints(run, tmp_path, caplog):
    from fastscale.training.run import Training

    original = Training.run_epoch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "run_epoch", lambda self, *rest: original(self, *rest) if self.epoch < 3 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(epochs=4)
    two, three = sorted((tmp_path / "checkpoints").glob("*/step-*.pt"))
    assert (two.name, three.name) == ("step-000000062.pt", "step-000000093.pt")
    whole = three.read_bytes()
    shutil.copytree(tmp_path / "checkpoints", tmp_path / "kept")
    for damaged in (b"", whole[: len(whole) // 2], with_flipped_bit(whole)):
        shutil.rmtree(tmp_path / "checkpoints")
        shutil.copytree(tmp_path / "kept", tmp_path / "checkpoints")
        three.write_bytes(damaged)
        caplog.clear()
        record = run(epochs=4)
        assert "step-000000093.pt is damaged" in caplog.text and "resumed after epoch 2 of 4" in caplog.text
        assert (record["resumed"], record["epochs"], record["status"]) == ([2], 4, "finished")
        assert [row["epoch"] for row in rows(tmp_path / "record.csv")] == ["1", "2", "3", "4"]


def test_checkpoint_of_another_training_is_passed_over(run, tmp_path, caplog):
    import torch

    run(epochs=1)
    (path,) = (tmp_path / "checkpoints").glob("*/step-000000031.pt")
    state = torch.load(path, weights_only=True)
    torch.save({**state, "identity": {**state["identity"], "seed": 7}}, path)
    (path.parent / "finished.json").unlink()
    assert run(epochs=1)["resumed"] == []
    assert "belongs to a training with another network, recipe, data or seed" in caplog.text


def test_diverged_training_has_no_error(run, tmp_path, no_training):
    record = run(lr=1e9)
    assert (record["status"], record["top1_error"], record["epochs"]) == ("diverged", None, 1)
    assert rows(tmp_path / "record.csv")[0]["train_loss"] == "nan"
    no_training()
    assert run(lr=1e9) == record


def test_a_lost_training_ends_before_its_epoch(run, monkeypatch):
    from fastscale.training.trainer import Training

    steps = []
    original = Training._update
    monkeypatch.setattr(Training, "_update", lambda self, *rest: steps.append(1) or original(self, *rest))
    monkeypatch.setattr("fastscale.training.trainer.LOOK_STEPS", 4)
    record = run(lr=1e9)
    assert (record["status"], record["epochs"]) == ("diverged", 1) and len(steps) < STEPS


def test_what_does_not_fit_in_memory_is_trained_with_a_smaller_batch(run, tmp_path, monkeypatch, caplog):
    """No GPU is full here, so the error is raised that torch raises when a GPU is full."""
    import torch

    from fastscale.training.trainer import Training

    original = Training._update

    def update(self, images, *rest):
        if len(images) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, images, *rest)

    monkeypatch.setattr(Training, "_update", update)
    record = run(epochs=1)
    assert (record["status"], record["recipe"]["batch"], record["batch"]) == ("finished", 64, 16)
    assert caplog.text.count("halving the batch") == 2
    recipe = Recipe.from_dict({**SHORT, "epochs": 1, "batch": 16})
    assert float(rows(tmp_path / "record.csv")[0]["lr"]) == pytest.approx(recipe.learning_rate(1))
    monkeypatch.setattr(Training, "_update", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
    with pytest.raises(UserError, match="not even 2 images fit"):
        run(epochs=1, lr=2.0)


def test_wrong_data_is_one_sentence_before_training(run, tmp_path):
    with pytest.raises(UserError, match=r"has 100 classes, but the data in .* has 10"):
        run(network=NETWORK.with_classes(100))
    with pytest.raises(UserError, match=r"data\.json is missing"):
        run(data=Path(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="batch is 4096, but fashion-mnist has 2000 training images"):
        run(batch=4096)
    assert not list(tmp_path.glob("record*"))


def by_calls(function):
    """Stand in for a CUDA graph, which this machine may lack: each replay is a call."""
    for _ in range(3):
        function()
    result = function()
    return (lambda: result.copy_(function())), result


@pytest.mark.slow
def test_a_training_is_the_same_however_it_is_executed(run, monkeypatch):
    """By executions that may be the fastest on a GPU; batch norm takes its statistics over two parts of a batch."""
    monkeypatch.setattr("fastscale.models.placement.capture", by_calls)
    shape = {"depth": 1, "w0": 8, "wa": 0.0, "wm": 2.0, "group_width": 8, "resolution": 8, "stem_width": 8}
    small = base_network("small", {"small": {"family": "RegNetZ", **shape}}).with_classes(10)
    options = {"nesterov": True, "precise_bn": 256, "lighting": 0.1}
    changes = {"network": small, "epochs": 1, "norm_batch": 32, "lr": 0.5, **options}
    usual = run(**changes)
    assert (usual["memory_format"], usual["mode"], usual["tried"]) == ("channels_last", "eager", [])
    assert usual["convolutions"] == "plain"
    for execution in (
        {"memory_format": "contiguous", "mode": "eager", "convolutions": "packed"},
        {"memory_format": "channels_last", "mode": "compiled", "convolutions": "plain"},
        {"memory_format": "channels_last", "mode": "graph", "convolutions": "plain"},
    ):
        timing = {**execution, "n": 1, "step_seconds": {"median": 1.0}}
        monkeypatch.setattr("fastscale.training.run.autotune", lambda *_, timing=timing, **__: [timing])
        other = run(record="other.json", checkpoints=execution["mode"] + execution["convolutions"], **changes)
        assert {key: other[key] for key in execution} == execution and other["tried"] == [timing]
        assert other["train_loss"] == pytest.approx(usual["train_loss"], rel=1e-3), execution
        assert other["top1_error"] == pytest.approx(usual["top1_error"], abs=0.5), execution
