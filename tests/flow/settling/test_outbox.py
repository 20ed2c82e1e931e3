"""The outbox: what is unconfirmed, what was refused, when all is safe; alone, and under a whole event."""

import asyncio

import pytest

from bridge.core.answer.outbound_message import Address, CommonHeaders, Outbound, OutboundMessage
from bridge.core.broker.publish_refusal import NACKED, UNROUTED, PublishRefusal, RefusalKind
from bridge.core.delivery.retry import Backoff, RetryPolicy
from bridge.flow.settling.outbox import Outbox, Undeliverable
from bridge.flow.settling.refusal_log import RefusalLog
from tests.support.fakes import FakeLog, FakePublisher, Gate, answered, complete, said
from tests.support.flow_bench import AGENT_EVENTS, KEY, Bench

POLICY = RetryPolicy(publish_for_s=3.5)


def message(message_id: str) -> OutboundMessage:
    return OutboundMessage(
        Address(0, "agent.events", "a.b.c", "new-message"), b"{}", message_id, 0, CommonHeaders("e1")
    )


def outbox(publisher: FakePublisher, policy: RetryPolicy = POLICY) -> Outbox:
    return Outbox(publisher, Backoff(policy, lambda: 0.0), RefusalLog(FakeLog()))


def told(publisher: FakePublisher) -> list[str]:
    return [each.message_id for each in publisher.confirmed]


async def test_an_empty_outbox_is_confirmed() -> None:
    await outbox(FakePublisher()).all_confirmed()


async def test_handing_over_does_not_wait_and_waiting_ends_with_the_last_confirm() -> None:
    publisher = FakePublisher()
    publisher.hold()
    box = outbox(publisher)
    box.put([message("a"), message("b")])
    waiting = asyncio.create_task(box.all_confirmed())
    await asyncio.sleep(60)
    publisher.confirm(1)
    await asyncio.sleep(1)
    assert not waiting.done()
    assert [each.message_id for each in publisher.unconfirmed] == ["b"]
    publisher.release()
    await waiting
    assert box.counts.published == 2


async def test_a_nack_is_tried_again_with_back_off_and_then_confirmed() -> None:
    publisher = FakePublisher()
    publisher.refuse(2)
    box = outbox(publisher)
    began = asyncio.get_running_loop().time()
    box.put([message("a")])
    await box.all_confirmed()
    assert asyncio.get_running_loop().time() - began == pytest.approx(1 + 2)
    assert [each.message_id for each in publisher.sent] == ["a", "a", "a"]
    assert (box.counts.refused, box.counts.published) == (2, 1)


async def test_others_do_not_wait_for_the_one_that_was_refused() -> None:
    publisher = FakePublisher()
    publisher.refuse(1, concerns=lambda each: each.message_id == "a")
    box = outbox(publisher)
    box.put([message("a"), message("b")])
    await box.all_confirmed()
    assert told(publisher) == ["b", "a"]


async def test_patience_that_is_out_is_undeliverable_and_says_what_and_why() -> None:
    publisher = FakePublisher()
    publisher.refuse(3, UNROUTED)
    box = outbox(publisher)
    box.put([message("a")])
    with pytest.raises(Undeliverable, match=r"agent\.events refused a\.b\.c: no queue takes it"):
        await box.all_confirmed()
    assert publisher.unconfirmed == []


@pytest.mark.parametrize("kind", [RefusalKind.IMPOSSIBLE, RefusalKind.MISSING])
async def test_what_will_never_be_taken_is_undeliverable_at_once(kind: RefusalKind) -> None:
    publisher = FakePublisher()
    publisher.refuse(1, PublishRefusal(kind, "the broker refused it (406): too large"))
    box = outbox(publisher)
    box.put([message("a")])
    with pytest.raises(Undeliverable, match="too large"):
        await box.all_confirmed()
    assert len(publisher.sent) == 1


async def test_what_may_close_the_channel_again_is_published_again_alone() -> None:
    publisher = FakePublisher()
    publisher.refuse(2, PublishRefusal(RefusalKind.FORBIDDEN, "403"), lambda each: each.message_id == "a")
    publisher.refuse(1, NACKED, lambda each: each.message_id == "b")
    box = outbox(publisher)
    box.put([message("a"), message("b")])
    await box.all_confirmed()
    assert [each.message_id for each in publisher.alone] == ["a", "a"]
    assert sorted(told(publisher)) == ["a", "b"]


async def test_undeliverable_is_raised_without_waiting_for_the_others() -> None:
    publisher = FakePublisher()
    publisher.hold()
    publisher.refuse(1, concerns=lambda each: each.message_id == "a")
    box = outbox(publisher, RetryPolicy(publish_for_s=0.0))
    box.put([message("a"), message("b")])
    publisher.confirm(1)
    with pytest.raises(Undeliverable):
        await box.all_confirmed()
    assert [each.message_id for each in publisher.unconfirmed] == ["b"]


async def test_after_forgiving_only_the_rest_is_waited_for() -> None:
    publisher = FakePublisher()
    publisher.refuse(1)
    box = outbox(publisher, RetryPolicy(publish_for_s=0.0))
    box.put([message("a"), message("b")])
    with pytest.raises(Undeliverable):
        await box.all_confirmed()
    box.forgive()
    box.put([message("c")])
    await box.all_confirmed()
    assert told(publisher) == ["b", "c"]


