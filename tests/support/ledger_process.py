"""A process that uses a ledger until it is killed, or until it may write no more.

python -m tests.support.ledger_process writing URL LEASE_S     says the number of each event that has been written
python -m tests.support.ledger_process narrow URL              comes up against a limit on the size of its files
"""

import asyncio
import resource
import sys

from bridge.core.ledger.ledger_entry import Entry, State
from bridge.edges.ledger.factory import open_ledger
from bridge.edges.ledger.postgresql.ledger import PostgresqlLimits
from bridge.flow.ports.ledger import LedgerUnavailable
from tests.support.fakes import FakeLog
from tests.support.waiting import until

AT_ONCE = 20
NARROW_BYTES = 1024 * 1024


def entry(event_id: str) -> Entry:
    """What is written of an event."""
    return Entry(event_id, State.ANSWERED, b"digest", ending=b"ending of " + event_id.encode())


async def writing(url: str, lease_s: float) -> None:
    """Claim and write events for ever, several at a time."""
    async with open_ledger(url, 3600, FakeLog(), PostgresqlLimits(lease_s=lease_s)) as ledger:

        async def work(first: int) -> None:
            for number in range(first, 1_000_000, AT_ONCE):
                await ledger.claim(f"e{number}", b"digest")
                await ledger.write(entry(f"e{number}"))
                print(number, flush=True)

        await asyncio.gather(*(work(first) for first in range(AT_ONCE)))


async def narrow(url: str) -> None:
    """Write until no file may grow any more; then with more room, and see that nothing has been forgotten."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with open_ledger(url, 3600, FakeLog()) as ledger:
        resource.setrlimit(resource.RLIMIT_FSIZE, (NARROW_BYTES, hard))
        written: list[Entry] = []
        try:
            while len(written) < 10_000:
                big = Entry(f"e{len(written)}", State.ANSWERED, b"digest", ending=b"x" * 20_000)
                await ledger.write(big)
                written.append(big)
        except LedgerUnavailable as error:
            print(error, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await until(lambda: ledger.trouble is None, "it can be written again")
        assert len(written) > 10
        assert [await ledger.find(one.event_id) for one in written] == written
        await ledger.write(entry("after"))
        assert await ledger.find("after") == entry("after")
        print("recovered", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["writing", url, lease_s]:
            asyncio.run(writing(url, float(lease_s)))
        case ["narrow", url]:
            asyncio.run(narrow(url))
