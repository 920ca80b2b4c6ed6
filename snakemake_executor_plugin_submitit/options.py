"""Options of sbatch: parsed into one spelling, and protected from the user's SBATCH_... variables."""

import shlex
from collections.abc import Collection, Iterable, Mapping

Options = Mapping[str, str | bool]  # values by long names; True for options without a value


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
# Long names with the same meaning.
ALIASES = {"tasks": "ntasks", "tasks-per-node": "ntasks-per-node"}
# The next word is no value of these options: they take none, or one only after "=".
FLAGS = _names(
    "contiguous exclusive get-user-env help hold ignore-pbs nice no-kill no-requeue overcommit oversubscribe parsable "
    "propagate quiet reboot requeue spread-job test-only usage use-min-nodes verbose version wait"
)
# Options that the executor sets: a job's id, its log, its requeueing and the files that it finds depend on them.
RESERVED = _names(
    "array chdir clusters comment error export-file get-user-env help input open-mode output parsable quiet signal "
    "test-only usage version wait wrap"
)
# Groups of options that set the same thing: where a rule sets one, the others must not come from elsewhere.
EQUIVALENT = (
    _names("cpus-per-task cpus-per-gpu"),
    _names("exclusive oversubscribe"),
    _names("gres gpus gpus-per-node gpus-per-socket gpus-per-task tres-per-task"),
    _names("hint threads-per-core ntasks-per-core extra-node-info"),
    _names("mem mem-per-cpu mem-per-gpu"),
    _names("requeue no-requeue"),
)
# Options that are compared with a job's resources, and therefore must not be abbreviated.
COMPARED = RESERVED.union(
    *EQUIVALENT,
    ALIASES,
    _names("account constraint export nodes ntasks ntasks-per-gpu ntasks-per-node partition qos time"),
)

# SBATCH_X sets --x, except for these.
VARIABLES = {
    "ARRAY_INX": "array",
    "MEM_PER_NODE": "mem",
    "REQ_SWITCH": "switches",
    "TIMELIMIT": "time",
    "WAIT4SWITCH": "switches",
}
# SLURM_... variables that describe the cluster; all others describe a surrounding job, or are meant for a user's srun.
CLUSTER_VARIABLES = frozenset(("SLURM_CLUSTERS", "SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"))


def parse(words: str) -> dict[str, str | bool]:
    """Read `slurm_extra` ("--exclude=n1 -H --mail-type END") as sbatch reads its command line.

    Raises:
        ValueError: it has a word that is no option of sbatch, or an option that the executor sets itself.
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
        if name in RESERVED:
            raise ValueError(f"slurm_extra has {word!r}, which the executor sets itself: leave it out")
        if name not in COMPARED and (full := sorted(option for option in COMPARED if option.startswith(name))):
            raise ValueError(f"slurm_extra has {word!r}: write the option out (--{' or --'.join(full)})")
        if not equals and name not in FLAGS and remaining and not remaining[0].startswith("-"):
            equals, value = "=", remaining.pop(0)
        options[name] = value if equals else True
    return options


def equivalents(name: str, value: str | bool) -> frozenset[str]:
    """Return the names of all options that set the same thing as this one, itself included."""
    alone = frozenset((name,))
    if name == "gres" and "gpu" not in str(value):
        return alone
    return next((group for group in EQUIVALENT if name in group), alone)


def words(options: Options) -> list[str]:
    """Return options as arguments of sbatch, which override its script and its environment."""
    return [word(name, value) for name, value in sorted(options.items())]


def word(name: str, value: str | bool) -> str:
    """Return one option as an argument."""
    return f"--{name}" if value is True else f"--{name}={value}"


def withheld(variables: Iterable[str], options: Options) -> list[str]:
    """Return the environment variables that sbatch must not see when it gets these options.

    An option overrides its SBATCH_... variable; where an option is missing, the variable may set it. SBATCH_OVERCOMMIT
    is always withheld, as it takes CPUs from tasks.
    """
    fixed = RESERVED.union(("overcommit",), *(equivalents(name, value) for name, value in options.items()))
    return [name for name in variables if name not in CLUSTER_VARIABLES and _sets(name, fixed)]


def _sets(variable: str, options: Collection[str]) -> bool:
    """Tell whether a variable sets one of these options, or is one of a surrounding job or of srun."""
    program, _, rest = variable.partition("_")
    return program in ("SLURM", "SRUN") or (
        program == "SBATCH" and VARIABLES.get(rest, rest.lower().replace("_", "-")) in options
    )
