"""What comes of a call, by what the server does (docs/reliability.md, H9): may it be sent again or not?"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bridge.core.errors import ApiError, Lost, NotSent, Refused, TooEarly, Unavailable
from bridge.edges.amigo.client import CallLimits
from deploy.local.node import free_port
from tests.edges.conftest import Serve
from tests.support.amigo import CONVERSATION, PATIENT_S, agent_at, read, routed
from tests.support.amigo_bench import all_of
from tests.support.scripted import CHUNKED, LAST_CHUNK, SIGN_IN, Talk, chunk, head, signing_in, token

Step = Callable[[Talk], Awaitable[None]]
LINE = b'{"type":"new-message"}\n'
KNOWN_LENGTH = head(201, Content_Length="1000")
NO_LENGTH = head(201, Connection="close")


def says(*parts: bytes, then: str = "fin") -> Step:
    """Writes the parts, and then ends the connection in order, with a reset, or not at all."""

    async def script(talk: Talk) -> None:
        for part in parts:
            await talk.send(part)
        if then == "reset":
            talk.reset()
        if then == "silence":
            await talk.hang()

    return script


NO_STATUS_LINE = {
    "reset before the status line": says(then="reset"),
    "end before the status line": says(),
    "half a status line": says(b"HTTP/1.1 20"),
    "half the headers": says(b"HTTP/1.1 201 Created\r\nContent-Ty", then="reset"),
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a header of 100 KB": says(head(201, X_Long="x" * 100_000)),
    "silence": says(then="silence"),
}
CUT = {
    "chunked, reset": says(CHUNKED, chunk(LINE), then="reset"),
    "chunked, end": says(CHUNKED, chunk(LINE)),
    "chunked, end within a chunk": says(CHUNKED, chunk(LINE), b"400\r\nhalf"),
    "chunked, no size": says(CHUNKED, chunk(LINE), b"what?\r\n"),
    "known length, reset": says(KNOWN_LENGTH, LINE, then="reset"),
    "known length, end": says(KNOWN_LENGTH, LINE),
    "chunked, silence": says(CHUNKED, chunk(LINE), then="silence"),
    "known length, silence": says(KNOWN_LENGTH, LINE, then="silence"),
}
CLEAN = {
    "chunked": says(CHUNKED, chunk(LINE), LAST_CHUNK),
    "known length": says(head(201, Content_Length=str(len(LINE))), LINE),
    "until the end": says(NO_LENGTH, LINE),
    "until the end, reset": says(NO_LENGTH, LINE, then="reset"),  # aiohttp cannot tell, and need not
    "a blank answer": says(head(201, Content_Length="0")),
}


async def test_a_refused_connection_is_not_sent() -> None:
    async with agent_at(f"http://127.0.0.1:{free_port()}") as agent:
        with pytest.raises(NotSent):
            async with agent.create(routed()):
                pass
        with pytest.raises(NotSent):
            await all_of(agent.conversations("user-1"))
        with pytest.raises(NotSent):
            await agent.probe(credentials=False)


async def test_a_connection_that_dies_after_the_sign_in_is_not_sent(serve: Serve) -> None:
    server = await serve(signing_in(says(then="reset")))
    async with agent_at(server.base_url) as agent:
        with pytest.raises(Lost):
            await agent.finish("user-1", CONVERSATION)
        await server.__aexit__()
        with pytest.raises(NotSent):
            await agent.finish("user-1", CONVERSATION)


async def test_a_server_that_does_not_speak_tls_is_not_sent() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with agent_at(f"https://127.0.0.1:{port}") as agent:
            with pytest.raises(NotSent):
                async with agent.create(routed()):
                    pass


def patience_s(case: str) -> float:
    """The idle limit: short only where silence is the case, and even then long enough for a busy machine."""
    return 2.0 if "silence" in case else PATIENT_S


@pytest.mark.parametrize("case", NO_STATUS_LINE)
async def test_no_status_line_is_lost_and_a_post_is_never_repeated(serve: Serve, case: str) -> None:
    server = await serve(signing_in(NO_STATUS_LINE[case]))
    async with agent_at(server.base_url, idle_s=patience_s(case)) as agent:
        with pytest.raises(Lost):
            async with agent.create(routed()):
                pass
        with pytest.raises(Lost):
            async with agent.interact(routed(), CONVERSATION):
                pass
    assert len(server.of("/conversation/")) == 1
    assert len(server.of(f"/conversation/{CONVERSATION}/interact")) == 1


@pytest.mark.parametrize("case", CUT)
async def test_a_cut_in_the_body_is_lost_with_the_pieces_before_it(serve: Serve, case: str) -> None:
    server = await serve(signing_in(CUT[case]))
    pieces: list[bytes] = []
    async with agent_at(server.base_url, idle_s=patience_s(case)) as agent:
        with pytest.raises(Lost):
            async with agent.create(routed()) as stream:
                await read(stream, pieces)
    assert b"".join(pieces) in (LINE, LINE + b"half", b"")
    assert len(server.of("/conversation/")) == 1


@pytest.mark.parametrize("case", CLEAN)
async def test_a_clean_end_is_no_error_and_no_proof(serve: Serve, case: str) -> None:
    """Whether the answer is complete is for the conversation to say: an end is only an end."""
    server = await serve(signing_in(CLEAN[case]))
    async with agent_at(server.base_url) as agent, agent.create(routed()) as stream:
        assert await read(stream) == (b"" if case == "a blank answer" else LINE)


@pytest.mark.parametrize("status", [301, 307, 308, 400, 403, 404, 408, 409, 415, 418, 422, 500, 502, 504])
async def test_any_other_status_is_refused(serve: Serve, status: int) -> None:
    async def refuse(talk: Talk) -> None:
        await talk.answer(status, {"detail": "because"})

    server = await serve(signing_in(refuse))
    async with agent_at(server.base_url) as agent:
        with pytest.raises(Refused) as refused:
            async with agent.create(routed()):
                pass
        with pytest.raises(Refused):
            await agent.modify_tags("user-1", CONVERSATION, {"a": "b"})
    assert (refused.value.status, refused.value.text, refused.value.operation) == (
        status,
        "because",
        "create-conversation",
    )
    assert len(server.of("/conversation/")) == 1


async def test_503_is_unavailable_and_429_too_early(serve: Serve) -> None:
    answers = {"/conversation/": 503, f"/conversation/{CONVERSATION}/interact": 429}

    async def refuse(talk: Talk) -> None:
        await talk.answer(answers[talk.request.path], b"busy", Retry_After="7")

    server = await serve(signing_in(refuse))
    async with agent_at(server.base_url) as agent:
        with pytest.raises(Unavailable):
            async with agent.create(routed()):
                pass
        with pytest.raises(TooEarly) as early:
            async with agent.interact(routed(), CONVERSATION):
                pass
    assert early.value.wait_s == pytest.approx(7, abs=0.1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_hands_no_secret_on(serve: Serve, status: int) -> None:
    stranger = await serve(says(head(200, Content_Length="2"), b"{}"))

    async def redirect(talk: Talk) -> None:
        await talk.answer(status, b"", Location=f"{stranger.base_url}/elsewhere")

    server = await serve(redirect)
    async with agent_at(server.base_url) as agent:
        with pytest.raises(ApiError):
            async with agent.create(routed()):
                pass
        with pytest.raises(ApiError):
            await agent.finish("user-2", CONVERSATION)
    assert {request.path for request in server.requests} <= {SIGN_IN}  # on a busy machine it may not have read it yet
    assert stranger.connections == 0


async def test_a_cookie_that_one_user_is_given_is_not_sent_in_anothers_name(serve: Serve) -> None:
    async def baking(talk: Talk) -> None:
        await talk.answer(204, b"", Set_Cookie="session=user-1; Path=/")

    server = await serve(signing_in(baking))
    async with agent_at(server.base_url.replace("127.0.0.1", "localhost")) as agent:  # an address gets no cookies
        await agent.finish("user-1", CONVERSATION)
        await agent.finish("user-2", CONVERSATION)
    assert len(server.requests) == 4
    assert not [request for request in server.requests if "cookie" in request.headers]


@pytest.mark.parametrize("case", [*NO_STATUS_LINE, *CUT])
async def test_a_sign_in_without_an_answer_means_that_the_call_was_not_sent(serve: Serve, case: str) -> None:
    server = await serve({**NO_STATUS_LINE, **CUT}[case])
    async with agent_at(server.base_url, limits=CallLimits(control_s=0.3)) as agent:
        with pytest.raises(NotSent):
            async with agent.create(routed()):
                pass
    assert {request.path for request in server.requests} <= {SIGN_IN}  # a busy machine may not have read it in time


@pytest.mark.parametrize("body", [b"", b"<html>hello</html>", b"[]", b'{"conversations": 5}', b'{"messages": {}}'])
async def test_an_answer_that_is_not_what_was_asked_for_is_lost(serve: Serve, body: bytes) -> None:
    async def odd(talk: Talk) -> None:
        await talk.answer(200, body)

    server = await serve(signing_in(odd))
    async with agent_at(server.base_url) as agent:
        with pytest.raises(Lost):
            await all_of(agent.conversations("user-1"))
        with pytest.raises(Lost):
            await all_of(agent.messages("user-1", CONVERSATION))


async def test_a_probe_takes_any_answer_for_a_sign_of_life(serve: Serve) -> None:
    for answer in (b"<html>", b"{}", b""):
        for status in (200, 301, 401, 404, 429):

            async def says_so(talk: Talk, status: int = status, answer: bytes = answer) -> None:
                await talk.answer(status, answer)

            server = await serve(says_so)
            async with agent_at(server.base_url) as agent:
                if status == 429:
                    with pytest.raises(TooEarly):
                        await agent.probe(credentials=False)
                else:
                    await agent.probe(credentials=False)
            (request,) = server.requests
            assert (request.method, request.path) == ("GET", "/organization/")
            assert "authorization" not in request.headers


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_probe_fails_where_the_api_is_down(serve: Serve, status: int) -> None:
    async def down(talk: Talk) -> None:
        await talk.answer(status, b"down")

    server = await serve(down)
    async with agent_at(server.base_url) as agent:
        with pytest.raises(ApiError):
            await agent.probe(credentials=False)


@pytest.mark.parametrize("case", [name for name in NO_STATUS_LINE if name != "silence"])
async def test_a_probe_fails_where_nothing_answers(serve: Serve, case: str) -> None:
    """`/readyz` must not call an API reachable that accepts connections and answers none of them."""
    server = await serve(NO_STATUS_LINE[case])
    async with agent_at(server.base_url) as agent:
        with pytest.raises(ApiError):
            await agent.probe(credentials=False)


async def test_a_probe_of_the_credentials_signs_in_anew(serve: Serve) -> None:
    async def both(talk: Talk) -> None:
        await talk.answer(200, token())

    server = await serve(both)
    async with agent_at(server.base_url) as agent:
        await agent.probe(credentials=True)
        await agent.probe(credentials=True)
    assert len(server.of(SIGN_IN)) == 2
