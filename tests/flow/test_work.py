"""What a delivery tells about an event's past, and who may ack."""

import pytest

from bridge.core.delivery.progress import NOTHING, UNKNOWN, Recovered, RequestKind
from bridge.core.delivery.retry import Backoff
from bridge.core.event.event_fields import EventKind, OnBusy
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import RoutedEvent
from bridge.flow.settling.outbox import Outbox
from bridge.flow.settling.refusal_log import RefusalLog
from bridge.flow.work import Work, past, traceparent
from tests.flow.settling.test_outbox import POLICY
from tests.support.fakes import FakeDelivery, FakeLog, FakePublisher
from tests.support.making import unproved

EVENT = RoutedEvent(
    id="e1",
    kind=EventKind.EXTERNAL_EVENT,
    message="Hear me",
    user_id="u",
    service_id="5" * 24,
    channel="sms",
    version_set="release",
    conversation_id=None,
    tags={},
    route=None,
    on_busy=OnBusy.INTERACT,
    agent_actions="^$",
    response_format="text",
)


def work(incoming: InboundMessage | None = None) -> Work:
    outbox = Outbox(FakePublisher(), Backoff(POLICY, lambda: 0.0), RefusalLog(FakeLog()))
    return Work.of(EVENT, FakeDelivery(incoming or InboundMessage(b"{}")), outbox, 0.0)


@pytest.mark.parametrize("header", ["x-delivery-count", "x-acquired-count"])
def test_counts_of_the_broker_tell_no_past(header: str) -> None:
    assert past(InboundMessage(b"{}", headers={header: 1})) == NOTHING
    assert not work(InboundMessage(b"{}", headers={header: 1})).comes_again


def test_a_first_delivery_has_no_past() -> None:
    assert past(InboundMessage(b"{}")) == NOTHING
    assert (work().number, work().pauses) == (1, 0)


@pytest.mark.parametrize(
    "incoming",
    [
        InboundMessage(b"{}", redelivered=True),
        InboundMessage(b"{}", redelivered=True, headers={"x-bridge-progress": unproved(RequestKind.CREATE).dump()}),
        InboundMessage(b"{}", headers={"x-bridge-progress": "rubbish"}),
        InboundMessage(b"{}", headers={"x-bridge-progress": 7}),
    ],
)
def test_a_past_that_cannot_be_told_counts_as_a_request_of_unknown_kind(incoming: InboundMessage) -> None:
    assert past(incoming) == UNKNOWN


def test_a_delayed_copy_brings_its_past() -> None:
    progress = unproved(RequestKind.INTERACT, "c" * 24, "0" * 12, 3, "b" * 24, lost_stream=True)
    headers = {"x-bridge-progress": progress.dump(), "x-bridge-attempt": 2, "x-bridge-pauses": 5}
    found = work(InboundMessage(b"{}", headers=headers))
    assert (found.progress, found.number, found.pauses) == (progress, 3, 5)


@pytest.mark.parametrize("value", [-1, True, "2", None, 10**9])
def test_a_count_that_is_none_counts_as_nothing(value: object) -> None:
    assert work(InboundMessage(b"{}", headers={"x-bridge-attempt": value})).number == 1


@pytest.mark.parametrize(
    ("value", "taken"),
    [("00-a-b-01", "00-a-b-01"), ("", None), ("x" * 101, None), ("ä", None), ("a\nb", None), (7, None), (b"00", None)],
)
def test_only_a_plausible_traceparent_is_carried_on(value: object, taken: str | None) -> None:
    assert traceparent(InboundMessage(b"{}", headers={"traceparent": value})) == taken


def test_a_repeat_waits_for_the_ack_where_the_first_delivery_lives_and_replaces_it_where_it_died() -> None:
    found = work()
    repeat, later = FakeDelivery(InboundMessage(b"{}")), FakeDelivery(InboundMessage(b"{}"))
    found.deliveries.take_over(repeat)
    assert found.deliveries.repeats == (repeat,)
    assert isinstance(found.delivery, FakeDelivery)
    found.delivery.die()
    found.deliveries.take_over(later)
    assert found.delivery is later
    assert found.deliveries.acknowledge()
    assert (repeat.acked, later.acked) == (1, 1)


def test_an_ack_that_did_not_get_through_for_one_of_them_is_said() -> None:
    found = work()
    repeat = FakeDelivery(InboundMessage(b"{}"))
    found.deliveries.take_over(repeat)
    repeat.die()
    assert not found.deliveries.acknowledge()
    assert isinstance(found.delivery, FakeDelivery)
    assert found.delivery.acked == 1


def test_the_subject_counts_the_attempt_that_is_being_made() -> None:
    found = work(InboundMessage(b"{}", redelivered=True))
    found.attempt = 2
    found.apply(Recovered("c" * 24))
    assert (found.context.attempt, found.context.conversation_id) == (3, "c" * 24)
