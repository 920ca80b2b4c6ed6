"""Artefacts from records: the same records give the same bytes; what must not stand on one curve is refused."""

import csv
import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastscale.analysis import aggregate
from fastscale.analysis.fits import fit_line
from fastscale.artefacts import ARTEFACTS
from fastscale.errors import UserError
from fastscale.recipe import Recipe
from fastscale.records import code_hash, network_record, read_record, write_record
from fastscale.sweep import Sweep

CONFIG = yaml.safe_load((Path(__file__).parent.parent / "config.yaml").read_text())


def minutes_of(acts: int) -> float:
    return acts / 1e4 + 1


def error_of(flops: int, trial: int) -> float:
    return 20 - 2 * len(str(flops)) + trial / 10


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """The default sweep, with three trials and a full set of records made by formula."""
    monkeypatch.chdir(tmp_path)
    sweep = Sweep.from_config({**CONFIG, "trials": 3})
    write_record(sweep.description, dict(sweep.config))
    for network in sweep.networks.values():
        record = network_record(network)
        write_record(sweep.network_record(network.id), record)
        seconds = 60 * minutes_of(record["acts"])
        write_record(
            sweep.profile_record(network.id),
            {
                "kind": "profile",
                "network_hash": network.hash,
                "device": {"type": "cpu", "name": "abacus", "threads": 1},
                "precision": "float32",
                "images": 1000,
                "batch": 10,
                "n": 5,
                "epoch_seconds": {"median": seconds, "q1": seconds, "q3": seconds},
                "provenance": {"code": code_hash("profile")},
            },
        )
        for trial in sweep.trials:
            write_record(
                sweep.train_record(network.id, sweep.schedule, trial),
                {
                    "kind": "train",
                    "network_hash": network.hash,
                    "recipe": Recipe.from_dict(sweep.recipe(sweep.schedule)).for_family(network.family).to_dict(),
                    "data_hash": "0",
                    "status": "finished",
                    "top1_error": error_of(record["flops"], trial),
                    "provenance": {"code": code_hash("train")},
                },
            )
    return sweep


def change(path: Path, **values: Any) -> None:
    write_record(path, {**json.loads(path.read_text()), **values})


def rows(sweep: Sweep, table: str) -> list[dict[str, str]]:
    with sweep.artefacts[table][0].open() as opened:
        return list(csv.DictReader(opened))


def a_network(sweep: Sweep, base: str = "EN-tiny", strategy: str = "w", scale: float = 16) -> str:
    return next(p.network.id for p in sweep.points if (p.base, p.strategy, p.scale) == (base, strategy, scale))


def test_the_same_records_give_the_same_bytes(sweep: Sweep) -> None:
    names = list(sweep.artefacts)
    made = []
    for environment in (
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "America/Lima", "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "1"},
    ):
        command = [sys.executable, "-m", "fastscale.cli", "aggregate", *names, "--sweep", str(sweep.description)]
        subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
        made.append({path: path.read_bytes() for files in sweep.artefacts.values() for path in files})
    assert made[0] == made[1]
    assert all(made[0].values())


def test_networks_table(sweep: Sweep) -> None:
    aggregate(sweep, "networks")
    table = rows(sweep, "networks")
    assert len(table) == len(sweep.points)
    for row in table:
        assert float(row["epoch_seconds"]) == pytest.approx(60 * minutes_of(int(row["acts"])), rel=1e-5)
        assert float(row["error"]) == pytest.approx(error_of(int(row["flops"]), 2))
        assert float(row["error_std"]) == pytest.approx(0.1) and row["trials"] == "3"
        base = next(b for b in table if b["base"] == row["base"] and b["strategy"] == "base")
        assert float(row["realised_scale"]) == pytest.approx(int(row["flops"]) / int(base["flops"]), abs=1e-4)


def test_gain_table_says_whether_larger_is_better(sweep: Sweep) -> None:
    aggregate(sweep, "gain")
    assert "are better than their base" in sweep.artefacts["gain"][1].read_text()
    for network in sweep.networks:
        for trial in sweep.trials:
            record = sweep.train_record(network, sweep.schedule, trial)
            change(record, top1_error=100 - json.loads(record.read_text())["top1_error"])
    aggregate(sweep, "gain")
    assert "are not better than their base" in sweep.artefacts["gain"][1].read_text()


