"""Version sets by weight: the user's id decides, so that a user stays with one."""

import hashlib
from collections.abc import Mapping
from math import isfinite

from bridge.core.event.event_fields import VERSION_SET

Weights = Mapping[str, float]
FORM = "neither a version set nor a table of weights such as {release: 90, canary: 10}"


def read_weights(value: object) -> str | dict[str, float]:
    """A version set, or a table of weights. Raises ValueError for anything else, and for weights of nothing."""
    if isinstance(value, str):
        _check_name(value)
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError(FORM)
    for name, weight in value.items():
        _check_name(name)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ValueError(f"the weight of {name} is not a number")  # noqa: TRY004 - the settings want that
        if not isfinite(weight) or weight < 0:
            raise ValueError(f"the weight of {name} is not finite, or less than 0")
    weights = {str(name): float(weight) for name, weight in value.items()}
    total = sum(weights.values())
    if not total > 0 or not isfinite(total):
        raise ValueError("the weights do not add up to something")
    return weights


def version_set_of(user_id: str, weights: Weights) -> str:
    """The version set of a user: the same in every process, whatever the order of the table."""
    digest = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).digest()
    point = int.from_bytes(digest[:6], "big") / 2**48 * sum(weights[name] for name in sorted(weights))
    reached = 0.0
    for name in sorted(weights):
        reached += weights[name]
        if point < reached:
            return name
    return max(weights, key=lambda name: weights[name])


def _check_name(name: object) -> None:
    if not isinstance(name, str) or VERSION_SET.fullmatch(name) is None:
        raise ValueError("the name of a version set is not of the form [A-Za-z0-9_-]{1,40}")
