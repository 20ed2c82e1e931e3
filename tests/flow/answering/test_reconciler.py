"""docs/semantics.md, What the API shows: what became of a request is asked, and never guessed."""

import pytest

from bridge.core.errors import Lost, NotSent, Refused, TooEarly, Unavailable
from bridge.core.event.event_fields import OnBusy
from bridge.core.event.route import Route
from bridge.core.event.tags import event_tag
from tests.support.fakes import FakeRoutes, Fate, Gate, Play, Talk, answered, complete, error, opening, refused, said
from tests.support.flow_bench import SERVICE, USER, Bench


def own(bench: Bench, event_id: str = "e1") -> Talk:
    """A conversation that an earlier delivery of the event has started."""
    return bench.agent.open(
        USER, SERVICE, tags={"channel": "api", "channel_type": "async", "bridge_event": event_tag(event_id)}
    )


def operations(bench: Bench) -> list[str]:
    return [call.operation for call in bench.agent.journal if call.operation != "probe"]


async def test_a_first_delivery_is_started_without_asking() -> None:
    async with Bench() as bench:
        bench.deliver()
        await bench.quiet()
        assert operations(bench) == ["create"]


async def test_a_first_delivery_is_started_whatever_its_publisher_wrote_into_its_counts() -> None:
    """A tool that moves dead letters copies them with the counts that it saw."""
    async with Bench() as bench:
        bench.deliver(headers={"x-delivery-count": 50, "x-acquired-count": 7})
        await bench.quiet()
        assert operations(bench) == ["create"]


async def test_a_redelivered_event_that_was_answered_is_recovered_and_nothing_is_started() -> None:
    async with Bench() as bench:
        talk = own(bench)
        bench.agent.converse(talk, "Tell e1")
        bench.agent.others.clear()
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.attempts() == 0
        assert bench.order() == ["interaction-complete", "ack"]
        (ending,) = bench.said("interaction-complete")
        assert ending == {
            "type": "interaction-complete",
            "message_id": talk.messages[1].id,
            "interaction_id": talk.messages[1].interaction_id,
            "full_message": "Answer to Tell e1",
            "conversation_completed": False,
        }


async def test_a_recovered_ending_says_so_with_a_stream_of_its_own_and_the_endings_id() -> None:
    async with Bench() as bench:
        talk = own(bench)
        bench.agent.converse(talk, "Tell e1")
        bench.agent.others.clear()
        bench.deliver(redelivered=True, channel="sms")
        await bench.quiet()
        (message,) = bench.out()
        assert message.message_id == "e1:interaction-complete"
        assert message.routing_key == "text.sms.interaction-complete"
        assert message.headers["recovered"] is True
        assert message.headers["sequence"] == 1
        assert len(message.headers["stream"]) == 12
        assert message.headers["conversation_id"] == talk.id


async def test_the_event_is_the_first_interaction_of_its_own_conversation_whatever_came_after_it() -> None:
    async with Bench() as bench:
        talk = own(bench)
        bench.agent.converse(talk, "Tell e1")
        bench.agent.converse(talk, "Something later")
        bench.agent.others.clear()
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.said("interaction-complete")[0]["full_message"] == "Answer to Tell e1"


async def test_a_conversation_that_is_over_says_so_in_the_recovered_ending() -> None:
    async with Bench() as bench:
        talk = own(bench)
        bench.agent.converse(talk, "Tell e1")
        bench.agent.others.clear()
        talk.finished = True
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.said("interaction-complete")[0]["conversation_completed"] is True


async def test_another_events_conversation_proves_nothing() -> None:
    async with Bench() as bench:
        talk = own(bench, "another")
        bench.agent.converse(talk, "Tell another")
        talk.finished = True
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.attempts() == 1
        assert bench.agent.heard("Tell e1") == 1


async def test_an_own_conversation_that_still_runs_is_waited_for_and_then_recovered() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.SAVED, settles_s=40.0))
        bench.deliver()
        await bench.quiet()
        assert bench.attempts() == 1
        assert len(bench.agent.calls("finish")) > 1
        assert bench.out()[-1].headers["recovered"] is True
        assert bench.agent.heard("Tell e1") == 1


async def test_an_own_conversation_that_still_runs_and_is_then_rolled_back_is_started_again() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.ROLLED_BACK, settles_s=40.0))
        bench.deliver()
        await bench.quiet()
        creates = bench.agent.calls("create")
        assert len(creates) == 2
        assert creates[1].at_s - creates[0].at_s > 40.0
        assert bench.types()[2] == "bridge-voided"


@pytest.mark.parametrize("over", [False, True])
async def test_a_create_that_is_committed_late_and_listed_only_then_is_not_made_twice(over: bool) -> None:
    """Not found twice, then 409 because it still runs: that is no proof that nothing was carried out."""
    async with Bench() as bench:
        bench.agent.lists_running = False
        bench.agent.script(Play((opening, said("Hel"), Lost("cut")), Fate.SAVED, settles_s=40.0, over=over))
        bench.deliver()
        await bench.quiet()
        bench.agent.overlaps = 0  # only creating tells whether the first one still runs (409)
        assert bench.agent.heard("Tell e1") == 1
        assert bench.out()[-1].headers["recovered"] is True


