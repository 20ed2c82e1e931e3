"""A process that is killed: what its ledger had acknowledged is there, and what it had is the next one's."""

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.ledger.ledger_entry import Claim, Holder
from bridge.edges.ledger.factory import open_ledger
from tests.support.ledger_process import entry
from tests.support.logbook import Logbook
from tests.support.postgres import PostgresServer
from tests.support.process import environment
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[3]
LINES = 400
SHORT_LEASE_S, LONG_LEASE_S = 2.0, 3600.0
"""One that ends during the test, and one that does not, however slow the machine is."""


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(await server.database())


async def until_killed(url: str, lease_s: float) -> list[int]:
    """The numbers that the process has said when it was killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.ledger_process", "writing", url, str(lease_s)),
        cwd=ROOT,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = [await process.stdout.readline() for _ in range(LINES)]
    process.send_signal(signal.SIGKILL)
    said += (await process.stdout.read()).splitlines(keepends=True)
    assert await process.wait() == -signal.SIGKILL
    return [int(line) for line in said if line.endswith(b"\n")]


async def test_what_was_acknowledged_is_there_and_may_be_claimed_after_the_lease(url: str, log: Logbook) -> None:
    numbers = await until_killed(url, SHORT_LEASE_S)
    assert len(numbers) >= LINES
    async with open_ledger(url, 3600, log) as ledger:
        assert ledger.trouble is None
        for number in numbers:
            found = await ledger.find(f"e{number}")
            assert found is not None
            assert replace(found, deaths=0) == entry(f"e{number}")

        async def free() -> bool:
            return (await ledger.claim("e1", b"digest")).holder is not Holder.ANOTHER

        await until(free, "its lease is over", 60)
        assert await ledger.claim("e1", b"digest") == Claim(Holder.EARLIER, replace(entry("e1"), deaths=1))


async def test_what_a_killed_process_had_is_anothers_while_its_lease_lasts(
    postgres: PostgresServer, log: Logbook
) -> None:
    url = postgres.url(await postgres.database())
    numbers = await until_killed(url, LONG_LEASE_S)
    async with open_ledger(url, 3600, log) as ledger:
        for number in (numbers[0], numbers[-1]):
            claim = await ledger.claim(f"e{number}", b"digest")
            assert claim.holder is Holder.ANOTHER
            assert 0 < claim.wait_s <= LONG_LEASE_S
