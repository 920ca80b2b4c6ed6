"""The command line: whatever its arguments, a verb ends with its result, or with a sentence and an exit code."""

import copy
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from junk import VALUES, as_json, at

from fastscale.cli.main import main
from fastscale.networks import base_network
from fastscale.records.networks import write_networks
from fastscale.records.records import write_record
from fastscale.validation.quantities import UNITS, parse

SCRIPT = str(Path(sys.executable).with_name("fastscale"))
DESCRIPTION = base_network("EN-tiny").to_dict()
MINE = {"Mine": {"family": "RegNetY", "depth": 3, "w0": 8, "wa": 8, "wm": 2, "group_width": 8, "resolution": 16}}
SWEEP = {
    "sweep": "small",
    "data": {"kind": "imagefolder", "path": "nowhere", "classes": 10},
    "grid": {"bases": ["EN-tiny"], "strategies": ["w"]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with all files that the verbs read, except images."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "sweep.json").write_text(json.dumps(SWEEP))
    (folder / "text.json").write_text("{'a': 1}\n")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "bytes.json").write_bytes(b"\xf0\x28\x8c\xbc")
    (folder / "nested.json").write_text("[" * 100_000)
    write_record(folder / "empty.json", {"kind": "profiles", "records": []})
    write_record(folder / "odd.json", {"kind": "profiles", "records": [{"costs": 5, "images": [], "device": None}]})
    write_record(folder / "other.json", {"kind": "networks", "networks": 5})
    write_networks(folder / "networks.json", [base_network("EN-tiny")])
    return folder


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a verb in a copy of the folder; return its exit code and, if it failed, its error sentence."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.chdir(shutil.copytree(folder, Path(name, "copy")))
        done = CliRunner().invoke(main, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in (0, 1, 2) and "Traceback" not in done.output
    if not done.exit_code:
        return 0, ""
    _, error, sentence = done.stderr.rstrip("\n").partition("Error: ")
    assert error and (sentence.isprintable() or done.exit_code == 2), done.stderr  # for 2 the words are click's
    return done.exit_code, sentence


# Arguments with which each verb works, or would work if there were images. Tests replace each argument by junk in turn.
WORKING = {
    "scale": ["EN-tiny", "--strategy", "w", "--scale", "4", "--classes", "10", "--define", json.dumps(MINE)],
    "advise": [
        "EN-tiny",
        "--flops",
        "2MF",
        "--batch",
        "8",
        "--classes",
        "10",
        "--define",
        json.dumps(MINE),
        "--sweep",
        "sweep.json",
    ],
    "compare": ["made/one", "made/other"],
    "probes": ["EN-tiny", "--record", "made/probes.json", "--classes", "10"],
    "describe": ["made/sweep.json", "--config", json.dumps(SWEEP)],
    "networks": ["fixed", "--sweep", "sweep.json", "--record", "made/networks.json"],
    "search": ["Found", "--sweep", "sweep.json"],
    "plan": ["--sweep", "sweep.json"],
    "aggregate": ["table1", "--sweep", "sweep.json"],
    "data": ["made/data", "--config", json.dumps(SWEEP["data"]), "--threads", "1"],
    "train": [
        *("EN-tiny", "--scale", "2", "--data", "nowhere", "--recipe", '{"lr": 1}', "--schedule", "1x", "--trial", "1"),
        *("--checkpoints", "made", "--record", "made/train.json", "--threads", "1", "--ranks", "1", "--device", "cpu"),
    ],
    "profile": [
        *("nowhere.json", "--record", "made/profiles.json", "--batch", "8", "--repeats", "2", "--images", "9"),
        *("--largest-batch", "64", "--devices", "8", "--threads", "1", "--device", "cpu"),
    ],
    "verdict": ["--config", "sweep.json", "--out", "made/verdict", "--batch", "8", "--threads", "1"],
}
ARGUMENTS = [(verb, index) for verb, arguments in WORKING.items() for index in range(len(arguments))]
PATHS = (
    *("", ".", "..", "sweep.json", "sweep.json/x", "text.json", "list.json", "bytes.json", "nested.json", "odd.json"),
    *("empty.json", "other.json", "networks.json", "/proc/none/x", "x" * 300, "made/ü {x}\n'$(y)", "~", "*", "{"),
)
TEXT = st.text(max_size=9).filter(lambda text: not text.startswith("/"))  # so that tests write only into their folder
JUNK = st.sampled_from(PATHS) | VALUES.map(as_json) | TEXT


@settings(max_examples=400, deadline=None)
@given(place=st.sampled_from(ARGUMENTS), junk=JUNK)
def test_junk_is_a_sentence(folder: Path, place: tuple[str, int], junk: str) -> None:
    verb, index = place
    arguments = list(WORKING[verb])
    arguments[index] = junk.replace("\0", "")  # a NUL would end the argument
    run(folder, verb, *arguments)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    place=st.sampled_from([("define", "Mine"), ("recipe",), ("config",), ("base",), ("base", "stages", 0)]), junk=VALUES
)
def test_junk_within_json_is_a_sentence(folder: Path, place: tuple[Any, ...], junk: Any) -> None:
    """Junk replaces a value or a key within a definition, a recipe, a data configuration or a network's description."""
    option, *keys = place
    whole = {"define": MINE, "recipe": {}, "config": SWEEP["data"], "base": DESCRIPTION}[option]
    for key in (*at(whole, keys), "more"):
        changed = copy.deepcopy(whole)
        at(changed, keys)[key] = junk
        if option == "base":
            run(folder, "scale", as_json(changed))
        elif option == "define":
            run(folder, "scale", "Mine", "--define", as_json(changed))
        elif option == "config":
            run(folder, "data", "made/data", "--config", as_json(changed))
        else:
            run(folder, "train", *("--recipe", as_json(changed)), *WORKING["train"][:5], *WORKING["train"][7:])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scale", "X", "--define", '{"X": 3}'], "--define.X is 3"),
        (["scale", "X", "--define", "5"], "--define is 5"),
        (["scale", "X", "--define", "[]"], "--define is []"),
        (["scale", "X", "--define", "null"], "--define is null"),
        (["scale", "X", "--define", '{"X": {}, "X": {}}'], "--define: the key 'X' stands twice"),
        (
            ["scale", "X", "--define", '{"X": {"depthwise": "Y"}, "Y": {"depthwise": "X"}}'],
            "X -> Y -> X: a base cannot",
        ),
        (["scale", "EN-B0", "--scale", "1e300"], "'1e300' is not a number from 1e-06 to 1e+06"),
        (["scale", "EN-B0", "--scale", "fast"], "'fast' is not a number"),
        (["scale", "EN-B0", "--scale", "nan"], "'nan' is not a number"),
        (["scale", "RegNetY-4GF", "--scale", "1e6", "--strategy", "w"], "params are more than any device holds"),
        (["scale", "EN-B0", "--flops", "16GX"], "'16GX' is not a number, such as 16e9, 500MF or 16GF"),
        (["advise", "EN-B0", "--flops", "1GF", "--batch", "1.5"], "'1.5' is not a whole number from 1"),
        (["scale", json.dumps({**DESCRIPTION, "block": "foo"})], "the description of BASE.block is 'foo'; allowed are"),
        (
            ["scale", json.dumps({**DESCRIPTION, "head_width": -8})],
            "BASE.head_width is -8; allowed is a whole number from 0",
        ),
        (["scale", json.dumps({**DESCRIPTION, "classes": 0})], "BASE.classes is 0"),
        (["scale", '{"family"'], "the description of BASE: '{\"family\"' is not JSON"),
        (["plan", "--sweep", "."], "cannot be read"),
        (["plan", "--sweep", "nope.json"], "nope.json is missing; give a sweep's own description"),
        (
            ["networks", "nope", "--sweep", "sweep.json", "--record", "x"],
            "unknown source 'nope': the sweep 'small' has fixed",
        ),
        (["search", "nope", "--sweep", "sweep.json"], "unknown search 'nope'"),
        (["aggregate", "fig7", "--sweep", "sweep.json"], "does not say what fig7 shows; add it under figures"),
        (["aggregate", "fig77", "--sweep", "sweep.json"], "unknown artefact 'fig77'"),
        (["data", "x", "--config", "{}"], "data lacks the key 'kind'"),
        (["describe", "x", "--config", "[]"], "--config: the top level is []"),
        (
            ["profile", "networks.json", "--record", "x", "--device", "mps"],
            "unknown device 'mps'; allowed are cpu, cuda",
        ),
        (["train", *WORKING["train"][:-1], "cpu:1"], "nowhere/data.json is missing"),
        (["probes", "EN-tiny", "--record", "/proc/none/x"], "cannot write /proc/none/x"),
        (["probes", "EN-tiny", "--record", "sweep.json/x"], "cannot write sweep.json/x"),
    ],
)
def test_mistakes_are_sentences(folder: Path, arguments: list[str], words: str) -> None:
    code, sentence = run(folder, *arguments)
    assert code and words in sentence