@pytest.mark.parametrize("empty", ["refuses", "keeps", "deletes"])
async def test_an_own_conversation_that_is_empty_is_finished_and_the_event_told_once(empty: str) -> None:
    async with Bench() as bench:
        bench.agent.finish_of_empty = empty
        bench.agent.script(answered(Lost("cut"), fate=Fate.EMPTY))
        bench.deliver()
        await bench.quiet()
        assert len(bench.agent.calls("finish")) == 1
        assert bench.attempts() == 2
        assert bool(bench.agent.calls("interact")) == (empty == "refuses")
        assert bench.agent.heard("Tell e1") == 1
        assert bench.types()[-1] == "interaction-complete"


async def test_an_own_conversation_that_turns_out_answered_when_it_is_finished_is_recovered() -> None:
    """The interaction is committed between the look at the messages and the finish."""
    async with Bench() as bench:
        talk = own(bench)
        bench.agent.before["finish"] = lambda: bench.agent.converse(talk, "Tell e1")
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.attempts() == 0
        assert bench.out()[-1].headers["recovered"] is True


@pytest.mark.parametrize("settle_s", [2.0, 7.0])
async def test_not_found_twice_at_least_settle_apart_is_started(settle_s: float) -> None:
    async with Bench(settle_s=settle_s) as bench:
        bench.deliver(redelivered=True)
        await bench.quiet()
        looks = [call.at_s for call in bench.agent.calls("conversations")]
        (create,) = bench.agent.calls("create")
        assert len(looks) == 2
        assert looks[1] - looks[0] >= settle_s - 1e-6
        assert create.at_s >= looks[1]


async def test_a_conversation_that_the_list_shows_late_is_still_found() -> None:
    async with Bench() as bench:
        bench.agent.listing_lag_s = 1.5
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.SAVED))
        bench.deliver()
        await bench.quiet()
        assert bench.attempts() == 1
        assert bench.out()[-1].headers["recovered"] is True


async def test_messages_that_are_not_listed_prove_nothing() -> None:
    async with Bench() as bench:
        talk = own(bench)
        bench.agent.converse(talk, "Tell e1")
        bench.agent.others.clear()
        bench.agent.shows_messages = False
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.dead() == ["uncertain"]
        assert bench.attempts() == 0
        assert "Conversation:GetMessage" in str(bench.reconciler.sight.missing)


async def test_a_role_that_lists_nothing_proves_nothing() -> None:
    async with Bench() as bench:
        bench.deliver("e0")
        await bench.quiet()
        bench.agent.lists = False
        bench.deliver("e1", redelivered=True)
        await bench.quiet()
        assert bench.dead() == ["uncertain"]
        assert [call.text for call in bench.agent.calls("create", "interact")] == ["Tell e0"]
        assert "Conversation:GetConversation" in str(bench.reconciler.sight.missing)


async def test_the_missing_permission_is_no_longer_named_once_it_is_there() -> None:
    async with Bench() as bench:
        bench.deliver("e0")
        await bench.quiet()
        bench.agent.lists = False
        bench.deliver("e1", redelivered=True)
        await bench.quiet()
        bench.agent.lists = True
        bench.deliver("e2", user_id="user-2", redelivered=True)
        bench.agent.open("user-2", SERVICE).finished = True
        await bench.quiet()
        assert bench.reconciler.sight.missing is None
        assert bench.types("e2")[-1] == "interaction-complete"


@pytest.mark.parametrize("status", [403, 404, 422])
async def test_where_asking_itself_is_refused_nothing_is_started(status: int) -> None:
    async with Bench() as bench:
        bench.agent.break_down("conversations", Refused("list", status, "No."))
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.dead() == ["uncertain"]
        assert bench.attempts() == 0


@pytest.mark.parametrize(
    "trouble",
    [
        Lost("reset"),
        NotSent("no connection"),
        Unavailable("503"),
        Refused("list", 500, ""),
        Refused("list", 408, ""),
        Refused("list", 409, ""),
        TooEarly("429", 20.0),
    ],
)
@pytest.mark.parametrize("operation", ["conversations", "messages", "finish"])
async def test_trouble_while_asking_is_a_pause_and_the_question_is_asked_again(
    trouble: Exception, operation: str
) -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.EMPTY))
        bench.agent.fail(operation, trouble, trouble)
        bench.deliver()
        await bench.quiet()
        assert bench.dead() == []
        assert bench.agent.heard("Tell e1") == 1
        assert bench.out()[-1].headers["attempt"] == 2


