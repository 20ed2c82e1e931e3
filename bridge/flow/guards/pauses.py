"""Pauses (docs/semantics.md, Held by a person, and Refusals in a row), as this process knows them.

order ▸ ledger ▸ memory ▸ the consumers of paused inbounds are cancelled; events of paused routes and users are held
lift  ▸ ledger ▸ memory ▸ consuming goes on; who has lifted it passes the held queues on

Every replica reads the ledger at each connect and as often as it renews its lease; being told only makes it faster.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from bridge.core.control.pause import NO_PAUSES, Pause, PauseScope, PauseSet
from bridge.flow.ports.broker import ConnectionLives, Delivery, HeldQueues, HeldQueueUnavailable, Inbox
from bridge.flow.ports.ledger import Ledger, LedgerUnavailable
from bridge.flow.ports.runtime import Clock, Log

TICK_S = 1.0
READ_EVERY_S = 10.0
"""As often as leases are renewed."""
PASS_EVERY_S = 60.0
"""How often is looked for what nothing holds any more; and the longest wait for a held queue that cannot be passed on.
"""


class Pauses:
    """All pauses there are. Raises LedgerUnavailable where one cannot be written: it is not ordered then."""

    def __init__(
        self, ledger: Ledger, inbox: Inbox, queues: Collection[str], held: HeldQueues, clock: Clock, log: Log
    ) -> None:
        """`queues` are the inbound queues; `clock` gives Unix seconds."""
        self._ledger = ledger
        self._inbox = inbox
        self._queues = tuple(queues)
        self._held = held
        self._clock = clock
        self._log = log
        self._known = NO_PAUSES
        self._to_pass: set[str] = set()
        """Inbound queues whose held queue this process is to pass on."""
        self._unpassed: dict[str, tuple[int, float]] = {}
        """Those that could not be: how often in a row, and when they are tried again (event loop time)."""
        self._changed = asyncio.Event()

    @property
    def none(self) -> bool:
        """True where nothing is paused."""
        return not self._known.pauses

    @property
    def listed(self) -> list[Pause]:
        """Those that hold now, in the order of their keys."""
        now_s = self._clock()
        return [pause for _, pause in sorted(self._known.pauses.items()) if pause.holds_at(now_s)]

    @property
    def of_refusals(self) -> list[Pause]:
        """Those over refusals."""
        return [pause for pause in self._known.pauses.values() if pause.scope is PauseScope.REFUSALS]

    @property
    def queues(self) -> Sequence[str]:
        """The inbound queues."""
        return self._queues

    def keeping_back(self, queue: str, route: str | None, user_id: str | None) -> str | None:
        """The key of the pause that keeps an event back which has not started; None for none."""
        pause = self._known.holding(queue, route, user_id or "", self._clock())
        return None if pause is None else pause.key

    def holding(self, key: str) -> bool:
        """True while the pause of this key is not lifted."""
        return key in self._known.pauses

    async def order(self, pause: Pause) -> None:
        """Pause it, from now on."""
        await self._ledger.set_pause(pause)
        self._know(PauseSet({**self._known.pauses, pause.key: pause}))

    async def lift(self, key: str) -> bool:
        """Lift the pause of this key; False where there was none, neither here nor in the ledger."""
        known = key in self._known.pauses
        return await self._lifted(key, None) or known

    async def take_probe(self, pause: Pause, every_s: float) -> bool:
        """Look, on behalf of all replicas, whether what the pause holds is still refused; False where another does."""
        now_s = self._clock()
        taken = await self._ledger.take_probe(pause.key, now_s, every_s)
        if pause.key in self._known.pauses:
            probed_s = now_s if taken else max(pause.probed_s, now_s - every_s + READ_EVERY_S)
            self._know(PauseSet({**self._known.pauses, pause.key: replace(pause, probed_s=probed_s)}))
        return taken

    async def read(self) -> None:
        """Know what the ledger has."""
        with suppress(LedgerUnavailable):  # it says so itself, and what is known holds on
            self._know(PauseSet.of(await self._ledger.pauses()))

    async def read_shared(self) -> None:
        """The same, where other processes may have ordered some."""
        if self._ledger.shared:
            await self.read()

    async def available(self) -> None:
        """Return once the ledger is there."""
        await self._ledger.available()

    async def run(self, receive: Callable[[Delivery], None]) -> None:
        """Lift what ends by itself, read the ledger, and pass on what nothing holds any more. Until cancelled.

        `receive` takes what cannot be passed on, and settles it sooner or later.
        """
        loop = asyncio.get_running_loop()
        read_s = pass_s = loop.time()
        while True:
            try:
                for pause in self._known.ended(self._clock()):
                    await self._lifted(pause.key, self._clock())
                if self._ledger.shared and loop.time() >= read_s:
                    read_s = loop.time() + READ_EVERY_S
                    await self.read()
                if loop.time() >= pass_s:
                    pass_s = loop.time() + PASS_EVERY_S
                    self._to_pass.update(await self._ledger.take_unheld(self._clock()))
                for queue in sorted(self._to_pass):
                    if self._unpassed.get(queue, (0, 0.0))[1] <= loop.time():
                        await self._pass_on(queue, receive)
            except LedgerUnavailable:
                await self._ledger.available()
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._changed.wait()

    async def _lifted(self, key: str, ended_s: float | None) -> bool:
        """Lift it; whoever takes it out of the ledger sees to what it held."""
        lifted = await self._ledger.drop_pause(key, ended_s)
        self._know(PauseSet({name: pause for name, pause in self._known.pauses.items() if name != key}))
        if lifted:
            self._to_pass.update(self._queues)
            self._unpassed.clear()
            self._changed.set()
        return lifted

    async def _pass_on(self, queue: str, receive: Callable[[Delivery], None]) -> None:
        if queue in self._queues:
            try:
                messages = await self._held.pass_on(queue, receive)
            except HeldQueueUnavailable as error:
                wait_s = self._unpassed_now(queue)
                self._log.warning("held.unpassed", queue=queue, error=str(error), again_in_s=wait_s)
                return
            if messages:
                self._log.info("held.passed", queue=queue, messages=messages)
        self._to_pass.discard(queue)
        self._unpassed.pop(queue, None)
        await self._ledger.clear_unheld(queue, self._clock())

    def _unpassed_now(self, queue: str) -> float:
        """Seconds after which to try again: twice as many each time."""
        times = self._unpassed.get(queue, (0, 0.0))[0] + 1
        wait_s = min(TICK_S * 2.0 ** min(times - 1, 16), PASS_EVERY_S)
        self._unpassed[queue] = (times, asyncio.get_running_loop().time() + wait_s)
        return wait_s

    def _know(self, known: PauseSet) -> None:
        before, self._known = self._known.pauses, known
        for key in sorted(known.pauses.keys() - before.keys()):
            self._log.warning("pause.begun", pause=known.pauses[key].words)
        for key in sorted(before.keys() - known.pauses.keys()):
            self._log.warning("pause.over", pause=before[key].words)
        self._inbox.pause_queues(known.paused_queues(self._queues, self._clock()))


class PausingLives:
    """Reads the pauses before anything is consumed; otherwise as the lives that it is given. See the port."""

    def __init__(self, lives: ConnectionLives, pauses: Pauses) -> None:
        self._lives = lives
        self._pauses = pauses

    async def begin(self) -> None:
        """About to consume."""
        await self._pauses.read()
        await self._lives.begin()

    async def outlive(self) -> None:
        """Called beside the consuming."""
        await self._lives.outlive()

    def ended(self, lived_s: float) -> None:
        """The connection is over."""
        self._lives.ended(lived_s)
