"""docs/semantics.md, Reads are bounded: how many calls an event costs, and what is read where its fate is in doubt."""

from collections import Counter

import pytest

from bridge.core.errors import Lost, Refused
from bridge.core.event.tags import event_tag
from tests.support.fakes import FakeLedger, Fate, Talk, answered, refused, said
from tests.support.flow_bench import SERVICE, USER, Bench

OWN = {"channel": "api", "channel_type": "async"}


def alone(**options: object) -> Bench:
    """A bench whose ledger no other process uses."""
    return Bench(ledger=FakeLedger(shared=False), **options)  # type: ignore[arg-type]


def calls(bench: Bench, since: int = 0) -> Counter[str]:
    return Counter(call.operation for call in bench.agent.journal[since:] if call.operation != "probe")


def somebodys(bench: Bench, words: int = 1, **tags: str | None) -> Talk:
    """An open conversation that the event has nothing to do with, in which so much was said."""
    talk = bench.agent.open(USER, SERVICE, tags={**OWN, **tags})
    for number in range(words):
        bench.agent.converse(talk, f"Before {number}")
    return talk


def crowd(bench: Bench, count: int, **tags: str | None) -> None:
    """So many conversations of the user that are over."""
    for _ in range(count):
        talk = bench.agent.open(USER, SERVICE, tags={**OWN, **tags})
        bench.agent.converse(talk, "Long ago")
        talk.finished = True


# What an event costs where nothing goes wrong.


@pytest.mark.parametrize(("words", "conversations"), [(1, 0), (5_000, 0), (1, 1_000)])
async def test_an_event_that_joins_costs_one_call_and_a_cold_one_four(words: int, conversations: int) -> None:
    async with alone() as bench:
        crowd(bench, conversations)
        somebodys(bench, words)
        bench.deliver("e1")
        await bench.quiet()
        assert calls(bench) == {"create": 1, "conversations": 1, "messages": 1, "interact": 1}
        since = len(bench.agent.journal)
        for number in range(5):
            bench.deliver(f"s{number}")
        await bench.quiet()
        assert calls(bench, since) == {"interact": 5}


async def test_tags_or_channel_that_differ_cost_one_call_more() -> None:
    async with alone() as bench:
        somebodys(bench)
        bench.deliver("e1", channel="sms", tags={"topic": "bill"})
        await bench.quiet()
        assert calls(bench) == {"create": 1, "conversations": 1, "messages": 1, "modify_tags": 1, "interact": 1}
        since = len(bench.agent.journal)
        bench.deliver("e2", channel="phone", tags={"topic": "loan"})
        bench.deliver("e3", channel="phone", tags={"topic": "loan"})
        await bench.quiet()
        assert calls(bench, since) == {"modify_tags": 1, "interact": 2}
        assert bench.agent.talks[0].tags == {"channel": "phone", "channel_type": "voice", "topic": "loan"}


async def test_a_conversation_that_the_bridge_started_is_joined_with_one_call() -> None:
    async with alone() as bench:
        bench.deliver("e1", tags={"topic": "bill"})
        bench.deliver("e2", tags={"topic": "bill"})
        await bench.quiet()
        assert calls(bench) == {"create": 1, "interact": 1}


async def test_an_event_that_names_a_conversation_costs_three_calls_and_then_one() -> None:
    async with alone() as bench:
        talk = somebodys(bench)
        bench.deliver("e1", conversation_id=talk.id)
        bench.deliver("e2", conversation_id=talk.id)
        await bench.quiet()
        assert calls(bench) == {"conversations": 1, "messages": 1, "interact": 2}


async def test_where_other_processes_share_the_ledger_one_look_is_taken_before_each_interact() -> None:
    async with Bench(ledger=FakeLedger(shared=True)) as bench:
        bench.deliver("e1")
        bench.deliver("e2")
        bench.deliver("e3")
        await bench.quiet()
        assert calls(bench) == {"create": 1, "messages": 2, "interact": 2}


async def test_where_the_api_tells_no_time_the_newest_message_is_asked_for() -> None:
    async with alone() as bench:
        bench.agent.tells_time = False
        bench.deliver("e1")
        bench.deliver("e2")
        await bench.quiet()
        assert calls(bench) == {"create": 1, "messages": 1, "interact": 1}


