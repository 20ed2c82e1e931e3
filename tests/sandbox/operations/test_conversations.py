"""One conversation's life: create, interact, finish, and what the lists show of it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bridge.sandbox.script.actions import ALL_TYPES
from tests.sandbox.caller import SERVICE, Caller
from tests.sandbox.conftest import Start

OTHER_SERVICE = "5f0000000000000000000002"
UNKNOWN = "a" * 24
SLOWLY = "[[reply:slow=0.05]] tell me"


async def test_a_create_streams_created_actions_pieces_and_complete_in_this_order(caller: Caller) -> None:
    answer = await caller.create("Invoice 7 over 120 EUR is overdue")
    order = list(dict.fromkeys(answer.types))
    assert answer.status == 201
    assert order == ["conversation-created", "current-agent-action", "new-message", "interaction-complete"]
    assert set(answer.ending) == {"type", "message_id", "interaction_id", "full_message", "conversation_completed"}


async def test_the_pieces_add_up_to_the_full_message_and_only_the_last_one_stops(caller: Caller) -> None:
    answer = await caller.create("Invoice 7 over 120 EUR is overdue")
    pieces = answer.of("new-message")
    assert "".join(piece["message"] for piece in pieces) == answer.ending["full_message"]
    assert [piece["sequence_number"] for piece in pieces] == list(range(1, len(pieces) + 1))
    assert [piece["stop"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert {piece["message_id"] for piece in pieces} == {answer.ending["message_id"]}


@pytest.mark.parametrize(
    ("message", "echoed"),
    [
        ('{"amount": 42.5, "customer": {"name": "Jane Doe"}}', ["amount is 42.5", "customer name is Jane Doe"]),
        ("The bill of John Smith over 99,50 EUR is due", ["99,50 EUR", "John Smith"]),
    ],
)
async def test_the_answer_echoes_the_facts_of_the_event(caller: Caller, message: str, echoed: list[str]) -> None:
    text = (await caller.create(message)).ending["full_message"]
    assert all(fact in text for fact in echoed), text


async def test_without_a_message_the_agent_speaks_first(caller: Caller) -> None:
    answer = await caller.create()
    (message,) = await caller.messages(answer.conversation_id)
    assert message["message_type"] == "agent-message"
    assert message["message"] == answer.ending["full_message"]


async def test_an_interact_announces_a_message_that_can_be_found_again(caller: Caller) -> None:
    created = await caller.create()
    answer = await caller.interact(created.conversation_id, "My name is Ada")
    announced = answer.events[0]
    (found,) = await caller.messages(created.conversation_id, id=announced["message_id"])
    assert answer.status == 200
    assert announced["type"] == "user-message-available"
    assert announced["user_message"] == found["message"] == "My name is Ada"
    assert found["interaction_id"] == answer.ending["interaction_id"]


async def test_all_24_action_types_occur_over_time(caller: Caller) -> None:
    answers = [await caller.create()]
    answers += [await caller.interact(answers[0].conversation_id, f"Message {number}") for number in range(3)]
    seen = {event["action"]["type"] for answer in answers for event in answer.of("current-agent-action")}
    assert seen == set(ALL_TYPES)
    assert len(ALL_TYPES) == 24


@pytest.mark.parametrize(("pattern", "expected"), [("^$", set()), ("^select-.*generated$", {ALL_TYPES[0]})])
async def test_the_action_pattern_is_matched_on_the_inner_type(
    caller: Caller, pattern: str, expected: set[str]
) -> None:
    answer = await caller.create(params={"current_agent_action_type": pattern})
    assert {event["action"]["type"] for event in answer.of("current-agent-action")} == expected


async def test_one_unfinished_conversation_for_each_user_and_service(start: Start) -> None:
    caller = await start()
    first = await caller.create()
    assert (await caller.create()).status == 400
    assert (await caller.create(body={"service_id": OTHER_SERVICE})).status == 201
    assert await caller.finish(first.conversation_id) == 204
    assert (await caller.create()).status == 201


async def test_other_users_do_not_stand_in_each_others_way(caller: Caller) -> None:
    await caller.create()
    other = await Caller(caller.session, caller.base_url, "user-2").sign_in()
    assert (await other.create()).status == 201


async def test_while_a_stream_is_open_everything_else_on_it_is_refused(caller: Caller) -> None:
    created = await caller.create()
    started = asyncio.Event()
    slow = asyncio.create_task(caller.interact(created.conversation_id, SLOWLY, started=started))
    await started.wait()
    assert (await caller.interact(created.conversation_id)).status == 409
    assert await caller.finish(created.conversation_id) == 409
    assert (await caller.create()).status == 400
    assert (await slow).ending
    assert await caller.finish(created.conversation_id) == 204


async def test_the_lock_is_gone_when_the_client_sees_the_end(caller: Caller) -> None:
    created = await caller.create()
    for number in range(20):
        assert (await caller.interact(created.conversation_id, f"Message {number}")).status == 200


async def test_nothing_of_an_interaction_is_visible_before_its_commit(caller: Caller) -> None:
    started = asyncio.Event()
    slow = asyncio.create_task(caller.create(SLOWLY, started=started))
    await started.wait()
    rows = await caller.conversations(is_finished="false")
    assert rows[0]["num_messages"] == 0
    assert await caller.messages(rows[0]["id"]) == []
    assert await caller.committed() == []
    await slow
    assert len(await caller.messages(rows[0]["id"])) == 2


async def test_a_second_finish_is_409_and_so_is_an_interact_after_it(caller: Caller) -> None:
    created = await caller.create()
    assert await caller.finish(created.conversation_id) == 204
    assert await caller.finish(created.conversation_id) == 409
    assert (await caller.interact(created.conversation_id)).status == 409


@pytest.mark.parametrize(("switch", "status", "left"), [("delete", 204, 0), ("refuse", 400, 1)])
async def test_finishing_an_empty_conversation_deletes_it_or_is_refused(
    start: Start, switch: str, status: int, left: int
) -> None:
    caller = await start(finish_empty=switch)
    created = await caller.create("hello [[fault:cut-before-commit;keep=1]]")
    assert created.was_cut
    assert await caller.finish(created.conversation_id) == status
    assert len(await caller.conversations()) == left


async def test_a_goodbye_finishes_the_conversation_by_itself(caller: Caller) -> None:
    created = await caller.create()
    answer = await caller.interact(created.conversation_id, "Goodbye and thanks")
    (row,) = await caller.conversations()
    assert answer.ending["conversation_completed"] is True
    assert row["is_finished"] is True


@pytest.mark.parametrize("path", ["/finish/", "/interact?request_format=text&response_format=text"])
async def test_an_unknown_conversation_is_404(caller: Caller, path: str) -> None:
    if path == "/finish/":
        assert await caller.finish(UNKNOWN) == 404
    else:
        assert (await caller.interact(UNKNOWN)).status == 404


async def test_external_events_are_inserted_before_the_message_in_order(caller: Caller) -> None:
    created = await caller.create()
    (greeting,) = await caller.messages(created.conversation_id)
    greeted = datetime.fromisoformat(greeting["created_at"])
    external = [(name, (greeted + timedelta(milliseconds=1)).isoformat()) for name in ("first", "second")]
    await caller.interact(created.conversation_id, "now", "external-event", external=external)
    rows = await caller.messages(created.conversation_id, sort_by="+created_at")
    assert [row["message"] for row in rows[1:4]] == ["first", "second", "now"]
    assert {row["message_type"] for row in rows[1:4]} == {"external-event"}


async def test_an_event_time_may_be_some_seconds_ahead_but_not_more(caller: Caller) -> None:
    created = await caller.create()
    soon, late = (datetime.now(UTC) + timedelta(seconds=ahead) for ahead in (3, 60))
    far = await caller.interact(created.conversation_id, external=[("late", late.isoformat())])
    near = await caller.interact(created.conversation_id, external=[("soon", soon.isoformat())])
    assert (near.status, far.status) == (200, 400)


async def test_an_event_time_before_the_last_message_or_out_of_order_is_400(caller: Caller) -> None:
    created = await caller.create()
    soon, sooner = (datetime.now(UTC) + timedelta(seconds=ahead) for ahead in (3, 2))
    old = await caller.interact(created.conversation_id, external=[("old", "2020-01-01T00:00:00Z")])
    swapped = [("soon", soon.isoformat()), ("sooner", sooner.isoformat())]
    assert old.status == 400
    assert (await caller.interact(created.conversation_id, external=swapped)).status == 400


async def test_a_skip_says_nothing_and_is_answered(caller: Caller) -> None:
    created = await caller.create()
    answer = await caller.interact(created.conversation_id, "", "skip")
    rows = await caller.messages(created.conversation_id)
    assert "user-message-available" not in answer.types
    assert answer.ending["full_message"] == rows[-1]["message"]
    assert len(rows) == 2


async def test_lists_page_by_offset_and_sort_only_when_asked(caller: Caller) -> None:
    ids = [(await caller.create(body={"service_id": f"{number:024x}"})).conversation_id for number in range(1, 6)]
    first = await caller.get("/conversation/", limit=2, sort_by="-created_at")
    second = await caller.get("/conversation/", limit=4, continuation_token=2, sort_by="-created_at")
    assert [row["id"] for row in first["conversations"] + second["conversations"]] == ids[::-1]
    assert (first["has_more"], first["continuation_token"]) == (True, 2)
    assert (second["has_more"], second["continuation_token"]) == (False, None)


async def test_the_list_filters_by_user_service_state_and_id(caller: Caller) -> None:
    one = await caller.create()
    two = await caller.create(body={"service_id": OTHER_SERVICE})
    await caller.finish(two.conversation_id)
    assert [r["id"] for r in await caller.conversations(is_finished="true")] == [two.conversation_id]
    assert [r["id"] for r in await caller.conversations(service_id=SERVICE)] == [one.conversation_id]
    assert [r["id"] for r in await caller.conversations(id=two.conversation_id)] == [two.conversation_id]
    assert await caller.conversations(user_id="somebody-else") == []


async def test_the_list_shows_a_finish_only_after_the_configured_lag(start: Start) -> None:
    caller = await start(finish_lag_s=30)
    created = await caller.create()
    await caller.finish(created.conversation_id)
    assert (await caller.conversations())[0]["is_finished"] is False
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": 31})
    assert (await caller.conversations())[0]["is_finished"] is True


async def test_nothing_is_created_while_the_one_before_is_still_finishing(start: Start) -> None:
    caller = await start(finishing_s=30)
    created = await caller.create()
    assert (await caller.create()).status == 400
    assert await caller.finish(created.conversation_id) == 204
    assert (await caller.create()).status == 409
    assert (await caller.interact(created.conversation_id)).status == 409
    assert (await caller.create(body={"service_id": OTHER_SERVICE})).status == 201
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": 31})
    assert (await caller.create("Good-bye")).status == 201


async def test_what_the_agent_finished_is_finishing_too(start: Start) -> None:
    caller = await start(finishing_s=30)
    await caller.create("That is all [[reply:finish]]")
    assert (await caller.create()).status == 409
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": 31})
    assert (await caller.create()).status == 201


async def test_messages_filter_by_type_and_interaction_and_page(caller: Caller) -> None:
    created = await caller.create("An event")
    answer = await caller.interact(created.conversation_id, "A question")
    agents = await caller.messages(created.conversation_id, message_type="agent-message")
    of_one = await caller.messages(created.conversation_id, interaction_id=answer.ending["interaction_id"])
    page = await caller.get(f"/conversation/{created.conversation_id}/messages/", limit=3, sort_by="-created_at")
    assert [row["message_type"] for row in agents] == ["agent-message", "agent-message"]
    assert [row["message"] for row in of_one] == ["A question", answer.ending["full_message"]]
    assert page["messages"][0]["id"] == answer.ending["message_id"]
    assert page["continuation_token"] == 3


async def test_tags_are_set_at_create_changed_by_modify_and_filter_the_list(caller: Caller) -> None:
    tags = {"channel": " web-chat ", "urgent": None}
    created = await caller.create(body={"tags": tags})
    change = {"updates": {"channel": "sms", "team": "blue"}, "deletes": ["urgent"]}
    assert len(await caller.conversations(tag="channel:web-chat")) == 1
    assert len(await caller.conversations(tag="urgent:")) == 1
    status, _ = await caller.ask("POST", f"/conversation/{created.conversation_id}/tags/", change)
    (row,) = await caller.conversations(tag="channel:*")
    assert status == 204
    assert row["tags"] == {"channel": "sms", "team": "blue"}
    assert await caller.conversations(tag="urgent:") == []


async def test_more_than_twenty_tags_in_all_are_400(caller: Caller) -> None:
    created = await caller.create(body={"tags": {f"key {number}": "x" for number in range(20)}})
    path = f"/conversation/{created.conversation_id}/tags/"
    assert (await caller.ask("POST", path, {"updates": {"one more": "x"}}))[0] == 400
    assert (await caller.ask("POST", path, {"updates": {"one more": "x"}, "deletes": ["key 0"]}))[0] == 204
