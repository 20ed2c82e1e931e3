"""docs/semantics.md, Outcomes of an attempt, row by row, from the delivery to its settlement."""

from itertools import pairwise
from typing import Any

import pytest

from bridge.core.broker.publish_refusal import NACKED, UNROUTED
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import InvalidEvent, Lost, NotSent, Refused, SignInRefused, TooEarly, Unavailable, UnknownUser
from bridge.core.event.route import Route
from bridge.flow.answering.relay import Limits
from tests.support.fakes import Fate, Play, answered, complete, error, opening, refused, said
from tests.support.flow_bench import Bench

TWO = RetryPolicy(attempts=2)
FAILED = ["copy:rejected", "bridge-failed", "ack"]


def reconciled(bench: Bench) -> list[str]:
    """The calls between the first request for the agent's ear and the second."""
    names = [call.operation for call in bench.agent.journal if call.operation != "probe"]
    heard = [index for index, name in enumerate(names) if name in ("create", "interact")]
    return names[heard[0] + 1 : heard[1]] if len(heard) > 1 else names[heard[0] + 1 :]


def attempt_headers(bench: Bench) -> list[int]:
    return [message.headers["attempt"] for message in bench.out()]


# Unreadable, invalid, no route.


@pytest.mark.parametrize(
    ("fields", "reason", "known"),
    [
        ({"body": b"\xff not json"}, "invalid-event", False),
        ({"body": b"[1]"}, "invalid-event", False),
        ({"body": b"{}"}, "invalid-event", False),
        ({"body": b"[" * 5000}, "invalid-event", False),
        ({"body": b"not json", "properties": {"message_id": "e1"}}, "invalid-event", True),
        ({"body": b'"' + b"x" * 1024 * 1024 + b'"', "properties": {"message_id": "e1"}}, "invalid-event", True),
        ({"kind": "shout"}, "invalid-event", True),
        ({"channel": "fax"}, "invalid-event", True),
        ({"message": " "}, "invalid-event", True),
        ({"message": None}, "invalid-event", True),
        ({"user_id": None}, "invalid-event", True),
        ({"tags": {"channel": "x"}}, "invalid-event", True),
        ({"service_id": "no hex"}, "invalid-event", True),
        ({"service_id": None}, "no-route", True),
    ],
)
async def test_what_can_never_work_is_a_dead_letter_and_the_api_is_not_asked(
    fields: dict[str, Any], reason: str, known: bool
) -> None:
    async with Bench() as bench:
        delivery = bench.deliver(**fields)
        await bench.quiet()
        said_failed = ["bridge-failed"] if known else []
        assert bench.order() == [f"copy:{reason}", *said_failed, "ack"]
        assert [call.operation for call in bench.agent.journal] == ["probe"]
        copy = bench.republisher.copies[0]
        assert (copy.exchange, copy.body) == ("bridge.dead", delivery.incoming.body)


async def test_the_failure_of_an_event_whose_channel_is_unknown_goes_out_as_async_api() -> None:
    async with Bench() as bench:
        bench.deliver(channel="fax")
        await bench.quiet()
        (message,) = bench.out()
        assert message.routing_key == "async.api.bridge-failed"
        assert "channel" not in message.headers
        assert message.message_id == "e1:bridge-failed"


async def test_a_template_that_fails_makes_the_event_invalid_on_the_channel_of_its_route() -> None:
    async with Bench() as bench:
        bench.routes.add(Route("alerts", channel="sms"), InvalidEvent("template message: no", "e1", "sms"))
        bench.deliver()
        await bench.quiet()
        assert bench.dead() == ["invalid-event"]
        assert [message.routing_key for message in bench.out()] == ["text.sms.bridge-failed"]


# Someone must act.


@pytest.mark.parametrize("status", [400, 403, 404, 415, 422, 301])
async def test_a_refusal_that_someone_must_act_upon_is_rejected_at_once(status: int) -> None:
    async with Bench() as bench:
        bench.agent.fail("create", Refused("create-conversation", status, "No."))
        bench.deliver()
        await bench.quiet()
        assert bench.order() == FAILED
        assert bench.attempts() == 1
        (failed,) = bench.said("bridge-failed")
        assert failed == {
            "type": "bridge-failed",
            "event_id": "e1",
            "reason": "rejected",
            "error": f"create-conversation was answered {status}: No.",
            "attempts": 1,
        }


