"""docs/semantics.md, A busy user: what the route says while the user has another unfinished conversation."""

import pytest

from bridge.core.errors import Lost, NotSent, Refused, TooEarly, Unavailable
from bridge.core.event.event_fields import OnBusy
from bridge.core.event.route import Route
from tests.support.fakes import FakeRoutes, Fate, Talk, answered, complete, error, refused, said
from tests.support.flow_bench import SERVICE, USER, Bench


def somebodys(bench: Bench, channel: str = "api", channel_type: str = "async", **tags: str) -> Talk:
    """An open conversation that the event has nothing to do with."""
    talk = bench.agent.open(USER, SERVICE, tags={"channel": channel, "channel_type": channel_type, **tags})
    bench.agent.converse(talk, "Before")
    return talk


def routed(on_busy: OnBusy) -> FakeRoutes:
    return FakeRoutes(Route("r", on_busy=on_busy))


def operations(bench: Bench) -> list[str]:
    return [call.operation for call in bench.agent.journal if call.operation != "probe"]


# interact


async def test_interact_delivers_the_event_into_the_open_conversation() -> None:
    async with Bench() as bench:
        talk = somebodys(bench)
        bench.deliver()
        await bench.quiet()
        assert [message.text for message in talk.messages[2:]] == ["Tell e1", "Answer to Tell e1"]
        assert bench.types() == ["user-message-available", "new-message", "interaction-complete"]
        assert bench.out()[0].headers["conversation_id"] == talk.id
        assert bench.attempts() == 2


async def test_interact_updates_the_channel_tags_first_where_the_channel_differs() -> None:
    async with Bench() as bench:
        talk = somebodys(bench, "phone", "voice", source="crm")
        bench.deliver(channel="sms", tags={"topic": "bill"})
        await bench.quiet()
        assert talk.tags == {"channel": "sms", "channel_type": "text", "source": "crm", "topic": "bill"}
        (call,) = bench.agent.calls("modify_tags")
        assert call.tags == {"channel": "sms", "channel_type": "text", "topic": "bill"}
        assert operations(bench).index("modify_tags") < operations(bench).index("interact")


async def test_interact_writes_no_tags_where_none_differ() -> None:
    async with Bench() as bench:
        somebodys(bench, "sms", "text")
        bench.deliver(channel="sms")
        await bench.quiet()
        assert bench.agent.calls("modify_tags") == []


async def test_the_lane_remembers_its_open_conversation_and_saves_the_create() -> None:
    async with Bench() as bench:
        bench.deliver("e1")
        bench.deliver("e2")
        await bench.quiet()
        assert [call.operation for call in bench.agent.calls("create", "conversations", "interact")] == [
            "create",
            "interact",
        ]
        assert bench.out("e2")[0].headers["conversation_id"] == bench.agent.talks[0].id


async def test_a_conversation_that_the_agent_ended_is_not_remembered() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Bye"), complete(done=True)))
        bench.deliver("e1")
        bench.deliver("e2")
        await bench.quiet()
        assert operations(bench) == ["create", "create"]


async def test_a_remembered_conversation_that_is_over_meanwhile_is_forgotten_and_a_new_one_started() -> None:
    async with Bench() as bench:
        bench.deliver("e1")
        await bench.quiet()
        bench.agent.talks[0].finished = True
        bench.deliver("e2")
        await bench.quiet()
        assert [call.operation for call in bench.agent.calls("create", "interact")] == ["create", "interact", "create"]
        assert bench.types("e2")[0] == "conversation-created"
        assert bench.out("e2")[-1].headers["attempt"] == 1


async def test_a_remembered_conversation_that_is_gone_is_forgotten_and_a_new_one_started() -> None:
    async with Bench() as bench:
        bench.deliver("e1")
        await bench.quiet()
        bench.agent.talks[0].gone = True
        bench.deliver("e2", channel="sms")
        await bench.quiet()
        assert bench.types("e2")[-1] == "interaction-complete"
        assert bench.agent.talks[1].tags["channel"] == "sms"


async def test_an_open_conversation_on_which_something_runs_is_waited_for() -> None:
    async with Bench() as bench:
        talk = somebodys(bench)
        talk.running = True
        bench.deliver()
        await bench.wait(20)
        assert bench.types() == []
        talk.running = False
        bench.agent.overlaps = 0
        await bench.quiet()
        assert talk.messages[-2].text == "Tell e1"
        assert {message.headers["attempt"] for message in bench.out()} == {1}


