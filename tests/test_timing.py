"""Timing on this CPU: executions of a network, what bounds its runtime, and the search for the largest batch."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastscale.analysis.results.noise import LIMIT
from fastscale.cost.roofline import EAGER_CROSSINGS, Roofline
from fastscale.errors import UserError
from fastscale.execution import FORMATS, Execution, combinations, fastest
from fastscale.models.build import build
from fastscale.models.placement import MEMORY_FORMATS, place, prepared_forward
from fastscale.networks import Network, base_network
from fastscale.profiling import autotune, peaks, profile, steps, visits
from fastscale.profiling.batch_size import GRAIN, LARGEST, MARGIN, SMALL, TRIES, largest_batch
from fastscale.profiling.options import FEWEST_ROUNDS, Options
from fastscale.profiling.profile import profile_all
from fastscale.profiling.rounds import CONFIRMED, MORE_ROUNDS, PEAK_TRIES, plan
from fastscale.records.records import read_record
from fastscale.runtime.devices import choose_device
from fastscale.runtime.distributed import run_ranks

CPU = torch.device("cpu")
OPTIONS = Options(batch=8, repeats=3, images=8000)
ROUNDS = range(FEWEST_ROUNDS, FEWEST_ROUNDS + MORE_ROUNDS + 1)  # more where the fastest one is not confirmed


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread: where cores are taken, two threads wait for each other at each layer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


def test_each_execution_is_recorded_and_the_fastest_counts(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "profile.json"
    profile_all([network], path, OPTIONS, CPU)
    (record,) = read_record(path, "profiles")["records"]
    reached = record["peaks"]
    assert 1e9 < reached["flops_per_second"] < 1e14 and 1e8 < reached["bytes_per_second"] < 1e13, reached
    assert len(reached["measured"]) == 3  # at the start, in the middle, at the end
    assert reached["flops_per_second"] == max(each["flops_per_second"] for each in reached["measured"])
    assert [tuple(Execution.from_record(timing)) for timing in record["tried"]] == [
        ("channels_last", "eager", "plain"),
        ("contiguous", "eager", "plain"),
    ]
    best = min(record["tried"], key=lambda tried: min(tried["rounds"]))
    assert {key: record[key] for key in best} == best
    assert len(record["rounds"]) == len(record["loads"]) in ROUNDS and all(load > 0 for load in record["loads"])
    assert min(record["rounds"]) == record["step_seconds"]["least"]
    assert record["epoch_seconds"]["least"] == pytest.approx(1000 * record["step_seconds"]["least"])
    several = record["several"]
    assert several["devices"] == 8 and not several["is_measured"]
    assert several["epoch_seconds"]["least"] == pytest.approx(record["epoch_seconds"]["least"] / 8)
    assert all(seconds > 0 for seconds in (record["inference_seconds"]["least"], record["launch_seconds"]))
    before = path.read_bytes()
    monkeypatch.setattr(peaks, "measure", lambda device: reached)
    profile_all([network], path, OPTIONS, CPU)
    assert path.read_bytes() == before
    profile_all([network], path, OPTIONS._replace(formats=("contiguous",)), CPU)
    (record,) = read_record(path, "profiles")["records"]
    assert record["memory_format"] == "contiguous" and len(record["tried"]) == 1


@given(st.integers(1, 1000))
def test_rounds_have_about_as_many_steps_as_repeats_says(repeats: int) -> None:
    options = OPTIONS._replace(repeats=repeats)
    assert options.rounds >= FEWEST_ROUNDS and options.steps >= 1
    assert max(repeats - options.rounds, FEWEST_ROUNDS) <= options.rounds * options.steps <= max(repeats, FEWEST_ROUNDS)


def of_depths(network: Network, *depths: int) -> list[Network]:
    """Make networks of increasing activations."""
    return [replace(network, stages=(replace(network.stages[0], depth=depth),)) for depth in depths]


def test_rounds_are_interleaved_in_an_order_that_differs_from_round_to_round(smallest: Network) -> None:
    networks = of_depths(smallest, *range(1, 9))
    visits = plan(networks, {}, 5, is_interleaved=True)
    assert visits == plan(networks, {}, 5, is_interleaved=True)
    peak_tries = [i for i, visit in enumerate(visits) if visit is None]
    assert peak_tries == [0, 4, 9, 13, 18, 23, 27, 32, 37, 41, 46, 51]
    order = [visit.hash for visit in visits if visit]
    rounds = [order[i : i + 8] for i in range(0, 40, 8)]
    assert all(set(each) == {network.hash for network in networks} for each in rounds)
    assert len({tuple(each) for each in rounds}) == 5
    done = {network.hash: 1 + (network.hash in rounds[1][:3]) for network in networks}  # interrupted in the second
    assert [visit.hash for visit in plan(networks, done, 5, is_interleaved=True) if visit] == order[8 + 3 :]


def test_networks_whose_fastest_round_no_other_confirms_are_timed_in_more_rounds(
    smallest: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is confirmed in its seventh round, one never, two at once; another call times none of them again."""
    assert CONFIRMED == LIMIT  # what the pages call too noisy
    slow = [2.0, 2.0, 1.0, 2.0, 2.0]
    series = {1: [*slow, 2.0, 1.1], 2: [*slow, 1.3, 2.0, 2.0, 2.0, 2.0], 3: [1.0, 1.1, 3.0, 3.0, 3.0], 4: [1.0] * 5}
    networks, timed = of_depths(smallest, *series), []

    def made_up(record: dict, network: Network, options: Options, device: torch.device) -> dict:
        depth, rounds = network.stages[0].depth, record["rounds"]
        timed.append(depth)
        return {**record, "rounds": [*rounds, series[depth][len(rounds)]]}

    monkeypatch.setattr(profile, "next_round", made_up)
    monkeypatch.setattr(peaks, "measure", lambda device: {"flops_per_second": 1, "bytes_per_second": 1, "n": 1})
    for _ in range(2):
        profile_all(networks, tmp_path / "profile.json", OPTIONS, CPU)
        assert Counter(timed) == {1: 7, 2: FEWEST_ROUNDS + MORE_ROUNDS, 3: 5, 4: 5}
    profile_all(networks, tmp_path / "late.json", OPTIONS, CPU, deadline=0)
    assert len(timed) == 7 + 9 + 5 + 5