async def test_a_user_whom_the_api_does_not_know_is_rejected_and_the_gate_stays_open() -> None:
    async with Bench() as bench:
        bench.agent.fail("create", UnknownUser("sign-in as 'user-1' was refused"))
        bench.deliver()
        await bench.quiet()
        assert bench.order() == FAILED
        assert bench.api_breaker.passing


async def test_a_dead_letter_has_the_original_and_says_why_and_whence() -> None:
    async with Bench() as bench:
        bench.agent.fail("create", Refused("create-conversation", 422, "No."))
        headers = {"x-delivery-count": 0, "x-death": [{}], "CC": ["x"], "x-first-death-queue": "q", "mine": 1}
        properties = {"message_id": "m1", "expiration": "60000", "user_id": "guest", "priority": 3}
        delivery = bench.deliver(headers=headers, properties=properties)
        await bench.quiet()
        (copy,) = bench.republisher.copies
        assert copy.body == delivery.incoming.body
        assert copy.properties == {"message_id": "m1", "priority": 3}
        assert copy.headers == {
            "mine": 1,
            "x-bridge-reason": "rejected",
            "x-bridge-error": "create-conversation was answered 422: No.",
            "x-bridge-attempts": 1,
            "x-bridge-failed-at": "2023-11-14T22:30:00.050+00:00",
            "x-bridge-exchange": "bridge.events",
            "x-bridge-routing-key": "some.key",
        }


async def test_a_dead_letter_names_the_conversation_where_it_is_known() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(error(422, "Unprocessable.")))
        bench.deliver()
        await bench.quiet()
        (copy,) = bench.republisher.dead("rejected")
        assert copy.headers["x-bridge-conversation-id"] == bench.agent.talks[0].id
        assert bench.said("bridge-failed")[0]["conversation_id"] == bench.agent.talks[0].id


# What is not the event's fault counts no attempt.


async def test_refused_credentials_close_the_gate_and_count_no_attempt() -> None:
    async with Bench(policy=TWO) as bench:
        bench.agent.fail("create", *[SignInRefused("no such key")] * 3)
        bench.agent.fail("probe", SignInRefused("no such key"), SignInRefused("no such key"))
        delivery = bench.deliver()
        await bench.until(lambda: not bench.api_breaker.passing, "the gate closes")
        assert bench.api_breaker.why == {"credentials": "no such key"}
        assert not bench.inbox.consuming
        assert delivery.acked == 0
        await bench.quiet()
        assert bench.inbox.consuming
        assert bench.dead() == []
        assert attempt_headers(bench) == [1, 1, 1]


async def test_429_waits_as_long_as_the_api_says_and_counts_no_attempt() -> None:
    async with Bench(policy=TWO) as bench:
        bench.agent.fail("create", *[TooEarly("429", 20.0)] * 3)
        bench.deliver()
        await bench.quiet()
        first, *_, last = bench.agent.calls("create")
        assert last.at_s - first.at_s == pytest.approx(60.0, abs=3.0)
        assert reconciled(bench) == []
        assert attempt_headers(bench) == [1, 1, 1]
        assert bench.api_breaker.passing


@pytest.mark.parametrize("down", [NotSent("connection refused"), Unavailable("503")])
async def test_an_api_that_is_down_is_a_pause_with_back_off_and_counts_no_attempt(down: Exception) -> None:
    async with Bench(policy=TWO) as bench:
        bench.agent.fail("create", *[down] * 4)
        bench.deliver()
        await bench.quiet()
        times = [call.at_s for call in bench.agent.calls("create")]
        waits = [later - sooner for sooner, later in pairwise(times)]
        assert len(waits) == 4
        assert all(longer > shorter for shorter, longer in pairwise(waits))
        assert bench.dead() == []
        assert attempt_headers(bench) == [1, 1, 1]


async def test_a_request_that_was_not_sent_needs_no_proof() -> None:
    async with Bench() as bench:
        bench.agent.fail("create", NotSent("connection refused"))
        bench.deliver()
        await bench.quiet()
        assert reconciled(bench) == []


