"""Lines that only just are JSON: their bytes pass untouched, and nothing of them can break a message later on."""

import json

import orjson
import pytest

from bridge.core.answer.answer_stream import AnswerStream, Stage
from bridge.core.answer.outbound_message import OutboundMessage
from bridge.core.delivery.outcome import of_stream
from bridge.core.delivery.progress import RequestKind, load
from tests.support.making import context, factory, unproved

ODD = {
    "lone surrogate": b'{"type":"new-message","message":"\\ud800"}',
    "beyond a double": b'{"type":"new-message","n":1e999}',
    "integer of 400 digits": b'{"type":"new-message","n":%s}' % (b"9" * 400),
    "integer of 5,000 digits": b'{"type":"new-message","n":%s}' % (b"9" * 5000),
    "duplicate keys": b'{"type":"first","type":"new-message","a":1,"a":2}',
    "NUL": b'{"type":"new-message","message":"\\u0000"}',
    "key order and spaces": b' { "z" : 1 ,  "type":"new-message" , "a":1.0 }\r',
    "escapes": b'{"type":"new\\u002dmessage","message":"\\u00e9\\/"}',
    "other newlines": '{"type":"new-message","message":"\u2028\u0085"}'.encode(),
    "deep": b'{"type":"new-message","x":' + b"[" * 800 + b"]" * 800 + b"}",
}


def opened() -> AnswerStream:
    answer_stream = AnswerStream(context(stream="0123456789ab"), factory())
    answer_stream.opened()
    return answer_stream


def can_be_written(message: OutboundMessage) -> None:
    """Short strings of AMQP: UTF-8, at most 255 bytes; headers: UTF-8."""
    for text in (message.type, message.routing_key, message.message_id, message.correlation_id):
        assert len(text.encode()) <= 255
    for value in message.headers.values():
        str(value).encode()


@pytest.mark.parametrize("line", ODD.values(), ids=ODD.keys())
def test_an_odd_line_passes_with_its_own_bytes(line: bytes) -> None:
    answer_stream = opened()
    messages = answer_stream.receive([line])
    assert answer_stream.stage is Stage.OPEN, answer_stream.error
    assert messages[0].body is line
    assert messages[0].type == "new-message"


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ('"x"', "x"),
        ('""', "unknown"),
        ("5", "unknown"),
        ("null", "unknown"),
        ('["interaction-complete"]', "unknown"),
        ('"Interaction-Complete"', "Interaction-Complete"),
        ('"a.b.c #*"', "a.b.c #*"),
        ('"\\ud800x"', "?x"),
        ('"' + "x" * 100_000 + '"', "x" * 200),
        ('"' + "é" * 1000 + '"', "é" * 100),
        ('"x' + "é" * 1000 + '"', "x" + "é" * 99),
    ],
)
def test_an_odd_type_becomes_one_that_can_be_written(type_: str, expected: str) -> None:
    line = f'{{"type":{type_}}}'.encode()
    message = opened().receive([line])[0]
    assert message.type == expected
    assert message.body == line
    assert message.routing_key.count(".") == 2
    can_be_written(message)


@pytest.mark.parametrize("ending", [b"", b'{"type":"interaction-complete"}'])
def test_an_error_with_a_lone_surrogate_can_be_told_on(ending: bytes) -> None:
    """What a stream calls its error goes into `bridge-voided`, `bridge-failed` and headers: it must be UTF-8."""
    answer_stream = opened()
    if ending:
        answer_stream.receive([ending])
    answer_stream.receive([b'{"type":"error","http_error_code":422,"error_description":"half a \\ud83d"}'])
    of_stream(answer_stream).error.encode()
    assert factory().own(context(), "bridge-failed", "id", {"error": answer_stream.error}, {})


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"conversation-created","conversation_id":"\\ud83d"}',
        b'{"type":"user-message-available","message_id":"\\ud83d"}',
        b'{"type":"interaction-complete","message_id":"\\ud83d"}',
    ],
)
def test_ids_with_a_lone_surrogate_break_neither_headers_nor_record(line: bytes) -> None:
    answer_stream = opened()
    for message in answer_stream.receive([line]):
        can_be_written(message)
    progress = unproved(
        RequestKind.INTERACT, answer_stream.context.conversation_id, announced=answer_stream.announced_message_id
    )
    assert load(progress.dump()) == progress


@pytest.mark.parametrize("value", [5, None, "", [], {}, True])
def test_ids_of_another_type_are_not_known(value: object) -> None:
    answer_stream = opened()
    for type_, name in (
        ("conversation-created", "conversation_id"),
        ("user-message-available", "message_id"),
        ("interaction-complete", "message_id"),
    ):
        answer_stream.receive([json.dumps({"type": type_, name: value}).encode()])
    assert answer_stream.context.conversation_id is None
    assert answer_stream.announced_message_id is None


def test_a_line_nested_so_deep_that_not_every_python_reads_it_passes_untouched_or_cuts_the_stream() -> None:
    """Python 3.11 gives up at a thousand levels, 3.13 at some ten thousand."""
    answer_stream = opened()
    line = b'{"type":"x","x":' + b"[" * 5000 + b"]" * 5000 + b"}"
    messages = answer_stream.receive([line])
    assert ([message.body for message in messages], answer_stream.stage) in (([line], Stage.OPEN), ([], Stage.UNKNOWN))


def test_a_line_nested_beyond_any_parser_cuts_the_stream_and_breaks_nothing() -> None:
    answer_stream = opened()
    assert answer_stream.receive([b'{"type":"x","x":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"]) == []
    assert answer_stream.stage is Stage.UNKNOWN
    assert orjson.dumps(answer_stream.error)
