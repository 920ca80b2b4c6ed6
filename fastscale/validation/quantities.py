"""Quantities that people write as text: 16GF, 90min, 20GB, 1e-5; one parser for the command line and YAML."""

import math
import re
from collections.abc import Collection, Mapping
from types import NoneType
from typing import Any

PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15}
TIMES = {"s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86400.0}

# The units that may follow a number, in upper or lower case, and their factors.
UNITS: Mapping[str, Mapping[str, float]] = {
    "number": {"": 1.0},
    "flops": {prefix + end: by for prefix, by in PREFIXES.items() for end in ("", "f", "flop", "flops")},
    "seconds": {"": 1.0, **TIMES, **{f"{unit}s": by for unit, by in TIMES.items() if len(unit) > 1}, "day": 86400.0},
    "bytes": {
        **{prefix + end: by for prefix, by in PREFIXES.items() for end in ("", "b")},
        **{f"{prefix}i{end}": 1024.0**i for i, prefix in enumerate(PREFIXES) if prefix for end in ("", "b")},
    },
}
EXAMPLES = {
    "number": "such as 4, 0.5 or 1e-5",
    "flops": "such as 16e9, 500MF or 16GF",
    "seconds": "such as 300, 90min or 2h",
    "bytes": "such as 512MB, 20GB or 16GiB",
}

NOTHING = ("null", "~")
TRUTH = {"true": True, "false": False}

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)


def parse(text: str, quantity: str = "number") -> float | None:
    """Parse the text of a finite quantity: flops, seconds, bytes or a plain number; None if the text is no quantity."""
    parts = _QUANTITY.fullmatch(text.strip())
    factor = parts and UNITS[quantity].get(parts[2].lower())
    value = float(parts[1]) * factor if parts and factor else math.nan
    return value if math.isfinite(value) else None


def typed(value: Any, types: Collection[type], quantity: str = "number") -> Any:
    """Convert a value to the one of `types` that it stands for: "4" and "4e0" to 4, "1e-5" to 1e-5, 4 to 4.0.

    YAML reads 1e-5 as text, and Snakemake reads all values in braces behind `--config` as text. A value that stands for
    none of the types is returned unchanged, for a check to refuse: 4.0 is no integer.
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in NOTHING and NoneType in types:
            return None
        if word in TRUTH and bool in types:
            return TRUTH[word]
        number = None if str in types else parse(value, quantity)
    else:
        number = value if type(value) in (int, float) else None
    if number is None:
        return value
    if int in types and float(number).is_integer() and (float in types or not isinstance(value, float)):
        return int(number)
    return float(number) if float in types else value
