"""Waiting for a condition, with a bound; the only place of these tests that lets time pass.

A bound is what a machine needs that has nothing else to do, and more. Where others keep it busy, everything takes that
much longer, brokers and processes too, and so may the wait: a verdict depends on what happens, not on how fast.
"""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")
STEP_S = 0.02


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
    started = time.monotonic()
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        waited_s = time.monotonic() - started
        if waited_s > bound_s * slowness():
            raise AssertionError(f"not within {waited_s:.1f} s: {what} (last: {value!r})")
        await asyncio.sleep(step_s)


async def stays(condition: Callable[[], object], what: str, for_s: float) -> None:
    """The condition holds all the time; for rules that say that something must not happen."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        assert value, f"it did not stay so: {what}"
        await asyncio.sleep(STEP_S)
