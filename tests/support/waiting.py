"""Waiting for a condition, with a bound; the only place of these tests that lets time pass.

A bound only ends a wait that would last for ever: it is what a machine needs that has nothing else to do, and never
less than MIN_BOUND_S. Where others keep the machine busy, everything takes that much longer, brokers and processes too,
and so may the wait; while it stands still nothing gets on, so that does not count. A verdict depends on what happens,
not on how fast: where a rule says how soon, its test makes whatever else would end the wait far longer.
"""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")
STEP_S = 0.02
MIN_BOUND_S = 20.0
MAX_TURN_S = 3.0
"""Of a turn that took longer, a command's perhaps, so much is counted: the rest is a machine that stood still."""


def slowness() -> float:
    """How many times longer everything takes than on this machine alone: those who want a core, by its cores."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@overload
async def until(
    condition: Callable[[], Awaitable[T | None]], what: str, bound_s: float = ..., step_s: float = ...
) -> T: ...


@overload
async def until(condition: Callable[[], T | None], what: str, bound_s: float = ..., step_s: float = ...) -> T: ...


async def until(condition: Callable[[], object], what: str, bound_s: float = 20.0, step_s: float = STEP_S) -> object:
    """The condition's first truthy value; fails with `what` when the bound is over, as long as the machine makes it."""
    counted_s, turn_s = 0.0, time.monotonic()
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if counted_s > max(bound_s, MIN_BOUND_S) * slowness():
            raise AssertionError(f"not within {counted_s:.1f} s: {what} (last: {value!r})")
        await asyncio.sleep(step_s)
        counted_s += min(time.monotonic() - turn_s, MAX_TURN_S)
        turn_s = time.monotonic()


async def stays(condition: Callable[[], object], what: str, for_s: float) -> None:
    """The condition holds all the time; for rules that say that something must not happen."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        assert value, f"it did not stay so: {what}"
        await asyncio.sleep(STEP_S)
