"""The user of an e-mail: known, found, or created (docs/semantics.md, Users).

memory ▸ ledger ▸ API's list ─┬─ one ▸ known
                              ├─ none, and it may be created ▸ create ─┬─ 201 ▸ known
                              │                                        └─ 409, no answer ▸ list again
                              └─ none, two ▸ no-user

However many replicas create one user at once, the API lets one of them: an e-mail is there once. Neither an e-mail nor
what is created of it is logged.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import TypeVar

from bridge.core.counters import Counters
from bridge.core.delivery.outcome import Outcome, OutcomeKind
from bridge.core.errors import Lost, Refused, Unavailable, is_transient
from bridge.core.event.user import NEW_FOR_S, KnownUser, NewUser, UserByEmail, UserRules
from bridge.core.permissions import GET_USER
from bridge.flow.ports.api import UserAccounts
from bridge.flow.ports.ledger import Ledger, LedgerUnavailable
from bridge.flow.ports.runtime import Clock, Log

MAX_ENTRIES = 10_000
MAX_HIDDEN = 5
"""How often in a row the API may say that an e-mail is taken, and not show whose it is."""
HIDDEN = f"the API says that the e-mail is taken, and shows no user: is {GET_USER} missing?"

V = TypeVar("V")


class UserLookup:
    """Finds users by e-mail, and remembers them. `clock` gives Unix seconds."""

    def __init__(
        self, accounts: UserAccounts, ledger: Ledger, rules: UserRules, counters: Counters, clock: Clock, log: Log
    ) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._rules = rules
        self._counters = counters
        self._clock = clock
        self._log = log
        self._known: OrderedDict[str, KnownUser] = OrderedDict()
        self._missing_until_s: OrderedDict[str, float] = OrderedDict()
        self._hidden: OrderedDict[str, int] = OrderedDict()

    def known(self, user: UserByEmail) -> str | None:
        """The user's id, where this process remembers it."""
        known = self._remembered(user.digest)
        return None if known is None else known.user_id

    def is_new(self, user: UserByEmail, user_id: str) -> bool:
        """True where this user was created so lately that a sign-in may still be refused."""
        known = self._remembered(user.digest)
        return known is not None and known.user_id == user_id and self._clock() - known.created_s < NEW_FOR_S

    async def of(self, user: UserByEmail) -> str | Outcome:
        """The user's id, or the outcome where there is none. Raises ApiError where that cannot be told now."""
        known = self._remembered(user.digest) or await self._in_ledger(user.digest)
        if known is not None:
            return known.user_id
        if self._missing_until_s.get(user.digest, 0.0) <= self._clock():
            listed = await self._look(user)
            if listed is not None:
                return listed
        return await self._created(user)

    async def again(self, user: UserByEmail, refused_id: str) -> str | Outcome:
        """The user's id now that a sign-in with this one was refused: forgotten, and looked for once more."""
        known = self._known.pop(user.digest, None) or KnownUser(user.digest, refused_id, 0.0)
        self._ledger.drop_user(replace(known, user_id=refused_id))
        self._log.info("user.forgotten", user_id=refused_id)
        listed = await self._look(user)
        return await self._created(user) if listed is None else listed

    async def _in_ledger(self, digest: str) -> KnownUser | None:
        """Ask the ledger; without it the API is asked."""
        try:
            known = await self._ledger.find_user(digest, self._clock())
        except LedgerUnavailable:
            return None
        if known is not None:
            self._put(self._known, digest, known)
        return known

    async def _look(self, user: UserByEmail) -> str | Outcome | None:
        """The id of the one user with the e-mail, None where there is none; an Outcome where there are several."""
        self._counters.user_lookups += 1
        try:
            ids = await self._accounts.ids_of(user)
        except Lost as error:
            raise Unavailable(f"while looking for the user: {error}") from None
        except Refused as error:
            if is_transient(error.status):
                raise Unavailable(f"while looking for the user: {error}") from None
            raise
        if len(ids) > 1:
            return self._missing(f"{len(ids)} users have the e-mail")
        return self._keep(user, ids[0]) if ids else None

    async def _created(self, user: UserByEmail) -> str | Outcome:
        new = user.create
        if new is None or new.role_name not in self._rules.roles:
            if self._missing_until_s.get(user.digest, 0.0) <= self._clock():
                self._put(self._missing_until_s, user.digest, self._clock() + self._rules.missing_keep_s)
            why = f"or {GET_USER} is missing" if new is None else "and users.roles lacks the role of user.create"
            return self._missing(f"no user has the e-mail, {why}")
        self._missing_until_s.pop(user.digest, None)
        try:
            user_id = await self._accounts.create(new)
        except Lost:
            return await self._look_again(user, new) or _unanswered("the answer to the creation never came")
        except Refused as error:
            if not is_transient(error.status):
                raise
            listed = await self._look_again(user, new)
            return listed or (self._taken(user) if error.status == 409 else _unanswered(str(error)))
        self._counters.users_created += 1
        self._log.info("user.created", user_id=user_id, role=new.role_name)
        return self._keep(user, user_id, self._clock())

    async def _look_again(self, user: UserByEmail, new: NewUser) -> str | Outcome | None:
        """Look again after a creation whose result is not known: another replica's, or this one's own."""
        self._log.info("user.looked_again", role=new.role_name)
        listed = await self._look(user)
        return self._keep(user, listed, self._clock()) if isinstance(listed, str) else listed

    def _taken(self, user: UserByEmail) -> Outcome:
        times = self._hidden.pop(user.digest, 0) + 1
        if times > MAX_HIDDEN:
            return self._missing(HIDDEN)
        self._put(self._hidden, user.digest, times)
        return Outcome(OutcomeKind.BUSY, HIDDEN)

    def _keep(self, user: UserByEmail, user_id: str, created_s: float = 0.0) -> str:
        known = KnownUser(user.digest, user_id, self._clock() + self._rules.keep_s, created_s)
        self._put(self._known, user.digest, known)
        self._missing_until_s.pop(user.digest, None)
        self._hidden.pop(user.digest, None)
        self._ledger.keep_user(known)
        return user_id

    def _missing(self, error: str) -> Outcome:
        self._counters.users_missing += 1
        return Outcome(OutcomeKind.NO_USER, error)

    def _remembered(self, digest: str) -> KnownUser | None:
        known = self._known.get(digest)
        if known is None or known.until_s <= self._clock():
            return None
        self._known.move_to_end(digest)
        return known

    @staticmethod
    def _put(memory: OrderedDict[str, V], digest: str, value: V) -> None:
        memory[digest] = value
        memory.move_to_end(digest)
        if len(memory) > MAX_ENTRIES:
            memory.popitem(last=False)


def _unanswered(error: str) -> Outcome:
    """The user may be there a little later: looked for again, before anything is created again."""
    return Outcome(OutcomeKind.UNKNOWN, f"creating the user: {error}", maybe_sent=True)