@pytest.mark.parametrize("name", [".", "text.json", "list.json", "bytes.json", "nested.json", "odd.json", "other.json"])
def test_nobody_is_told_to_delete_what_is_not_ours(folder: Path, name: str) -> None:
    code, sentence = run(folder, "advise", "EN-tiny", "--seconds", "2h", "--profiles", name)
    assert code and "delete" not in sentence and "snakemake `" not in sentence
    code, sentence = run(folder, "profile", name, "--record", "made/profiles.json")
    assert code and "delete" not in sentence
    code, sentence = run(folder, "plan", "--sweep", name)
    assert code and "delete" not in sentence


def test_a_missing_record_is_not_promised_by_snakemake(folder: Path) -> None:
    _, sentence = run(folder, "advise", "EN-tiny", "--seconds", "2h", "--profiles", "nope.json")
    assert "`fastscale profile` writes one" in sentence and "snakemake nope.json" not in sentence


@given(
    st.sampled_from([(kind, unit) for kind, units in UNITS.items() for unit in units]), st.floats(0, 1e9), st.booleans()
)
def test_quantities_are_read_with_their_units(unit: tuple[str, str], number: float, upper: bool) -> None:
    kind, end = unit
    for space in ("", " "):
        text = f"{number!r}{space}{end.upper() if upper else end}"
        assert parse(text, kind) == pytest.approx(number * UNITS[kind][end])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("flops", "16GF", 16e9),
        ("flops", "500MF", 500e6),
        ("flops", "16e9", 16e9),
        ("seconds", "2h", 7200),
        ("seconds", "90min", 5400),
        ("bytes", "20GB", 20e9),
        ("bytes", "16GiB", 16 * 2**30),
        ("bytes", "2048", 2048),
        ("number", "1e-5", 1e-5),
        ("number", ".5", 0.5),
        *[("flops", text, None) for text in ("16GB", "GF", "16 G F", "nan", "inf", "1e999", "1,000", "０", "0x10", "")],
        *[("seconds", text, None) for text in ("2 fortnights", "1:30", "h")],
    ],
)
def test_quantities(kind: str, text: str, value: float | None) -> None:
    assert parse(text, kind) == value


def test_units_on_the_command_line_are_those_of_numbers(folder: Path) -> None:
    scaled = [
        json.loads(CliRunner().invoke(main, ["scale", "EN-B0", "--flops", flops, "--json"]).output)
        for flops in ("16GF", "16e9")
    ]
    assert scaled[0] == scaled[1] and scaled[0]["flops"] == pytest.approx(16e9, rel=0.01)


@pytest.mark.parametrize(
    "arguments",
    [["scale", "X", "--define", '{"X": 3}'], ["plan", "--sweep", "/"], ["advise", "EN-B0", "--memory", "20GX"]],
)
def test_a_mistake_in_a_terminal(folder: Path, arguments: list[str]) -> None:
    done = subprocess.run([SCRIPT, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode and done.stderr.splitlines()[-1].startswith("Error: ") and "Traceback" not in done.stderr
