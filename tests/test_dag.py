"""The answers to rules about a sweep, without Snakemake: jobs, records, captions, time limits, state of the images."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_up import write_records

from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.planning.dag import Dag, check_images, raised_as, sorted_json, state_of_images
from fastscale.sweep.catalogue import ARTEFACTS
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.sweep import Sweep

CONFIG = yaml.safe_load((Path(__file__).parent.parent / "config.yaml").read_text())
FASHION = {"kind": "fashion-mnist", "classes": 10}


@pytest.fixture
def dag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dag:
    """Return the DAG of the default sweep before any job has run."""
    monkeypatch.chdir(tmp_path)
    return Dag(Sweep.from_config(CONFIG))


def is_training(path: Path) -> bool:
    return "train" in path.parts


def test_each_artefact_is_made_by_one_job_from_records_that_its_job_reads(dag: Dag) -> None:
    made = [name for names in dag.jobs.values() for name in names]
    assert sorted(made) == sorted(dag.sweep.artefacts)
    for job, names in dag.jobs.items():
        needs = {name: {*dag.records(name)} for name in names}
        assert all(records <= needs[names[0]] for records in needs.values()), job
    assert {name for name in dag.sweep.artefacts if name not in dag.jobs} == {*dag.grouped}
    assert {*dag.absent, *dag.sweep.artefacts} == {*ARTEFACTS}
    assert {*dag.counted} < {*dag.sweep.artefacts}


def test_what_reads_no_training_waits_for_none(dag: Dag) -> None:
    for job in ("timings", "definitions"):
        assert not any(is_training(path) for path in dag.records(dag.jobs[job][0])), job
    changes = {"train": False, "search": {}, "define": {}, "grid": {"bases": ["EN-tiny"], "strategies": ["w"]}}
    untrained = Dag(Sweep.from_config({**CONFIG, **changes, "figures": {}, "tables": {}}))
    assert "overview" not in untrained.jobs and {"claims", "networks"} <= {*untrained.jobs["timings"]}


def test_targets_are_files_with_their_records_each_once(dag: Dag) -> None:
    targets = dag.targets("figure")
    assert len(targets) == len({*targets})
    assert {*dag.sweep.artefacts["fig6"], *dag.records("fig6")} <= {*targets}
    assert not {*dag.sweep.artefacts["table1"]} & {*targets}
    assert dag.sweep.artefacts["readme"][0] in dag.targets("page")


def test_the_report_shows_one_file_of_each_artefact(dag: Dag) -> None:
    files = dict(dag.outputs(dag.sweep.artefacts))
    assert [*files] == [path for paths in dag.sweep.artefacts.values() for path in paths]
    shown = {path.stem: arguments["category"] for path, arguments in files.items() if arguments}
    assert shown.keys() == {name for name in dag.sweep.artefacts if name != "readme"}
    assert shown["claims"] == "Claims" and shown["fig6"] == "Figures" and shown["table1"] == "Tables"
    assert shown["networks"] == "Sweep"
    (fig6,) = (arguments for path, arguments in files.items() if path.name == "fig6.svg")
    assert fig6 and fig6["labels"]["artefact"] == "Figure  6" and fig6["labels"]["shows"] in ARTEFACTS["fig6"].caption


class NotYet(Exception):
    """Stands for the exception that Snakemake raises where a checkpoint has not run."""


def test_records_that_rest_on_a_search_are_asked_for_when_it_has_run(dag: Dag) -> None:
    (search,) = dag.sweep.searches
    resting = next(name for name in dag.sweep.artefacts if dag.sweep.needs.waiting(name))

    def refuse(name: str) -> None:
        raise NotYet(name)

    with pytest.raises(NotYet, match=search):
        dag.awaited_records(resting, refuse)
    assert dag.awaited_records("fig11", refuse) == [], "what rests on no search waits for none"

    write_records(dag.sweep)
    requested: list[str] = []
    awaited = dag.awaited_records(resting, requested.append)
    assert requested == [search]
    assert awaited and not {*awaited} & {*dag.records(resting)}
    assert {*awaited, *dag.records(resting)} == {*Sweep.from_config(CONFIG).records(resting)}
    assert dag.now().sweep.networks.keys() > dag.sweep.networks.keys()
    network = next(name for name in dag.now().sweep.networks if name not in dag.sweep.networks)
    assert Network.from_dict(json.loads(dag.description(network))).id == network


def test_a_caption_counts_the_records_that_the_job_has(dag: Dag) -> None:
    records = list(map(str, dag.records("fig6")))
    captions = dag.captions(["fig6", "table1"], [*records[:2], "sweep.json"])
    assert captions["fig6"].startswith(ARTEFACTS["fig6"].caption)
    assert captions["table1"].endswith("the definitions alone.")
    assert sum(int(number) for number in captions["fig6"].partition("records: ")[2].split() if number.isdecimal()) == 2


def test_time_is_reserved_by_the_timings_that_are_there(dag: Dag) -> None:
    network = next(iter(dag.sweep.networks))
    assert dag.minutes(network, "1x", 1440) == 1440
    write_records(dag.sweep, minutes=lambda cost: 1e4)
    assert dag.minutes(network, "1x", 1440) == dag.minutes(network, "1x", 1440) < 1440
    assert dag.minutes(network, "1x", 5) == 5
    dag.sweep.profile_record(FIXED).write_text("{}")
    assert dag.minutes(network, "1x", 1440) == 1440, "a broken record is reported by `aggregate`, not here"


def test_gpus_and_executions_of_a_timing() -> None:
    profile = {"devices": 8, "modes": ["eager", "compiled"], "formats": ["contiguous"], "convolutions": ["plain"]}
    sweeps = [Sweep.from_config({**CONFIG, "profile": profile, "gpus": gpus}) for gpus in (0, 2, 8, 9)]
    assert [Dag(sweep).profile_gpus for sweep in sweeps] == [0, 1, 8, 8]
    expected = ["--format contiguous", "--mode eager", "--mode compiled", "--convolutions plain"]
    assert Dag(sweeps[0]).executions == expected


LINES = [
    ["claim", "verdict", "kind"],
    ["a", "holds", "error"],
    ["b", "fails", "time"],
    ["c", "holds", "error"],
    ["d", "holds", "counted"],
]


def test_the_outcome_counts_the_verdicts_once_there_is_a_page(dag: Dag) -> None:
    assert dag.outcome() == ""
    page, claims = dag.sweep.folder / "README.md", dag.sweep.folder / "tables/claims.csv"
    claims.parent.mkdir(parents=True)
    page.write_text("")
    with claims.open("w") as opened:
        csv.writer(opened).writerows(LINES)
    counts = "Of the paper's 3 claims on measurements: 2 hold, 1 fail"
    assert dag.outcome() == f"{counts}; begin with {page}\n"


def test_images_that_only_nodes_may_see_are_a_warning(tmp_path: Path) -> None:
    data: dict[str, Any] = {"kind": "imagefolder", "path": str(tmp_path / "nowhere"), "classes": 2}
    assert check_images(FASHION, on_nodes=False) == ""
    assert check_images(data, on_nodes=True).startswith("Warning: ")
    with pytest.raises(UserError, match="nowhere"):
        check_images(data, on_nodes=False)
    for name in ("train/a", "val/a"):
        (tmp_path / "nowhere" / name).mkdir(parents=True)
    with pytest.raises(UserError, match="classes is 2"):
        check_images(data, on_nodes=True)


def test_images_that_are_gone_are_as_they_were_packed(tmp_path: Path) -> None:
    def refuse() -> None:
        raise AssertionError("asked how images were packed that are there")

    data = {"kind": "imagefolder", "path": str(tmp_path / "images")}
    assert state_of_images(data, lambda: None) == "no images"
    assert state_of_images(data, lambda: ["3", "'images 0a1b'"]) == "images 0a1b"
    for name in ("train/a/1.png", "val/a/1.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True)
        path.touch()
    before = state_of_images(data, refuse)
    (tmp_path / "images/train/a/2.png").touch()
    assert before.startswith("images ") and state_of_images(data, refuse) not in (before, "images ")


def test_a_mistake_is_raised_as_what_snakemake_tells() -> None:
    class Told(Exception):
        pass

    with pytest.raises(Told, match="the mistake"), raised_as(Told):
        raise UserError("the mistake")
    assert sorted_json({"b": 1, "a": 2}) == sorted_json({"a": 2, "b": 1})