def test_portions_that_tell_most_are_timed_first(smallest: Network) -> None:
    """In rounds each is a session of its own, beside networks of earlier ones; else sentinels are of the first."""
    networks = of_depths(smallest, *range(1, 9))
    depths = [v.stages[0].depth for v in plan(networks, {}, 5, is_interleaved=True, portions=[3, 6]) if v]
    sessions = depths[:15], depths[15:45], depths[45:]
    for session, visited in zip(sessions, ({1, 2, 3}, {1, 2, 3, 4, 5, 6}, {1, 4, 6, 7, 8}), strict=True):
        assert Counter(session) == dict.fromkeys(visited, 5)
    once = [v.stages[0].depth for v in plan(networks, {}, 5, is_interleaved=False, portions=[3, 6]) if v]
    assert once == [1, 2, 3, 4, 5, 1, 2, 3, 6, 7, 8, 1, 2, 3]


def test_sentinels_tell_drift(smallest: Network) -> None:
    networks = of_depths(smallest, *range(1, 10))
    least, median, most = networks[0], networks[4], networks[8]
    done = {network.hash: 5 for network in networks}
    more = of_depths(smallest, 10, 11)
    visited = Counter(
        visit.stages[0].depth for visit in plan([*networks, *more], done, 5, is_interleaved=True) if visit
    )
    assert visited == dict.fromkeys((1, 5, 9, 10, 11), 5)  # the new ones, and those that an earlier session has timed
    once = plan(networks, {}, 5, is_interleaved=False)
    sentinels = [least, median, most]
    first, second = networks[1:4], networks[5:8]
    assert once == [None, *sentinels, *first, sentinels[0], None, *sentinels[1:], *second, *sentinels, None]
    assert plan(networks[:3], {}, 5, is_interleaved=False) == [None, networks[0], None, *networks[1:3], None]
    assert plan(networks, done, 5, is_interleaved=False) == plan(networks, done, 5, is_interleaved=True) == []


