"""What users rely on in requirements/: sentences for what is missing, no cost once done, nothing unpinned."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ["awk", "bash", "cat", "dirname", "env", "grep", "head", "mkdir", "rm", "sha256sum", "sort"]

# A Python that finds itself; in the environments that it makes, every installation succeeds.
PYTHON = f"""#!/bin/sh
case "$*" in
*" venv "*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; printf '#!/bin/sh' | tee .venv/bin/uv > .venv/bin/pip
    chmod +x .venv/bin/*;;
*platform* | *version_info* | *sysconfig* | *ensurepip*) exec "{sys.executable}" "$@";;
esac
"""
# An apt whose distribution knows no Chromium; what it installs is a program of the package's name.
APT_GET = """#!/bin/sh
echo "$*" >> called
case "$*" in *install*chromium*) echo "E: Package 'chromium' has no installation candidate"; exit 100;; esac
[ "$1" = install ] || exit 0
for name in "$@"; do case $name in
    mariadb-client) touch bin/my_print_defaults; chmod +x bin/my_print_defaults;;
    slurm-wlm) for made in sbatch slurmctld slurmd; do touch bin/$made; chmod +x bin/$made; done;;
esac; done
"""
APT_CACHE = """#!/bin/sh
shift
for name in "$@"; do echo "$name:"; case $name in
    chromium*) echo "  Candidate: (none)";; *) echo "  Candidate: 1.0";;
esac; done
"""
USER = {"python3": PYTHON, "id": "#!/bin/sh\necho 1000"}
ADMINISTRATOR = {"python3": PYTHON, "id": "#!/bin/sh\necho 0"}
APT = {"apt-get": APT_GET, "apt-cache": APT_CACHE}
LINE = "run apt-get update && apt-get install -y --no-install-recommends "

Setup = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bare_machine(tmp_path: Path) -> Setup:
    """Run setup.sh on a copy, where only TOOLS and the given programs are found: no compiler, no pkg-config."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "bin"
    path.mkdir()
    for tool in (*TOOLS, "chmod", "cp", "printf", "tee", "touch"):
        (path / tool).symlink_to(shutil.which(tool))

    def setup(job: str, **programs: str) -> subprocess.CompletedProcess[str]:
        for name, text in programs.items():
            (path / name).write_text(text)
            (path / name).chmod(0o755)
        command = [tmp_path / "requirements/setup.sh", job]
        return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True)

    return setup


def test_wrong_python_is_a_sentence(bare_machine: Setup, tmp_path: Path) -> None:
    done = bare_machine("run", python3="#!/bin/sh\necho 3.10.13")
    assert done.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13, but found python3 (3.10.13), no python3.13" in done.stderr
    assert f"{LINE}python3 python3-venv" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".venv").exists(), "a set-up that cannot end must not begin"


@pytest.mark.parametrize(("job", "more"), [("run", set()), ("test", {"slurm-wlm", "mariadb-client"})])
def test_what_only_root_could_install_is_one_line_and_no_obstacle(bare_machine: Setup, job: str, more: set) -> None:
    """The line names all that apt knows, images included; the next call says so again and installs nothing."""
    done = bare_machine(job, **USER, **APT)
    assert done.returncode == 0
    begun, told = done.stderr.splitlines()
    assert begun == "setup: installing the Python packages into .venv"
    named = set(told.split(LINE)[1].split())
    assert {"g++", "pkg-config", "libopencv-dev", "libturbojpeg0-dev"} | more <= named
    assert ("dataset-fashion-mnist" in named) != Path("/usr/share/datasets/fashion-mnist").exists()
    assert more or "slurm-wlm" not in named
    assert not any(name.startswith("chromium") for name in named)
    assert "FFCV is not built" in told
    again = bare_machine(job)
    assert (again.returncode, again.stderr.splitlines()) == (0, [told])


def test_without_apt_the_names_are_said_to_be_debians(bare_machine: Setup) -> None:
    done = bare_machine("run", **USER)
    told = done.stderr.splitlines()[-1]
    assert (
        done.returncode == 0
        and "libopencv-dev" in told
        and told.endswith("these are Debian's names of what to install")
    )
    assert "apt-get" not in told


def test_a_name_that_apt_does_not_know_keeps_no_other_away(bare_machine: Setup, tmp_path: Path) -> None:
    """As Ubuntu's, which has no Chromium: all others are installed, and no line asks for it."""
    done = bare_machine("test", **ADMINISTRATOR, **APT)
    assert done.returncode == 0
    assert (tmp_path / "bin/sbatch").exists() and (tmp_path / "bin/my_print_defaults").exists()
    told = done.stderr.splitlines()[-1]
    without, line = told.split(LINE)
    assert "chromium" in without and "chromium" not in line
    assert "slurm-wlm" not in without and "mariadb-client" not in without, "what is installed is there"
    called = (tmp_path / "called").read_text()
    bare_machine("test")
    assert (tmp_path / "called").read_text() == called, "what apt could not do is not tried at each call"


def test_ffcv_is_built_as_soon_as_it_can_be(bare_machine: Setup, tmp_path: Path) -> None:
    def packages() -> str:
        return (tmp_path / ".venv/set-up/packages").read_text().splitlines()[-1]

    assert bare_machine("run", **USER).returncode == 0 and packages() == "without FFCV"
    there = dict.fromkeys(("cc", "c++", "pkg-config"), "#!/bin/sh")
    assert "installing" in bare_machine("run", **there).stderr
    assert packages() == "with FFCV"


def is_complete() -> bool:
    outcome = ROOT / ".venv/set-up/test"
    return outcome.exists() and outcome.read_text().splitlines()[-1].strip() == "without"


@pytest.mark.skipif(not is_complete(), reason="`make setup-test` did not run here, or this system lacks something")
def test_second_set_up_costs_nothing():
    """It asks for nothing but the version of Python and the files that .venv was made from."""
    command = [ROOT / "requirements/setup.sh", "test"]
    subprocess.run(command, check=True)
    done = subprocess.run(["bash", "-x", *command], capture_output=True, text=True, check=True)
    begun = {line.split()[1] for line in done.stderr.splitlines() if line.startswith("+")}
    assert "exit" in begun and not begun & {"apt-get", "pkg-config", "mapfile", "rm", "mkdir"}, done.stderr
    quiet = subprocess.run(command, capture_output=True, text=True, check=True)
    assert quiet.stdout + quiet.stderr == ""


@pytest.mark.parametrize("name", ["lock.txt", "setup.txt"])
def test_lock_files_pin_and_hash_everything_and_name_no_host(name):
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    for requirement in text.replace("\\\n", " ").splitlines():
        assert re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement


@pytest.mark.slow
def test_what_needs_a_missing_program_is_skipped_but_not_in_ci(tmp_path: Path) -> None:
    """Said in the reason; nothing is set up for it. One process does both, as imports are what costs."""
    tests = [f"{ROOT}/tests/{name}" for name in ("test_report.py::test_claims_come_first", "slurm/test_retries.py")]
    options = ["-rs", "-p", "no:cacheprovider", *tests]
    blind = f"""
import os, pytest, shutil
shutil.which = lambda *_, **__: None
pytest.main({options!r})
print("IN CI", flush=True)
os.environ["CI"] = "true"
pytest.main({["--setup-plan", *options]!r})
"""
    reasons = ["needs chromium and chromium-driver", "needs slurm-wlm and munge"]
    home = {key: value for key, value in os.environ.items() if key != "CI"}
    ran = subprocess.run([sys.executable, "-c", blind], env=home, cwd=tmp_path, capture_output=True, text=True)
    skipped, planned = ran.stdout.split("IN CI")
    assert all(reason in skipped for reason in reasons) and " passed" not in skipped and " failed" not in skipped
    assert not any(reason in planned for reason in reasons) and "SETUP    M browser" in planned, planned
