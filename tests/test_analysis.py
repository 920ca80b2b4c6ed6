"""Artefacts from records: the same records give the same bytes; records that do not belong together are refused."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_up import error_of, minutes_of, write_records

from fastscale.analysis import aggregate
from fastscale.analysis.results.fits import fit_line
from fastscale.analysis.results.reading import ENTRIES
from fastscale.errors import UserError
from fastscale.networks.complexity import Complexity
from fastscale.records.records import read_record, write_record
from fastscale.sweep.captions import caption
from fastscale.sweep.sweep import Sweep

CONFIG = yaml.safe_load((Path(__file__).parent.parent / "config.yaml").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a full set of made-up records of the default sweep, with three trials."""
    folder = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_records(Sweep.from_config({**CONFIG, "trials": 3}))
    return folder


@pytest.fixture
def sweep(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """The sweep in a copy of `folder`, which is the working directory."""
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return Sweep.load(Path("results/default/sweep.json"))


def change(path: Path, **values: Any) -> None:
    write_record(path, {**json.loads(path.read_text()), **values})


def change_timing(sweep: Sweep, network: str, **values: Any) -> None:
    path = sweep.profile_record(sweep.sources[network])
    records = json.loads(path.read_text())["records"]
    change(path, records=[{**record, **values} if record["network"] == network else record for record in records])


def rows(sweep: Sweep, table: str) -> list[dict[str, str]]:
    with sweep.artefacts[table][0].open() as opened:
        return list(csv.DictReader(opened))


def a_network(sweep: Sweep, base: str = "EN-tiny", strategy: str = "w", scale: float = 16) -> str:
    return next(p.network.id for p in sweep.points if (p.base, p.strategy, p.scale) == (base, strategy, scale))


def contents(sweep: Sweep, *artefacts: str) -> dict[str, bytes]:
    paths = [path for name in artefacts or sweep.artefacts for path in sweep.artefacts[name]]
    return {str(path): path.read_bytes() for path in paths}


# Another hash seed, time zone, locale and number of cores.
HERE = ("0", {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"})
THERE = ("0,1", {"PYTHONHASHSEED": "2", "TZ": "America/Lima", "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "1"})


def contents_by_another_process(
    sweep: Sweep, cores: str, environment: dict[str, str], artefacts: Iterable[str]
) -> dict[str, bytes]:
    command = ["taskset", "-c", cores, sys.executable, "-m", "fastscale.cli.main", "aggregate", *artefacts]
    command += ["--sweep", str(sweep.description)]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    return contents(sweep)


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes_and_a_changed_record_changes_only_artefacts_that_read_it(
    sweep: Sweep, tmp_path: Path
) -> None:
    """In two folders. In the second a record is changed first; with the old record, artefacts are as in the first."""
    shutil.copytree(tmp_path / "copy", tmp_path / "über there")
    expected = contents_by_another_process(sweep, *HERE, sweep.artefacts)
    assert all(expected.values())

    os.chdir(tmp_path / "über there")
    (network,) = {p.network.id for p in sweep.points if (p.base, p.strategy, p.scale) == ("RegNetZ-G1-tiny", "dWr", 16)}
    record = sweep.train_record(network, sweep.schedule, 1)
    unchanged = record.read_bytes()
    change(record, top1_error=1.5)
    elsewhere = contents_by_another_process(sweep, *THERE, sweep.artefacts)
    changed = {Path(path).stem for path, content in elsewhere.items() if content != expected[path]}
    # The learning curves read the log beside the record; the README says when and where records were made, not results.
    assert changed == {name for name in sweep.artefacts if record in sweep.records(name)} - {"learning", "readme"}
    assert "fig10" in changed and not changed & {"fig1", "fig8", "table6"}

    record.write_bytes(unchanged)
    again = contents_by_another_process(sweep, *THERE, ["claims", "fig10"])
    assert all(again[path] == expected[path] for path in again if Path(path).stem in ("claims", "fig10"))


def test_no_table_is_empty(sweep: Sweep) -> None:
    """With all records, no cell of the paper's tables is a gap."""
    for name in (f"table{i}" for i in range(1, 9)):
        aggregate(sweep, name)
        assert len(rows(sweep, name)) >= 3
        assert "—" not in sweep.artefacts[name][1].read_text().split("is a gap")[-1]


def test_networks_table(sweep: Sweep) -> None:
    aggregate(sweep, "networks")
    table = rows(sweep, "networks")
    assert len(table) == len(sweep.points)
    trained = {network for network, schedule in sweep.trainings(sweep.everything) if schedule == "2x"}
    for row in table:
        cost = Complexity(*(int(row[key]) for key in ("flops", "params", "acts")))
        assert float(row["epoch_seconds"]) == pytest.approx(60 * minutes_of(cost), rel=1e-5)
        if row["network"] in trained:
            assert float(row["error_2x"]) == pytest.approx(error_of(cost, 2), abs=1e-4)
            assert float(row["error_2x_std"]) == pytest.approx(0.1) and row["error_2x_trials"] == "3"
        base = next(b for b in table if b["base"] == row["base"] and b["strategy"] == "base")
        assert float(row["realised_scale"]) == pytest.approx(cost.flops / int(base["flops"]), abs=1e-4)


def test_tables_5_to_8_show_each_schedule(sweep: Sweep) -> None:
    aggregate(sweep, "table6")
    assert all(float(row[f"error_{schedule}"]) > 0 for row in rows(sweep, "table6") for schedule in ("1x", "2x"))
    aggregate(sweep, "table7")
    assert [row["network"] for row in rows(sweep, "table7") if row["label"] == "optimized"] == ["RegNetY-found"]
    assert "RegNetY-found [optimized]" in sweep.artefacts["table7"][1].read_text()


def test_tables_1_to_4_are_the_papers(sweep: Sweep) -> None:
    """Rows have the paper's names, and its exponents of s in flops, params and acts."""
    published = {
        "table1": {"none": "0 0 0", "d": "1 1 1", "w": "1 1 1/2", "r": "1 0 1"},
        "table2": {"dw": "1 1 3/4", "wr": "1 1/2 3/4", "dr": "1 1/2 1", "dwr": "1 2/3 5/6"},
        "table3": {"none": "0 0 0", "w": "1 1 1", "g": "1 1 0", "wg": "1 1 1/2"},
        "table4": {"dr": "1 1/2 1", "dwr": "1 2/3 5/6", "dWr": "1 9/10 3/5", "w": "1 1 1/2"}
        | {"alpha": "1 alpha/2+1/2 1-alpha/2"},
    }
    for table, expected in published.items():
        aggregate(sweep, table)
        shown = {
            row["strategy"]: " ".join(row[key].replace(" ", "") for key in ("flops", "params", "acts"))
            for row in rows(sweep, table)
        }
        assert shown == expected


def test_measured_exponents_stand_beside_the_theory(sweep: Sweep) -> None:
    """Within 0.03 for scales 1 to 64; exponents that are further off are named."""
    for table in ("table1", "table2", "table4"):
        aggregate(sweep, table)
        measured = [row for row in rows(sweep, table) if row["furthest"]]
        for row in measured:
            assert abs(float(row["furthest"].split()[-1])) <= 0.03
            for name in ("flops", "params", "acts"):
                assert float(row[f"measured_{name}"]) == pytest.approx(float(Fraction(row[name])), abs=0.03)
        assert len(measured) >= 3 and "All are within 0.03" in sweep.artefacts[table][1].read_text()
    aggregate(sweep, "table3")  # measured on the last stage, whose width no group width reaches
    text = sweep.artefacts["table3"][1].read_text()
    assert "All are within 0.03" in text and "(-0.000)" not in text
    assert "its wg is the strategy w of a configuration, its w is w-only, its g is g-only" in text
    assert re.search(r"^\| wg \|.*\| w \|$", text, re.M) and re.search(r"^\| w \|.*\| w-only \|$", text, re.M)


def test_published_complexity_is_ours(sweep: Sweep) -> None:
    aggregate(sweep, "published")
    assert len(rows(sweep, "published")) == 22
    assert "**66 of 66 published numbers equal ours" in sweep.artefacts["published"][1].read_text()


def test_captions_of_figures_with_bars_say_what_these_are(sweep: Sweep) -> None:
    captions = {name: caption(name, sweep.records(name), sweep.folder) for name in sweep.artefacts}
    errors = {
        name for name, text in captions.items() if re.search("Bars: errors ± standard deviation over trials", text)
    }
    times = {name for name, text in captions.items() if re.search(r"Bars: .*times to the most of their rounds\.", text)}
    assert errors == {f"fig{i}" for i in (1, 4, 5, 6, 7, 8, 9, 10)}
    assert times == {f"fig{i}" for i in (1, 2, 4, 6, 8, 9, 10, 11, 12)}
    assert "errors of two bases" in captions["fig1"] and "errors" not in caption("fig1", [], sweep.folder)


def test_fit_line() -> None:
    line = fit_line([1, 2, 3, 4], [5, 3, 1, -1])
    assert line is not None
    assert line[:3] == pytest.approx((-2, 7, -1))
    assert fit_line([1, 2], [1, 2]) is None and fit_line([1, 1, 1], [1, 2, 3]) is None


@pytest.mark.slow
def test_gaps_are_shown_with_their_reason(sweep: Sweep) -> None:
    network, other = a_network(sweep), a_network(sweep, scale=4)
    diverged = [sweep.train_record(network, "2x", trial) for trial in sweep.trials]
    for path in diverged:
        change(path, status="diverged", top1_error=None)
    missing = [sweep.train_record(other, "2x", 1), sweep.profile_record("RegNetY-found")]
    gaps = {*diverged, *missing}
    for path in missing:
        path.unlink()
    with pytest.raises(UserError, match="missing"):
        aggregate(sweep, "networks")
    for artefact in (name for name in sweep.artefacts if gaps & {*sweep.records(name)}):
        for path in aggregate(sweep, artefact, "partial"):
            assert path.stat().st_size and "partial" in path.parts
    assert not any(path.exists() for paths in sweep.artefacts.values() for path in paths)
    with sweep.in_scope(sweep.artefacts["networks"][0], "partial").open() as opened:
        table = list(csv.DictReader(opened))
    row = next(row for row in table if row["network"] == network)
    assert row["error_2x"] == "" and "2x: trial 1 diverged" in row["notes"]
    assert any(row["epoch_seconds"] == "" and row["notes"] == "not timed" for row in table)
    text = sweep.in_scope(sweep.artefacts["networks"][1], "partial").read_text()
    untimed = sum(source == "RegNetY-found" for source in sweep.sources.values())
    assert f"Partial: {untimed + 1} records are missing" in text and "a training diverged: EN-tiny w 16" in text


def test_complexity_needs_no_records(sweep: Sweep) -> None:
    for folder in ("networks", "profile", "train", "search"):
        shutil.rmtree(sweep.folder / folder)
    sweep = Sweep.load(sweep.description)
    for artefact in ("table5", "table7", "fig1", "fig11"):
        aggregate(sweep, artefact, "complexity")
    text = sweep.in_scope(sweep.artefacts["table7"][1], "complexity").read_text()
    assert "Complexity alone" in text and "their search has not run: RegNetY-found, RegNetY-found->16x" in text


def test_records_of_older_code_are_counted(sweep: Sweep) -> None:
    change_timing(sweep, a_network(sweep), provenance={"code": "old"})
    aggregate(sweep, "networks")
    assert "1 records are older than the code" in sweep.artefacts["networks"][1].read_text()


@pytest.mark.parametrize("key", ["peaks", "rounds"])
def test_a_timing_of_an_older_fastscale_is_refused(sweep: Sweep, key: str) -> None:
    path = sweep.profile_record("fixed")
    records = json.loads(path.read_text())["records"]
    del next(record for record in records if record["network"] == a_network(sweep))[key]
    change(path, records=records)
    for artefact in ("timing", "fig6"):
        with pytest.raises(UserError, match=rf"older fastscale, whose record lacks {key}; .*snakemake --forcerun prof"):
            aggregate(sweep, artefact)


@pytest.mark.parametrize("kind", ["networks", "profiles"])
def test_a_network_that_was_built_otherwise_is_refused(sweep: Sweep, kind: str) -> None:
    """The same description and hash, but other counts, as where squeeze-excitation was cut and is now rounded."""
    path = sweep.network_record("fixed") if kind == "networks" else sweep.profile_record("fixed")
    record = read_record(path, kind)
    entry = next(entry for entry in record[ENTRIES[kind]] if a_network(sweep) in entry.values())
    (entry if kind == "networks" else entry["costs"])["params"] -= 2
    write_record(path, record)
    with pytest.raises(UserError, match=f"{re.escape(str(path))} was made by an older fastscale"):
        aggregate(sweep, "fig6")


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("profile", {"device": {"type": "cuda", "name": "H100", "threads": 1}}, "device"),
        ("profile", {"network_hash": "0" * 64}, "lacks EfficientNet"),
        ("train", {"data_hash": "1"}, "data"),
        ("train", {"network_hash": "0" * 64}, "another network"),
        ("train", {"recipe": {"lr": 1.0}}, "another recipe"),
        ("train", {"kind": "profile"}, "'profile' record where a 'train' record"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(sweep: Sweep, kind: str, values: dict, message: str) -> None:
    network = a_network(sweep)
    path = sweep.profile_record("fixed") if kind == "profile" else sweep.train_record(network, "2x", 2)
    if kind == "profile":
        change_timing(sweep, network, **values)
    else:
        change(path, **values)
    with pytest.raises(UserError) as error:
        aggregate(sweep, "fig6")
    assert message in str(error.value) and str(path) in str(error.value)
    assert not sweep.artefacts["fig6"][0].exists()


def test_record_that_was_edited_by_hand_is_refused(sweep: Sweep) -> None:
    path = sweep.train_record(a_network(sweep), "2x", 2)
    path.write_text(re.sub(r'"top1_error": [0-9.]+', '"top1_error": 1.0', path.read_text()))
    for scope in ("all", "partial"):
        with pytest.raises(UserError, match=f"{re.escape(str(path))} was edited by hand, or damaged"):
            aggregate(sweep, "fig6", scope)


def test_broken_record_is_named(sweep: Sweep) -> None:
    path = sweep.profile_record("fixed")
    path.write_text(path.read_text()[:40])
    for scope in ("all", "partial"):
        with pytest.raises(UserError, match=re.escape(str(path))):
            aggregate(sweep, "fig2", scope)