async def test_agent_first_on_a_busy_user_asks_the_agent_to_go_on() -> None:
    async with Bench() as bench:
        talk = somebodys(bench)
        bench.deliver(message=None, kind="agent-first")
        await bench.quiet()
        (call,) = bench.agent.calls("interact")
        assert (call.conversation_id, call.text) == (talk.id, None)
        assert bench.types()[-1] == "interaction-complete"


# The proof of an interact.


@pytest.mark.parametrize("fate", [Fate.ROLLED_BACK, Fate.SAVED])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("later_s", [0.0, 30.0])
async def test_an_interact_that_was_cut_is_delivered_once_whatever_the_api_kept(
    fate: Fate, announced: bool, later_s: float
) -> None:
    async with Bench() as bench:
        somebodys(bench)
        cut = answered(said("Hel"), Lost("cut"), fate=fate, settles_s=later_s)
        bench.agent.script(cut if announced else refused(Lost("cut"), fate, later_s))
        bench.deliver()
        await bench.quiet()
        bench.agent.overlaps = 0  # only interacting tells whether the first one still runs (409)
        assert bench.agent.heard("Tell e1") == 1
        assert bench.types()[-1] == "interaction-complete"
        assert bool(bench.out()[-1].headers.get("recovered")) == (fate is Fate.SAVED)


async def test_an_interact_is_found_by_its_announced_id_whatever_the_text_was_made_into() -> None:
    async with Bench() as bench:
        somebodys(bench)
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.SAVED))
        bench.agent.hears = lambda text: f"[event] {text}"
        bench.deliver()
        await bench.quiet()
        assert bench.out()[-1].headers["recovered"] is True
        assert len(bench.agent.calls("interact")) == 1


async def test_the_same_text_before_the_watermark_is_another_events() -> None:
    async with Bench() as bench:
        talk = somebodys(bench)
        bench.agent.converse(talk, "Tell e1")
        bench.agent.script(refused(Lost("reset")))
        bench.deliver()
        await bench.quiet()
        assert len(bench.agent.calls("interact")) == 2
        assert bench.agent.heard("Tell e1") == 2


async def test_two_events_of_the_same_text_are_both_heard_though_the_second_was_cut() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hi"), complete()), refused(Lost("reset")))
        bench.deliver("e1", "Disk full")
        bench.deliver("e2", "Disk full")
        await bench.quiet()
        assert bench.agent.heard("Disk full") == 2
        assert "recovered" not in bench.out("e2")[-1].headers


async def test_what_somebody_else_said_since_the_lanes_last_event_is_not_taken_for_the_events_own() -> None:
    """Another replica, or a person, tells the agent the same thing between two events of this lane."""
    async with Bench() as bench:
        bench.deliver("e1", "First")
        await bench.quiet()
        bench.agent.converse(bench.agent.talks[0], "Disk full")
        bench.agent.script(refused(Lost("reset")))
        bench.deliver("e2", "Disk full")
        await bench.quiet()
        assert bench.agent.heard("Disk full") == 2
        assert "recovered" not in bench.out("e2")[-1].headers


async def test_an_interact_whose_stream_erred_is_void_and_delivered_again() -> None:
    async with Bench() as bench:
        talk = somebodys(bench)
        bench.agent.script(answered(said("Hel"), error(500)))
        bench.deliver()
        await bench.quiet()
        assert bench.agent.heard("Tell e1") == 1
        assert [call.conversation_id for call in bench.agent.calls("interact")] == [talk.id, talk.id]
        assert bench.types()[3] == "bridge-voided"


# conversation_id given


async def test_an_event_that_names_a_conversation_goes_there_and_nowhere_else() -> None:
    async with Bench() as bench:
        talk = somebodys(bench)
        bench.deliver(conversation_id=talk.id)
        await bench.quiet()
        assert [call.operation for call in bench.agent.calls("create", "interact")] == ["interact"]
        assert talk.messages[-2].text == "Tell e1"


@pytest.mark.parametrize("over", ["finished", "gone"])
async def test_an_event_that_names_a_conversation_which_cannot_go_on_is_rejected(over: str) -> None:
    async with Bench() as bench:
        talk = somebodys(bench)
        setattr(talk, over, True)
        bench.deliver(conversation_id=talk.id)
        await bench.quiet()
        assert bench.dead() == ["rejected"]
        assert bench.agent.calls("create") == []