# What may have been carried out is asked about first.


@pytest.mark.parametrize(
    "unknown",
    [
        Unavailable("503"),
        Lost("reset"),
        Refused("create-conversation", 408, ""),
        Refused("create-conversation", 500, ""),
        Refused("create-conversation", 502, ""),
        Refused("create-conversation", 504, ""),
    ],
)
@pytest.mark.parametrize("fate", list(Fate))
async def test_after_an_unknown_outcome_the_api_is_asked_and_the_agent_hears_it_once(
    unknown: Exception, fate: Fate
) -> None:
    async with Bench() as bench:
        bench.agent.script(refused(unknown, fate))
        bench.deliver()
        if fate is Fate.HEARD:
            bench.agent.finish_of_empty = "keeps"
            await bench.until(bench.republisher.dead, "the proof fails")
            assert bench.dead() == ["uncertain"]
            return
        await bench.quiet()
        assert reconciled(bench)[0] == "conversations"
        assert bench.agent.heard("Tell e1") == 1
        assert bench.types()[-1] == "interaction-complete"
        assert bench.attempts() == (1 if fate is Fate.SAVED else 2)


@pytest.mark.parametrize(("unknown", "counted"), [(Lost("reset"), 2), (Unavailable("503"), 1)])
async def test_an_unknown_outcome_counts_an_attempt_but_503_does_not(unknown: Exception, counted: int) -> None:
    async with Bench() as bench:
        bench.agent.script(refused(unknown))
        bench.deliver()
        await bench.quiet()
        assert set(attempt_headers(bench)) == {counted}


# The stream.


@pytest.mark.parametrize("code", [500, 503, 408, 409, 429, 599])
async def test_an_error_before_the_ending_is_void_and_tried_again(code: int) -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), error(code)))
        bench.deliver()
        await bench.quiet()
        assert bench.types() == [
            "conversation-created",
            "new-message",
            "error",
            "bridge-voided",
            "conversation-created",
            "new-message",
            "interaction-complete",
        ]
        assert reconciled(bench)[0] == "conversations"
        assert bench.agent.heard("Tell e1") == 1


@pytest.mark.parametrize("code", [400, 403, 404, 422])
async def test_a_4xx_error_on_the_stream_is_rejected(code: int) -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), error(code)))
        bench.deliver()
        await bench.quiet()
        assert bench.types() == ["conversation-created", "new-message", "error", "bridge-voided", "bridge-failed"]
        assert bench.dead() == ["rejected"]
        assert bench.order()[-3:] == FAILED


CUT = {
    "cut": answered(said("Hel"), Lost("reset")),
    "idle": answered(said("Hel"), Lost("nothing was heard for longer than the idle limit")),
    "clean end": answered(said("Hel")),
    "too long a line": answered(said("Hel"), b"x" * 5000),
    "no JSON": answered(said("Hel"), b"{\n", said("lo"), complete()),
    "longer than longest": answered(said("Hel"), 1000.0, complete()),
}


@pytest.mark.parametrize("ends", CUT)
@pytest.mark.parametrize("fate", [Fate.ROLLED_BACK, Fate.EMPTY, Fate.SAVED])
async def test_a_cut_stream_is_never_started_again_blindly(ends: str, fate: Fate) -> None:
    play = CUT[ends]
    async with Bench(limits=Limits(4096, 900.0)) as bench:
        bench.agent.script(Play(play.steps, fate))
        bench.deliver()
        await bench.quiet()
        assert reconciled(bench)[0] == "conversations"
        assert bench.agent.heard("Tell e1") == 1
        assert bench.types()[:2] == ["conversation-created", "new-message"]
        assert bench.types()[-1] == "interaction-complete"


async def test_the_ending_with_every_message_confirmed_is_acked_and_nothing_else_happens() -> None:
    async with Bench() as bench:
        delivery = bench.deliver()
        await bench.quiet()
        assert bench.order() == ["conversation-created", "new-message", "interaction-complete", "ack"]
        assert delivery.acked == 1
        assert [call.operation for call in bench.agent.journal] == ["probe", "create"]