async def test_after_an_error_the_newest_message_is_asked_for_again() -> None:
    async with alone() as bench:
        bench.deliver("e1")
        await bench.quiet()
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.SAVED))
        bench.deliver("e2")
        await bench.quiet()
        since = len(bench.agent.journal)
        bench.deliver("e3")
        bench.deliver("e4")
        await bench.quiet()
        assert calls(bench, since) == {"messages": 1, "interact": 2}


@pytest.mark.parametrize("deletes", [[], ["topic"]])
async def test_a_tag_event_is_remembered_for_those_that_join_later(deletes: list[str]) -> None:
    async with alone() as bench:
        bench.deliver("e1", tags={"topic": "bill"})
        bench.deliver("t1", kind="tag", message=None, tags={"new": "1"}, delete_tags=deletes)
        await bench.quiet()
        since = len(bench.agent.journal)
        bench.deliver("e2", tags={"new": "1"})
        bench.deliver("e3", tags={"topic": "bill"})
        await bench.quiet()
        assert calls(bench, since) == {"interact": 2} | ({"modify_tags": 1} if deletes else {})


async def test_tags_whose_change_is_in_doubt_are_looked_up() -> None:
    async with alone() as bench:
        bench.deliver("e1")
        await bench.quiet()
        bench.agent.fail("modify_tags", Lost("reset"))
        bench.deliver("t1", kind="tag", message=None, tags={"new": "1"})
        await bench.quiet()
        since = len(bench.agent.journal)
        bench.deliver("e2", tags={"new": "1"})
        await bench.quiet()
        assert calls(bench, since) == {"conversations": 1, "interact": 1}


# What is read where it is in doubt.


@pytest.mark.parametrize(("said_s", "heard", "dead"), [(90.0, 2, []), (10.0, 1, ["uncertain"])])
async def test_what_a_person_said_since_the_lanes_last_event_is_not_taken_for_the_events_own(
    said_s: float, heard: int, dead: list[str]
) -> None:
    """The newest message was remembered: the API's own clock tells what came before the request, or nobody can."""
    async with alone() as bench:
        bench.deliver("e1", "First")
        await bench.quiet()
        bench.agent.converse(bench.agent.talks[0], "Disk full")
        await bench.wait(said_s)
        bench.agent.script(refused(Lost("reset")))
        bench.deliver("e2", "Disk full")
        await bench.quiet()
        assert bench.agent.heard("Disk full") == heard
        assert bench.dead() == dead
        assert not any("recovered" in message.headers for message in bench.out("e2"))


@pytest.mark.parametrize("words", [1, 5_000])
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("lost", [answered(said("Hel"), Lost("cut"), fate=Fate.SAVED), refused(Lost("r"), Fate.SAVED)])
async def test_an_interact_is_read_back_to_its_watermark(words: int, warm: bool, lost: object) -> None:
    async with alone() as bench:
        somebodys(bench, words)
        if warm:
            bench.deliver("e0")
            await bench.quiet()
        bench.agent.script(lost)  # type: ignore[arg-type]
        bench.deliver("e1")
        await bench.quiet()
        looks = 1 if warm else 2
        assert calls(bench)["messages"] == looks + (1 if warm else 0)
        assert bench.out("e1")[-1].headers["recovered"] is True
        assert bench.agent.heard("Tell e1") == 1


async def test_an_interact_is_read_page_by_page_where_much_was_said_after_it() -> None:
    async with alone() as bench:
        talk = somebodys(bench)
        bench.agent.script(refused(Lost("reset"), Fate.SAVED))
        bench.deliver("e1")
        await bench.until(lambda: bench.agent.calls("interact"), "the interact")
        for number in range(60):
            bench.agent.converse(talk, f"After {number}")
        await bench.quiet()
        assert calls(bench)["messages"] == 1 + 3  # the watermark; 122 messages and it, 50 to a page
        assert bench.out("e1")[-1].headers["recovered"] is True


