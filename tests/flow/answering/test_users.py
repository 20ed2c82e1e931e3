"""docs/semantics.md, Users, in the flow: found and remembered, repeats, and the order of one customer's events."""

from typing import Any

import pytest

from bridge.core.delivery.progress import RequestKind
from bridge.core.errors import ApiError, Lost, NotSent, Refused, SignInRefused, TooEarly, Unavailable
from bridge.core.event.route import Defaults, Rendered, Route
from bridge.core.event.user import NewUser, UserByEmail, UserRules
from tests.support.fakes import FakeDelivery, FakeLedger, FakeRoutes
from tests.support.flow_bench import SERVICE, Bench

EMAIL = "Ada@Example.com"
KEY = "ada@example.com"
ADA = {"first_name": "Ada", "last_name": "Lovelace"}
CREATE = {"email": EMAIL, "create": ADA}
OWN = Defaults(user_id="bridge-bot")
MISSING = Refused("users", 403, "Missing required permissions.")


def bench(**options: Any) -> Bench:
    return Bench(defaults=OWN, **options)


def deliver(it: Bench, event_id: str = "e1", **fields: Any) -> FakeDelivery:
    return it.deliver(event_id, **{"user_id": None, "user": {"email": EMAIL}, **fields})


def creators(it: Bench) -> list[str]:
    """Who started conversations, in order."""
    return [call.user_id for call in it.agent.calls("create")]


def heard(it: Bench) -> list[str | None]:
    """What the agent was told, in order."""
    return [call.text for call in it.agent.calls("create", "interact")]


# --- found


async def test_a_user_is_found_by_e_mail_and_remembered() -> None:
    async with bench() as it:
        it.accounts.users[KEY] = ["user-7"]
        deliver(it)
        await it.quiet()
        deliver(it, "e2", user={"email": KEY})
        await it.quiet()
        assert it.accounts.journal == ["ids_of"]
        assert it.counters.user_lookups == 1
        assert creators(it) == ["user-7"]
        for event_id in ("e1", "e2"):
            assert {message.headers["user_id"] for message in it.out(event_id)} == {"user-7"}
        assert it.ledger.users[UserByEmail(EMAIL).digest].user_id == "user-7"


async def test_another_process_knows_from_the_ledger() -> None:
    ledger = FakeLedger()
    async with bench(ledger=ledger) as it:
        it.accounts.users[KEY] = ["user-7"]
        deliver(it)
        await it.quiet()
    async with bench(ledger=FakeLedger(beside=ledger)) as other:
        deliver(other, "e2")
        await other.quiet()
        assert other.accounts.journal == []
        assert creators(other) == ["user-7"]


async def test_a_known_user_is_looked_for_again_after_its_time() -> None:
    async with bench(user_rules=UserRules(keep_s=100.0)) as it:
        it.accounts.users[KEY] = ["user-7"]
        deliver(it)
        await it.quiet()
        await it.wait(101)
        it.accounts.users[KEY] = ["user-8"]
        deliver(it, "e2")
        await it.quiet()
        assert it.accounts.journal == ["ids_of", "ids_of"]
        assert creators(it) == ["user-7", "user-8"]


@pytest.mark.parametrize("ids", [[], ["user-7", "user-8"]])
async def test_nobody_or_two_is_no_user(ids: list[str]) -> None:
    async with bench() as it:
        it.accounts.users[KEY] = ids
        deliver(it)
        await it.quiet()
        assert it.dead() == ["no-user"]
        assert it.types() == ["bridge-failed"]
        (failed,) = it.said("bridge-failed")
        assert failed["reason"] == "no-user"
        assert "ada" not in failed["error"].lower()
        assert it.attempts() == 0
        assert it.counters.users_missing == 1
        assert it.ledger.entries["e1"].letter is not None


async def test_a_cancelled_event_needs_no_user() -> None:
    async with bench() as it:
        it.accounts.users[KEY] = []
        it.deliver("c1", kind="cancel", message=None, cancels="e1", user_id=None, service_id=None)
        await it.quiet()
        deliver(it)
        await it.quiet()
        assert (it.accounts.journal, it.dead()) == ([], [])
        assert it.types("e1") == ["bridge-cancelled"]


async def test_nobody_is_remembered_for_a_while() -> None:
    async with bench() as it:
        for number in range(3):
            deliver(it, f"e{number}")
            await it.quiet()
        assert it.accounts.journal == ["ids_of"]
        assert it.dead() == ["no-user"] * 3
        await it.wait(61)
        it.accounts.users[KEY] = ["user-7"]
        deliver(it, "late")
        await it.quiet()
        assert creators(it) == ["user-7"]


async def test_a_user_id_of_the_event_wins() -> None:
    async with bench() as it:
        deliver(it, user_id="user-1")
        await it.quiet()
        assert it.accounts.journal == []
        assert creators(it) == ["user-1"]


async def test_without_a_user_of_the_bridges_own_it_is_invalid() -> None:
    async with Bench() as it:
        deliver(it)
        await it.quiet()
        assert it.dead() == ["invalid-event"]
        assert "amigo.user_id is not configured" in it.said("bridge-failed")[0]["error"]


async def test_a_routes_templates_name_the_user() -> None:
    routes = FakeRoutes()
    user = {"email": EMAIL, "create.first_name": "Ada", "create.last_name": "Lovelace"}
    routes.add(Route("r", service_id=SERVICE), Rendered(user=user))
    async with bench(routes=routes) as it:
        deliver(it, user=None)
        await it.quiet()
        assert it.accounts.new == [NewUser("Ada", "Lovelace", EMAIL)]
        assert creators(it) == ["made-1"]


