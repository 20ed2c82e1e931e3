"""Values that HTTP, JSON or a resolver cannot carry: an error of the house that harms its own event alone."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.core.delivery.outcome import OutcomeKind, of_error
from bridge.core.delivery.resend import Resend, resend
from bridge.core.errors import ApiError, Lost, NotSent, Unsendable
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.conversations import ConversationsApi
from bridge.edges.amigo.destinations import DestinationsApi
from bridge.edges.amigo.outgoing import address, check_headers
from tests.edges.conftest import Serve
from tests.support.amigo import CONVERSATION, IDLE_S, SERVICE, agent_at, credentials, routed
from tests.support.amigo_bench import all_of
from tests.support.scripted import SIGN_IN, Talk, signing_in

HALF = "canary\ud800"
HEADERS = ["canary\n", "canary\r\nX-Evil: 1", "canary\x00", "canary\x7f", "canäry", HALF, "密"]
IDS = ["", ".", "..", "../../user", "a/b", "a?b=c", "a#b", "a b", "a\nb", "%2e%2e", "ä", HALF, "a\x00b", "a%"]


async def nothing(talk: Talk) -> None:
    await talk.answer(200, {})


async def caught(asked: Awaitable[Any]) -> ApiError:
    with pytest.raises(ApiError) as failed:
        await asked
    assert "canary" not in str(failed.value)
    return failed.value


async def entered(stream: Any) -> None:
    async with stream:
        raise AssertionError("it was sent")


@pytest.mark.parametrize("user_id", HEADERS)
async def test_a_user_id_that_no_header_can_carry_is_never_sent(serve: Serve, user_id: str) -> None:
    server = await serve(signing_in(nothing))
    async with agent_at(server.base_url) as agent:
        for asked in (agent.finish(user_id, CONVERSATION), entered(agent.create(routed(user_id=user_id)))):
            error = await caught(asked)
            assert isinstance(error, Unsendable)
            assert of_error(error).kind is OutcomeKind.REJECTED
            assert resend("finish", error) is Resend.NEVER
    assert server.requests == []


@pytest.mark.parametrize("id_", IDS)
async def test_an_id_that_would_make_another_call_of_it_is_never_sent(serve: Serve, id_: str) -> None:
    server = await serve(signing_in(nothing))
    who = credentials(server.base_url)
    async with agent_at(server.base_url) as agent, HttpClient(who, IDLE_S) as client:
        hooks = DestinationsApi(SignedClient(client, who, ONE_ATTEMPT, lambda: 0.0))
        asked: tuple[Callable[[], Awaitable[Any]], ...] = (
            lambda: agent.finish("user-1", id_),
            lambda: all_of(agent.messages("user-1", id_)),
            lambda: agent.modify_tags("user-1", id_, {"a": "b"}),
            lambda: entered(agent.interact(routed(), id_)),
            lambda: hooks.delete("user-1", id_),
            lambda: hooks.rotate_secret("user-1", id_),
        )
        for ask in asked:
            with pytest.raises(Unsendable):
                await ask()
    assert {request.path for request in server.requests} <= {SIGN_IN}


async def test_half_a_surrogate_pair_is_no_text(serve: Serve) -> None:
    server = await serve(signing_in(nothing))
    who = credentials(server.base_url)
    async with HttpClient(who, IDLE_S) as client:
        signed = SignedClient(client, who, ONE_ATTEMPT, lambda: 0.0)
        talks, hooks = ConversationsApi(signed), DestinationsApi(signed)
        calls: tuple[Callable[[], Awaitable[Any]], ...] = (
            lambda: entered(talks.create("user-1", SERVICE, message=HALF, kind="user-message")),
            lambda: entered(talks.create("user-1", SERVICE, tags={"a": HALF})),
            lambda: talks.modify_tags("user-1", CONVERSATION, {"a": HALF}),
            lambda: talks.recommended_responses("user-1", CONVERSATION, "1" * 24, HALF),
            lambda: hooks.create("user-1", HALF, []),
            lambda: entered(talks.create("user-1", SERVICE, agent_actions=HALF)),
        )
        for call in calls:
            with pytest.raises(Unsendable) as wrong:
                await call()
            assert "canary" not in str(wrong.value)
    assert {request.path for request in server.requests} <= {SIGN_IN}


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example", "-.invalid", "x" * 300, "exa mple"])
async def test_a_name_that_cannot_be_looked_up_is_an_api_that_cannot_be_reached(host: str) -> None:
    async with agent_at(f"http://{host}:1") as agent:
        assert isinstance(await caught(agent.finish("user-1", CONVERSATION)), NotSent)
        assert isinstance(await caught(agent.probe(credentials=False)), NotSent)


ODD_ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: \xff\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnothex\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: \xff\xfe; charset=\x01\r\nContent-Length: 2\r\n\r\n[",
    b"HTTP/1.1 20\xb2 OK\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"\x00\x01\x02\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA\x00B: c\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: \x01=\xff; expires=never\r\nContent-Length: 1\r\n\r\n{",
]


@pytest.mark.parametrize("answer", ODD_ANSWERS)
async def test_an_answer_that_is_no_http_may_have_been_acted_on(serve: Serve, answer: bytes) -> None:
    async def odd(talk: Talk) -> None:
        await talk.send(answer)

    server = await serve(signing_in(odd))
    async with agent_at(server.base_url) as agent:
        assert isinstance(await caught(agent.modify_tags("user-1", CONVERSATION, {})), Lost)


def test_what_can_be_sent_is_sent_as_it_is() -> None:
    url = address("x", "http://api/", "/v1/acme/conversation/", {"sort_by": ["+created_at", "-x"], "tag": "a b&c:ä"})
    assert str(url) == "http://api/v1/acme/conversation/?sort_by=%2Bcreated_at&sort_by=-x&tag=a+b%26c:%C3%A4"
    check_headers("x", {"x-user-id": "user 1 ~!\t", "Authorization": "Bearer a.b-c=="})
