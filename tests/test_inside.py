"""What the Snakemake inside a job is told: to the byte what a local one sees, and nothing of it is evaluated."""

import datetime
import os
import pickle
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from snakemake import cli
from snakemake.resources import Resource
from snakemake.settings.types import OutputSettings
from telling import PIECES, Told, as_name, written

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("EXAMPLES", "4"))
PLUGINS = str(Path(__file__).parent / "plugins")

WORDS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
KEYS = st.one_of(WORDS, st.integers(), st.booleans(), st.dates(), st.just("2020-01-01"))
SCALARS = st.one_of(
    WORDS,
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20),
    st.sampled_from(["1e5", "yes", "no", "null", "~", "01", "0x10", "2020-01-01", "line\nline", "\ttab", "", " "]),
    st.sampled_from([0, 1, -1, 1e5, 1e-5, 0.1, True, False, None, datetime.date(2020, 1, 1), float("inf")]),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
# As a file's name may be: Snakemake takes braces for wildcards, and its own wildcards hold no line breaks.
NAMES = WORDS.map(as_name)
TOLD = st.builds(
    Told,
    pairs=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=2, unique=True),
    word=WORDS,
    file=st.dictionaries(st.one_of(KEYS, st.sampled_from(["line_1", "line_2"])), VALUES, min_size=5, max_size=20),
    line=st.dictionaries(st.sampled_from(["line_1", "line_2", "line_3"]), SCALARS.map(str), min_size=1),
)


@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate])  # each takes seconds: none is made smaller
@given(told=TOLD)
def test_a_job_sees_what_a_local_snakemake_sees(told: Told) -> None:
    with TemporaryDirectory() as folder:
        here, inside = Path(folder) / "here", Path(folder) / "inside"
        local = told.run(here, "--force-use-threads")
        assert local.returncode == 0, local.stdout
        ran = told.run(inside, "--executor", "here", "--jobs", "1", PYTHONPATH=PLUGINS)
        assert ran.returncode == 0, ran.stdout
        assert written(inside) == written(here) != {}
        assert not list(Path(folder).rglob("PWNED")) and not Path("/PWNED").exists()


def snakemake(folder: Path, workflow: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a workflow in a folder, whose Snakefile it becomes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Snakefile").write_text(workflow)
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--jobs", "1", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PLUGINS},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


# The first job edits each file of the configuration, or deletes it; the second says what its configuration is.
EDITED = """
configfile: "one.yaml"
config["count"] = config["count"] * 2
config["names"] += ["more"]
workdir: "work"
configfile: "../two.yaml"
rule edit:
    output: "edited"
    shell: "rm ../one.yaml ../given.yaml; echo 'gone: [back]' > ../two.yaml; echo {config[count]} > {output}"
rule all:
    default_target: True
    input: "edited"
    output: "seen"
    params: seen=repr(config)
    shell: "printf %s {params.seen:q} > {output}; pwd >> {output}"
"""


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--config", "count=5", "gone={now: a mapping}"],
        ["--configfile", "given.yaml"],
        ["--configfile", "given.yaml", "--replace-workflow-config"],
    ],
    ids=len,
)
def test_the_configuration_is_that_of_the_submission(tmp_path: Path, options: list[str]) -> None:
    seen = []
    for executor in ("local", "here"):
        folder = tmp_path / executor
        (folder / "work").mkdir(parents=True)
        (folder / "one.yaml").write_text("{count: 1, names: [a], nested: {kept: yes, date: 2020-01-01}, 1: [01, 1e5]}")
        (folder / "two.yaml").write_text("{gone: [a], nested: {other: null}}")
        (folder / "given.yaml").write_text("{count: 7, names: [b], gone: {now: a mapping}}")
        ran = snakemake(folder, EDITED, "--executor", executor, *options)
        assert ran.returncode == 0, ran.stdout
        seen.append((folder / "work/seen").read_text().replace(str(folder), ""))
    assert seen[0] == seen[1]


def test_a_configuration_that_changes_while_snakemake_starts(tmp_path: Path) -> None:
    """Jobs would not have what the main process has: refused. What the Snakefile writes before it reads it is right."""
    rule = "rule all:\n    output: 'seen'\n    shell: 'echo {config[x]} > {output}'\n"
    write = "open('config.yaml', 'w').write('x: 2')\n"
    (tmp_path / "config.yaml").write_text("x: 1")
    ran = snakemake(tmp_path, f"configfile: 'config.yaml'\n{write}{rule}", "--executor", "here")
    assert ran.returncode != 0 and "Traceback" not in ran.stdout
    assert f"{tmp_path}/config.yaml has changed while Snakemake started: start it again." in ran.stdout, ran.stdout
    ran = snakemake(tmp_path, f"{write}configfile: 'config.yaml'\n{rule}", "--executor", "here")
    assert ran.returncode == 0 and (tmp_path / "seen").read_text() == "2\n", ran.stdout


GROWING = """
rule grows:
    output: "grows"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: attempt * 200
    shell: "echo {resources.mem_mb} >> attempts; false"
rule shrinks:
    output: "shrinks"
    group: "group"
    retries: 1
    resources: mem_mb=lambda wildcards, attempt: 100 // attempt
    shell: "echo {resources.mem_mb} >> attempts; false"
rule flaky:
    output: "flaky"
    group: "group"
    retries: 3
    resources: mem_mb=50
    run:
        with open("attempts", "a") as file:
            print("run", file=file)
        assert len(open("attempts").readlines()) == 3
        open("flaky", "w").close()
"""


