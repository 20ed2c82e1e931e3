"""The process's wall clock steps by an hour, forwards and back; the clock that never steps goes on (libfaketime)."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.field import Field
from tests.chaos.load import Load
from tests.chaos.setup import NotHere

LIBRARY = "LIBFAKETIME"
FILE = "clock"
STEPS = ("+3600", "-3600")
RIGHT = "+0"


def environment(folder: Path) -> Mapping[str, str]:
    """For a process whose wall clock is what the file in its folder says. Raises NotHere."""
    found = [os.environ[LIBRARY]] if LIBRARY in os.environ else []
    found += [str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
    if not found:
        raise NotHere("the clock can only be stepped with Debian's package libfaketime")
    _set(folder, RIGHT)
    return {
        "LD_PRELOAD": found[0],
        "FAKETIME_TIMESTAMP_FILE": str(folder / FILE),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


async def stepped(field: Field, times: int) -> None:
    (bridge,) = field.replicas
    if not bridge.given:
        await bridge.stop()
        bridge.given = dict(environment(field.folder))
        bridge.start()
        await bridge.ready()
    load = Load(field)
    for _ in range(times):
        load.begin()
        await asyncio.sleep(field.dice.uniform(0.3, 1))
        _set(field.folder, field.dice.choice(STEPS))
        await field.struck(alive=True)
        await asyncio.sleep(field.dice.uniform(0.5, 2))
        if field.dice.random() < 0.5:
            await bridge.die()
        _set(field.folder, RIGHT)
    await load.end()
    await field.settle()


def _set(folder: Path, offset: str) -> None:
    """In one step: libfaketime ends the process that finds the file empty, as it is between opening and writing."""
    part = folder / f"{FILE}.part"
    part.write_text(f"{offset}\n", encoding="ascii")
    part.replace(folder / FILE)
