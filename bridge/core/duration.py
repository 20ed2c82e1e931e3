"""Durations as people write them."""

import re

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
FORM = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(value: object) -> float:
    """A duration such as `250ms`, `1.5s`, `10m`, `24h` or `7d`, in seconds. Raises ValueError for anything else."""
    match = FORM.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a duration: write 250ms, 1.5s, 10m, 24h or 7d")
    return float(match[1]) * UNITS_S[match[2]]
