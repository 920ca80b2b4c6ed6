"""`fastscale verdict`: one command that times networks and says whether fast scaling holds."""

import re
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from click.testing import CliRunner, Result
from made_up import minutes_of, write_records

from fastscale.analysis import aggregate
from fastscale.cli.main import main
from fastscale.cli.verdict import PAPER, read
from fastscale.networks import base_network
from fastscale.profiling import peaks
from fastscale.records.networks import read_networks
from fastscale.records.records import read_record, write_record
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.priority import by_priority
from fastscale.sweep.sweep import Sweep

CURVES = {"bases": ["EN-tiny", "RegNetZ-tiny"], "strategies": ["w", "dwr", "dWr"], "scales": [1, 4, 16]}
SMALL = {
    "sweep": "small",
    "train": False,
    "data": {"kind": "fashion-mnist", "classes": 10},
    "figures": {"fig1": CURVES, "fig2": CURVES},
    "profile": {"repeats": 2, "formats": ["channels_last"]},
}


def verdict(folder: Path, config: dict, *words: str) -> Result:
    path = folder / "verdict.yaml"
    path.write_text(yaml.safe_dump(config))
    fixed = ["--out", str(folder / "out"), "--config", str(path), "--batch", "8"]
    return CliRunner().invoke(main, ["verdict", *fixed, *words])


@pytest.mark.slow
def test_it_times_and_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ran = verdict(tmp_path, SMALL, "--minutes", "0")
    assert ran.exit_code == 0 and "**Not measured.**" in ran.output, ran.output
    assert "out/partial/tables/verdict.md" in ran.output and "- Of the bases that are scaled 2 of 2:" in ran.output
    assert "0 of 14 networks are timed in all rounds, those that tell most first" in caplog.text
    ran = verdict(tmp_path, SMALL, "--minutes", "60")
    assert ran.exit_code == 0 and "not timed yet" not in ran.output, ran.output
    assert "timing 14 networks on " in caplog.text and "(no GPU: networks of full size take hours)" in caplog.text
    out = tmp_path / "out"
    assert f"{out}/tables/verdict.md" in ran.output and "| EN-tiny, acts | — |" in ran.output
    assert {path.name for path in (out / "figures").glob("*.svg")} == {"fig1.svg", "fig2.svg", "fig3.svg"}
    for name in ("roofline", "timing", "prediction", "verdict", "networks"):
        assert len((out / f"tables/{name}.csv").read_text().splitlines()) > 3, name
    assert not (out / "figures/pareto.svg").exists() and "trials" not in (out / "README.md").read_text()
    before = (out / "profile/fixed.json").read_bytes()
    assert verdict(tmp_path, SMALL).exit_code == 0
    assert (out / "profile/fixed.json").read_bytes() == before  # timed once


@pytest.mark.parametrize(
    ("minutes", "answer", "faster"),
    [(minutes_of, "Yes", 2), (lambda cost: cost.params, "No", 0)],
    ids=["by activations", "by params"],
)
def test_the_answer_follows_from_the_times(tmp_path: Path, minutes: object, answer: str, faster: int) -> None:
    """Fast scaling holds where times follow activations alone, and does not where they follow params."""
    sweep = write_records(Sweep.from_config({**SMALL, "results": str(tmp_path)}), minutes=minutes)
    aggregate(sweep, "verdict")
    text = (sweep.folder / "tables/verdict.md").read_text()
    assert f"**{answer}.**\n\n- Activations" in text
    assert f"uniform compound scaling (dwr) of the same flops: on {faster} of 2 bases" in text
    (higher,) = re.findall(r"than flops do: on . of 2 bases, a correlation that is (\S+) \[", text)
    assert (float(higher) > 0) == (answer == "Yes")


