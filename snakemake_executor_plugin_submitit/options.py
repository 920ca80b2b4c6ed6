"""Options of sbatch: in one spelling, each said once, and none of them by the user's environment against the rule."""

import shlex
from collections.abc import Collection, Iterable, Mapping

Options = Mapping[str, str | bool]  # by their long names; True for those without a value


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHORT = dict(
    pair.split(":")
    for pair in _names(
        "A:account B:extra-node-info C:constraint D:chdir F:nodefile G:gpus H:hold J:job-name L:licenses M:clusters "
        "N:nodes O:overcommit Q:quiet S:core-spec V:version W:wait a:array b:begin c:cpus-per-task d:dependency "
        "e:error h:help i:input k:no-kill m:distribution n:ntasks o:output p:partition q:qos s:oversubscribe t:time "
        "v:verbose w:nodelist x:exclude"
    )
)
# Other names of the same.
ALIASES = {"tasks": "ntasks", "tasks-per-node": "ntasks-per-node"}
# No word after these is theirs: they take no value, or one only after "=".
FLAGS = _names(
    "contiguous exclusive get-user-env help hold ignore-pbs nice no-kill no-requeue overcommit oversubscribe parsable "
    "propagate quiet reboot requeue spread-job test-only usage use-min-nodes verbose version wait"
)
# The executor's: a job's id, its log, its way back into the queue and the files it finds depend on them.
OURS = _names(
    "array chdir clusters comment error export-file get-user-env help input open-mode output parsable quiet signal "
    "test-only usage version wait wrap"
)
# Options of which one says what another says: where one is asked for, the others must not come from elsewhere.
SAME = (
    _names("cpus-per-task cpus-per-gpu"),
    _names("exclusive oversubscribe"),
    _names("gres gpus gpus-per-node gpus-per-socket gpus-per-task tres-per-task"),
    _names("hint threads-per-core ntasks-per-core extra-node-info"),
    _names("mem mem-per-cpu mem-per-gpu"),
    _names("requeue no-requeue"),
)
# What is compared with a job's resources, and must not be abbreviated for that.
COMPARED = OURS.union(
    *SAME, ALIASES, _names("account constraint export nodes ntasks ntasks-per-gpu ntasks-per-node partition qos time")
)

# SBATCH_X is --x, but for these.
VARIABLES = {
    "ARRAY_INX": "array",
    "MEM_PER_NODE": "mem",
    "REQ_SWITCH": "switches",
    "TIMELIMIT": "time",
    "WAIT4SWITCH": "switches",
}
# What a Slurm job's environment says of the cluster; the rest is about that job, or a user's wish for his own srun.
CLUSTER_VARIABLES = frozenset(("SLURM_CLUSTERS", "SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"))


def parse(words: str) -> dict[str, str | bool]:
    """Read `slurm_extra` ("--exclude=n1 -H --mail-type END") as sbatch reads its command line.

    Raises:
        ValueError: it has what is no option, or one that the executor sets itself.
    """
    options: dict[str, str | bool] = {}
    try:
        remaining = shlex.split(words)
    except ValueError as error:
        raise ValueError(f"slurm_extra is {words!r}, which cannot be split into words: {error}") from None
    while remaining:
        word = remaining.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            name, value = SHORT.get(word[1:2], "") if word.startswith("-") else "", word[2:]
            equals = value
        if not name:
            raise ValueError(
                f"slurm_extra has {word!r}, but takes only options of sbatch, such as --exclude=n1 or -x n1"
            )
        name = ALIASES.get(name, name)
        if name in OURS:
            raise ValueError(f"slurm_extra has {word!r}, which the executor sets itself: leave it out")
        if name not in COMPARED and (whole := sorted(option for option in COMPARED if option.startswith(name))):
            raise ValueError(f"slurm_extra has {word!r}: write the option out (--{' or --'.join(whole)})")
        if not equals and name not in FLAGS and remaining and not remaining[0].startswith("-"):
            equals, value = "=", remaining.pop(0)
        options[name] = value if equals else True
    return options


def alike(name: str, value: str | bool) -> frozenset[str]:
    """An option and those that say the same."""
    one = frozenset((name,))
    if name == "gres" and "gpu" not in str(value):
        return one
    return next((family for family in SAME if name in family), one)


def words(options: Options) -> list[str]:
    """Options as sbatch's arguments, where they are stronger than in its script or in its environment."""
    return [word(name, value) for name, value in sorted(options.items())]


def word(name: str, value: str | bool) -> str:
    """One option as an argument."""
    return f"--{name}" if value is True else f"--{name}={value}"


def withheld(variables: Iterable[str], options: Options) -> list[str]:
    """Those of the environment's variables that sbatch must not see when it gets these options.

    What is asked for wins over SBATCH_..., what is left open may come from there; but no fewer CPUs for tasks.
    """
    said = OURS.union(("overcommit",), *(alike(name, value) for name, value in options.items()))
    return [name for name in variables if name not in CLUSTER_VARIABLES and _speaks(name, said)]


def _speaks(variable: str, said: Collection[str]) -> bool:
    kind, _, rest = variable.partition("_")
    return kind in ("SLURM", "SRUN") or (
        kind == "SBATCH" and VARIABLES.get(rest, rest.lower().replace("_", "-")) in said
    )