@pytest.mark.parametrize(("kind", "operation"), [("finish", "finish"), ("tag", "modify_tags")])
async def test_steering_events_take_a_user_too(kind: str, operation: str) -> None:
    async with bench() as it:
        it.accounts.users[KEY] = ["user-7"]
        it.agent.converse(it.agent.open("user-7", SERVICE), "hello")
        deliver(it, kind=kind, message=None, tags={"state": "paid"} if kind == "tag" else None)
        await it.quiet()
        assert [call.user_id for call in it.agent.calls(operation)] == ["user-7"]
        assert {message.headers["user_id"] for message in it.out()} == {"user-7"}


# --- waiting


WAITS = [
    *(TooEarly("429", 3.0), NotSent("no connection"), Unavailable("503"), Lost("reset")),
    *(Refused("users", status, "") for status in (408, 409, 500)),
]


@pytest.mark.parametrize("error", WAITS, ids=str)
async def test_what_cannot_be_told_now_waits_and_counts_no_attempt(error: ApiError) -> None:
    async with bench() as it:
        it.accounts.users[KEY] = ["user-7"]
        it.accounts.fail("ids_of", *[error] * 4)
        deliver(it)
        await it.quiet()
        assert creators(it) == ["user-7"]
        assert {message.headers["attempt"] for message in it.out()} == {1}
        assert it.dead() == []


@pytest.mark.parametrize("status", [403, 422, 425])
async def test_a_look_that_a_person_must_mend_is_rejected(status: int) -> None:
    async with bench() as it:
        it.accounts.fail("ids_of", Refused("users", status, ""))
        deliver(it)
        await it.quiet()
        assert it.dead() == ["rejected"]


async def test_refused_credentials_hold_everything() -> None:
    async with bench() as it:
        it.accounts.users[KEY] = ["user-7"]
        it.accounts.fail("ids_of", SignInRefused("401"))
        deliver(it)
        await it.quiet()
        assert it.log.of("api.unavailable")
        assert creators(it) == ["user-7"]


@pytest.mark.parametrize("park_after_s", [2.0, 60.0])
async def test_the_events_of_one_customer_keep_their_order(park_after_s: float) -> None:
    """Also through delay queues, and with those that come once the user is known."""
    async with bench(park_after_s=park_after_s) as it:
        it.accounts.users[KEY] = ["user-7"]
        it.accounts.fail("ids_of", *[TooEarly("429", 9.0)] * 3)
        for number in range(4):
            deliver(it, f"e{number}")
            await it.wait(5)
        await it.until(lambda: heard(it), "the first is heard")
        deliver(it, "e4")
        await it.quiet()
        assert heard(it) == [f"Tell e{number}" for number in range(5)]
        assert bool(it.republisher.delayed) == (park_after_s < 9)


async def test_one_customer_does_not_wait_for_another() -> None:
    async with bench() as it:
        it.accounts.users["bob@example.com"] = ["user-8"]
        it.accounts.fail("ids_of", TooEarly("429", 30.0))
        deliver(it, user=CREATE)
        deliver(it, "e2", user={"email": "bob@example.com"})
        await it.until(lambda: it.types("e2"), "Bob's is answered", 5)
        assert it.types("e1") == []
        await it.quiet()


async def test_without_the_ledgers_memory_the_api_is_asked() -> None:
    async with bench(when_lost="ask") as it:
        it.accounts.users[KEY] = ["user-7"]
        it.ledger.break_down()
        deliver(it)
        await it.quiet()
        assert creators(it) == ["user-7"]
        it.ledger.mend()


# --- repeats, and processes that die


async def test_a_repeat_of_what_is_done_asks_nobody() -> None:
    ledger = FakeLedger()
    async with bench(ledger=ledger) as it:
        it.accounts.users[KEY] = ["user-7"]
        deliver(it)
        await it.quiet()
    ledger.users.clear()
    async with bench(ledger=FakeLedger(beside=ledger)) as other:
        deliver(other)
        await other.quiet()
        assert other.accounts.journal == []
        assert (other.attempts(), other.dead()) == (0, [])


async def test_a_repeat_of_what_had_no_user_fails_once() -> None:
    async with bench() as it:
        deliver(it)
        await it.quiet()
        it.accounts.users[KEY] = ["user-7"]
        await it.wait(100)
        deliver(it)
        await it.quiet()
        assert (it.attempts(), it.accounts.journal) == (0, ["ids_of"])


async def test_what_was_asked_in_a_users_name_is_looked_for_in_that_name() -> None:
    async with bench() as it:
        it.accounts.users[KEY] = ["user-7"]
        deliver(it)
        await it.until(lambda: it.agent.calls("create"), "it is asked")
        asked = it.ledger.entries["e1"].progress
        assert asked.planned is not None
        assert (asked.request, asked.planned.user_id, asked.version_set) == (RequestKind.CREATE, "user-7", "release")
        await it.restart()
        it.accounts.users[KEY] = ["user-8"]
        it.ledger.users.clear()
        await it.quiet()
        assert {call.user_id for call in it.agent.calls("create", "conversations")} == {"user-7"}
        assert it.types()[-1] == "interaction-complete"


async def test_an_ending_that_the_ledger_has_is_published_in_its_users_name() -> None:
    ledger = FakeLedger()
    async with bench(ledger=ledger) as it:
        it.accounts.users[KEY] = ["user-7"]
        deliver(it)
        await it.quiet()
        entry = next(entry for entry in it.ledger.written if entry.state == "answered")
    ledger.gone()
    ledger.entries["e1"] = entry
    ledger.users.clear()
    async with bench(ledger=FakeLedger(beside=ledger)) as other:
        deliver(other)
        await other.quiet()
        (ending,) = other.out()
        assert ending.headers["user_id"] == "user-7"
        assert other.attempts() == 0