@pytest.mark.parametrize("later", [0, 5_000])
async def test_of_an_own_conversation_the_first_page_is_read(later: int) -> None:
    async with alone() as bench:
        crowd(bench, 1_000)
        talk = bench.agent.open(USER, SERVICE, tags={**OWN, "bridge_event": event_tag("e1")})
        bench.agent.converse(talk, "Tell e1")
        for number in range(later):
            bench.agent.converse(talk, f"After {number}")
        bench.agent.others.clear()
        bench.deliver("e1", redelivered=True)
        await bench.quiet()
        assert calls(bench) == {"conversations": 1, "messages": 1}
        assert bench.said("interaction-complete")[0]["full_message"] == "Answer to Tell e1"


async def test_an_own_conversation_that_is_over_is_looked_for_by_its_tag() -> None:
    async with alone() as bench:
        talk = bench.agent.open(USER, SERVICE, tags={**OWN, "bridge_event": event_tag("e1")})
        bench.agent.converse(talk, "Tell e1")
        talk.finished = True
        crowd(bench, 1_000, bridge_event=event_tag("another"))
        bench.agent.others.clear()
        bench.deliver("e1", redelivered=True)
        await bench.quiet()
        assert calls(bench) == {"conversations": 2, "messages": 1}
        assert bench.said("interaction-complete")[0]["conversation_completed"] is True


async def test_where_the_api_ignores_the_tag_not_found_counts_only_once_the_list_was_read_to_its_end() -> None:
    async with alone() as bench:
        talk = bench.agent.open(USER, SERVICE, tags={**OWN, "bridge_event": event_tag("e1")})
        bench.agent.converse(talk, "Tell e1")
        talk.finished = True
        crowd(bench, 250)
        bench.agent.others.clear()
        bench.agent.filters_tags = False
        bench.deliver("e1", redelivered=True)
        await bench.quiet()
        assert calls(bench) == {"conversations": 1 + 3, "messages": 1}
        assert bench.attempts() == 0


async def test_where_the_api_ignores_that_only_unfinished_ones_are_wanted_the_open_one_is_joined() -> None:
    async with alone() as bench:
        crowd(bench, 250)
        talk = somebodys(bench)
        bench.agent.filters_finished = False
        bench.deliver("e1")
        await bench.quiet()
        assert calls(bench) == {"create": 1, "conversations": 1, "messages": 1, "interact": 1}
        assert talk.messages[-2].text == "Tell e1"


async def test_not_found_costs_two_lists_however_many_conversations_there_are() -> None:
    async with alone() as bench:
        crowd(bench, 1_000)
        bench.deliver("e1", redelivered=True)
        await bench.quiet()
        assert calls(bench) == {"conversations": 2, "create": 1}


@pytest.mark.parametrize("hidden", ["messages", "everything"])
async def test_an_interact_whose_messages_this_role_is_not_shown_is_uncertain(hidden: str) -> None:
    async with alone() as bench:
        bench.deliver("e0")
        await bench.quiet()
        bench.agent.shows_messages = False
        bench.agent.lists = hidden == "messages"
        bench.agent.script(refused(Lost("reset"), Fate.SAVED))
        bench.deliver("e1")
        await bench.quiet()
        assert bench.dead() == ["uncertain"]
        missing = {"messages": "Conversation:GetMessage", "everything": "Conversation:GetConversation"}
        assert missing[hidden] in str(bench.reconciler.sight.missing)


async def test_an_interact_with_a_conversation_that_is_gone_starts_a_new_one_where_this_role_lists() -> None:
    async with alone() as bench:
        bench.deliver("e0", user_id="user-2")
        await bench.quiet()
        talk = somebodys(bench)
        bench.deliver("e1")
        await bench.quiet()
        bench.agent.script(refused(Lost("reset")))
        bench.agent.before["messages"] = lambda: setattr(talk, "gone", True)
        bench.deliver("e2")
        await bench.quiet()
        assert bench.types("e2")[-1] == "interaction-complete"
        assert bench.agent.heard("Tell e2") == 1


@pytest.mark.parametrize("status", [403, 422, 425])
@pytest.mark.parametrize("operation", ["conversations", "messages"])
async def test_a_look_that_a_person_must_mend_proves_nothing(status: int, operation: str) -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.EMPTY))
        bench.agent.fail(operation, Refused("list", status, ""))
        bench.deliver()
        await bench.quiet()
        assert bench.dead() == ["uncertain"]
