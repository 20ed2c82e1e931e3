"""An agent whose API has limits, the sandbox's own, and that is asked as the client asks: through the limiter."""

import asyncio
from collections import Counter
from itertools import groupby
from typing import Literal

from bridge.core.delivery.rate_limits import LIMITS, LimitFigures, LimitHeaders, LimitScope
from bridge.core.errors import TooEarly
from bridge.core.lanes.expected_turn import TurnLimit
from bridge.edges.amigo.own_limits import OwnLimits
from bridge.sandbox import SandboxOptions
from bridge.sandbox.http.rate_limiter import Limiter
from bridge.sandbox.http.refusal import Refusal
from bridge.sandbox.state.clock import Clock
from tests.support.fakes import FakeAgent, FakeLedger, answered, complete
from tests.support.flow_bench import Bench

OPERATIONS = {"create": "create-conversation", "modify_tags": "tags", "conversations": "list"}
WAY_S = 0.05
"""How long a request, and an answer, is under way."""
THINKS_S = 0.2
Windows = Literal["call", "clock", "sliding"]


class LoopClock(Clock):
    """The sandbox's clock on the time of the event loop."""

    def __init__(self) -> None:
        super().__init__(None)

    def now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)


class LimitedAgent(FakeAgent):
    """Counts what it refuses; `peak` is the most calls of a user and operation in one of the API's windows."""

    def __init__(self, windows: Windows) -> None:
        super().__init__()
        self.default = answered(THINKS_S, complete())
        self.refusals: Counter[str] = Counter()
        figures = LimitFigures(LIMITS, scope=LimitScope.AUTO)
        self._limiter = OwnLimits(figures, monotonic=lambda: asyncio.get_running_loop().time())
        options = SandboxOptions(limits="user", limit_windows=windows, limit_headers=False)
        self._api = Limiter(options, LoopClock())

    async def _called(
        self,
        operation: str,
        user_id: str = "",
        conversation_id: str | None = None,
        text: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        named = OPERATIONS.get(operation, operation)
        call = await self._limiter.admit(user_id, named)
        await asyncio.sleep(WAY_S)
        refused_s = self._refused_s(named, user_id)
        await asyncio.sleep(WAY_S)
        self._limiter.answered(call, LimitHeaders(), refused_s=refused_s)
        if refused_s is not None:
            raise TooEarly(f"{named} was answered 429", refused_s)
        await super()._called(operation, user_id, conversation_id, text, tags)

    def _refused_s(self, operation: str, user_id: str) -> float | None:
        try:
            self._api.admit(operation, LIMITS.get(operation, 0), "acme", user_id)
        except Refusal as refusal:
            self.refusals[operation] += 1
            return float(refusal.headers["Retry-After"])
        return None


class ManyUsers:
    """So many events of so many users at once, in virtual time."""

    def __init__(self, users: int, events: int, windows: Windows, ledger: FakeLedger | None = None) -> None:
        self._users, self._events, self._ledger = users, events, ledger
        self.agent = LimitedAgent(windows)
        self.orders: dict[str, list[str]] = {}
        """The events of each user in the order of their endings."""
        self.took_s = 0.0
        self.copies: Counter[bytes] = Counter()
        """How often each event was parked."""

    async def play(self) -> None:
        """Return when every event has its ending."""
        turns = TurnLimit(LIMITS["interact"])
        async with Bench(agent=self.agent, park_after_s=20.0, turns=turns, ledger=self._ledger) as bench:
            began_s = bench.now_s()
            for number in range(self._events):
                for user in range(self._users):
                    bench.deliver(f"{user}-{number}", user_id=f"user-{user}")
                await asyncio.sleep(0.001)  # as many calls in one instant would be taken for a loop that is hot
            await bench.quiet()
            self.copies = Counter(copy.body for copy in bench.republisher.delayed)
            self.took_s = bench.now_s() - began_s
            endings = [each.correlation_id for each in bench.publisher.confirmed if each.type == "interaction-complete"]
        for name, ids in groupby(sorted(endings, key=_user), key=_user):
            self.orders[name] = list(ids)

    @property
    def faults(self) -> list[str]:
        """What is not as it should be."""
        found = [f"{count} calls of {operation} were refused" for operation, count in self.agent.refusals.items()]
        wanted = {str(user): [f"{user}-{number}" for number in range(self._events)] for user in range(self._users)}
        found += [
            f"user-{user}: {self.orders.get(user)}" for user, ids in wanted.items() if self.orders.get(user) != ids
        ]
        if self.took_s > 1.1 * self.least_s:
            found.append(f"it took {self.took_s:.1f} s where the limits allow {self.least_s:.1f} s")
        return found

    @property
    def least_s(self) -> float:
        """What the limits allow: the first event creates the conversation, the others go into it, so many a minute.

        The last one of a user goes as many windows after the first as there are full ones before it.
        """
        full = (self._events - 2) // LIMITS["interact"] if self._events > 1 else 0
        answers = 1 + (self._events - 1) % LIMITS["interact"] if full else self._events
        return full * 60.0 + answers * (THINKS_S + 2 * WAY_S)


def _user(event_id: str) -> str:
    return event_id.partition("-")[0]
