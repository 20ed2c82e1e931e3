"""Calls of the port on their way to the database. Those that wait at the same time are carried out together."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from bridge.flow.ports import LedgerUnavailable


class Kind(Enum):
    """What is asked of the database."""

    CLAIM = auto()
    WRITE = auto()
    RELEASE = auto()
    FIND = auto()


@dataclass(slots=True, eq=False)
class Ask:
    """One call for one event. `value` is the digest of a claim, the row of a write, and None for the others."""

    kind: Kind
    key: str
    value: Any
    answer: asyncio.Future[Any]


def settle(asks: Sequence[Ask], answers: Sequence[Any]) -> None:
    """Give each call its answer; an exception is raised by the call. Who has gone away is not told."""
    for ask, answer in zip(asks, answers, strict=True):
        if ask.answer.done():
            continue
        if isinstance(answer, Exception):
            ask.answer.set_exception(answer)
        else:
            ask.answer.set_result(answer)


def fail(asks: Sequence[Ask], reason: str) -> None:
    """None of these calls could be carried out."""
    settle(asks, [LedgerUnavailable(reason) for _ in asks])
