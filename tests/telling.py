"""Values that a shell, YAML, Python or Snakemake take for something else, and what rules see of them."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import yaml

WORKFLOW = Path(__file__).with_name("telling.smk")

PIECES = [
    *("$(touch PWNED)", "`touch PWNED`", "; touch PWNED;", "&& touch PWNED", "| touch PWNED", "${HOME}", "$HOME", "!"),
    *(
        "'",
        '"',
        "''",
        "\\",
        "\\d+",
        "\\n",
        "\\'",
        "\\\\",
        "%",
        "%j",
        "*",
        "?",
        "[a]",
        "~",
        "#",
        " ",
        "  ",
        ",",
        "=",
        ":",
    ),
    *("@", "-", "--", "&", "(", ")", "<", ">", "^", "a", "0", "1e5", "yes", "null", "über", "中", "🙂", "base64//"),
]


@dataclass(frozen=True)
class Told:
    """What Snakemake is told on its command line, and in a file."""

    pairs: Sequence[tuple[str, str]]
    word: str
    file: Mapping[Any, Any]
    line: Mapping[str, str]

    def arguments(self) -> list[str]:
        """Arguments of Snakemake, in a folder that has the file."""
        options = ["--snakefile", str(WORKFLOW), "--configfile", "it's $HOME.yaml"]
        options += ["--set-resources", f"words:word={self.word!r}", "--default-resources", f"word={self.word!r}"]
        if self.line:
            options += ["--config", *(f"{name}={value}" for name, value in self.line.items())]
        names = [f"{rule}/{one}.{two}.txt" for one, two in self.pairs for rule in ("words", "after")]
        return [*options, "--", *names]

    def run(self, folder: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run Snakemake in a new folder."""
        folder.mkdir(parents=True)
        (folder / "it's $HOME.yaml").write_text(yaml.safe_dump(dict(self.file), allow_unicode=True))
        return forks.snakemake(folder, "--cores", "2", *options, *self.arguments(), **environment)


def as_name(word: str) -> str:
    """A word as a part of a file's name."""
    return f"a{word.replace('/', '_')}a"


def written(folder: Path) -> dict[str, str]:
    """All that rules have written, by file."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.txt"))}