@pytest.mark.parametrize("done", [False, True])
async def test_an_error_after_the_ending_is_acked_and_finished_only_where_the_conversation_was_over(done: bool) -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hello"), complete(done=done), error(500, "post-processing failed")))
        bench.deliver()
        await bench.quiet()
        assert bench.types() == ["conversation-created", "new-message", "interaction-complete", "error"]
        assert bench.order()[-1] == "ack"
        assert len(bench.agent.calls("finish")) == done
        assert bench.dead() == []


async def test_a_refused_publish_is_repeated_with_the_same_id_and_then_acked() -> None:
    async with Bench() as bench:
        bench.publisher.refuse(2, NACKED, lambda message: message.type == "new-message")
        bench.deliver()
        await bench.quiet()
        assert len(bench.publisher.refused) == 2
        assert {message.message_id for message in bench.publisher.refused} <= {each.message_id for each in bench.out()}
        assert bench.order()[-1] == "ack"
        assert bench.attempts() == 1


async def test_a_publish_that_is_refused_until_patience_is_out_is_undeliverable() -> None:
    async with Bench(policy=RetryPolicy(publish_for_s=4.0)) as bench:
        bench.publisher.refuse(3, UNROUTED, lambda message: message.type == "interaction-complete")
        bench.deliver()
        await bench.quiet()
        assert bench.order() == ["conversation-created", "new-message", "copy:undeliverable", "ack"]
        assert "no queue takes it" in bench.republisher.dead()[0].headers["x-bridge-error"]


async def test_attempts_that_are_used_up_are_exhausted() -> None:
    async with Bench(policy=RetryPolicy(attempts=3)) as bench:
        bench.agent.default = Play((opening, Lost("reset")))
        bench.deliver()
        await bench.quiet()
        assert bench.attempts() == 3
        assert bench.dead() == ["exhausted"]
        assert bench.order()[-3:] == ["copy:exhausted", "bridge-failed", "ack"]
        assert bench.republisher.dead()[0].headers["x-bridge-attempts"] == 3
        assert bench.said("bridge-failed")[0]["attempts"] == 3


async def test_what_cannot_be_proved_is_uncertain_for_a_person_to_decide() -> None:
    async with Bench() as bench:
        bench.agent.shows_messages = False
        bench.agent.script(answered(said("Hel"), Lost("reset"), fate=Fate.SAVED))
        bench.deliver()
        await bench.quiet()
        assert bench.order()[-3:] == ["copy:uncertain", "bridge-failed", "ack"]
        assert bench.attempts() == 1


async def test_a_bug_is_a_dead_letter_with_a_critical_log_and_no_requeue() -> None:
    async with Bench() as bench:
        bench.bugs_expected = True
        bench.agent.fail("create", ZeroDivisionError("a bug"))
        bench.deliver()
        await bench.quiet()
        assert bench.order() == ["copy:internal-error", "bridge-failed", "ack"]
        assert [line.event for line in bench.log.at("critical")] == ["attempt.unhandled"]
        assert bench.attempts() == 1


async def test_a_bug_before_the_lane_is_a_dead_letter_too_and_the_next_event_is_handled() -> None:
    async with Bench() as bench:
        bench.bugs_expected = True
        bench.routes.add(Route("broken"), ZeroDivisionError("a bug"), when=lambda event: event.id == "e1")
        bench.deliver("e1", properties={"message_id": "e1"})
        bench.deliver("e2")
        await bench.quiet()
        assert bench.dead() == ["internal-error"]
        assert bench.types("e1") == ["bridge-failed"]
        assert bench.types("e2")[-1] == "interaction-complete"


async def test_every_failure_is_dead_lettered_then_announced_then_acked_each_after_the_others_confirm() -> None:
    async with Bench() as bench:
        bench.agent.fail("create", Refused("create-conversation", 422, "No."))
        bench.republisher.disconnect()
        bench.publisher.hold()
        delivery = bench.deliver()
        await bench.wait(30)
        assert bench.publisher.sent == []
        bench.republisher.reconnect()
        await bench.until(lambda: bench.publisher.sent, "bridge-failed is published")
        await bench.wait(30)
        assert bench.republisher.dead("rejected")
        assert delivery.acked == 0
        bench.publisher.release()
        await bench.quiet()
        assert bench.order() == FAILED
