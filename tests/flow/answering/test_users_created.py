"""docs/semantics.md, Users, in the flow: created once, and a sign-in that is refused."""

import pytest

from bridge.core.errors import ApiError, Lost, NotSent, Refused, Unavailable, UnknownUser
from bridge.core.event.user import NewUser, UserByEmail, UserRules
from tests.flow.answering.test_users import ADA, CREATE, EMAIL, KEY, MISSING, bench, creators, deliver, heard

# --- created


async def test_a_missing_user_is_created_once() -> None:
    async with bench() as it:
        for number in range(5):
            deliver(it, f"e{number}", user=CREATE)
        await it.quiet()
        assert it.accounts.journal == ["ids_of", "create"]
        assert it.accounts.new == [NewUser("Ada", "Lovelace", EMAIL)]
        assert it.counters.users_created == 1
        assert heard(it) == [f"Tell e{number}" for number in range(5)]


async def test_a_role_that_is_not_allowed_creates_nobody() -> None:
    async with bench() as it:
        deliver(it, user={"email": EMAIL, "create": {**ADA, "role_name": "DefaultAdministratorRole"}})
        await it.quiet()
        assert it.dead() == ["no-user"]
        assert it.accounts.journal == ["ids_of"]


async def test_a_user_who_is_there_may_have_any_role() -> None:
    async with bench(user_rules=UserRules(roles=())) as it:
        it.accounts.users[KEY] = ["user-7"]
        deliver(it, user=CREATE)
        await it.quiet()
        assert creators(it) == ["user-7"]


LOST = [Lost("reset"), Unavailable("503"), *(Refused("create-user", status, "oops") for status in (408, 500, 504))]


@pytest.mark.parametrize("error", LOST, ids=str)
async def test_where_the_creations_answer_never_came_it_is_looked_for(error: ApiError) -> None:
    async with bench() as it:
        it.accounts.lose(error)
        deliver(it, user=CREATE)
        await it.quiet()
        assert len(it.accounts.new) == 1
        assert creators(it) == ["made-1"]
        assert it.accounts.journal.count("create") == 1


@pytest.mark.parametrize("error", [*LOST, NotSent("refused")], ids=str)
async def test_where_it_was_not_carried_out_it_is_looked_for_and_created(error: ApiError) -> None:
    async with bench() as it:
        it.accounts.fail("create", error)
        deliver(it, user=CREATE)
        await it.quiet()
        assert creators(it) == ["made-1"]
        second = [at for at, call in enumerate(it.accounts.journal) if call == "create"][1]
        assert it.accounts.journal[second - 1] == "ids_of"


@pytest.mark.parametrize("status", [403, 422, 425])
async def test_a_creation_that_a_person_must_mend_is_rejected(status: int) -> None:
    async with bench() as it:
        it.accounts.fail("create", Refused("create-user", status, "no"))
        deliver(it, user=CREATE)
        await it.quiet()
        assert it.dead() == ["rejected"]
        assert it.accounts.journal == ["ids_of", "create"]


async def test_a_409_is_somebody_elses_creation() -> None:
    async with bench() as it:
        it.accounts.fail("create", Refused("create-user", 409, "A related operation is in progress."))
        deliver(it, user=CREATE)
        await it.quiet()
        assert creators(it) == ["made-1"]
        assert it.accounts.journal == ["ids_of", "create", "ids_of", "ids_of", "create"]


async def test_a_user_who_exists_and_is_not_shown_is_no_user_before_long() -> None:
    async with bench() as it:
        it.accounts.users[KEY], it.accounts.hides = ["user-7"], True
        deliver(it, user=CREATE)
        await it.quiet()
        assert it.dead() == ["no-user"]
        assert "User:GetUserInfo" in it.said("bridge-failed")[0]["error"]
        assert it.accounts.journal.count("create") == 6


@pytest.mark.parametrize("operation", ["ids_of", "create"])
async def test_what_the_api_refuses_is_rejected(operation: str) -> None:
    async with bench() as it:
        it.accounts.fail(operation, MISSING)
        deliver(it, user=CREATE)
        await it.quiet()
        assert it.dead() == ["rejected"]


# --- a sign-in that is refused


def unknown(count: int) -> list[UnknownUser]:
    return [UnknownUser("sign-in was refused") for _ in range(count)]


async def test_a_user_whose_sign_in_is_refused_is_looked_for_once_more() -> None:
    async with bench() as it:
        it.accounts.users[KEY] = ["user-7"]
        deliver(it)
        await it.quiet()
        it.agent.talks.clear()
        it.accounts.users[KEY] = ["user-8"]
        it.agent.fail("interact", *unknown(1))
        it.agent.fail("messages", *unknown(1))
        deliver(it, "e2")
        await it.quiet()
        assert it.accounts.journal == ["ids_of", "ids_of"]
        assert creators(it)[-1] == "user-8"
        assert {message.headers["user_id"] for message in it.out("e2")} == {"user-8"}
        assert it.ledger.users[UserByEmail(EMAIL).digest].user_id == "user-8"


async def test_the_same_user_again_is_rejected() -> None:
    async with bench() as it:
        it.accounts.users[KEY] = ["user-7"]
        it.agent.fail("create", *unknown(1))
        deliver(it)
        await it.quiet()
        assert it.dead() == ["rejected"]
        assert it.accounts.journal == ["ids_of", "ids_of"]


async def test_nobody_any_more_is_no_user_and_a_new_one_where_that_is_wanted() -> None:
    async with bench() as it:
        it.accounts.users[KEY] = ["user-7"]
        it.agent.fail("create", *unknown(2))
        it.agent.before["create"] = it.accounts.users.clear
        deliver(it)
        deliver(it, "e2", user=CREATE)
        await it.quiet()
        assert it.dead() == ["no-user"]
        assert creators(it)[-1] == "made-1"


async def test_a_user_who_was_just_created_is_waited_for_a_minute_at_most() -> None:
    async with bench() as it:
        it.agent.fail("create", *unknown(3))
        deliver(it, user=CREATE)
        await it.quiet()
        assert it.types()[-1] == "interaction-complete"
        assert {message.headers["attempt"] for message in it.out()} == {1}
        it.agent.break_down("create", UnknownUser("sign-in was refused"))
        began_s = it.now_s()
        deliver(it, "e2", user={"email": "bob@example.com", "create": ADA})
        await it.quiet()
        assert it.dead() == ["rejected"]
        assert 60 <= it.now_s() - began_s < 130


async def test_a_user_who_is_named_by_id_is_rejected_as_before() -> None:
    async with bench() as it:
        it.agent.fail("create", *unknown(1))
        it.deliver()
        await it.quiet()
        assert it.dead() == ["rejected"]
        assert it.accounts.journal == []
