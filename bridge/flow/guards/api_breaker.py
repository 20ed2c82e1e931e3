"""Breaks the way to the API while asking it is of no use: nothing is consumed, and a probe finds out its end."""

import asyncio

from bridge.core.delivery.breaker import Breaker
from bridge.core.delivery.outcome import Outcome, OutcomeKind, of_error
from bridge.core.delivery.retry import Backoff
from bridge.core.errors import ApiError
from bridge.flow.ports.api import Agent
from bridge.flow.ports.broker import Inbox
from bridge.flow.ports.runtime import Log

IDLE_PROBE_S = 15.0


HEARD = frozenset(
    {OutcomeKind.COMPLETE, OutcomeKind.SAVED, OutcomeKind.UNTAKEN, OutcomeKind.VOID, OutcomeKind.REJECTED}
)
"""Outcomes that the API has had a say in: it is there."""


class ApiBreaker:
    """Closed at first, while credentials are refused, and while the API is down too often in a row."""

    def __init__(self, agent: Agent, inbox: Inbox, backoff: Backoff, log: Log) -> None:
        self._agent = agent
        self._inbox = inbox
        self._backoff = backoff
        self._log = log
        self._breaker = Breaker()
        self._open = asyncio.Event()
        self._closed = asyncio.Event()
        self._why: dict[str, str] = {"api": "not asked yet"}
        self._heard_s = float("-inf")
        self._relapses = 0
        self._inbox.pause("api")

    @property
    def why(self) -> dict[str, str]:
        """Reasons why nothing passes: `api` or `credentials`, each with its error; empty while the API may be asked."""
        return dict(self._why)

    @property
    def passing(self) -> bool:
        return self._open.is_set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until calls pass, for so many seconds at the most; False where none does even then."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._open.wait()
        except TimeoutError:
            return False
        return True

    def saw(self, outcome: Outcome) -> None:
        """Learn from how an attempt ended."""
        match outcome.kind:
            case OutcomeKind.CREDENTIALS:
                self._close("credentials", outcome.error)
            case OutcomeKind.DOWN:
                self._breaker = self._breaker.failed()
                if self._breaker.open:
                    self._close("api", outcome.error)
            case kind if kind in HEARD:
                self._breaker = self._breaker.succeeded()
                self._relapses = 0
                self._heard_s = _now()

    async def run(self) -> None:
        """Probe: at once at the start, with back-off while closed, now and then while nothing else is heard."""
        failures = 0
        while True:
            outcome = await self._probe()
            failures = failures + 1 if outcome else 0
            if self.passing:
                await self._quiet_or_closed()
            if not self.passing and (failures or self._relapses > 1):
                wait_s = self._backoff.pause(max(failures, self._relapses - 1, 1), longest_s=30.0)
                await asyncio.sleep(wait_s)

    async def _probe(self) -> Outcome | None:
        try:
            await self._agent.probe(credentials=not self.passing)
        except ApiError as error:
            outcome = of_error(error)
            if outcome.kind is OutcomeKind.LIMITED:
                return outcome  # nothing was asked
            if outcome.kind is OutcomeKind.TOO_EARLY:
                self._heard_s = _now()  # an answer, if not the wanted one
                return outcome
            self._close("credentials" if outcome.kind is OutcomeKind.CREDENTIALS else "api", outcome.error)
            return outcome
        self._heard_s = _now()
        if not self.passing:
            self._breaker = self._breaker.probed() if self._breaker.open else self._breaker
            self._let_through()
        return None

    async def _quiet_or_closed(self) -> None:
        """Return when calls pass no more, or when nothing has been heard of the API for a while."""
        while self.passing and (left_s := self._heard_s + IDLE_PROBE_S - _now()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._closed.wait()
            except TimeoutError:
                continue

    def _close(self, name: str, error: str) -> None:
        if self._why.get(name) != error:
            self._log.warning("api.unavailable", by=name, error=error)
        self._relapses += self.passing
        self._why[name] = error
        self._open.clear()
        self._closed.set()
        self._inbox.pause("api")

    def _let_through(self) -> None:
        self._log.info("api.available", was_by=sorted(self._why))
        self._why.clear()
        self._open.set()
        self._closed.clear()
        self._inbox.resume("api")


def _now() -> float:
    return asyncio.get_running_loop().time()
