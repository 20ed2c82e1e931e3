"""Waiting for a condition, with a bound; the only place of these tests that lets time pass."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
STEP_S = 0.02


async def until(
    condition: Callable[[], T | Awaitable[T]], what: str, bound_s: float = 20.0, step_s: float = STEP_S
) -> T:
    """The condition's first truthy value; fails with `what` when the bound is over."""
    deadline = time.monotonic() + bound_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value  # type: ignore[return-value]
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {bound_s:g} s: {what} (last: {value!r})")
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
