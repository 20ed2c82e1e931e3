"""The scenario `ledger`: what the ledger costs, beside a bridge that remembers nothing."""

from typing import Any

from tests.bench.contestants import BRIDGE, FORGETFUL
from tests.bench.rig import Rig
from tests.bench.side_by_side import Load, side_by_side


def compare(rig: Rig, load: Load) -> dict[str, Any]:
    """CPU per event of both, and what the ledger adds to it.

    `thread_us` is what the ledger's own thread takes of it: the bridge has no other that works.
    """
    costs = side_by_side(rig, (BRIDGE, FORGETFUL), load)
    own_us, other_us = costs.cpu_us
    return {
        "cpu_us": own_us,
        "thread_us": costs.threads_us,
        "forgetful_us": other_us,
        "share": own_us / other_us - 1,
        "repeats": 0,
        "faults": costs.faults,
    }
