"""The organization's users in memory: an e-mail is there once."""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import count

from bridge.core.errors import Refused
from bridge.core.event.user import NewUser, UserByEmail, comparable


class FakeAccounts:
    """The port. `users` are ids by e-mail as it is compared; `journal` has every call.

    `fail` makes the next calls of an operation raise before they are carried out, `lose` after that.
    """

    def __init__(self) -> None:
        self.users: dict[str, list[str]] = {}
        self.new: list[NewUser] = []
        self.journal: list[str] = []
        self.hides = False
        """The list shows nobody."""
        self._failures: dict[str, deque[Exception]] = {"ids_of": deque(), "create": deque()}
        self._losses: deque[Exception] = deque()
        self._numbers = count(1)

    def fail(self, operation: str, *errors: Exception) -> None:
        self._failures[operation].extend(errors)

    def lose(self, *errors: Exception) -> None:
        """The answers of the next creations: they are carried out, and this is raised."""
        self._losses.extend(errors)

    async def ids_of(self, user: UserByEmail) -> Sequence[str]:
        await self._called("ids_of")
        return () if self.hides else tuple(self.users.get(user.key, ()))

    async def create(self, new: NewUser) -> str:
        await self._called("create")
        key = comparable(new.email)
        if self.users.get(key):
            raise Refused("create-user", 409, "User with the same email already exists in this organization.")
        user_id = f"made-{next(self._numbers)}"
        self.users[key] = [user_id]
        self.new.append(new)
        if self._losses:
            raise self._losses.popleft()
        return user_id

    async def _called(self, operation: str) -> None:
        self.journal.append(operation)
        await asyncio.sleep(0)
        if self._failures[operation]:
            raise self._failures[operation].popleft()
