"""What the Snakemake inside a job is told: to the byte what a local one sees, and nothing of it is evaluated."""

import datetime
import os
import pickle
import shlex
import subprocess
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import forks
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from snakemake import cli
from snakemake.resources import Resource
from snakemake.settings.types import OutputSettings
from telling import PIECES, Told, as_name, written

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("EXAMPLES", "2"))

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
    file=st.dictionaries(st.one_of(KEYS, st.sampled_from(["line_1", "line_2"])), VALUES, min_size=20, max_size=60),
    line=st.dictionaries(st.sampled_from(["line_1", "line_2", "line_3"]), SCALARS.map(str), min_size=1),
)


@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate])  # each takes seconds: none is made smaller
@given(told=TOLD)
def test_a_job_sees_what_a_local_snakemake_sees(told: Told) -> None:
    with TemporaryDirectory() as folder:
        here, inside = Path(folder) / "here", Path(folder) / "inside"
        local = told.run(here, "--force-use-threads")
        assert local.returncode == 0, local.stdout
        ran = told.run(inside, "--executor", "here", "--jobs", "1")
        assert ran.returncode == 0, ran.stdout
        assert written(inside) == written(here) != {}
        assert not list(Path(folder).rglob("PWNED")) and not Path("/PWNED").exists()


def snakemake(folder: Path, workflow: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a workflow in a folder, whose Snakefile it becomes."""
    (folder / "Snakefile").write_text(workflow)
    return forks.snakemake(folder, "--cores", "2", "--jobs", "1", *arguments)


# The first rule edits each file of the configuration, or deletes it; the job says what its configuration is.
EDITED = """
configfile: "one.yaml"
config["count"] = config["count"] * 2
config["names"] += ["more"]
workdir: "work"
configfile: "../two.yaml"
read = repr(config)
rule edit:
    output: "read"
    localrule: True
    params: read=read
    shell: "rm ../one.yaml ../given.yaml; echo 'gone: [back]' > ../two.yaml; printf %s {params.read:q} > {output}"
rule all:
    default_target: True
    input: "read"
    output: "seen"
    params: seen=repr(config)
    shell: "printf %s {params.seen:q} > {output}; pwd > folder"
"""


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--config", "count=5", "gone={now: a mapping}"], 5),
        (["--configfile", "given.yaml"], 7),
        (["--configfile", "given.yaml", "--replace-workflow-config"], 7),
    ],
    ids=["values", "file", "file alone"],
)
def test_the_configuration_is_that_of_the_submission(tmp_path: Path, options: list[str], count: int) -> None:
    """What the main process has read before there was an executor, a local rule writes."""
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "one.yaml").write_text("{count: 1, names: [a], nested: {kept: yes, date: 2020-01-01}, 1: [01, 1e5]}")
    (tmp_path / "two.yaml").write_text("{gone: [a], nested: {other: null}}")
    (tmp_path / "given.yaml").write_text("{count: 7, names: [b], gone: {now: a mapping}}")
    ran = snakemake(tmp_path, EDITED, "--executor", "here", *options)
    assert ran.returncode == 0, ran.stdout
    assert (work / "seen").read_text() == (work / "read").read_text()
    assert f"'count': {count}," in (work / "read").read_text()
    assert (work / "folder").read_text() == f"{work}\n"


def test_a_configuration_that_changes_while_snakemake_starts(tmp_path: Path) -> None:
    """Jobs would not have what the main process has: refused."""
    (tmp_path / "config.yaml").write_text("x: 1")
    workflow = f"configfile: 'config.yaml'\n{WRITE}rule all:\n    output: 'seen'\n    shell: 'touch {{output}}'\n"
    ran = snakemake(tmp_path, workflow, "--executor", "here")
    assert ran.returncode != 0 and "Traceback" not in ran.stdout
    assert f"{tmp_path}/config.yaml has changed while Snakemake started: start it again." in ran.stdout, ran.stdout


WRITE = "open('config.yaml', 'w').write('x: 2')\n"
FAILING = """
import os
rule grows:
    input: "in.txt"
    output: "grows"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: attempt * 200
    shell: "echo {resources.mem_mb} $PPID >> grows.attempts; false"
rule shrinks:
    input: "in.txt"
    output: "shrinks"
    group: "group"
    retries: 1
    resources: mem_mb=lambda wildcards, attempt: 100 // attempt
    shell: "echo {resources.mem_mb} $PPID >> shrinks.attempts; false"
rule flaky:
    input: "in.txt"
    output: "flaky"
    group: "group"
    retries: 3
    resources: mem_mb=50
    run:
        with open("flaky.attempts", "a") as file:
            print("run", os.getppid(), file=file)
        assert len(open("flaky.attempts").readlines()) == 2
        open("flaky", "w").close()
"""
LONG = "in/" + 8 * f"{'long' * 60}/"
NAMES_OF_MANY = [f"{LONG}{i}" for i in range(1_100)]
MANY_FILES = f"""
rule many:
    input: [f"{LONG}{{i}}" for i in range(1_100)]
    output: "many"
    run:
        with open(output[0], "w") as file:
            file.write(str(sum(map(len, input))))
"""
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


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Of one Snakemake that was told little and ran all of these rules: its folder, and what it has printed."""
    folder = tmp_path_factory.mktemp("ended")
    (folder / "seen").mkdir()
    for name in NAMES_OF_MANY:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "in.txt").touch()
    (folder / "config.yaml").write_text("x: 1")
    told = "rule told:\n    input: 'in.txt'\n    output: 'told'\n    shell: 'echo {config[x]} > {output}'\n"
    workflow = f"{WRITE}configfile: 'config.yaml'\n{GROUP_AND_JOB}{FAILING}{MANY_FILES}{told}"
    options = ["--keep-going", "--retries", "5", "--here-seen", "seen"]
    targets = ["all", "grows", "shrinks", "flaky", "many", "told"]
    ran = snakemake(folder, workflow, *targets, "--executor", "here", *options)
    assert ran.returncode != 0 and (folder / "b.txt").exists(), ran.stdout
    return folder, ran.stdout


