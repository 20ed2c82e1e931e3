"""The users of the organization: the fake of the flow's tests, and our client against the sandbox."""

from collections.abc import AsyncIterator

import pytest

from bridge.core.errors import Refused
from bridge.core.event.user import NewUser, UserByEmail
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.users import AmigoUsers
from bridge.flow.ports.api import UserAccounts
from tests.support.amigo import credentials
from tests.support.fakes import FakeAccounts
from tests.support.observed_sandbox import observed_sandbox

ADA = NewUser("Ada", "Lovelace", "Ada@example.com", timezone="Europe/London", preferred_language="eng")


@pytest.fixture(params=["fake", "real"])
async def accounts(request: pytest.FixtureRequest) -> AsyncIterator[UserAccounts]:
    if request.param == "fake":
        yield FakeAccounts()
        return
    async with observed_sandbox() as sandbox:
        who = credentials(sandbox.base_url)
        async with HttpClient(who, 5) as client:
            yield AmigoUsers(SignedClient(client, who, ONE_ATTEMPT, lambda: 0.0), "bridge-user")


async def test_who_is_not_there_is_not_found(accounts: UserAccounts) -> None:
    assert list(await accounts.ids_of(UserByEmail("nobody@example.com"))) == []


async def test_who_was_created_is_found_whatever_the_case(accounts: UserAccounts) -> None:
    user_id = await accounts.create(ADA)
    await accounts.create(NewUser("Bob", "Babbage", "bob@example.com"))
    for email in ("Ada@example.com", "Ada@EXAMPLE.com"):
        assert list(await accounts.ids_of(UserByEmail(email))) == [user_id]


async def test_an_e_mail_is_there_once(accounts: UserAccounts) -> None:
    await accounts.create(ADA)
    with pytest.raises(Refused) as refused:
        await accounts.create(ADA)
    assert refused.value.status == 409