@pytest.mark.parametrize(
    ("target", "options", "attempts"),
    [
        ("grows", [], ["200", "400", "600"]),
        ("grows", ["--retries", "5"], ["200", "400", "600"]),
        ("shrinks", [], ["100", "50"]),
        ("flaky", [], ["run", "run", "run"]),
    ],
)
def test_only_the_main_process_retries(tmp_path: Path, target: str, options: list[str], attempts: list[str]) -> None:
    """Each attempt is a job, with the attempt's resources."""
    ran = snakemake(tmp_path, GROWING, target, "--executor", "here", *options)
    assert (ran.returncode == 0) == (target == "flaky"), ran.stdout
    assert (tmp_path / "attempts").read_text().split() == attempts
    assert ran.stdout.count("Trying to restart job") == len(attempts) - 1


def test_more_files_than_a_command_line_holds(tmp_path: Path) -> None:
    """Of two megabytes; a single argument holds 128 KiB."""
    workflow = """
names = [f"{'long' * 40}{i}" for i in range(12_000)]
rule all:
    input: [f"in/{name}" for name in names]
    output: "seen"
    run:
        with open(output[0], "w") as file:
            file.write(str(sum(map(len, input))))
"""
    (tmp_path / "in").mkdir()
    names = [f"{'long' * 40}{i}" for i in range(12_000)]
    for name in names:
        (tmp_path / "in" / name).touch()
    ran = snakemake(tmp_path, workflow, "--executor", "here")
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert int((tmp_path / "seen").read_text()) == sum(len(f"in/{name}") for name in names) > 1 << 20


MANY_OPTIONS = shlex.split("""
    --keep-incomplete --drop-metadata --skip-script-cleanup --printshellcmds --verbose --benchmark-extended
    --rerun-triggers mtime params --latency-wait 7 --shadow-prefix shadows --max-threads 3 --wrapper-prefix prefix
    --conda-prefix condas --conda-base-path base --conda-not-block-search-path-envvars --use-envmodules
    --apptainer-prefix images --apptainer-args=--nv --set-scatter pieces=3 --set-resource-scopes foo=local
    --set-resources one:mem_mb=77 one:foo=bar --set-threads two=2 --default-resources mem_mb=attempt*100 baz=a
    --groups two=both --group-components both=2 --keep-storage-local-copies --wait-for-free-local-storage 9s
    --remote-job-local-storage-prefix elsewhere --retries 3 --attempt 2 --keep-going --notemp --scheduler greedy
""")
GROUP_AND_JOB = """
rule all:
    input: "b.txt"
rule three:
    input: "a.txt"
    output: "b.txt"
    shell: "cp {input} {output}"
rule one:
    input: "in.txt"
    output: temp("one.txt")
    threads: 2
    group: "both"
    shell: "cp {input} {output}"
rule two:
    input: "one.txt"
    output: "a.txt"
    group: "both"
    shell: "cp {input} {output}"
"""


def plain(value: Any) -> Any:
    """A setting as text, a list or a mapping of these."""
    if is_dataclass(value):
        names = {field.name for field in fields(value)} - {"remote_job_local_storage_prefix", "print_dag_as"}  # unused
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Resource):
        return value.raw
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (set, frozenset, list, tuple)):
        return sorted(map(str, value))
    return value if value is None or isinstance(value, bool) else str(value)


@pytest.mark.parametrize("options", [[], MANY_OPTIONS], ids=["no options", "many options"])
def test_a_job_is_told_as_much_as_by_snakemake_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """By its command line, which another version may make longer: parsed, it holds the settings that we pass on."""
    (tmp_path / "seen").mkdir()
    (tmp_path / "in.txt").touch()
    ran = snakemake(tmp_path, GROUP_AND_JOB, "--executor", "here", "--here-seen", "seen", *options)
    lines = list((tmp_path / "seen").glob("*.line"))
    assert ran.returncode == 0 and len(lines) == 2, ran.stdout
    heard: dict[str, Any] = {}

    class Api(nullcontext):
        """Hears what Snakemake makes of its command line."""

        def __init__(self, output: OutputSettings):
            super().__init__(self)
            heard["output"] = output

        def hear(self, **settings: Any) -> "Api":
            heard.update(settings)
            return self

        workflow = dag = execute_workflow = hear

        def print_exception(self, error: Exception) -> None:
            raise error

    monkeypatch.setattr(cli, "SnakemakeApi", Api)
    monkeypatch.chdir(tmp_path)
    for line in lines:
        call = pickle.loads(line.with_suffix(".told").read_bytes())
        parser, parsed = cli.parse_args(shlex.split(line.read_text())[3:])  # without python -m snakemake
        assert cli.args_to_api(parsed, parser)
        told = {
            "output": call.output,
            "resource_settings": call.resources,
            "storage_settings": call.storage,
            "workflow_settings": call.workflow,
            "deployment_settings": call.deployment,
            "dag_settings": call.dag,
            "execution_settings": call.execution,
            "group_settings": call.groups,
            "snakefile": call.snakefile,
            "workdir": call.folder,
        }
        for name, found in told.items():
            assert plain(found) == plain(heard[name]), name
