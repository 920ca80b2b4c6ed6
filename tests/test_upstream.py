"""Private parts of other packages: in known versions alone, and what goes wrong, or is done in vain, without ours."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forks
import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from snakemake_interface_common.exceptions import ApiError
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from torch.utils._python_dispatch import TorchDispatchMode

from fastscale.data import write_betons
from fastscale.runtime import upstream
from fastscale.runtime._torch import add_to_each, copy_to_each, divide_each, move_each
from snakemake_executor_plugin_submitit import upstream as plugin
from snakemake_executor_plugin_submitit._snakemake import PollsWithJobs
from snakemake_executor_plugin_submitit.claims import Claim
from snakemake_executor_plugin_submitit.ledger import Batch, Entry

ROOT = Path(__file__).parents[1]
OTHER = "==0.0.1"  # a version of nothing


# A fork for each line of arguments, one after the other. What programs share is imported before.
EACH = """
import json, os, sys
import numpy, torch
program, *lines = sys.argv[1:]
for line in lines:
    if not (child := os.fork()):
        sys.argv[1:] = json.loads(line)
        exec(compile(program, "program", "exec"), {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def run_each(program: str, *lines: Sequence[str]) -> list[Any]:
    """What a program prints last for each line of arguments, as JSON, in processes that have imported only torch."""
    command = [sys.executable, "-c", EACH, program, *map(json.dumps, lines)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith(("[", "{"))]


@pytest.mark.parametrize("versions", [upstream.WRITTEN_FOR, plugin.WRITTEN_FOR], ids=["fastscale", "plugin"])
def test_known_versions_are_those_of_pyproject_and_installed(versions: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    bounds = {one.name: one.specifier for one in map(Requirement, [*project["dependencies"], *extras])}
    for package, known in versions.items():
        assert SpecifierSet(known) == bounds[package], package
        assert version(package) in SpecifierSet(known), package


@pytest.mark.parametrize("package", plugin.WRITTEN_FOR)
def test_the_executor_refuses_other_versions(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin.require_known_versions()
    monkeypatch.setitem(plugin.WRITTEN_FOR, package, OTHER)
    with pytest.raises(ApiError, match=rf"written for {package} {OTHER}.*{version(package)} is installed"):
        plugin.require_known_versions()


TORCH = """
import json, sys
from fastscale.runtime import upstream
upstream.WRITTEN_FOR["torch"] = sys.argv[1]
import torch
from fastscale.models.optimizer import sgd
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
optimizer = sgd(model, momentum=0.9, weight_decay=0.1)
for group in optimizer.param_groups:
    group["lr"] = 0.1
for _ in range(2):
    optimizer.zero_grad()
    model(torch.rand(2, 1, 5, 5)).square().sum().backward()
    optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
compiler = sorted(name for name in sys.modules if name.partition(".")[2].startswith("_dynamo"))
print(json.dumps([len(compiler), [weight.tolist() for weight in model.parameters()]]))
"""


@pytest.mark.slow
def test_torchs_own_optimizer_imports_its_compiler() -> None:
    """And so does ours in another version of torch; the weights are the same."""
    (ours, weights), (theirs, others) = run_each(TORCH, [upstream.WRITTEN_FOR["torch"]], [OTHER])
    assert ours == 0 and theirs > 50, "modules of the compiler"
    assert weights == others


def test_lists_of_tensors_take_fewer_operations() -> None:
    """Torch's public operations take one for each tensor, to the same bits."""

    class Count(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.operations = 0

        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            self.operations += 1
            return function(*arguments, **(options or {}))

    first, second = ([torch.rand(3 + i) for i in range(20)] for _ in range(2))
    by_list, by_one = [t.clone() for t in first], [t.clone() for t in first]
    with Count() as few:
        add_to_each(by_list, second, alpha=0.25)
        move_each(by_list, second, 0.1)
        copy_to_each(by_list, divide_each(by_list, 3))
    with Count() as many:
        for mine, other in zip(by_one, second, strict=True):
            mine.add_(other, alpha=0.25)
            mine.lerp_(other, 0.1)
            mine.copy_(mine / 3)
    assert (few.operations, many.operations) == (4, 4 * len(first))
    assert all(map(torch.equal, by_list, by_one))


FFCV = """
import json, sys
import torch
from numba import njit
from numba.core.event import install_recorder
torch.set_num_threads(2)
path, is_ours = sys.argv[1], sys.argv[2] == "ours"
with install_recorder("numba:compile") as imported:
    if is_ours:
        import fastscale.data._ffcv
    else:
        import ffcv.fields.rgb_image
import ffcv
from ffcv.memory_managers import OSCacheManager
from ffcv.pipeline.compiler import Compiler
imported_threads = torch.get_num_threads()
torch.set_num_threads(2)
Compiler.set_num_threads(1)
compiled = njit(lambda: None)
try:
    kept = Compiler.compile(compiled) is compiled
except TypeError:
    kept = False
manager = OSCacheManager(ffcv.reader.Reader(path))
with install_recorder("numba:compile") as read:
    manager.compile_reader()
counts = [len(recorder.buffer) for recorder in (imported, read)]
print(json.dumps({"compiled": counts, "kept": kept, "threads": [imported_threads, torch.get_num_threads()]}))
"""


@pytest.fixture(scope="module")
def beton(tmp_path_factory: pytest.TempPathFactory) -> str:
    data = {"kind": "fashion-mnist", "classes": 10, "train_images": 20, "val_images": 10, "write_mode": "raw"}
    return str(write_betons(data, tmp_path_factory.mktemp("fashion")).beton("val"))


@pytest.mark.slow
def test_ffcv_itself_compiles_refuses_what_is_compiled_and_takes_torchs_threads(beton: str) -> None:
    pytest.importorskip("ffcv", reason="FFCV is not built here")
    ours, theirs = run_each(FFCV, [beton, "ours"], [beton, "theirs"])
    assert ours == {"compiled": [0, 0], "kept": True, "threads": [2, 2]}
    assert min(theirs.pop("compiled")) > 0 and theirs == {"kept": False, "threads": [1, 1]}


LOADER = """
import json, sys
from fastscale.runtime import upstream
upstream.WRITTEN_FOR[sys.argv[1]] = sys.argv[2]
asked = []

class Asked:
    def find_spec(name, path=None, target=None):
        asked.append(name)

sys.meta_path.insert(0, Asked)
from fastscale.data import loaders
by, _ = loaders.choose_reader()
from numba import njit
njit(lambda: None)()
print(json.dumps([by, "scipy.linalg" in asked]))
"""


@pytest.mark.slow
def test_another_ffcv_is_not_used_and_another_numba_looks_for_scipy() -> None:
    pytest.importorskip("ffcv", reason="FFCV is not built here")
    known, no_ffcv, no_numba = run_each(
        LOADER, ["ffcv", upstream.WRITTEN_FOR["ffcv"]], ["ffcv", OTHER], ["numba", OTHER]
    )
    assert (known, no_ffcv, no_numba) == (["ffcv", False], ["plain", False], ["ffcv", True])


def snakemake(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return forks.snakemake(folder, "--cores", "1", *arguments)


JOB = """
configfile: "config.yaml"
rule all:
    output: "seen"
    shell: "printf %s {config[file]:q}{config[line]:q} > {output}"
"""
INSIDE = [sys.executable, "-P", "-m", "snakemake_executor_plugin_submitit.inside"]


@pytest.mark.slow
def test_snakemakes_own_job_reads_the_configuration_again_has_it_evaluated_and_knows_no_claim(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(JOB)
    (tmp_path / "config.yaml").write_text("file: 'old '")
    seen, asked = tmp_path / "seen", tmp_path / "asked"
    asked.mkdir()
    ran = snakemake(
        tmp_path, "--jobs", "1", "--executor", "here", "--here-seen", "asked", "--config", "line=it's $((1 + 1))"
    )
    assert ran.returncode == 0 and seen.read_text() == "old it's $((1 + 1))", ran.stdout
    (tmp_path / "config.yaml").write_text("file: 'new '")
    (line,), (told,) = asked.glob("*.line"), asked.glob("*.told")

    def again(command: list[str], claim: Claim | None = None) -> int:
        seen.unlink(missing_ok=True)
        environment = {**os.environ, **(claim.environment if claim else {})}
        return subprocess.run(command, cwd=tmp_path, env=environment, input=told.read_bytes()).returncode

    mine, other = (Claim(tmp_path / "claims", ("name",), holder) for holder in ("mine", "other"))
    other.make()
    by_snakemake = ["/bin/sh", "-c", line.read_text()]
    assert again(by_snakemake) == 0 and seen.read_text() == "new it's 2"
    assert again(by_snakemake, mine) == 0 and seen.exists(), "which are another job's"
    assert again(INSIDE) == 0 and seen.read_text() == "old it's $((1 + 1))"
    assert again(INSIDE, mine) == 3 and not seen.exists()


LOCKED = """
import os, signal
from snakemake_executor_plugin_submitit.lock import WorkflowLock
onstart:
    if config["lock"] == "ours":
        WorkflowLock(workflow)
    if config["kill"]:
        os.kill(os.getpid(), signal.SIGKILL)
rule all:
    output: "made"
    shell: "touch {output}"
"""


@pytest.mark.slow
def test_snakemakes_own_lock_outlives_a_killed_process(tmp_path: Path) -> None:
    """Ours is taken over by the next process, and keeps a Snakemake without it out."""
    (tmp_path / "Snakefile").write_text(LOCKED)
    theirs, ours = ["--config", "lock=theirs"], ["--nolock", "--config", "lock=ours"]
    assert snakemake(tmp_path, *theirs, "kill=1").returncode == -signal.SIGKILL
    assert "cannot be locked" in snakemake(tmp_path, *theirs, "kill=0").stdout
    assert snakemake(tmp_path, "--unlock", *theirs, "kill=0").returncode == 0
    for _ in range(2):
        assert snakemake(tmp_path, *ours, "kill=1").returncode == -signal.SIGKILL
    assert "cannot be locked" in snakemake(tmp_path, *theirs, "kill=0").stdout
    ran = snakemake(tmp_path, *ours, "kill=0")
    assert ran.returncode == 0 and (tmp_path / "made").exists(), ran.stdout


@pytest.mark.parametrize(("kind", "looks_early"), [(RemoteExecutor, True), (PollsWithJobs, False)])
def test_snakemakes_own_executor_looks_at_jobs_before_there_are_any(kind: type, looks_early: bool) -> None:
    looked = threading.Event()

    class Executor(kind):
        def __init__(self) -> None:
            settings = SimpleNamespace(init_seconds_before_status_checks=0)
            self.workflow = SimpleNamespace(executor_plugin=SimpleNamespace(common_settings=settings))
            self.begun, self.lock, self.wait, self.active_jobs = threading.Event(), threading.Lock(), True, []

        async def check_active_jobs(self, active_jobs):
            looked.set()
            self.wait = False
            for info in active_jobs:
                yield info

        async def sleep(self) -> None:
            pass

        def run_job(self, job) -> None:
            pass

        def cancel_jobs(self, active_jobs) -> None:
            pass

    executor = Executor()
    thread = threading.Thread(target=executor._wait_thread)
    thread.start()
    if looks_early:
        assert looked.wait(60)
    assert looked.is_set() == looks_early
    executor.begun.set()
    thread.join(60)
    assert looked.is_set() and not thread.is_alive()


@pytest.mark.skipif(not shutil.which("srun"), reason="submitit needs srun, which is not installed")
def test_submitits_own_script_holds_options_that_the_environment_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours runs the same command and holds none: they are sbatch's arguments, and the environment has no others."""
    from submitit import SlurmExecutor

    from snakemake_executor_plugin_submitit._submitit import Sbatch

    ours = Sbatch(tmp_path)
    theirs = SlurmExecutor(tmp_path, python=ours.python)
    batch = Batch("batch", (Entry("rule", ("key",), ("made",), ("claim",), tmp_path / "call.pkl"),))
    for executor in (ours, theirs):
        executor.update_parameters(additional_parameters={"mem": "100M"}, srun_args=["--ntasks=1"], comment="mark")
    scripts = ours.script(batch), theirs._make_submission_file_text(theirs._submitit_command_str, "id")
    assert all(theirs._submitit_command_str in script for script in scripts)
    assert ["#SBATCH --mem=100M" in script for script in scripts] == [False, True]
    assert "#SBATCH" not in scripts[0]
    file = tmp_path / "script.sh"
    assert theirs._make_submission_command(file) == ["sbatch", str(file)]
    command = ours.command(batch, file)
    assert (command[0], command[-1]) == ("sbatch", str(file)) and "--mem=100M" in command
    for variable in ("SBATCH_MEM_PER_NODE", "SLURM_JOB_ID"):
        monkeypatch.setenv(variable, "1")
        assert variable not in ours.environment(batch)
