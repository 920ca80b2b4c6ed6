"""Times a verdict's networks on a GPU that is at hand for minutes: what tells most first, and an answer at any time.

Where fastscale is installed, list the networks; on the GPU, time them (torch, NumPy, tqdm and PyYAML suffice there);
where fastscale is installed, make the pages of what was timed by then:

    python benchmarks/gpu.py --prepare --out results/gpu
    PYTHONPATH=. python benchmarks/gpu.py --minutes 9 --out results/gpu
    fastscale aggregate verdict readme --partial --sweep results/gpu/sweep.json

Each part runs in a process of its own within a limit, and writes what it finds as it goes; another call continues. The
first parts tell what cuDNN's search for kernels costs and brings (`tried.json`): seconds to the first step, and of a
step. Networks are timed as `fastscale verdict` times them: in bfloat16 and as CUDA graphs, at batch 256 or, halved,
what fits, in both memory formats until one has lost in a family. cuDNN chooses kernels by its heuristics, unless
--autotune is given.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import traceback
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastscale.networks import Network
    from fastscale.profiling.options import Options

FINISH = 30.0  # seconds kept for the last network, sentinels and peaks
STEPS = 10  # timed, of each try
TRIED = 4  # kernels that cuDNN tries for each convolution in the second of the first parts


def prepare(config: Path | None, out: Path) -> None:
    """Write what the sweep is and which networks it has, in the order in which they are timed."""
    from fastscale.cli.verdict import PAPER, read
    from fastscale.records.networks import write_networks
    from fastscale.records.records import write_record
    from fastscale.sweep.expansion import FIXED
    from fastscale.sweep.priority import FIRST, by_priority

    sweep = read(config or PAPER, out)
    write_record(sweep.description, dict(sweep.config))
    groups = [group.networks for group in by_priority(sweep.points)]
    write_networks(sweep.network_record(FIXED), [network for group in groups for network in group])
    (out / "portions.json").write_text(json.dumps(list(accumulate(map(len, groups)))[FIRST - 1 :]))


def options(arguments: argparse.Namespace) -> "Options":
    """Return how networks are timed."""
    from fastscale.profiling.options import Options
    from fastscale.runtime.devices import choose_device

    profile = json.loads((arguments.out / "sweep.json").read_text())["profile"]
    device = choose_device(arguments.device)
    return Options(batch=arguments.batch, **profile).of_verdict(device, arguments.autotune)


def verdict(arguments: argparse.Namespace, networks: list["Network"]) -> None:
    """Time networks until shortly before the part's end."""
    from fastscale.profiling.profile import profile_all
    from fastscale.runtime.devices import choose_device

    deadline = arguments.end - min(FINISH, (arguments.end - time.monotonic()) / 3)
    wanted = [network for network in networks if network.hash not in arguments.without]
    device, how = choose_device(arguments.device), options(arguments)
    profile_all(wanted, profiles(arguments.out), how, device, deadline, portions(arguments.out))


def search(arguments: argparse.Namespace, networks: list["Network"]) -> None:
    """Time the first step and the steps after it, of the first networks, as `--autotune` says."""
    import torch

    from fastscale.profiling.steps import time_steps, training_step
    from fastscale.profiling.visits import maker
    from fastscale.runtime.devices import choose_device

    device, how = choose_device(arguments.device), options(arguments)
    path = arguments.out / "tried.json"
    found = json.loads(path.read_text()) if path.exists() else []
    torch.ones(1, device=device).sum().item()  # the device is awake
    for network in networks[:3]:
        began = time.perf_counter()
        step = training_step(network, how.batch, device, how.executions(network, device)[0], make=maker(how))
        time_steps(step, 1, device)
        first = time.perf_counter() - began
        seconds = statistics.median(time_steps(step, STEPS, device))
        found.append({"network": network.id, "autotune": how.autotune, "first_seconds": first, "step_seconds": seconds})
        path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{network.id}, autotune {how.autotune}: {first:.1f} s to the first step, then {1e3 * seconds:.2f} ms")
        del step


def portions(out: Path) -> list[int]:
    """Read how many networks tell most, and how many tell more than the rest."""
    return list(json.loads((out / "portions.json").read_text()))


def profiles(out: Path) -> Path:
    """Return the path of the profiles record."""
    return out / "profile/fixed.json"


def run(part: str, seconds: float, arguments: argparse.Namespace, *more: str) -> int:
    """Run a part in a process of its own; return its exit status, 0 where its time is over."""
    shared = ["--out", str(arguments.out), "--device", arguments.device, "--batch", str(arguments.batch), *more]
    command = [sys.executable, __file__, "--part", part, "--end", str(time.monotonic() + seconds), *shared]
    try:
        return subprocess.run(command, timeout=max(1.0, seconds), check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"{part}: its {seconds:.0f} seconds are over", flush=True)
        return 0


def run_all(arguments: argparse.Namespace, networks: list["Network"]) -> None:
    """Run all parts within the minutes; a network that cannot be timed is left out by the next try."""
    from fastscale.profiling.rounds import plan
    from fastscale.records.records import read_record

    end = time.monotonic() + 60 * arguments.minutes
    if arguments.try_seconds and not (arguments.out / "tried.json").exists():
        began = time.monotonic()
        run("search", arguments.try_seconds / 2, arguments)
        run("search", arguments.try_seconds - (time.monotonic() - began), arguments, "--autotune", str(TRIED))
    more = ["--autotune", str(arguments.autotune)]
    without: list[str] = []
    while (left := end - time.monotonic() - 2) > 5:
        if run("verdict", left, arguments, *more, *(f"--without={name}" for name in without)) == 0:
            break
        path = profiles(arguments.out)
        done = (
            {record["network_hash"] for record in read_record(path, "profiles")["records"]} if path.exists() else set()
        )
        wanted = [network for network in networks if network.hash not in without]
        rounds = dict.fromkeys(done, STEPS)
        visits = plan(wanted, rounds, STEPS, is_interleaved=False, portions=portions(arguments.out))
        failed = next((visit for visit in visits if visit and visit.hash not in done), None)
        if failed is None:
            break
        print(f"{failed.id} is left out", flush=True)
        without.append(failed.hash)


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the sweep's folder of results")
    parser.add_argument("--minutes", type=float, default=9.0, help="the limit of all parts together")
    parser.add_argument("--config", type=Path, help="another sweep that trains nothing")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--autotune", type=int, default=0, help="kernels that cuDNN tries for each convolution")
    parser.add_argument("--try-seconds", type=float, default=80.0, help="the limit of the first parts; 0: none of them")
    parser.add_argument("--prepare", action="store_true", help="only list the networks")
    for name, kind in (("--part", str), ("--end", float)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--without", action="append", default=[], help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    """Run one part, or all."""
    arguments = parsed(words)
    record = arguments.out / "networks/fixed.json"
    if arguments.prepare or not (record.exists() and (arguments.out / "portions.json").exists()):
        prepare(arguments.config, arguments.out)
    if arguments.prepare:
        return
    from fastscale.records.networks import read_networks

    parts = {"search": search, "verdict": verdict, None: run_all}
    parts[arguments.part](arguments, read_networks(record))


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
        sys.exit(1)