def test_an_interrupted_verdict_says_what_it_lacks(tmp_path: Path) -> None:
    """After each network the page is true: it counts what is missing, and decides nothing before there is enough."""
    sweep = write_records(Sweep.from_config({**SMALL, "results": str(tmp_path)}))
    path, answers = sweep.profile_record(FIXED), []
    records = {record["network"]: record for record in read_record(path, "profiles")["records"]}
    order = [network.id for group in by_priority(sweep.points) for network in group.networks]
    assert sorted(order) == sorted(records)
    for timed in range(len(order) + 1):
        write_record(path, {"kind": "profiles", "records": [records[name] for name in order[:timed]]})
        aggregate(sweep, "verdict", "partial")
        text = (sweep.folder / "partial/tables/verdict.md").read_text()
        missing = re.findall(r"^- Of .* (\d+) of \d+: (.*)\.$", text, re.M)
        assert sum(int(n) for n, _ in missing) == len(order) - timed
        assert all(int(n) == len(names.split(", ")) for n, names in missing)
        answer, *_ = re.findall(r"^\*\*(.*?)\.\*\*", text, re.M)
        faster = re.findall(r"same flops: on \d of (\d) bases", text)
        answers.append((answer, int(faster[0]) if faster else 0))
    bases = [n for _, n in answers]
    assert bases == sorted(bases) and bases[0] == 0 and bases[-1] == 2
    assert answers[0] == ("Not measured", 0) and answers[-1] == ("Yes", 2)
    assert {answer for answer, _ in answers} <= {"Not measured", "Undecided", "In part", "Yes"}


def test_noisy_timings_answer_nothing(tmp_path: Path) -> None:
    sweep = write_records(Sweep.from_config({**SMALL, "results": str(tmp_path)}))
    path = sweep.profile_record(FIXED)
    records = read_record(path, "profiles")["records"]
    peaks = records[0]["peaks"]
    records[0]["peaks"] = {**peaks, "measured": [peaks, {**peaks, "flops_per_second": peaks["flops_per_second"] / 1.3}]}
    write_record(path, {"kind": "profiles", "records": records})
    aggregate(sweep, "verdict")
    text = (sweep.folder / "tables/verdict.md").read_text()
    assert text.index("Too noisy to compare times: the device's peak was once 1.30 times") < text.index(
        "**Undecided: too noisy.**"
    )


def test_devices_are_compared_side_by_side_each_by_itself(tmp_path: Path) -> None:
    """On the first, times follow activations, on the second params; a folder may lie elsewhere than it was made."""
    for name, minutes in (("a", minutes_of), ("b", lambda cost: cost.params)):
        write_records(Sweep.from_config({**SMALL, "sweep": name, "results": str(tmp_path)}), minutes=minutes)
    profile = tmp_path / "b/profile/fixed.json"
    records = read_record(profile, "profiles")["records"]
    device = {"type": "cpu", "name": "loom", "threads": 2}
    write_record(profile, {"kind": "profiles", "records": [{**record, "device": device} for record in records]})
    first, second = tmp_path / "a", (tmp_path / "b").rename(tmp_path / "moved")
    ran = CliRunner().invoke(main, ["compare", str(first), str(second)])
    assert ran.exit_code == 0, ran.output
    assert f"## {first} (abacus, 1 thread, float32)\n\n**Yes.**" in ran.output
    assert f"## {second} (loom, 2 threads, float32)\n\n**No.**" in ran.output
    cells = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in ran.output.splitlines()}
    assert cells["EN-tiny, acts"][1][:5] == "1.000" > cells["EN-tiny, params"][1][:5]
    assert cells["EN-tiny, params"][2][:5] == "1.000" > cells["EN-tiny, acts"][2][:5]
    assert {"effective memory crossings, median (range)", "geometric mean, time"} <= cells.keys()

    alone = CliRunner().invoke(main, ["compare", str(first), f"{first}/../a"])
    assert "one folder is nothing to compare" in alone.output
    other = [records[0], *({**record, "device": device} for record in records[1:])]
    write_record(first / "profile/fixed.json", {"kind": "profiles", "records": other})
    mixed = CliRunner().invoke(main, ["compare", str(first), str(second)])
    assert mixed.exit_code == 1 and "has the device loom, 2 threads, float32, but" in mixed.output


