"""The API's rate limits: when which user may make which call (docs/semantics.md, Limits of the API).

Each (user, operation) has a log of its calls, and so has each operation for all users together; which of the two holds
a call back is configured or found out. What an answer says of the limits corrects them. Times are seconds on the
caller's clock.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from bridge.core.delivery.call_log import CallLog, Figure
from bridge.core.delivery.limit_scope import ScopeFinder
from bridge.core.errors import Limited

WINDOW_S = 60.0
MAX_IDLE_LOGS = 20_000
EVERYBODY = ""
"""The scope of the organization; otherwise a scope is a user's id."""
NO_LIMIT = 1_000_000_000
MAX_TOLD_LIMIT = 1_000_000
BRIEF_S = 0.25
"""A wait for answers that are under way."""
SIGN_IN = "sign-in"

LIMITS: Mapping[str, int] = {
    "sign-in": 5,
    "create-conversation": 5,
    "interact": 15,
    "finish": 5,
    "list": 15,
    "messages": 20,
    "message-source": 30,
    "tags": 50,
    "recommend-responses": 20,
    "insights": 20,
    "services": 50,
    "create-user": 50,
    "users": 60,
    "create-webhook-destination": 20,
    "webhook-destinations": 20,
    "update-webhook-destination": 20,
    "delete-webhook-destination": 20,
    "rotate-webhook-secret": 20,
    "webhook-deliveries": 5,
}
"""Calls a minute, of every operation that the client knows (docs/api-contract.md, 1.0)."""


class LimitScope(StrEnum):
    """Whose calls a limit counts."""

    AUTO = "auto"
    USER = "user"
    ORGANIZATION = "organization"


@dataclass(frozen=True, slots=True)
class LimitFigures:
    """Calls a window of each operation, how long a window is, and whose calls it counts."""

    calls: Mapping[str, int] = field(default_factory=lambda: dict(LIMITS))
    window_s: float = WINDOW_S
    scope: LimitScope = LimitScope.AUTO


NO_FIGURES = LimitFigures({}, scope=LimitScope.USER)
"""Nothing is counted; what the API says of its limits holds all the same."""


@dataclass(frozen=True, slots=True)
class LimitHeaders:
    """The rate-limit headers of an answer: calls a window, how many are left, seconds until the next one."""

    limit: int | None = None
    left: int | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class LimitedWait:
    """A call that has to wait: seconds, for whose limit, and how many come before it."""

    wait_s: float
    scope: str
    ahead: int = 0

    def error(self, operation: str, now_s: float) -> Limited:
        """The error that says whose limit is waited for and until when; `now_s` are Unix seconds."""
        whose = "the organization" if self.scope == EVERYBODY else self.scope
        until = datetime.fromtimestamp(now_s + self.wait_s, UTC).isoformat(timespec="seconds")
        before = f", {self.ahead} before it" if self.ahead else ""
        return Limited(f"the limit of {whose} for {operation} until {until}{before}", self.wait_s)


@dataclass(slots=True)
class CallUnderWay:
    """A call that was let go; told to `answered` or `unmade` once."""

    user_id: str
    operation: str
    own: CallLog | None
    all_users: CallLog | None
    finder: ScopeFinder | None
    beyond: int = 0
    limited_s: float = 0.0
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class Gating:
    """The scope whose log holds a call back, the one that counts it too, and 1 where it goes beyond the latter."""

    scope: str
    also: str | None
    beyond: int


@dataclass(frozen=True, slots=True)
class BindingLimit:
    """An operation that may not be called for so many seconds: by this user, or (None) by anybody."""

    operation: str
    user_id: str | None
    left_s: float

    @property
    def facts(self) -> dict[str, object]:
        """The same as JSON."""
        return {"operation": self.operation, "user_id": self.user_id, "left_s": round(self.left_s, 1)}


