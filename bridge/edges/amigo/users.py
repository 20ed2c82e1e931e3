"""The users of the organization, as the port has them (docs/api-contract.md, 1.13 and 1.14)."""

from collections.abc import Sequence

from bridge.core.errors import Unsendable
from bridge.core.event.user import NewUser, UserByEmail, comparable
from bridge.edges.amigo.authorized import SignedClient
from bridge.edges.amigo.calls import create_user_call, users_call
from bridge.edges.amigo.results import CreatedUser, UserResult

USERS_A_PAGE = 100


class AmigoUsers:
    """See the port. `own_id` is the user in whose name is asked; without one nothing is."""

    def __init__(self, client: SignedClient, own_id: str | None) -> None:
        self._client = client
        self._own_id = own_id

    async def ids_of(self, user: UserByEmail) -> Sequence[str]:
        """Row by row: the server's own filter is not trusted."""
        call = users_call(self._own(), emails=user.spellings)
        ids: dict[str, None] = {}
        async for row in self._client.rows(call, "users", USERS_A_PAGE):
            email = row.get("email")
            if isinstance(email, str) and comparable(email) == user.key:
                ids[UserResult.read(call.operation, row).user_id] = None
        return list(ids)

    async def create(self, new: NewUser) -> str:
        """One call; what it may have done is for the caller to find out."""
        call = create_user_call(self._own(), new)
        return CreatedUser.read(call.operation, await self._client.send(call)).user_id

    def _own(self) -> str:
        if self._own_id is None:
            raise Unsendable("amigo.user_id is not configured")
        return self._own_id
