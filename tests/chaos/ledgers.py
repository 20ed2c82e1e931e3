"""Faults of the ledger: its disk is full, its file is deleted, its server restarts."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.chaos.field import Field
from tests.chaos.load import Load
from tests.chaos.setup import NotHere

LEDGER = "ledger"
FILL_S = (0.5, 2.0)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise NotHere("a small disk can only be mounted by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


async def disk_full(field: Field, times: int) -> None:
    """Everything is filled up for a while; half the time the process is killed as well; then there is room again."""
    (bridge,) = field.replicas
    with small_disk(field.folder / f"disk-{field.prefix}") as disk:
        await bridge.stop()
        bridge.change({"ledger": {"url": f"sqlite:///{disk}/ledger.db"}})
        bridge.start()
        await bridge.ready()
        load = Load(field)
        for _ in range(times):
            load.begin()
            await asyncio.sleep(field.dice.uniform(0.3, 1))
            await field.struck(alive=True)
            filler = disk / "filler"
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            await asyncio.sleep(field.dice.uniform(*FILL_S))
            if field.dice.random() < 0.5:
                bridge.kill()
                bridge.start()  # and consumes nothing until there is room
            filler.unlink()
            await bridge.ready()
        await load.end()
        await field.settle()
        await bridge.stop()


async def file_deleted(field: Field, times: int) -> None:
    """The file and what belongs to it; then, half the time, the process is killed as well."""
    (bridge,) = field.replicas
    field.ends_are_due = False
    load = Load(field)
    for _ in range(times):
        if not bridge.running:
            bridge.start()
        await bridge.ready()
        load.begin()
        await asyncio.sleep(field.dice.uniform(0.3, 1))
        for path in field.folder.glob("ledger.db*"):
            path.unlink()
        await asyncio.sleep(field.dice.uniform(0, 0.5))
        if field.dice.random() < 0.5:
            bridge.kill()
        await field.struck(alive=True)
    if not bridge.running:
        bridge.start()
    await load.end()
    await field.settle()


async def postgres_restarted(field: Field, times: int) -> None:
    server = await field.arena.postgres()
    for replica in field.replicas:
        if not replica.running:
            replica.start()
        await replica.ready()
    load = Load(field)
    for _ in range(times):
        load.begin()
        await asyncio.sleep(field.dice.uniform(0.3, 1))
        await field.struck(alive=True)
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(field.dice.uniform(0, 2))
        await asyncio.to_thread(server.start)
    await load.end()
    await field.settle(180)