# wait, finish, reject


async def test_wait_waits_for_the_users_conversation_to_end_and_counts_no_attempt() -> None:
    async with Bench(routes=routed(OnBusy.WAIT)) as bench:
        talk = somebodys(bench)
        bench.deliver()
        await bench.wait(600)
        assert bench.types() == []
        talk.finished = True
        await bench.quiet()
        assert bench.types()[0] == "conversation-created"
        assert {message.headers["attempt"] for message in bench.out()} == {1}
        assert bench.agent.calls("finish", "interact") == []


async def test_finish_finishes_the_open_conversation_and_then_starts() -> None:
    async with Bench(routes=routed(OnBusy.FINISH)) as bench:
        talk = somebodys(bench)
        bench.deliver()
        await bench.quiet()
        assert operations(bench) == ["create", "conversations", "finish", "create"]
        assert talk.finished
        assert bench.types()[0] == "conversation-created"


async def test_finish_waits_where_something_runs_on_the_open_conversation() -> None:
    async with Bench(routes=routed(OnBusy.FINISH)) as bench:
        talk = somebodys(bench)
        talk.running = True
        bench.deliver()
        await bench.wait(10)
        talk.running = False
        bench.agent.overlaps = 0
        await bench.quiet()
        assert talk.finished
        assert bench.types()[-1] == "interaction-complete"


async def test_reject_is_a_dead_letter() -> None:
    async with Bench(routes=routed(OnBusy.REJECT)) as bench:
        talk = somebodys(bench)
        bench.deliver()
        await bench.quiet()
        assert bench.dead() == ["rejected"]
        assert len(talk.messages) == 2
        assert not talk.finished


@pytest.mark.parametrize("on_busy", [OnBusy.WAIT, OnBusy.FINISH, OnBusy.REJECT])
async def test_the_lanes_memory_is_not_used_where_the_route_does_not_interact(on_busy: OnBusy) -> None:
    async with Bench(routes=routed(on_busy)) as bench:
        bench.deliver("e1")
        await bench.quiet()
        bench.deliver("e2")
        await bench.wait(5)
        bench.agent.talks[0].finished = True
        await bench.quiet()
        assert bench.agent.calls("interact") == []


# Refused as busy, but by what?


@pytest.mark.parametrize("on_busy", [OnBusy.INTERACT, OnBusy.WAIT, OnBusy.FINISH])
async def test_a_related_operation_that_runs_unseen_is_waited_for(on_busy: OnBusy) -> None:
    async with Bench(routes=routed(on_busy)) as bench:
        bench.agent.fail("create", *[Refused("create-conversation", 409, "A related operation is in progress.")] * 3)
        bench.deliver()
        await bench.quiet()
        assert bench.dead() == []
        assert {message.headers["attempt"] for message in bench.out()} == {1}


async def test_a_busy_user_whose_conversation_is_not_listed_yet_is_tried_again() -> None:
    async with Bench() as bench:
        talk = somebodys(bench)
        talk.listed_from_s = bench.now_s() + 4.0
        bench.deliver()
        await bench.quiet()
        assert talk.messages[-2].text == "Tell e1"


@pytest.mark.parametrize("trouble", [Lost("reset"), NotSent("no connection"), Unavailable("503"), TooEarly("429", 5.0)])
@pytest.mark.parametrize("operation", ["conversations", "messages", "modify_tags"])
async def test_trouble_on_the_way_to_an_interact_does_not_lose_the_event(trouble: Exception, operation: str) -> None:
    async with Bench() as bench:
        somebodys(bench, "phone", "voice")
        bench.agent.fail(operation, trouble)
        bench.deliver()
        await bench.quiet()
        assert bench.dead() == []
        assert bench.agent.heard("Tell e1") == 1


async def test_a_conversation_that_has_too_many_tags_already_is_rejected() -> None:
    async with Bench() as bench:
        somebodys(bench, **{f"t{number}": "x" for number in range(18)})
        bench.deliver(tags={"one": "more"})
        await bench.quiet()
        assert bench.dead() == ["rejected"]


async def test_conversations_that_change_faster_than_they_can_be_joined_are_waited_for() -> None:
    async with Bench() as bench:
        talk = somebodys(bench)
        bench.agent.fail("interact", *[Refused("interact", 404, "gone")] * 4)
        bench.deliver()
        await bench.quiet()
        assert talk.messages[-2].text == "Tell e1"