class RateLimits:
    """The logs of all users and operations."""

    def __init__(self, figures: LimitFigures) -> None:
        self.limited_s: dict[str, float] = {}
        """Seconds that calls have waited, by operation."""
        self.refused: Counter[str] = Counter()
        """Answers 429, by operation."""
        self._window_s = figures.window_s
        self._scope = figures.scope
        self._figures = {operation: Figure(limit, figures.window_s) for operation, limit in figures.calls.items()}
        self._logs: dict[tuple[str, str], CallLog] = {}
        self._finders: dict[str, ScopeFinder] = {}
        self._closed: dict[tuple[str, str], CallLog] = {}
        self._sweep_at = MAX_IDLE_LOGS

    def ask(self, user_id: str, operation: str, caller: str, now_s: float) -> CallUnderWay | LimitedWait:
        """Let the call go, or say how long it has to wait: then the place of `caller` is kept."""
        figure = self._figure(operation)
        scope = self._scope_of(operation, figure)
        if scope is LimitScope.USER:
            own = self._log(user_id, operation, figure, now_s)
            everybody = self._logs.get((EVERYBODY, operation))
            if everybody is not None and everybody.closed_until_s > now_s:
                return LimitedWait(everybody.closed_until_s - now_s, EVERYBODY)
            wait_s = own.wait_s(caller, user_id, now_s)
            if wait_s > 0:
                return LimitedWait(wait_s, user_id, own.before(caller, now_s))
            return self._let_go(CallUnderWay(user_id, operation, own, None, None, limited_s=own.limited_s))
        all_users = self._log(EVERYBODY, operation, figure, now_s)
        if scope is LimitScope.ORGANIZATION:
            wait_s = all_users.wait_s(caller, user_id, now_s)
            if wait_s > 0:
                return LimitedWait(wait_s, EVERYBODY, all_users.before(caller, now_s))
            return self._let_go(CallUnderWay(user_id, operation, None, all_users, None, limited_s=all_users.limited_s))
        return self._found_out(user_id, operation, caller, now_s)

    def gate(self, user_id: str, operation: str, now_s: float) -> Gating | LimitedWait:
        """For who keeps the logs elsewhere: which of them holds the call back, and which one counts it too."""
        figure = self._figure(operation)
        scope = self._scope_of(operation, figure)
        if scope is not LimitScope.AUTO:
            return Gating(EVERYBODY if scope is LimitScope.ORGANIZATION else user_id, None, 0)
        finder = self._finder(operation)
        if finder.is_organization(now_s) or (finder.on_trial and not finder.may_exceed(now_s)):
            return Gating(EVERYBODY, user_id, 0)
        all_users = self._log(EVERYBODY, operation, figure, now_s)
        beyond = finder.on_trial or (all_users.occupying(now_s) >= figure.limit and not finder.proved(now_s))
        if beyond and not finder.may_exceed(now_s):
            return LimitedWait(min(BRIEF_S, self._window_s / 20), EVERYBODY)
        return Gating(user_id, EVERYBODY, int(beyond))

    def turn(self, user_id: str, operation: str, caller: str, now_s: float) -> LimitedWait | None:
        """For who keeps the logs elsewhere: in the organization's, None where it is the caller's turn to ask there."""
        log = self._log(EVERYBODY, operation, self._figure(operation), now_s)
        wait_s = log.turn_s(caller, user_id, now_s)
        return LimitedWait(wait_s, EVERYBODY, log.before(caller, now_s)) if wait_s > 0 else None

    def served(self, operation: str, caller: str, now_s: float, due_s: float | None = None) -> None:
        """The caller whose turn it was has its moment, or is to ask again at `due_s`."""
        self._log(EVERYBODY, operation, self._figure(operation), now_s).served(caller, due_s)

    def proved(self, operation: str, now_s: float) -> bool:
        """True where the limit cannot be the organization's."""
        return self._finder(operation).proved(now_s)

    def learned(self, operation: str, ago_s: float, now_s: float) -> None:
        """Another replica found out so long ago that the operation's limit is the organization's."""
        if self._scope_of(operation, self._figure(operation)) is LimitScope.AUTO:
            self._finder(operation).learned(ago_s, now_s)

    def begun(self, gate: Gating, user_id: str, operation: str, now_s: float) -> CallUnderWay:
        """A call is made that was let go elsewhere: it counts here too."""
        figure = self._figure(operation)
        scopes = (gate.scope, gate.also)
        own = self._log(user_id, operation, figure, now_s) if user_id in scopes else None
        all_users = self._log(EVERYBODY, operation, figure, now_s) if EVERYBODY in scopes else None
        for log in (own, all_users):
            if log is not None:
                log.unanswered += 1
        finder = None if gate.also is None else self._finder(operation)
        if finder is not None:
            finder.beyond += gate.beyond
        return CallUnderWay(user_id, operation, own, all_users, finder, gate.beyond)

    def recalled(self, user_id: str, operation: str, answered_s: float) -> None:
        """A call was answered at that time, before there were these logs; the oldest is told first."""
        figure = self._figure(operation)
        for scope in (user_id, EVERYBODY):
            log = self._log(scope, operation, figure, answered_s)
            log.unanswered += 1
            log.answered(answered_s)

    def waited(self, operation: str, seconds: float) -> None:
        """A call has waited so long for its place."""
        self.limited_s[operation] = self.limited_s.get(operation, 0.0) + seconds

    def scope_of(self, user_id: str, operation: str, now_s: float) -> str:
        """Whose log holds the user's call back: the user's id, or EVERYBODY."""
        scope = self._scope_of(operation, self._figure(operation))
        if scope is LimitScope.AUTO:
            return EVERYBODY if self._finder(operation).is_organization(now_s) else user_id
        return EVERYBODY if scope is LimitScope.ORGANIZATION else user_id

    def limit_of(self, operation: str) -> int:
        """Calls a window, as far as is known; NO_LIMIT where nothing is."""
        return self._figure(operation).limit

    def answered(
        self, call: CallUnderWay, now_s: float, headers: LimitHeaders | None = None, *, refused_s: float | None = None
    ) -> dict[str, float]:
        """The call has its answer, or never will have one. `refused_s`: it was a 429, and for how long that holds.

        Gives until when which scopes are closed by that.
        """
        for log in (call.own, call.all_users):
            if log is not None:
                log.answered(now_s)
        if call.finder is not None:
            call.finder.beyond -= call.beyond
            if refused_s is None:
                call.finder.passed(now_s)
        if headers is not None:
            self._correct(call, headers, now_s)
        return {} if refused_s is None else self._close(call, now_s, refused_s)

    def unmade(self, call: CallUnderWay) -> None:
        """The call was not made after all: it cannot have reached the API."""
        for log in (call.own, call.all_users):
            if log is not None:
                log.unmade()
        if call.finder is not None:
            call.finder.beyond -= call.beyond

    def close(self, scope: str, operation: str, until_s: float, now_s: float) -> None:
        """Let no call of the scope go before then."""
        log = self._log(scope, operation, self._figure(operation), now_s)
        log.close(until_s)
        self._closed[scope, operation] = log

    def closed_for_s(self, scope: str, operation: str, now_s: float) -> float:
        """For how many seconds the gate of the scope is closed."""
        log = self._closed.get((scope, operation))
        return 0.0 if log is None else max(0.0, log.closed_until_s - now_s)

    def closed(self, now_s: float) -> Counter[str]:
        """How many gates are closed, by operation."""
        self._closed = {key: log for key, log in self._closed.items() if log.closed_until_s > now_s}
        return Counter(operation for _, operation in self._closed)

    def binding(self, now_s: float) -> list[BindingLimit]:
        """The limits that hold somebody back now, the longest first."""
        all_ = [
            BindingLimit(operation, None if scope == EVERYBODY else scope, left_s)
            for (scope, operation), log in self._logs.items()
            if (left_s := log.holds_back_s(now_s)) > 0
        ]
        return sorted(all_, key=lambda one: -one.left_s)

    def seen(self, scope: str, operation: str, count: int, now_s: float) -> None:
        """Take over how many calls of the scope count, from somebody who sees more of them than this process."""
        figure = self._figure(operation)
        self._log(scope, operation, figure, now_s).remaining(max(0, figure.limit - count), None, now_s)

    def _found_out(self, user_id: str, operation: str, caller: str, now_s: float) -> CallUnderWay | LimitedWait:
        """The scope is found out: whatever it is taken to be, both logs see the call."""
        figure, finder = self._figure(operation), self._finder(operation)
        all_users = self._log(EVERYBODY, operation, figure, now_s)
        own = self._log(user_id, operation, figure, now_s)
        if finder.is_organization(now_s) or finder.on_trial:
            wait_s = all_users.wait_s(caller, user_id, now_s)
            if wait_s == 0.0:
                own.unanswered += 1
                call = CallUnderWay(user_id, operation, own, all_users, finder, limited_s=all_users.limited_s)
                return self._let_go(call)
            if not finder.on_trial or not finder.may_exceed(now_s) or now_s < all_users.closed_until_s:
                return LimitedWait(wait_s, EVERYBODY, all_users.before(caller, now_s))
            all_users.leave(caller)
        beyond = all_users.occupying(now_s) >= figure.limit and not finder.proved(now_s)
        if beyond and not finder.may_exceed(now_s):
            return LimitedWait(min(BRIEF_S, self._window_s / 20), EVERYBODY)
        wait_s = own.wait_s(caller, user_id, now_s)
        if wait_s > 0:
            return LimitedWait(wait_s, user_id, own.before(caller, now_s))
        all_users.unanswered += 1
        finder.beyond += beyond
        return self._let_go(CallUnderWay(user_id, operation, own, all_users, finder, int(beyond), own.limited_s))

    def _let_go(self, call: CallUnderWay) -> CallUnderWay:
        if call.limited_s:
            self.waited(call.operation, call.limited_s)
        return call

    def _correct(self, call: CallUnderWay, headers: LimitHeaders, now_s: float) -> None:
        if headers.limit is not None and 0 < headers.limit <= MAX_TOLD_LIMIT:
            self._figure(call.operation).limit = headers.limit
        if headers.left is not None and headers.left >= 0:
            log = call.all_users if self._is_organization(call, now_s) else call.own
            if log is not None:
                self._remaining(log, call.operation, headers, now_s)

    def _remaining(self, log: CallLog, operation: str, headers: LimitHeaders, now_s: float) -> None:
        left = headers.left or 0
        if self._figure(operation).limit != NO_LIMIT:
            log.remaining(left, headers.reset_s, now_s)
        elif not left and headers.reset_s is not None:
            log.close(now_s + min(headers.reset_s, self._window_s))

    def _close(self, call: CallUnderWay, now_s: float, wait_s: float) -> dict[str, float]:
        """A 429 closes the gate of its scope; what a single answer says holds others back for a window at most."""
        operation = call.operation
        self.refused[operation] += 1
        closed = {}
        if operation == SIGN_IN or self._is_organization(call, now_s) or self._shows_organization(call, now_s):
            closed[EVERYBODY] = now_s + min(wait_s, self._window_s)
        if call.own is not None:
            closed[call.user_id] = now_s + wait_s
        for scope, until_s in closed.items():
            self.close(scope, operation, until_s, now_s)
        return closed

    def _shows_organization(self, call: CallUnderWay, now_s: float) -> bool:
        """True where this 429 is the one that shows that the organization is counted."""
        if call.finder is None or call.own is None or call.all_users is None:
            return False
        limit = self._figure(call.operation).limit
        full = call.all_users.occupying(now_s) > limit  # this call is one of them
        has_room = call.own.occupying(now_s) <= limit
        return full and has_room and call.finder.refused(call.user_id, now_s)

    def _is_organization(self, call: CallUnderWay, now_s: float) -> bool:
        return call.own is None or (call.finder is not None and call.finder.is_organization(now_s))

    def _scope_of(self, operation: str, figure: Figure) -> LimitScope:
        """Signing in counts by user; so does what has no limit that is known."""
        return LimitScope.USER if operation == SIGN_IN or figure.limit == NO_LIMIT else self._scope

    def _figure(self, operation: str) -> Figure:
        figure = self._figures.get(operation)
        if figure is None:
            figure = self._figures[operation] = Figure(NO_LIMIT, self._window_s)
        return figure

    def _finder(self, operation: str) -> ScopeFinder:
        finder = self._finders.get(operation)
        if finder is None:
            finder = self._finders[operation] = ScopeFinder(self._figure(operation))
        return finder

    def _log(self, scope: str, operation: str, figure: Figure, now_s: float) -> CallLog:
        log = self._logs.get((scope, operation))
        if log is None:
            if len(self._logs) >= self._sweep_at:
                self._logs = {key: old for key, old in self._logs.items() if not old.idle(now_s)}
                self._sweep_at = max(MAX_IDLE_LOGS, 2 * len(self._logs))
            log = self._logs[scope, operation] = CallLog(figure)
        return log
