"""uvloop for tests: one that a time-out of pytest can end.

pytest-timeout raises from its signal's handler. uvloop takes that for the error of a callback, reports it, and goes on
waiting (0.23): a test that hangs would hang for ever. Here the report cancels whatever the loop has to do.
"""

import asyncio
from typing import Any

import pytest
import uvloop


def uvloop_with_time_out() -> uvloop.Loop:
    """A new uvloop whose tasks are cancelled where a test's time is over."""
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(_reported)
    return loop


def _reported(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, pytest.fail.Exception):
        for task in asyncio.all_tasks(loop):
            task.cancel(str(error))
    else:
        loop.default_exception_handler(context)