def test_the_papers_sweep_is_at_its_size() -> None:
    sweep = read(PAPER, Path("results/verdict"))
    rivals = {base_network(name).id for name in ("RegNetY-4GF->16GF", "EN-B4", "RegNetZ-4GF", "ResNet50")}
    assert rivals <= set(sweep.networks) and 60 <= len(sweep.networks) <= 90
    assert {"fig1", "fig2", "fig4", "fig6", "fig11", "fig12"} <= set(sweep.artefacts)
    assert not sweep.trainings(sweep.everything)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**SMALL, "train": True}, "is a sweep that trains"),
        ({**SMALL, "figures": {"fig2": {**CURVES, "bases": ["EN-B99"]}}}, "EN-B99"),
        (["no sweep"], "is a mapping"),
    ],
)
def test_a_configuration_of_no_verdict_is_refused(tmp_path: Path, config: object, message: str) -> None:
    ran = verdict(tmp_path, config)
    assert ran.exit_code == 1 and message in ran.output and not (tmp_path / "out").exists(), ran.output


def borrowed(out: Path, config: Path, *words: str) -> ModuleType:
    """Load benchmarks/gpu.py, and run it with these words."""
    spec = spec_from_file_location("gpu", Path(__file__).parent.parent / "benchmarks/gpu.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(["--out", str(out), "--config", str(config), "--device", "cpu", "--batch", "2", *words])
    return module


def test_a_borrowed_gpu_times_first_what_tells_most(tmp_path: Path) -> None:
    borrowed(tmp_path / "gpu", PAPER, "--prepare")
    sweep = Sweep.load(tmp_path / "gpu/sweep.json")
    names = {point.network.id: f"{point.base} {point.strategy} {point.scale:g}" for point in reversed(sweep.points)}
    ids = [network.id for network in read_networks(sweep.network_record(FIXED))]
    order = [names[name] for name in ids]
    assert sorted(ids) == sorted(sweep.networks)
    assert set(order[:3]) == {f"{base} base 1" for base in ("EN-B0", "RegNetY-500MF", "RegNetZ-500MF")}
    assert set(order[3:6]) == {"EN-B0 dWr 11", "RegNetY-500MF dWr 8.25", "RegNetZ-500MF dWr 8.1"}
    assert {name.split()[1] for name in order[3:15]} == {"dWr", "dwr", "w", "dw"}
    assert set(order[15:17]) == {"RegNetY-4GF->16GF base 1", "EN-B4 base 1"}
    assert {name.split()[2] for name in order[17:29]} == {"4"} and "EN-B0 r 11" in order[29:]


def test_the_pages_of_a_borrowed_gpu_are_made_of_what_it_has_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = {"flops_per_second": 1e12, "bytes_per_second": 1e11, "bytes_per_value": 4, "precision": "float32", "n": 3}
    monkeypatch.setattr(peaks, "measure", lambda device: reached)
    config = tmp_path / "tiny.yaml"
    config.write_text(
        yaml.safe_dump({**SMALL, "figures": {"fig1": {"bases": ["EN-tiny"], "strategies": ["w"], "scales": [1, 2, 4]}}})
    )
    for end, timed in ((0.0, 0), (time.monotonic() + 1e6, 3)):
        borrowed(tmp_path / "gpu", config, "--part", "verdict", "--end", str(end))
        sweep = Sweep.load(tmp_path / "gpu/sweep.json")
        assert len(read_record(sweep.profile_record(FIXED), "profiles")["records"]) == timed
        aggregate(sweep, "timing", "partial")
        page = (sweep.folder / "partial/tables/timing.md").read_text()
        assert ("Partial: 3 records are missing" in page) == (timed == 0), page
