"""Publish frames against pamqp's own: what it reads from ours is what it reads from those it wrote itself."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import body as content_body
from pamqp import commands, frame, header

from bridge.core.answer.outbound_message import Address, CommonHeaders, OutboundMessage
from bridge.edges.rabbitmq.properties import of_outbound
from bridge.edges.rabbitmq.publishing.frames import FRAME_OVERHEAD, UNWRITABLE, FrameEncoder, Piece, ack

CHANNEL = 1000


def short(most: int = 255, least: int = 0) -> st.SearchStrategy[str]:
    """Text of at most so many bytes."""
    return st.text(st.characters(codec="utf-8"), min_size=least, max_size=most).filter(
        lambda text: len(text.encode()) <= most
    )


VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, width=32),
        st.text(st.characters(codec="utf-8"), max_size=300),
        st.none(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short(20), inner, max_size=3),
    max_leaves=6,
)
OWN_NAMES = st.sampled_from(["stream", "sequence", "recovered"]) | short(40)


@st.composite
def messages(draw: st.DrawFn) -> OutboundMessage:
    size = draw(st.sampled_from([0, 1, 100, 4087, 4088, 4089, 8176, 8177, 20_000]))
    return OutboundMessage(
        to=Address(
            outbound=0,
            exchange=draw(st.text("ab-_.:@#,/+ 09", max_size=127)),
            routing_key=draw(short()),
            type=draw(short(least=1)),
            mandatory=draw(st.booleans()),
        ),
        body=draw(st.binary(min_size=min(size, 200), max_size=min(size, 200))) * max(1, size // 200),
        message_id=draw(short(least=1)),
        timestamp_s=draw(st.integers(0, 2**33)),
        common_headers=CommonHeaders(draw(short(least=1)), draw(st.dictionaries(short(40), VALUES, max_size=8))),
        own_headers=draw(st.dictionaries(OWN_NAMES, VALUES, max_size=4)),
        sequence=draw(st.none() | st.integers(0, 2**40)),
    )


def published(encoder: FrameEncoder, message: OutboundMessage) -> bytes:
    """The frames as they are written; nothing is left behind by what cannot be."""
    parts: list[Piece] = []
    try:
        encoder.publish(message, parts)
    except Exception:
        assert parts == []
        raise
    return b"".join(parts)


def by_pamqp(message: OutboundMessage, frame_max: int) -> bytes:
    """The frames as pamqp writes them."""
    method = commands.Basic.Publish(
        exchange=message.exchange, routing_key=message.routing_key, mandatory=message.mandatory
    )
    properties = header.ContentHeader(0, len(message.body), of_outbound(message))
    most = frame_max - FRAME_OVERHEAD
    parts = [message.body[start : start + most] for start in range(0, len(message.body), most)]
    bodies = (content_body.ContentBody(part) for part in parts)
    written: list[frame.FrameTypes] = [method, properties, *bodies]
    return b"".join(frame.marshal(each, CHANNEL) for each in written)


def read(payload: bytes) -> Iterator[Any]:
    while payload:
        consumed, channel, found = frame.unmarshal(payload)
        assert channel == CHANNEL
        yield found
        payload = payload[consumed:]


def distinct(message: OutboundMessage) -> bool:
    """A header of both kinds at once does not occur: a stream's own names are not among the event's."""
    names = [*message.common_headers.headers, *message.own_headers, *([] if message.sequence is None else ["sequence"])]
    return len(set(names)) == len(names)


@settings(deadline=None, max_examples=150)
@given(messages().filter(distinct), st.sampled_from([4096, 8192, 131_072]))
def test_frames_say_to_pamqp_what_the_message_says(message: OutboundMessage, frame_max: int) -> None:
    encoder = FrameEncoder(CHANNEL, frame_max)
    for _ in range(2):  # the second time most of it is remembered
        payload = published(encoder, message)
        method, properties, *bodies = read(payload)
        assert (method.exchange, method.routing_key, method.mandatory) == (
            message.exchange,
            message.routing_key,
            message.mandatory,
        )
        assert b"".join(each.value for each in bodies) == message.body
        assert all(0 < len(each.value) <= frame_max - FRAME_OVERHEAD for each in bodies)
        assert properties.body_size == len(message.body)
        reference = list(read(by_pamqp(message, frame_max)))[1]
        assert vars_of(properties.properties) == vars_of(reference.properties)


@given(st.integers(1, 2047), st.integers(1, 2**63 - 1))
def test_an_ack_is_the_frame_that_pamqp_writes(channel: int, delivery_tag: int) -> None:
    assert ack(channel, delivery_tag) == frame.marshal(commands.Basic.Ack(delivery_tag), channel)


def vars_of(properties: Any) -> dict[str, Any]:
    return {name: getattr(properties, name) for name in commands.Basic.Properties.__slots__}


@pytest.mark.parametrize(
    "changes",
    [
        {"to": Address(0, "e" * 256, "k", "t")},
        {"to": Address(0, "e", "k" * 256, "t")},
        {"message_id": "i" * 256},
        {"to": Address(0, "e", "k", "✓" * 100)},
        {"to": Address(0, "e", "k", "\ud800")},
        {"timestamp_s": -1},
        {"common_headers": CommonHeaders("c" * 256)},
        {"common_headers": CommonHeaders("c", {"a": object()})},
        {"own_headers": {"a": 1 << 70}},
        {"own_headers": {"a": object()}},
    ],
)
def test_what_amqp_cannot_say_is_refused_and_leaves_the_encoder_as_it_was(changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        "to": Address(0, "e", "k", "t"),
        "body": b"{}",
        "message_id": "i",
        "timestamp_s": 1,
        "common_headers": CommonHeaders("c", {"event_id": "e"}),
        "own_headers": {"sequence": 1},
    }
    encoder = FrameEncoder(CHANNEL, 4096)
    before = published(encoder, OutboundMessage(**fields))
    for _ in range(2):
        with pytest.raises(UNWRITABLE):
            published(encoder, OutboundMessage(**{**fields, **changes}))
    assert published(encoder, OutboundMessage(**fields)) == before
