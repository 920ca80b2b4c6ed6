#!/usr/bin/env bash
# setup.sh JOB: all that `make JOB` (run or test) needs on this machine, the system's packages and then .venv, as the
# lock files pin it. What the system lacks and nobody here may install is done without, and told in a line; only Python
# must be there. A second call finds .venv/set-up/JOB, which is written last, and returns at once.
set -euo pipefail
cd "$(dirname "$0")/.."

job=$1
venv=$PWD/.venv
ready=$venv/set-up
unpacked=$venv/debian   # packages of Debian, where only root could install them
images=dataset-fashion-mnist
install=(apt-get install -y --no-install-recommends)

say() { echo "setup: $*" >&2; }
die() { say "$*" && exit 1; }

version() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null || true; }

# What .venv depends on. It holds absolute paths: a copied or moved folder needs a new one.
place() { echo "$venv, Python $(version "$1")"; }
state() { place "$1" && cat requirements/*.txt requirements/setup.sh pyproject.toml | sha256sum; }

choose_python() {
    local candidates=(python3 python3.13 python3.12 python3.11) found=()
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for python in "${candidates[@]}"; do
        case $(version "$python") in
            3.11.* | 3.12.* | 3.13.*) return ;;
            "") found+=("no $python") ;;
            *) found+=("$python ($(version "$python"))") ;;
        esac
    done
    printf -v found '%s, ' "${found[@]}"
    die "needs Python 3.11, 3.12 or 3.13, but found ${found%, }: install one (as root, run apt-get update &&" \
        "${install[*]} python3 python3-venv), or name it with make $job PYTHON=/path/to/python."
}

has() { command -v "$1" >/dev/null; }

# Debian's names of what is missing, each looked for by its use: it need not come from a package.
missing() {
    local name command PATH=$PATH:/usr/sbin
    name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    [ -x "$venv/bin/pip" ] || "$python" -c 'import ensurepip' 2>/dev/null || echo "$name-venv"
    # FFCV is compiled against these.
    [ -f "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || echo "$name-dev"
    for command in cc c++; do has $command || echo g++; done
    has pkg-config || echo pkg-config
    pkg-config --exists opencv4 2>/dev/null || echo libopencv-dev
    pkg-config --exists libturbojpeg 2>/dev/null || echo libturbojpeg0-dev
    # The images of the default sweep.
    [ -d /usr/share/datasets/fashion-mnist ] || [ -d "$unpacked/usr/share/datasets/fashion-mnist" ] || echo $images
    [ "$job" = test ] || return 0
    for command in sbatch slurmctld slurmd; do has $command || echo slurm-wlm; done
    has slurmdbd || echo slurmdbd
    has mariadbd || echo mariadb-server-core
    has my_print_defaults || echo mariadb-client   # mariadb-install-db calls it
    has munged || echo munge
    has chromium || has google-chrome || echo chromium   # opens the report
    has chromedriver || echo chromium-driver
}

look() { mapfile -t lacking < <(missing | sort -u); }

# sudo asks for a password on a terminal alone, and whoever is in its group: others it would report.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif [ -t 0 ] && id -nG | grep -qwE 'sudo|wheel|admin'; then sudo "$@"
    else sudo -n "$@"; fi
}

# A package that this distribution does not know, or cannot install, must not keep the others away.
install_system_packages() {
    [ ${#lacking[@]} -gt 0 ] && has apt-get && as_root true 2>/dev/null || return 0
    local name alone=(as_root env DEBIAN_FRONTEND=noninteractive)
    say "installing ${lacking[*]}"
    as_root apt-get update -qq || true
    "${alone[@]}" dpkg --configure -a >&2 || true   # an interrupted installation
    "${alone[@]}" "${install[@]}" "${lacking[@]}" >&2 ||
        for name in "${lacking[@]}"; do "${alone[@]}" "${install[@]}" "$name" >&2 || true; done
    look
}

# Unpacks a package of Debian into .venv, which takes no root; by lists of packages of our own if there are none.
unpack() {
    has apt-get && has dpkg-deb || return 0
    local folder=$unpacked/apt download=(apt-get -qq download "$1")
    mkdir -p "$folder/lists/partial"
    if (
        cd "$folder"
        [ ! -f apt.conf ] || export APT_CONFIG=$folder/apt.conf
        "${download[@]}" && exit
        [ ! -f apt.conf ] && export APT_CONFIG=$folder/apt.conf || exit
        echo "Dir::State::Lists \"$folder/lists\"; Dir::Cache \"$folder\";" >apt.conf
        echo 'Acquire::Retries 1; Acquire::http::Timeout 20;' >>apt.conf
        apt-get -qq update && "${download[@]}"
    ) >/dev/null 2>&1; then
        dpkg-deb -x "$folder/$1"_*.deb "$unpacked"
    fi
}

lacks() { [[ " ${lacking[*]} " =~ \ [^\ ]*($1)\  ]]; }
can_build_ffcv() { ! lacks 'g\+\+|pkg-config|-dev'; }
instead="a plain loader reads the same images"

make_venv() {
    if "$python" -m venv --clear "$venv" >/dev/null 2>&1; then return; fi
    # Debian keeps pip apart from Python.
    "$python" -m venv --clear --without-pip "$venv" && unpack python3-pip-whl
    PYTHONPATH=$(echo "$unpacked"/usr/share/python-wheels/pip-*.whl)
    [ -f "$PYTHONPATH" ] || die "needs Python's venv and pip: as root, run apt-get update && ${install[*]} python3-venv"
    export PYTHONPATH
}

# One requirement of the lock file with its hashes, or all others.
locked() { awk -v name="$1==" '/^[a-z]/ { found = index($0, name) == 1 } found' requirements/lock.txt; }
others() { awk -v name="$1==" '/^[a-z]/ { found = index($0, name) == 1 } !found' requirements/lock.txt; }

install_python_packages() {
    say "installing the Python packages into .venv"
    [ -d "$ready" ] || make_venv
    rm -rf "$ready"
    local pip=("$venv/bin/python" -m pip) uv=("$venv/bin/uv" pip)
    "${pip[@]}" install -q --require-hashes --only-binary :all: -r requirements/setup.txt
    unset PYTHONPATH
    # uv does not read pip's configuration: hand its index on.
    local index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$("${pip[@]}" config get global.index-url 2>/dev/null || true)}}
    [ -z "$index" ] || export UV_DEFAULT_INDEX=$index
    export VIRTUAL_ENV=$venv
    local build=(--require-hashes --no-build-isolation)
    others ffcv >"$venv/lock.txt"
    "${uv[@]}" sync "${build[@]}" "$venv/lock.txt"
    "${uv[@]}" install --no-deps --no-build-isolation --editable .
    # What a run imports is compiled now (make keeps bytecode): where Python may not write its caches later, each start
    # of Snakemake would compile for two seconds. The other thousands of modules, nobody imports.
    "$venv/bin/python" -c 'import torch, torchvision'
    "$venv/bin/python" -c 'import matplotlib.pyplot, scipy.special, smart_open, snakemake.cli, snakemake.report.html_reporter, submitit'
    if can_build_ffcv; then
        locked ffcv >"$venv/ffcv.txt"
        "${uv[@]}" install --no-deps "${build[@]}" --requirements "$venv/ffcv.txt" || true
        "$venv/bin/python" -c 'import ffcv' || say "FFCV cannot be built here: $instead"
    fi
    if lacks $images; then unpack $images; fi
    can_build_ffcv || unpack libturbojpeg0   # decodes JPEGs as fast
    rm -rf "$unpacked/apt"
    mkdir "$ready"
    made_from >"$ready/packages"
}

# What .venv was made from; and what this job has, as far as it can be had.
made_from() { state "$python" && (can_build_ffcv && echo "with FFCV" || echo "without FFCV"); }
outcome() { state "$1" && echo "without ${lacking[*]}"; }

# Those of some packages that apt could install.
known() { LC_ALL=C apt-cache policy "$@" 2>/dev/null | awk -F: '/^[^ ]/ { name = $1 } /Candidate: [^(]/ { print name }'; }

# In one line, what is done without.
tell() {
    [ ${#lacking[@]} -gt 0 ] || return 0
    local names told="does without ${lacking[*]}:"
    can_build_ffcv || told+=" FFCV is not built, $instead;"
    ! lacks $images || told+=" Fashion-MNIST is downloaded when it is needed;"
    [ "$job" != test ] || told+=" tests that need what is missing are skipped;"
    mapfile -t names < <(known "${lacking[@]}")
    # Without lists of packages apt knows none.
    [ ${#names[@]} -gt 0 ] || compgen -G "/var/lib/apt/lists/*_Packages*" >/dev/null || names=("${lacking[@]}")
    if ! has apt-get; then told+=" these are Debian's names of what to install"
    elif [ ${#names[@]} = 0 ]; then told+=" apt knows none of them here"
    else told+=" to change that, as root, run apt-get update && ${install[*]} ${names[*]}"; fi
    say "$told"
}

lacking=()
if [ "$(cat "$ready/$job" 2>/dev/null)" = "$(outcome "${PYTHON:-$venv/bin/python}")" ]; then exit; fi
choose_python
# A .venv that is interrupted, moved or of another Python is made anew; any other is brought up to date.
if [ "$(head -n 1 "$ready/packages" 2>/dev/null)" != "$(place "$python")" ] ||
    [ "$(version "$venv/bin/python")" != "$(version "$python")" ]; then
    rm -rf "$ready"
fi
look
if [ "$(cat "$ready/$job" 2>/dev/null)" != "$(outcome "$python")" ]; then
    install_system_packages
    [ "$(cat "$ready/packages" 2>/dev/null)" = "$(made_from)" ] || install_python_packages
    look
    outcome "$python" >"$ready/$job"
fi
tell
