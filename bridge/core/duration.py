"""Durations as people write them."""

import re

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
MAX_CHARS = 40
MAX_S = 36_525 * UNITS_S["d"]
"""A hundred years. What is longer is a slip, and more than the clocks and columns hold that it would be added to."""


def seconds(value: object) -> float:
    """A duration such as `250ms`, `1.5s`, `10m`, `24h` or `7d`, in seconds. Raises ValueError for anything else."""
    match = FORM.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= MAX_CHARS else None
    if match is None:
        raise ValueError("not a duration: write 250ms, 1.5s, 10m, 24h or 7d")
    length_s = float(match[1]) * UNITS_S[match[2]]
    if length_s > MAX_S:
        raise ValueError("longer than 100 years")
    return length_s
