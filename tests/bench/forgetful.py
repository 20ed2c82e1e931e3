"""The bridge with a ledger that remembers nothing, and so costs nothing: what it takes less is what the ledger costs.

`python -m tests.bench.forgetful run --config …`. Only for this comparison: an event that comes again is asked again.
"""

from collections.abc import Collection
from contextlib import nullcontext

from bridge import service
from bridge.cli.main import main
from bridge.core.delivery.progress import Progress
from bridge.core.ledger.due_finish import DueFinish
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder

UNKNOWN = Claim(Holder.NOBODY)


class Nothing:
    """The ledger port."""

    trouble = None
    operations = commits = 0

    async def claim(self, event_id: str, digest: bytes, progress: Progress | None = None) -> Claim:
        return UNKNOWN

    async def write(self, entry: Entry) -> None: ...

    def write_soon(self, entry: Entry) -> None: ...

    def complete_soon(self, event_id: str, progress: Progress) -> None: ...

    def keep_due(self, due: DueFinish) -> None: ...

    def drop_due(self, conversation_id: str) -> None: ...

    async def due(self, now_s: float, most: int) -> list[DueFinish]:
        return []

    def gathering(self) -> None: ...

    async def release(self, event_ids: Collection[str]) -> None: ...

    async def find(self, event_id: str) -> None: ...

    async def begun(self) -> int:
        return 0

    async def lives_on(self) -> None: ...


if __name__ == "__main__":
    service.open_ledger = lambda *_: nullcontext(Nothing())  # type: ignore[attr-defined, assignment]
    main()