async def test_each_message_has_a_patience_of_its_own() -> None:
    publisher = FakePublisher()
    publisher.refuse(2, concerns=lambda each: each.message_id == "a")
    publisher.refuse(2, concerns=lambda each: each.message_id == "b")
    box = outbox(publisher)
    box.put([message("a"), message("b")])
    await box.all_confirmed()
    assert sorted(told(publisher)) == ["a", "b"]


async def test_what_a_lost_connection_left_open_is_counted_and_waited_for() -> None:
    publisher = FakePublisher()
    publisher.hold()
    box = outbox(publisher)
    box.put([message("a"), message("b")])
    publisher.lose()
    waiting = asyncio.create_task(box.all_confirmed())
    await asyncio.sleep(60)
    assert not waiting.done()
    assert box.counts.lost == 2
    publisher.release()
    publisher.reconnect()
    await waiting


# The same under a whole event.


async def test_a_connection_lost_in_the_middle_of_a_stream_repeats_in_order_with_the_same_ids() -> None:
    async with Bench() as bench:
        api_breaker = Gate()
        bench.agent.script(answered(said("a"), said("b"), api_breaker, said("c"), complete()))
        bench.publisher.hold()
        bench.deliver()
        await api_breaker.reached.wait()
        bench.publisher.confirm(1)
        bench.publisher.lose()
        api_breaker.open()
        await bench.wait(5)
        bench.publisher.release()
        bench.publisher.reconnect()
        await bench.quiet()
        ids = [each.message_id for each in bench.publisher.sent]
        assert ids == [f"e1:000000000001:{n}" for n in (1, 2, 3, 2, 3, 4)] + ["e1:interaction-complete"]
        assert bench.types() == ["conversation-created", *["new-message"] * 3, "interaction-complete"]
        assert bench.log.of("delivery.settled")[0]["repeated"] == 2


async def test_too_much_unconfirmed_pushes_back_on_the_stream() -> None:
    async with Bench() as bench:
        read = []
        steps = [said(str(number)) for number in range(50)]
        bench.agent.script(answered(*steps, complete()))
        bench.publisher.close_room()
        bench.deliver()
        await bench.wait(5)
        read.append(len(bench.publisher.sent))
        assert read == [1]
        bench.publisher.open_room()
        await bench.quiet()
        assert len(bench.types()) == 52


REQUIRED = Outbound("audit", KEY, required=True)


async def test_one_outbound_that_refuses_for_good_makes_the_event_undeliverable() -> None:
    pieces = Outbound("agent.events", KEY, types=("new-message",))
    async with Bench(policy=POLICY, outbounds=(pieces, REQUIRED)) as bench:
        bench.publisher.refuse(9, UNROUTED, lambda each: each.to.outbound == 1 and each.type != "bridge-failed")
        bench.deliver()
        await bench.quiet()
        assert bench.dead() == ["undeliverable"]
        assert all(each.mandatory for each in bench.publisher.sent if each.to.outbound == 1)
        assert bench.order()[-1] == "ack"


async def test_an_outbound_that_has_the_ending_gets_no_second_one_when_another_outbound_refuses_it() -> None:
    """ "Subscribers see exactly one ending": what was told to be complete is not told to have failed."""
    async with Bench(policy=POLICY, outbounds=(AGENT_EVENTS, REQUIRED)) as bench:
        bench.publisher.refuse(3, NACKED, lambda each: each.to.outbound == 1 and each.type == "interaction-complete")
        bench.deliver()
        await bench.quiet()
        assert bench.dead() == ["undeliverable"]
        types = [each.type for each in bench.publisher.confirmed if each.to.outbound == 0]
        assert types == ["conversation-created", "new-message", "interaction-complete"]


async def test_a_failure_is_announced_before_the_ack_however_often_it_is_refused_at_first() -> None:
    async with Bench(policy=RetryPolicy(publish_for_s=230.0)) as bench:
        bench.publisher.refuse(7, NACKED, lambda each: each.type == "bridge-failed")
        delivery = bench.deliver(channel="fax")
        await bench.wait(1)
        assert delivery.acked == 0
        await bench.quiet()
        order = [each for each in bench.order() if not each.startswith("copy:bridge.events.delay.")]
        assert (order[:2], order[-2:]) == (["copy:invalid-event", "ack"], ["bridge-failed", "ack"])
        assert bench.dead() == ["invalid-event"]


async def test_a_failure_that_cannot_be_announced_is_left_to_its_dead_letter_once_patience_is_out() -> None:
    """Held for ever it would cost a slot, and after half an hour the broker's patience with the whole channel."""
    async with Bench(policy=RetryPolicy(publish_for_s=2.0)) as bench:
        bench.publisher.refuse(10_000, NACKED, lambda each: each.type == "bridge-failed")
        bench.deliver(channel="fax")
        await bench.quiet()
        assert bench.order() == ["copy:invalid-event", "ack"]
        assert [line.event for line in bench.log.at("error")] == ["ending.refused"]


async def test_an_event_of_which_no_outbound_takes_anything_is_settled_all_the_same() -> None:
    async with Bench(outbounds=(Outbound("agent.events", KEY, types=("nothing",)),)) as bench:
        delivery = bench.deliver()
        await bench.quiet()
        assert delivery.acked == 1
        assert bench.publisher.sent == []