def test_an_interrupted_profile_continues_in_the_middle_of_its_rounds(
    smallest: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is interrupted when it measures the peaks again; a wider sweep then times its sentinels once more."""
    path, networks, measured = tmp_path / "profile.json", of_depths(smallest, 1, 2), []
    measure = peaks.measure

    def interrupted(device: torch.device) -> dict[str, float]:
        if len(measured) == 1.5 * PEAK_TRIES:  # in the middle third
            raise KeyboardInterrupt
        measured.append(measure(device))
        return measured[0]

    monkeypatch.setattr(peaks, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        profile_all(networks, path, OPTIONS, CPU)
    before = read_record(path, "profiles")["records"]
    assert sorted(len(record["rounds"]) for record in before) == [2, 3] and "again" not in before[0]
    monkeypatch.setattr(peaks, "measure", lambda device: measured[0])
    profile_all(networks, path, OPTIONS, CPU)
    after = read_record(path, "profiles")["records"]
    for old, new in zip(before, after, strict=True):
        assert len(new["rounds"]) in ROUNDS and len(new["peaks"]["measured"]) == 2 + 3
        (tried,) = [each for each in new["tried"] if Execution.from_record(each) == Execution.from_record(old)]
        assert tried["rounds"][: old["n"]] == old["rounds"]
    profile_all([*networks, *of_depths(smallest, 3)], path, OPTIONS, CPU)
    *sentinels, wider = read_record(path, "profiles")["records"]
    assert wider["n"] in ROUNDS and "again" not in wider
    for old, new in zip(after, sentinels, strict=True):
        assert len(new.pop("again")) == 1 and new == old


def test_each_network_is_visited_once_where_building_it_is_dear(
    smallest: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU; sentinels are timed in the middle and at the end too, and nothing is begun after the deadline."""
    path, options = tmp_path / "profile.json", OPTIONS._replace(formats=("channels_last",), autotune=0)
    peaks_of = {"flops_per_second": 1e12, "bytes_per_second": 1e10, "bytes_per_value": 4, "n": 3}
    monkeypatch.setattr(peaks, "measure", lambda device: peaks_of)
    once = type("Once", (Options,), {"is_interleaved": lambda *_: False})(*options)
    networks = of_depths(smallest, *range(1, 8))
    profile_all(networks, path, once, CPU, deadline=0)
    assert read_record(path, "profiles")["records"] == []
    profile_all(networks, path, once, CPU)
    records = read_record(path, "profiles")["records"]
    assert [record["network_hash"] for record in records] == [network.hash for network in networks]
    assert [len(record.get("again", [])) for record in records] == [2, 0, 0, 2, 0, 0, 2]
    for record in records:
        (tried,) = record["tried"]
        assert record["n"] == FEWEST_ROUNDS and tried["n"] == 5 and len(record["peaks"]["measured"]) == 3
    assert not torch.backends.cudnn.benchmark  # cuDNN was left to its heuristics


@pytest.mark.parametrize(("factor", "second"), [(1.4, ("channels_last",)), (1.2, FORMATS)])
def test_a_memory_format_that_is_far_slower_is_tried_on_one_network_of_a_family(
    smallest: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, second: tuple[str, ...]
) -> None:
    """As on a GPU; `factor` is the time by contiguous over that by channels_last."""
    seconds, formats = {"channels_last": 1.0, "contiguous": factor}, {}

    def made_up(record: dict, network: Network, options: Options, device: torch.device) -> dict:
        formats[network] = options.formats
        tried = [{"memory_format": each, "step_seconds": {"median": seconds[each]}} for each in options.formats]
        return {**record, "rounds": [1.0] * FEWEST_ROUNDS, "tried": tried}

    monkeypatch.setattr(profile, "all_rounds", made_up)
    monkeypatch.setattr(peaks, "measure", lambda device: {"flops_per_second": 1, "bytes_per_second": 1, "n": 1})
    once = type("Once", (Options,), {"is_interleaved": lambda *_: False})(*OPTIONS)
    first, *others = [*of_depths(smallest, 1, 2), base_network("EN-tiny").with_classes(10)]
    profile_all([first, *others], tmp_path / "profile.json", once, CPU)
    assert formats == {first: FORMATS, others[0]: second, others[1]: FORMATS}


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
    def fits(most: int) -> None:
        def training_step(network: Network, batch: int, *rest: object, **options: object) -> object:
            if batch > most:
                raise full
            return step(network, batch, *rest, **options)

        monkeypatch.setattr(autotune, "training_step", training_step)
        monkeypatch.setattr(visits, "training_step", training_step)

    step = steps.training_step
    begun = visits.begin(smallest, OPTIONS, CPU)
    fits(5)
    record = visits.all_rounds(begun, smallest, OPTIONS, CPU)
    assert record["batch"] == 4 and record["epoch_seconds"]["least"] == 2000 * record["step_seconds"]["least"]
    fits(2)
    alone = OPTIONS._replace(formats=("contiguous",))
    assert visits.all_rounds(begun, smallest, alone, CPU)["batch"] == 2
    fits(1)
    for options in (OPTIONS, alone):
        with pytest.raises(UserError, match=r"not even 2 images of 8 px fit in this GPU's memory"):
            visits.all_rounds(begun, smallest, options, CPU)


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
    times = run_ranks(2, CPU, visits.step_times, network, 8, Execution(), 2)
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