def test_what_the_snakefile_writes_before_it_reads_it_is_right(ended: tuple[Path, str]) -> None:
    folder, printed = ended
    assert (folder / "told").read_text() == "2\n", printed


def test_only_the_main_process_retries(ended: tuple[Path, str]) -> None:
    """Each attempt is a job, with the attempt's resources; a rule's own retries win over those of the command line."""
    folder, printed = ended
    expected = {"grows": ("200", "400", "600"), "shrinks": ("100", "50"), "flaky": ("run", "run")}
    for rule, attempts in expected.items():
        seen, processes = zip(*map(str.split, (folder / f"{rule}.attempts").read_text().splitlines()), strict=True)
        assert seen == attempts and len(set(processes)) == len(attempts), rule
        assert (folder / rule).exists() == (rule == "flaky"), printed
    assert printed.count("Trying to restart job") == sum(map(len, expected.values())) - len(expected)


def test_more_files_than_a_command_line_holds(ended: tuple[Path, str]) -> None:
    """Of two megabytes; a single argument holds 128 KiB."""
    folder, printed = ended
    assert (folder / "many").exists(), printed[-2000:]
    assert int((folder / "many").read_text()) == sum(map(len, NAMES_OF_MANY)) > 2e6


MANY_OPTIONS = shlex.split("""
    --keep-incomplete --drop-metadata --skip-script-cleanup --printshellcmds --verbose --benchmark-extended
    --rerun-triggers mtime params --latency-wait 7 --shadow-prefix shadows --max-threads 3 --wrapper-prefix prefix
    --conda-prefix condas --conda-base-path base --conda-not-block-search-path-envvars --use-envmodules
    --apptainer-prefix images --apptainer-args=--nv --set-scatter pieces=3 --set-resource-scopes foo=local
    --set-resources one:mem_mb=77 one:foo=bar --set-threads two=2 --default-resources mem_mb=attempt*100 baz=a
    --groups two=both --group-components both=2 --keep-storage-local-copies --wait-for-free-local-storage 9s
    --remote-job-local-storage-prefix elsewhere --retries 3 --attempt 2 --keep-going --notemp --scheduler greedy
""")


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


@pytest.mark.parametrize("options", [[], MANY_OPTIONS], ids=["few options", "many options"])
def test_a_job_is_told_as_much_as_by_snakemake_itself(
    tmp_path: Path, ended: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """By its command line, which another version may make longer: parsed, it holds the settings that we pass on."""
    folder, jobs = ended[0], 7
    if options:
        folder, jobs = tmp_path, 2
        (folder / "seen").mkdir()
        (folder / "in.txt").touch()
        ran = snakemake(folder, GROUP_AND_JOB, "--executor", "here", "--here-seen", "seen", *options)
        assert ran.returncode == 0, ran.stdout
    lines = list((folder / "seen").glob("*.line"))
    assert len(lines) == jobs
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
    monkeypatch.chdir(folder)
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