async def test_a_long_maintenance_does_not_use_up_the_looks_at_a_conversation_that_runs() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.SAVED, settles_s=5_000.0))
        bench.agent.fail("conversations", *[TooEarly("429", 60.0)] * 30)
        bench.deliver()
        await bench.until(lambda: bench.agent.calls("finish"), "the first look")
        bench.agent.talks[0].running = False
        await bench.wait(1.0)
        bench.agent.converse(bench.agent.talks[0], "Tell e1")
        bench.agent.others.clear()
        await bench.quiet()
        assert bench.dead() == []
        assert bench.types()[-1] == "interaction-complete"


async def test_an_event_that_is_answered_never_is_uncertain_in_the_end() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.HEARD))
        bench.deliver()
        await bench.quiet(20_000)
        assert bench.dead() == ["uncertain"]
        assert bench.attempts() == 1


async def test_a_delayed_copy_brings_its_record_and_the_proof_with_it() -> None:
    """The retry waits in a delay queue, so nothing but the copy's header knows of the first attempt."""
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.SAVED))
        bench.deliver()
        await bench.quiet()
        (copy,) = bench.republisher.delayed
        assert copy.headers["x-bridge-attempt"] == 1
        assert bench.attempts() == 1
        assert bench.types() == ["conversation-created", "new-message", "interaction-complete"]


async def test_a_delayed_copy_that_cannot_be_read_is_asked_about() -> None:
    async with Bench() as bench:
        bench.deliver(headers={"x-bridge-progress": "rubbish", "x-bridge-attempt": 1, "x-bridge-copies": 1})
        await bench.quiet()
        assert operations(bench) == ["conversations", "conversations", "create"]


async def test_a_delayed_copy_without_a_record_made_no_request_and_is_started() -> None:
    async with Bench() as bench:
        bench.deliver(headers={"x-bridge-attempt": 0, "x-bridge-pauses": 3, "x-bridge-copies": 1})
        await bench.quiet()
        assert operations(bench) == ["create"]


async def test_redelivered_while_only_an_open_conversation_can_have_it_and_the_same_text_is_there_is_uncertain() -> (
    None
):
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "Tell e1")
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.dead() == ["uncertain"]
        assert bench.attempts() == 0


async def test_redelivered_and_the_open_conversation_has_no_such_text_twice_is_delivered_into_it() -> None:
    async with Bench() as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "Something else")
        bench.deliver(redelivered=True)
        await bench.quiet()
        looks = [call.at_s for call in bench.agent.calls("messages")]
        assert looks[1] - looks[0] >= 2.0 - 1e-6
        assert [call.conversation_id for call in bench.agent.calls("interact")] == [talk.id]


async def test_redelivered_agent_first_into_an_open_conversation_cannot_be_told() -> None:
    async with Bench() as bench:
        bench.agent.converse(bench.agent.open(USER, SERVICE), "Something else")
        bench.deliver(message=None, kind="agent-first", redelivered=True)
        await bench.quiet()
        assert bench.dead() == ["uncertain"]


@pytest.mark.parametrize("on_busy", [OnBusy.WAIT, OnBusy.FINISH, OnBusy.REJECT])
async def test_where_the_route_never_interacts_a_redelivered_event_is_exact_without_a_ledger(on_busy: OnBusy) -> None:
    async with Bench(routes=FakeRoutes(Route("r", on_busy=on_busy))) as bench:
        talk = bench.agent.open(USER, SERVICE)
        bench.agent.converse(talk, "Tell e1")
        talk.finished = True
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert [call.operation for call in bench.agent.calls("create", "interact")] == ["create"]


async def test_an_own_conversation_that_is_over_and_empty_is_not_asked_about_for_ever() -> None:
    """Finished and still listed, while another conversation of the user is open: neither wait nor start goes on."""
    async with Bench() as bench:
        own(bench).finished = True
        other = bench.agent.open(USER, SERVICE)
        bench.agent.converse(other, "Something else")
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.agent.heard("Tell e1") == 1
        assert len(bench.agent.journal) < 50


async def test_an_answer_that_came_while_the_broker_was_away_is_not_asked_for_twice() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(said("Hel"), api_breaker, complete()))
        first = bench.deliver()
        await api_breaker.reached.wait()
        bench.redeliver(first)
        api_breaker.open()
        await bench.quiet()
        assert bench.attempts() == 1


async def test_a_void_that_left_its_conversation_behind_is_found_before_the_next_start() -> None:
    async with Bench() as bench:
        bench.agent.script(Play((opening, error(500)), Fate.EMPTY))
        bench.deliver()
        await bench.quiet()
        assert [call.operation for call in bench.agent.calls("create", "finish")] == ["create", "finish", "create"]
        assert bench.agent.heard("Tell e1") == 1


async def test_the_record_of_a_request_without_a_stream_voids_nothing() -> None:
    async with Bench() as bench:
        bench.agent.script(refused(Lost("reset")))
        bench.deliver()
        await bench.quiet()
        assert "bridge-voided" not in bench.types()
