"""docs/semantics.md, Outbound messages: ids, `bridge-voided`, and endings read from history."""

import pytest

from bridge.core.errors import Lost
from tests.flow.answering.test_reconciler import own
from tests.support.fakes import Fate, answered, complete, error, line, opening, refused, said
from tests.support.flow_bench import Bench


def ids(bench: Bench) -> list[str]:
    return [message.message_id for message in bench.out()]


async def test_every_line_has_its_own_bytes_its_id_and_its_place_in_the_stream() -> None:
    async with Bench() as bench:
        strange = b'{"type":"brand-new","n":1e999,"u":"\\ud800\xe2\x80\xa8","z":1,"a":2}'
        bench.agent.script(answered(strange[:9], strange[9:] + b"\n\n \n", complete()))
        bench.deliver(channel="sms", headers={"traceparent": "00-a-b-01", "secret": "no"})
        await bench.quiet()
        message = bench.out()[1]
        assert message.body == strange
        assert message.message_id == "e1:000000000001:2"
        assert message.routing_key == "text.sms.brand-new"
        assert (message.type, message.correlation_id) == ("brand-new", "e1")
        assert message.headers == {
            "event_id": "e1",
            "conversation_id": bench.agent.talks[0].id,
            "user_id": "user-1",
            "service_id": "5f0000000000000000000001",
            "channel": "sms",
            "channel_type": "text",
            "attempt": 1,
            "traceparent": "00-a-b-01",
            "stream": "000000000001",
            "sequence": 2,
            "version_set": "release",
        }
        assert [each.headers["sequence"] for each in bench.out()] == [1, 2, 3]


async def test_a_void_names_the_stream_and_its_last_sequence_and_the_next_stream_has_new_ids() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), error(500, "the agent failed")))
        bench.deliver()
        await bench.quiet()
        (voided,) = bench.said("bridge-voided")
        assert voided == {
            "type": "bridge-voided",
            "event_id": "e1",
            "conversation_id": bench.agent.talks[0].id,
            "stream": "000000000001",
            "last_sequence": 3,
            "reason": "the agent failed",
        }
        assert ids(bench) == [
            *(f"e1:000000000001:{number}" for number in (1, 2, 3)),
            "e1:000000000001:voided",
            *(f"e1:000000000002:{number}" for number in (1, 2)),
            "e1:interaction-complete",
        ]
        assert bench.out()[3].routing_key == "async.api.bridge-voided"


async def test_a_void_of_nothing_is_not_told() -> None:
    async with Bench() as bench:
        bench.agent.script(refused(Lost("reset")), refused(Lost("reset"), Fate.EMPTY))
        bench.deliver()
        await bench.quiet()
        assert bench.types() == ["conversation-created", "new-message", "interaction-complete"]


async def test_a_cut_stream_that_left_nothing_is_voided_before_the_next_one_opens() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut")))
        bench.deliver()
        await bench.quiet()
        types = bench.types()
        assert types.index("bridge-voided") == 2
        assert bench.said("bridge-voided")[0]["last_sequence"] == 2


async def test_a_cut_stream_that_was_saved_is_not_voided() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), Lost("cut"), fate=Fate.SAVED))
        bench.deliver()
        await bench.quiet()
        assert ids(bench) == ["e1:000000000001:1", "e1:000000000001:2", "e1:interaction-complete"]


async def test_each_void_stream_is_told_once_through_all_attempts() -> None:
    async with Bench() as bench:
        bench.agent.script(*[answered(said("Hel"), error(500))] * 2, answered(said("Hel"), Lost("cut")))
        bench.deliver()
        await bench.quiet()
        assert [each["stream"] for each in bench.said("bridge-voided")] == [f"{number:012x}" for number in (1, 2, 3)]
        assert bench.agent.heard("Tell e1") == 1


async def test_where_the_streams_id_is_lost_the_void_names_the_new_one_before_its_first_line() -> None:
    async with Bench() as bench:
        bench.deliver(redelivered=True)
        await bench.quiet()
        (voided,) = bench.said("bridge-voided")
        assert (voided["stream"], voided["before"]) == (None, "000000000001")
        assert ids(bench)[0] == "e1:000000000001:voided-before"
        assert bench.types()[:2] == ["bridge-voided", "conversation-created"]
        assert "stream" not in bench.out()[0].headers


async def test_the_lost_stream_is_still_told_of_when_the_first_try_after_it_did_not_open() -> None:
    async with Bench() as bench:
        bench.agent.script(refused(Lost("reset")))
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.types().count("bridge-voided") == 1
        assert bench.said("bridge-voided")[0]["stream"] is None


async def test_a_lost_stream_whose_event_was_answered_is_not_voided() -> None:
    async with Bench() as bench:
        talk = own(bench)
        bench.agent.converse(talk, "Tell e1")
        bench.agent.others.clear()
        bench.deliver(redelivered=True)
        await bench.quiet()
        assert bench.types() == ["interaction-complete"]


async def test_an_error_whose_words_are_no_unicode_is_an_error_like_any_other() -> None:
    """A lone surrogate is legal JSON for the API's libraries; the line passes through, and the void must be told."""
    async with Bench() as bench:
        wrong = b'{"type":"error","http_error_code":500,"error_description":"\\ud800"}\n'
        bench.agent.script(answered(said("Hel"), wrong))
        bench.deliver()
        await bench.quiet()
        assert bench.types().count("bridge-voided") == 1
        assert bench.types()[-1] == "interaction-complete"


async def test_an_id_of_a_message_that_is_no_unicode_breaks_nothing() -> None:
    async with Bench() as bench:
        wrong = b'{"type":"user-message-available","message_id":"\\ud800","user_message":"x"}\n'
        bench.agent.script(answered(wrong, Lost("cut")))
        bench.deliver()
        await bench.quiet()
        assert bench.types()[-1] == "interaction-complete"


@pytest.mark.parametrize("code", [b'"500"', b"null", b"true", b"1" + b"0" * 400])
async def test_an_error_without_a_usable_code_is_void(code: bytes) -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("Hel"), b'{"type":"error","http_error_code":%s}\n' % code))
        bench.deliver()
        await bench.quiet()
        assert bench.types()[-1] == "interaction-complete"


async def test_a_second_ending_on_the_stream_is_not_published() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(complete(), complete()))
        bench.deliver()
        await bench.quiet()
        assert bench.types() == ["conversation-created", "interaction-complete"]


async def test_lines_after_the_ending_are_published_and_belong_to_the_stream() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(complete(), line(type="afterthought")))
        bench.deliver()
        await bench.quiet()
        assert ids(bench)[-1] == "e1:000000000001:3"


async def test_a_last_line_without_a_newline_counts() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(lambda turn: complete()(turn).rstrip(b"\n")))
        bench.deliver()
        await bench.quiet()
        assert bench.types() == ["conversation-created", "interaction-complete"]
        assert len(bench.agent.calls("create")) == 1


async def test_a_server_that_does_not_close_the_stream_after_its_ending_is_left_after_half_a_minute() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(complete(), 10_000.0))
        bench.deliver()
        began = bench.now_s()
        await bench.quiet()
        assert bench.now_s() - began == pytest.approx(30.0, abs=1.0)
        assert bench.types()[-1] == "interaction-complete"


async def test_nothing_that_is_said_before_the_opening_line_is_lost() -> None:
    async with Bench() as bench:
        bench.agent.script(answered(said("a"), complete()))
        bench.agent.default = answered(opening, complete())
        bench.deliver()
        await bench.quiet()
        assert len(bench.out()) == 3