def test_tables_1_to_4_are_the_papers(sweep: Sweep) -> None:
    """As the paper prints them: exponents of s in flops, params and acts."""
    published = {
        "table1": {"none": "0 0 0", "d": "1 1 1", "w": "1 1 1/2", "r": "1 0 1"},
        "table2": {"dw": "1 1 3/4", "wr": "1 1/2 3/4", "dr": "1 1/2 1", "dwr": "1 2/3 5/6"},
        "table3": {"none": "0 0 0", "w-only": "1 1 1", "g-only": "1 1 0", "w": "1 1 1/2"},
        "table4": {"dr": "1 1/2 1", "dwr": "1 2/3 5/6", "dWr": "1 9/10 3/5", "w": "1 1 1/2"}
        | {"alpha": "1 alpha/2+1/2 1-alpha/2"},
    }
    for table, expected in published.items():
        aggregate(sweep, table)
        found = {
            row["strategy"]: " ".join(row[key].replace(" ", "") for key in ("flops", "params", "acts"))
            for row in rows(sweep, table)
        }
        assert found == expected


def test_measured_exponents_stand_beside_the_theory(sweep: Sweep) -> None:
    """Within 0.03 for scales 1 to 64; what is further off is named."""
    for table in ("table1", "table2", "table4"):
        aggregate(sweep, table)
        measured = [row for row in rows(sweep, table) if row["furthest"]]
        for row in measured:
            assert abs(float(row["furthest"].split()[-1])) <= 0.03
            for name in ("flops", "params", "acts"):
                assert float(row[f"measured_{name}"]) == pytest.approx(float(Fraction(row[name])), abs=0.03)
        assert len(measured) >= 3 and "All are within 0.03" in sweep.artefacts[table][1].read_text()
    aggregate(sweep, "table3")  # group widths reach narrow stages' widths, and stay there
    assert "More than 0.03 off are g-only RegNetY-500MF: params (quant" in sweep.artefacts["table3"][1].read_text()


def test_published_complexity_is_ours(sweep: Sweep) -> None:
    aggregate(sweep, "published")
    assert len(rows(sweep, "published")) == 22
    assert "**66 of 66 published numbers equal ours" in sweep.artefacts["published"][1].read_text()


def test_figure_2_finds_the_relation_that_is_there(sweep: Sweep) -> None:
    """Time was made linear in activations, with one slope for all bases."""
    from fastscale.analysis import figures, style
    from fastscale.analysis.results import load

    with style.styled():
        figure = figures.fig2(load(sweep, "fig2", ARTEFACTS["fig2"].reads))
    by_flops, by_params, by_acts, all_acts = figure.axes
    assert "r = 1.00" in by_acts.get_title() and "r = 1.00" in all_acts.get_title()
    assert "r = 1.00" not in by_flops.get_title() + by_params.get_title()
    labels = [text.get_text() for text in all_acts.get_legend().get_texts()]
    assert len(labels) == 3 and all("r = 1.00" in label for label in labels)


def test_fit_line() -> None:
    line = fit_line([1, 2, 3, 4], [5, 3, 1, -1])
    assert line is not None
    assert line[:3] == pytest.approx((-2, 7, -1))
    assert fit_line([1, 2], [1, 2]) is None and fit_line([1, 1, 1], [1, 2, 3]) is None


def test_gaps_are_shown_with_their_reason(sweep: Sweep) -> None:
    network = a_network(sweep)
    for trial in sweep.trials:
        change(sweep.train_record(network, sweep.schedule, trial), status="diverged", top1_error=None)
    sweep.profile_record(a_network(sweep, scale=4)).unlink()
    with pytest.raises(UserError, match="missing"):
        aggregate(sweep, "networks")
    for artefact in sweep.artefacts:
        aggregate(sweep, artefact, partial=True)
    row = next(row for row in rows(sweep, "networks") if row["network"] == network)
    assert row["error"] == "" and "trial 1 diverged" in row["notes"]
    assert any(row["epoch_seconds"] == "" and row["notes"] == "not timed" for row in rows(sweep, "networks"))


def test_old_code_is_told(sweep: Sweep) -> None:
    change(sweep.profile_record(a_network(sweep)), provenance={"code": "old"})
    aggregate(sweep, "networks")
    assert "1 records are older than the code" in sweep.artefacts["networks"][1].read_text()


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        ("profile", {"device": {"type": "cuda", "name": "H100", "threads": 1}}, "device"),
        ("profile", {"network_hash": "0" * 64}, "another network"),
        ("train", {"data_hash": "1"}, "data"),
        ("train", {"recipe": {"lr": 1.0}}, "another recipe"),
        ("train", {"kind": "profile"}, "'profile' record where a 'train' record"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(sweep: Sweep, kind: str, values: dict, told: str) -> None:
    network = a_network(sweep)
    path = sweep.profile_record(network) if kind == "profile" else sweep.train_record(network, sweep.schedule, 2)
    change(path, **values)
    with pytest.raises(UserError) as error:
        aggregate(sweep, "fig6")
    assert told in str(error.value) and str(path) in str(error.value)
    assert not sweep.artefacts["fig6"][0].exists()


def test_broken_record_is_named(sweep: Sweep) -> None:
    path = sweep.profile_record(a_network(sweep))
    path.write_text(path.read_text()[:40])
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_record(path, "profile")
