"""Breaks the way to the API while asking it is of no use: nothing is consumed, and a probe finds out its end."""

import asyncio
from contextlib import suppress

from bridge.core.delivery.breaker import Breaker, Ramp, probe_wait_s
from bridge.core.delivery.outcome import Outcome, OutcomeKind, of_error
from bridge.core.delivery.retry import Backoff
from bridge.core.errors import ApiError
from bridge.flow.ports.api import Agent
from bridge.flow.ports.broker import Inbox
from bridge.flow.ports.runtime import Log, loop_time

IDLE_PROBE_S = 15.0
SUSPECT_PROBE_S = 1.0
"""A probe follows a request that found the API down, so soon after it: the outage of an idle bridge is noticed too."""
MAX_CREDENTIALS_WAIT_S = 30.0
"""The longest wait between two sign-ins with credentials that are refused."""

HEARD = frozenset(
    {OutcomeKind.COMPLETE, OutcomeKind.SAVED, OutcomeKind.UNTAKEN, OutcomeKind.VOID, OutcomeKind.REJECTED}
)
"""Outcomes that the API has had a say in: it is there."""


class ApiBreaker:
    """Closed at first, while credentials are refused, and while the API is down too often in a row; then a ramp."""

    def __init__(self, agent: Agent, inbox: Inbox, backoff: Backoff, log: Log) -> None:
        self._agent = agent
        self._inbox = inbox
        self._backoff = backoff
        self._log = log
        self._breaker = Breaker()
        self._open = asyncio.Event()
        self._opens = asyncio.Event()
        """Set when calls pass again, and then replaced."""
        self._look = asyncio.Event()
        """Set when the next probe must not wait until nothing else has been heard."""
        self._accepted = False
        """True while the credentials are, as far as is known."""
        self._outage = False
        """True where something has failed since calls passed, or since the start."""
        self._ramp: Ramp | None = None
        self._suspected_s: float | None = None
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

    @property
    def ramp(self) -> Ramp | None:
        """The ramp after an outage; None where each lane may go on by itself."""
        return self._ramp

    async def turn(self) -> Ramp | None:
        """Wait for the turn of a lane after an outage, for one event or job; gives the ramp that had it, if any had."""
        ramp = self._ramp
        if ramp is None:
            return None
        wait_s = ramp.turn_s(loop_time(), self._backoff.dice())
        if wait_s is None:
            self._ramp = None
            return None
        await asyncio.sleep(wait_s)
        return ramp

    async def opens(self) -> None:
        """Wait until calls pass again, after they did not."""
        await self._opens.wait()

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
                elif self._suspected_s is None:
                    self._suspected_s = loop_time()
                    self._look.set()
            case kind if kind in HEARD:
                self._breaker = self._breaker.succeeded()
                self._relapses = 0
                self._heard_s = loop_time()
                self._suspected_s = None

    async def run(self) -> None:
        """Probe: at once at the start, with back-off while closed, now and then while nothing else is heard.

        While the API is down, and the credentials are not in question, no wait is longer than `probe_wait_s` says.
        """
        failures = 0
        while True:
            outcome = await self._probe()
            failures = failures + 1 if outcome else 0
            if self.passing:
                await self._quiet_or_closed()
            if not self.passing and (failures or self._relapses > 1):
                await asyncio.sleep(self._probe_wait_s(max(failures, self._relapses - 1, 1)))

    def _probe_wait_s(self, times: int) -> float:
        pause_s = self._backoff.pause(times, longest_s=MAX_CREDENTIALS_WAIT_S)
        return pause_s if "credentials" in self._why else probe_wait_s(pause_s, self._backoff.dice())

    async def _probe(self) -> Outcome | None:
        self._suspected_s = None
        credentials = not self._accepted
        try:
            await self._agent.probe(credentials=credentials)
        except ApiError as error:
            outcome = of_error(error)
            if outcome.kind is OutcomeKind.LIMITED:
                return outcome  # nothing was asked
            if outcome.kind is OutcomeKind.TOO_EARLY:
                self._heard_s = loop_time()  # an answer, if not the wanted one
                return outcome
            self._breaker = self._breaker.tripped()
            self._close("credentials" if outcome.kind is OutcomeKind.CREDENTIALS else "api", outcome.error)
            return outcome
        self._heard_s = loop_time()
        self._accepted = self._accepted or credentials
        if not self.passing and self._accepted:
            self._breaker = self._breaker.probed() if self._breaker.open else self._breaker
            self._let_through()
        return None

    async def _quiet_or_closed(self) -> None:
        """Return when calls pass no more, or when nothing has been heard of the API for a while, or it seems down."""
        while self.passing and (left_s := self._quiet_until_s() - loop_time()) > 0:
            self._look.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._look.wait()

    def _quiet_until_s(self) -> float:
        suspected_s = self._suspected_s
        quiet_s = self._heard_s + IDLE_PROBE_S
        return quiet_s if suspected_s is None else min(quiet_s, suspected_s + SUSPECT_PROBE_S)

    def _close(self, name: str, error: str) -> None:
        if self._why.get(name) != error:
            self._log.warning("api.unavailable", by=name, error=error)
        self._relapses += self.passing
        self._why[name] = error
        self._ramp, self._outage = None, True
        self._accepted = self._accepted and name != "credentials"
        self._open.clear()
        self._look.set()
        self._inbox.pause("api")

    def _let_through(self) -> None:
        self._log.info("api.available", was_by=sorted(self._why))
        if self._outage:
            self._ramp, self._outage = Ramp(loop_time()), False
        self._why.clear()
        self._open.set()
        opened, self._opens = self._opens, asyncio.Event()
        opened.set()
        self._inbox.resume("api")
