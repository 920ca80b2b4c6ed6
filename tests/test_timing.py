"""Timing on this CPU: executions of a network, what bounds its runtime, and the search for the largest batch."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastscale.cost.roofline import EAGER_CROSSINGS, Roofline
from fastscale.errors import UserError
from fastscale.execution import FORMATS, Execution, combinations, fastest
from fastscale.models.build import build
from fastscale.models.placement import MEMORY_FORMATS, place, prepared_forward
from fastscale.networks import Network, base_network
from fastscale.profiling import autotune, steps
from fastscale.profiling import profile as timing
from fastscale.profiling.batch_size import GRAIN, LARGEST, MARGIN, SMALL, TRIES, largest_batch
from fastscale.records.records import read_record
from fastscale.runtime.devices import choose_device
from fastscale.runtime.distributed import run_ranks

CPU = torch.device("cpu")
OPTIONS = timing.Options(batch=8, repeats=3, images=8000)


@pytest.fixture
def network() -> Network:
    return base_network("RegNetZ-tiny").with_classes(10)


@pytest.fixture
def smallest() -> Network:
    """Make a network of one block: compiling takes seconds per layer."""
    shape = {"depth": 1, "w0": 8, "wa": 0.0, "wm": 2.0, "group_width": 8, "resolution": 8, "stem_width": 8}
    return base_network("smallest", {"smallest": {"family": "RegNetZ", **shape}}).with_classes(10)


@given(
    fixed=st.floats(0, 1e9),
    per_image=st.floats(1e5, 1e9),
    saved=st.floats(0.9, 1),
    free=st.floats(1e9, 1e11),
)
def test_the_largest_batch_is_found_in_few_tries(fixed: float, per_image: float, saved: float, free: float) -> None:
    tried = []

    def needed(batch: float) -> float:
        return fixed + batch * per_image * (1 if batch <= max(SMALL) else saved)

    def peak_of(batch: int) -> int | None:
        tried.append(batch)
        return int(needed(batch)) if needed(batch) <= free else None

    found = largest_batch(peak_of, int(free))
    assert found == 0 or needed(found) <= free
    more = 1.25 * found + GRAIN if found >= max(SMALL) else 2 * found or 1
    assert found == LARGEST or needed(more) > MARGIN * free
    assert len(tried) <= len(SMALL) + TRIES and len(tried) == len(set(tried)), tried


def test_each_execution_is_recorded_and_the_fastest_counts(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    timing.profile_all([network], path, OPTIONS, CPU)
    (record,) = read_record(path, "profiles")["records"]
    peaks = record["peaks"]
    assert 1e9 < peaks["flops_per_second"] < 1e14 and 1e8 < peaks["bytes_per_second"] < 1e13, peaks
    assert [tuple(Execution.from_record(timing)) for timing in record["tried"]] == [
        ("channels_last", "eager", "plain"),
        ("contiguous", "eager", "plain"),
    ]
    best = min(record["tried"], key=lambda timing: timing["step_seconds"]["median"])
    assert {key: record[key] for key in best} == best
    assert record["epoch_seconds"]["least"] == pytest.approx(1000 * record["step_seconds"]["least"])
    several = record["several"]
    assert several["devices"] == 8 and not several["is_measured"]
    assert several["epoch_seconds"]["least"] == pytest.approx(record["epoch_seconds"]["least"] / 8)
    assert all(seconds > 0 for seconds in (record["inference_seconds"]["least"], record["launch_seconds"]))
    before = path.read_bytes()
    timing.profile_all([network], path, OPTIONS, CPU)
    assert path.read_bytes() == before
    timing.profile_all([network], path, OPTIONS._replace(formats=("contiguous",)), CPU)
    (record,) = read_record(path, "profiles")["records"]
    assert record["memory_format"] == "contiguous" and len(record["tried"]) == 1


@pytest.mark.slow
def test_a_compiled_step_trains_and_what_cannot_be_compiled_is_a_gap(
    smallest: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = combinations(["channels_last"], ["eager", "compiled"])
    eager, compiled = autotune.time_executions(smallest, 8, CPU, executions, 2)
    assert compiled["step_seconds"]["median"] > 0 and compiled["mode"] == "compiled"

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler\nis here")

    monkeypatch.setattr(torch, "compile", broken)
    eager, gap = autotune.time_executions(smallest, 8, CPU, executions, 2)
    assert gap == {**Execution(mode="compiled")._asdict(), "gap": "RuntimeError: no C++ compiler"}
    eager, gap = autotune.time_executions(smallest, 8, CPU, combinations(["channels_last"], ["eager", "graph"]), 2)
    assert gap["gap"] == "RuntimeError: only a GPU has CUDA graphs"
    assert fastest([eager, gap]) == Execution("channels_last", "eager")


@pytest.mark.parametrize(
    "full",
    [
        torch.OutOfMemoryError("full"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_batch_that_does_not_fit_after_all_is_halved(
    smallest: Network, monkeypatch: pytest.MonkeyPatch, full: RuntimeError
) -> None:
    reached = {"flops_per_second": 1e12, "bytes_per_second": 1e10, "bytes_per_value": 4}

    def fits(most: int) -> None:
        def training_step(network: Network, batch: int, *rest: object, **options: object) -> object:
            if batch > most:
                raise full
            return step(network, batch, *rest, **options)

        monkeypatch.setattr(autotune, "training_step", training_step)

    step = steps.training_step
    fits(5)
    record = timing.profile(smallest, OPTIONS, CPU, reached)
    assert record["batch"] == 4 and record["epoch_seconds"]["least"] == 2000 * record["step_seconds"]["least"]
    fits(1)
    with pytest.raises(UserError, match=r"not even 2 images of 8 px fit in this GPU's memory"):
        timing.profile(smallest, OPTIONS, CPU, reached)


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown device 'gpu'; allowed are cpu, cuda, and cuda:1 and so on"):
        choose_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="torch finds none here; use --device cpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="there is no cuda:2 here; the GPUs are cuda:0 to cuda:1"):
        choose_device("cuda:2")


@pytest.mark.slow
@pytest.mark.parametrize("group_width", [1, 8])
def test_every_execution_computes_the_same(smallest: Network, group_width: int) -> None:
    torch.manual_seed(1)
    network = replace(smallest, stages=(replace(smallest.stages[0], group_width=group_width),))
    model = build(network).eval()
    images = torch.randn(4, 3, 8, 8)
    expected = model(images)
    executions = combinations(FORMATS, ["eager"], ["plain", "packed"])
    for execution in [*executions, *combinations(["channels_last"], ["compiled"], ["packed", "shifted"])]:
        forward = prepared_forward(place(model, execution, CPU), execution)
        with torch.no_grad():  # else gradients are compiled too
            found = forward(images.contiguous(memory_format=MEMORY_FORMATS[execution.memory_format]))
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("base", "length", "graphs", "expected"),
    [
        ("EN-B0", 1000, True, 0),
        ("EN-B0", 10_000, True, 8),  # two formats, eager or as a graph, plain or packed
        ("EN-B0", 10_000, False, 4),
        ("ResNet50", 10_000, True, 4),
        ("EN-B0", 10**6, True, 8 + 4),  # the fastest also compiled, and shifted, both as a graph too
        ("RegNetZ-500MF", 10**6, True, 8 + 2),
        ("RegNetZ-500MF", 10**6, False, 4 + 1),
    ],
)
def test_what_a_training_on_a_gpu_tries(
    monkeypatch: pytest.MonkeyPatch, base: str, length: int, graphs: bool, expected: int
) -> None:
    """A longer training tries more; packed convolutions are the fastest here, wherever they differ from plain ones."""

    def made_up(network: Network, batch: int, device: torch.device, tried: list[Execution], repeats: int) -> list[dict]:
        assert len(set(tried)) == len(tried)
        seconds = {"packed": 0.05}
        return [{**each._asdict(), "step_seconds": {"median": seconds.get(each.convolutions, 0.1)}} for each in tried]

    monkeypatch.setattr(autotune, "time_executions", made_up)
    network = base_network(base)
    tried = autotune.autotune(length, network, 128, torch.device("cuda"), graphs=graphs)
    assert len(tried) == expected
    assert {timing["convolutions"] for timing in tried[:8] if timing["mode"] == "eager"} <= {"plain", "packed"}
    if tried and base != "ResNet50":
        assert fastest(tried).convolutions == "packed"
    assert graphs or not any(Execution.from_record(timing).is_graph for timing in tried)
    assert autotune.autotune(length, network, 128, CPU, graphs=graphs) == []


@pytest.mark.slow
def test_several_ranks_time_the_step_that_they_share(network: Network) -> None:
    times = run_ranks(2, CPU, timing.step_times, network, 8, Execution(), 2)
    assert len(times) == 2 and all(seconds > 0 for seconds in times)


@given(
    flops=st.integers(1, 10**11),
    acts=st.integers(1, 10**9),
    seconds=st.floats(1e-6, 1),
    launch=st.floats(1e-4, 1),
    mode=st.sampled_from(["eager", "compiled"]),
)
def test_the_roofline(flops: int, acts: int, seconds: float, launch: float, mode: str) -> None:
    peaks = {"flops_per_second": 1e14, "bytes_per_second": 2e12, "bytes_per_value": 2}
    record = {"costs": {"flops": flops, "acts": acts}, "peaks": peaks, "mode": mode, "batch": 10, "images": 1000}
    found = Roofline.from_record({**record, "epoch_seconds": {"least": 1000 * seconds}, "launch_seconds": launch})
    assert found.compute == pytest.approx(6 * flops / 1e14)
    assert found.crossings == pytest.approx(seconds * 2e12 / (2 * acts))
    assert found.crossings * found.eager_traffic == pytest.approx(EAGER_CROSSINGS * found.seconds)
    traffic = found.eager_traffic if mode == "eager" else found.fused_traffic
    limits = {"arithmetic": found.compute, "traffic": traffic, "launches": found.launches}
    assert found.share == pytest.approx(max(limits.values()) / seconds)
    assert found.bound == "none" if found.share < 0.5 else limits[found.bound] == max(limits.values())


@given(
    once=st.floats(1e-6, 1),
    image=st.floats(1e-6, 1),
    batch=st.integers(3, 4096),
)
def test_launches_are_what_a_step_takes_without_its_images(once: float, image: float, batch: int) -> None:
    def found(batch: int) -> float:
        record = {
            "costs": {"flops": 1, "acts": 1},
            "peaks": {"flops_per_second": 1e14, "bytes_per_second": 2e12, "bytes_per_value": 2},
            **{"mode": "eager", "batch": batch, "images": 1000, "launch_seconds": once + 2 * image},
            "epoch_seconds": {"least": 1000 * (once + batch * image) / batch},
        }
        return Roofline.from_record(record).launches

    assert found(batch) == pytest.approx(once / batch, rel=1e-3, abs=1e-9) and found(2) == 0
