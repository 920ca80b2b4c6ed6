#!/usr/bin/env bash
# setup.sh JOB: all that `make JOB` (run or test) needs on this machine, the system's packages and then .venv, as the
# lock files pin it. A second call finds .venv/set-up/JOB, which is written last, and returns at once.
set -euo pipefail
cd "$(dirname "$0")/.."

job=$1
venv=$PWD/.venv
ready=$venv/set-up

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
    die "needs Python 3.11, 3.12 or 3.13, but found ${found%, }: install one, or name it with make $job PYTHON=/path/to/python."
}

# Debian's names of what is missing, each looked for by its use: it need not come from a package.
missing() {
    local name command PATH=$PATH:/usr/sbin
    name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$name-venv"
    [ -f "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || echo "$name-dev"
    # FFCV is compiled against these; without them its build ends in a bare exception.
    for command in cc c++; do command -v $command >/dev/null || echo g++; done
    command -v pkg-config >/dev/null || echo pkg-config
    pkg-config --exists opencv4 2>/dev/null || echo libopencv-dev
    pkg-config --exists libturbojpeg 2>/dev/null || echo libturbojpeg0-dev
    "$python" -c 'import ctypes; ctypes.CDLL("libGL.so.1")' 2>/dev/null || echo libgl1   # opencv-python loads it
    [ "$job" = test ] || return 0
    for command in sbatch slurmctld slurmd; do command -v $command >/dev/null || echo slurm-wlm; done
    command -v slurmdbd >/dev/null || echo slurmdbd
    command -v mariadbd >/dev/null || echo mariadb-server-core
    command -v my_print_defaults >/dev/null || echo mariadb-client   # mariadb-install-db calls it
    command -v munged >/dev/null || echo munge
    command -v chromium google-chrome >/dev/null || echo chromium   # opens the report
    command -v chromedriver >/dev/null || echo chromium-driver
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
}

install_system_packages() {
    local needed wanted=() install=(apt-get install -y --no-install-recommends)
    mapfile -t needed < <(missing | sort -u)
    # The images of the default sweep; where the distribution lacks them, the data rule downloads them.
    [ -d /usr/share/datasets/fashion-mnist ] || wanted=(dataset-fashion-mnist)
    [ $((${#needed[@]} + ${#wanted[@]})) -gt 0 ] || return 0

    if command -v apt-get >/dev/null && as_root true 2>/dev/null; then
        say "installing ${needed[*]} ${wanted[*]}"
        as_root apt-get update -qq || true
        apt-cache show "${wanted[@]}" >/dev/null 2>&1 || wanted=()
        as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >&2 || true   # an interrupted installation
        as_root env DEBIAN_FRONTEND=noninteractive "${install[@]}" "${needed[@]}" "${wanted[@]}" >&2 || true
        mapfile -t needed < <(missing | sort -u)
    fi
    [ ${#needed[@]} = 0 ] || die "make $job needs ${needed[*]}: as root, run apt-get update && ${install[*]} ${needed[*]}"
}

install_python_packages() {
    [ -d "$ready" ] || "$python" -m venv --clear "$venv"
    rm -rf "$ready"
    say "installing the Python packages into .venv"
    local pip=("$venv/bin/python" -m pip) uv=("$venv/bin/uv" pip)
    "${pip[@]}" install -q --require-hashes --only-binary :all: -r requirements/setup.txt
    # uv does not read pip's configuration: hand its index on.
    local index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$("${pip[@]}" config get global.index-url 2>/dev/null || true)}}
    [ -z "$index" ] || export UV_DEFAULT_INDEX=$index
    export VIRTUAL_ENV=$venv
    # Compiled now, once: where Python may not write its caches, each start of Snakemake would compile for two seconds.
    "${uv[@]}" sync --require-hashes --no-build-isolation --compile-bytecode requirements/lock.txt
    "${uv[@]}" install --no-deps --no-build-isolation --editable .
    "$venv/bin/python" -c 'import torch, torchvision, ffcv'
    mkdir "$ready"
    state "$python" >"$ready/run"
}

finished() { [ "$(cat "$ready/$1" 2>/dev/null)" = "$(state "$2")" ]; }

if finished "$job" "${PYTHON:-$venv/bin/python}"; then exit; fi
choose_python
# A .venv that is interrupted, moved or of another Python is made anew; any other is brought up to date.
if [ "$(head -n 1 "$ready/run" 2>/dev/null)" != "$(place "$python")" ] ||
    [ "$(version "$venv/bin/python")" != "$(version "$python")" ]; then
    rm -rf "$ready"
fi
install_system_packages
finished run "$python" || install_python_packages
state "$python" >"$ready/$job"
