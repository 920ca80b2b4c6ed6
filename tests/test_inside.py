"""What the Snakemake inside a job is told: to the byte what a local one sees, and nothing of it is evaluated."""

import datetime
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from telling import PIECES, Told, written

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
NAMES = WORDS.map(lambda word: f"a{word}a")
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
