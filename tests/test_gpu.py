"""What only a GPU has: graphs, the search for the largest batch, copies beside the computation. Skipped without one."""

import copy
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from fastscale.data.autoaugment import augment, draw_augmentations
from fastscale.data.prefetch import on_device
from fastscale.execution import CONVOLUTIONS, FORMATS, MODES, Execution, combinations, kinds
from fastscale.models.build import build
from fastscale.models.placement import MEMORY_FORMATS, place, prepared_forward, repeatable
from fastscale.networks import Network, base_network
from fastscale.profiling.autotune import autotune
from fastscale.profiling.options import Options
from fastscale.profiling.profile import profile_all
from fastscale.records.records import read_record

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
GPU = torch.device("cuda")
BASES = ["EN-tiny", "RegNetZ-tiny"]


def network_of(base: str) -> Network:
    return base_network(base).with_classes(10)


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_gradients_add_up_by_every_execution(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradients over two parts of a batch are those of a CPU; the capture of a graph has left no trace."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    network = network_of(base)
    torch.manual_seed(0)
    model = build(network)
    images = torch.randn(2, 16, 3, network.resolution, network.resolution)
    labels = torch.randint(10, (2, 16))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)  # the last weights of a block are 0: no gradient would pass
    expected = trained(model, Execution(), images, labels, torch.device("cpu"))
    usual = statistics.median(tensor.abs().max() for tensor in expected.values())
    for execution in combinations(FORMATS, MODES, kinds(network, CONVOLUTIONS, "cuda")):
        found = trained(model, execution, images, labels, GPU)
        for name, tensor in expected.items():
            assert torch.allclose(found[name].cpu(), tensor, rtol=1e-2, atol=1e-2 * usual), (execution, name)


def trained(
    model: torch.nn.Module, execution: Execution, images: torch.Tensor, labels: torch.Tensor, device: torch.device
) -> dict:
    """Return gradients and buffers after two parts of a batch, in full precision, the second time they are computed."""
    placed = place(copy.deepcopy(model), execution, device).train()
    forward = prepared_forward(placed, execution)

    def accumulate(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = F.cross_entropy(forward(images), labels)
        loss.backward()
        return loss.detach()

    parts = [
        (i.to(device).contiguous(memory_format=MEMORY_FORMATS[execution[0]]), t.to(device))
        for i, t in zip(images, labels, strict=True)
    ]
    repeat = repeatable(accumulate, execution, [torch.zeros_like(tensor) for tensor in parts[0]], placed.buffers())
    for _ in range(2):
        placed.zero_grad(set_to_none=not execution.is_graph)
        for part in parts:
            repeat(*part)
    gradients = {name: parameter.grad for name, parameter in placed.named_parameters()}
    return gradients | dict(placed.named_buffers())


def test_networks_are_timed_by_the_largest_batch_in_every_mode(tmp_path: Path) -> None:
    options = Options(batch=0, repeats=5, modes=("eager", "graph"), largest_batch=512)
    path = tmp_path / "profile.json"
    profile_all([network_of(base) for base in BASES], path, options, GPU)
    for record in read_record(path, "profiles")["records"]:
        assert record["batch"] == 512 and record["peak_memory_bytes"] > 1e6 and record["device"]["type"] == "cuda"
        assert len(record["tried"]) == 8 and not [timing["gap"] for timing in record["tried"] if "gap" in timing]
        assert record["launch_seconds"] > 0


def test_a_long_training_tries_all_it_can() -> None:
    timings = autotune(10**9, network_of("EN-tiny"), 64, GPU, graphs=True)
    assert {timing["mode"] for timing in timings} == set(MODES)
    assert not [timing["gap"] for timing in timings if "gap" in timing]


@pytest.mark.parametrize("policy", ["imagenet", "v0"])
def test_images_are_augmented_as_on_a_cpu(policy: str) -> None:
    images = torch.randint(0, 256, (256, 3, 64, 64), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    drawn = draw_augmentations(policy, 256, seed=1, epoch=0)
    difference = (augment(images.to(GPU), drawn).cpu().int() - augment(images, drawn).int()).abs()
    assert (difference > 1).float().mean() < 0.01  # nearest pixels may fall on either side of a tie


def test_batches_arrive_whole_though_the_loader_writes_over_them() -> None:
    images, labels = (
        torch.empty(64, 3, 224, 224, dtype=torch.uint8).pin_memory(),
        torch.empty(64, dtype=torch.int64).pin_memory(),
    )

    def loader() -> Iterator[tuple[torch.Tensor, torch.Tensor, None]]:
        for number in range(20):
            images.fill_(number), labels.fill_(number)
            yield images, labels, None

    kept = [(moved, target) for moved, target, _ in on_device(loader(), GPU)]
    for number, pair in enumerate(kept):
        assert all((tensor == number).all() for tensor in pair)


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ffcv")
    from fastscale.data import write_betons

    images = {"kind": "fashion-mnist", "classes": 10, "train_images": 2000, "val_images": 500, "write_mode": "raw"}
    return write_betons(images, tmp_path_factory.mktemp("fashion")).folder


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", "compiled-graph"])
def test_a_training_by_graphs_is_one_without(
    fashion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    from fastscale.recipe import Recipe
    from fastscale.training.run import train

    options = {"nesterov": True, "precise_bn": 256, "lighting": 0.1}
    recipe = Recipe(epochs=1, batch=64, norm_batch=32, lr=0.5, precision="fp32", augment=None, **options)
    losses = []
    for execution in (Execution(), Execution(mode=mode)):
        tried = [{**execution._asdict(), "step_seconds": {"median": 1}}]
        monkeypatch.setattr("fastscale.training.run.autotune", lambda *_, tried=tried, **__: tried)
        paths = {"record_path": tmp_path / f"{execution.mode}.json", "checkpoint_folder": tmp_path / execution.mode}
        record = train(network_of("RegNetY-tiny"), fashion, recipe, "1x", 1, **paths, threads=1, device="cuda:0")
        losses.append(record["train_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("precision", ["auto", "fp16"])
def test_a_step_waits_for_nothing(fashion: Path, mode: str, precision: str) -> None:
    """A step of fp16, which may be skipped, does not wait for the GPU either."""
    from fastscale.data import Dataset
    from fastscale.recipe import Recipe
    from fastscale.training.trainer import Training

    tried = [{**Execution(mode=mode)._asdict(), "step_seconds": {"median": 1}}]
    recipe = Recipe(epochs=1, batch=64, norm_batch=32, lighting=0.1, precision=precision).for_family("RegNetY")
    network = network_of("RegNetY-tiny")
    training = Training(network, Dataset.open(fashion), recipe, 1, 1, GPU, tried)
    images = torch.zeros(64, 3, network.resolution, network.resolution, dtype=torch.uint8, device=GPU)
    batch = images.contiguous(memory_format=torch.channels_last), torch.arange(64, device=GPU) % 10
    batch += torch.full((), 0.3, device=GPU), torch.zeros(64, 3, device=GPU)
    training._update(*batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        training._update(*batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
