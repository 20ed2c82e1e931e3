"""The section `limits` for a bridge whose API is played: the sandbox counts nothing unless it is asked to."""

from typing import Any

from bridge.settings.values import LIMIT_NAMES

MANY = 1_000_000
UNLIMITED: dict[str, Any] = {**dict.fromkeys(LIMIT_NAMES, MANY), "scope": "user"}
