"""Answers that are no success: words without secrets, and when to come back (docs/api-contract.md, 1 and 7.23)."""

import asyncio
import json
import time
from email.utils import formatdate

import pytest

from bridge.core.errors import ApiError, Refused, SignInRefused, TooEarly
from bridge.edges.amigo.client import Call, Credentials
from tests.edges.conftest import Serve
from tests.support.amigo import API_KEY, CONVERSATION, agent_at, routed
from tests.support.amigo_bench import all_of
from tests.support.scripted import SIGN_IN, Talk, head, signing_in, token, whole
from tests.support.waiting import slowness


async def refusal(serve: Serve, answer: bytes) -> Refused:
    async def refuse(talk: Talk) -> None:
        await talk.send(answer)

    server = await serve(signing_in(refuse))
    async with agent_at(server.base_url) as agent:
        with pytest.raises(Refused) as refused:
            async with agent.create(routed()):
                pass
    return refused.value


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"message": "no"}', "no"),
        (b'{"error": "no"}', "no"),
        (b'{"detail": "no"}', "no"),
        (b'{"detail": "b", "error": "a", "message": ""}', "a"),
        (b'{"detail": [{"loc": ["body", "tags"], "msg": "bad"}]}', '[{"loc":["body","tags"],"msg":"bad"}]'),
        (b'{"code": 5}', '{"code": 5}'),
        (b'"plain"', '"plain"'),
        (b"", ""),
        (b"<html>\n <h1>Bad\tGateway</h1>\n</html>", "<html> <h1>Bad Gateway</h1> </html>"),
        (b"\xff\xfe no text", "\ufffd\ufffd no text"),
        (b"x" * 3_000_000, "x" * 500),
        (json.dumps({"detail": "y" * 900}).encode(), "y" * 500),
    ],
)
async def test_the_words_of_an_error(serve: Serve, body: bytes, text: str) -> None:
    error = await refusal(serve, whole(422, body))
    assert error.text == text
    assert (f": {text}" if text else "422") in str(error)


async def test_the_words_of_an_error_that_comes_in_pieces_are_whole(serve: Serve) -> None:
    body = json.dumps({"detail": "The conversation cannot contain more than 20 tags."}).encode()

    async def in_pieces(talk: Talk) -> None:
        await talk.send(head(400, Content_Length=str(len(body))))
        for start in range(0, len(body), 10):
            await talk.send(body[start : start + 10])
            await asyncio.sleep(0.002)

    server = await serve(signing_in(in_pieces))
    async with agent_at(server.base_url) as agent:
        with pytest.raises(Refused) as refused:
            await agent.modify_tags("user-1", CONVERSATION, {"a": "b"})
    assert refused.value.text == "The conversation cannot contain more than 20 tags."


@pytest.mark.parametrize("cut", [b"", b'{"detail": "half'])
async def test_an_error_whose_body_is_cut_is_still_that_error(serve: Serve, cut: bytes) -> None:
    error = await refusal(serve, head(422, Content_Length="1000") + cut)
    assert error.status == 422


async def test_an_error_whose_body_never_ends_is_still_that_error_and_soon(serve: Serve) -> None:
    async def dripping(talk: Talk) -> None:
        await talk.send(head(422, Content_Length="1000000"))
        while True:
            await talk.send(b".")
            await asyncio.sleep(0.01)

    server = await serve(signing_in(dripping))
    started_s = time.monotonic()
    async with agent_at(server.base_url) as agent:
        with pytest.raises(Refused):
            async with agent.create(routed()):
                pass
    assert time.monotonic() - started_s < 15 * slowness()


@pytest.mark.parametrize("text", ["key {} is wrong", "{}", "'{}'/{}", "\n {}\n"])
async def test_the_api_key_is_cut_out_of_what_the_api_says(serve: Serve, text: str) -> None:
    said = json.dumps({"detail": text.replace("{}", API_KEY)}).encode()
    error = await refusal(serve, whole(403, said))
    assert API_KEY not in str(error)
    assert "***" in error.text


async def test_the_api_key_is_cut_out_of_a_refused_sign_in_too(serve: Serve) -> None:
    async def echo(talk: Talk) -> None:
        await talk.answer(401, b"you sent " + str(talk.request.headers).encode())

    server = await serve(echo)
    async with agent_at(server.base_url) as agent:
        for attempt in (agent.finish("bridge-user", CONVERSATION), agent.finish("user-1", CONVERSATION)):
            with pytest.raises(SignInRefused) as refused:
                await attempt
            assert API_KEY not in str(refused.value)


async def test_the_token_is_cut_out_of_what_the_api_says(serve: Serve) -> None:
    async def echo(talk: Talk) -> None:
        await talk.answer(422, b"you sent " + str(talk.request.headers).encode())

    server = await serve(signing_in(echo))
    async with agent_at(server.base_url) as agent:
        with pytest.raises(Refused) as refused:
            await agent.finish("user-1", CONVERSATION)
    assert "token of user-1" not in str(refused.value)


def test_no_repr_shows_a_secret() -> None:
    who = Credentials("http://api", "acme", "key-id-1", API_KEY, "user-1")
    call = Call("sign-in", "POST", SIGN_IN, "user-1", headers={"x-api-key": API_KEY, "Authorization": "Bearer canary"})
    assert API_KEY not in repr(who)
    assert API_KEY not in repr(call)
    assert "canary" not in repr(call)


WAITS = {
    "seconds": ({"Retry_After": "7"}, 7.0),
    "a fraction": ({"Retry_After": "0.5"}, 0.5),
    "nought": ({"Retry_After": "0"}, 0.0),
    "nought as a date": ({"Retry_After": "NOW"}, 0.0),
    "a date": ({"Retry_After": "DATE"}, 20.0),
    "a date without a zone": ({"Retry_After": "NO ZONE"}, 20.0),
    "the past": ({"Retry_After": "Sat, 01 Jan 2000 00:00:00 GMT"}, 0.0),
    "a negative number": ({"Retry_After": "-5"}, 0.0),
    "a long time": ({"Retry_After": "999999"}, 600.0),
    "a very long time": ({"Retry_After": "9" * 400}, 600.0),
    "the year 9999": ({"Retry_After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 600.0),
    "reset": ({"X_RateLimit_Reset": "EPOCH"}, 20.0),
    "reset in milliseconds": ({"X_RateLimit_Reset": "EPOCH_MS"}, 20.0),
    "reset in seconds from now": ({"X_RateLimit_Reset": "30"}, 30.0),
    "reset now": ({"X_RateLimit_Reset": "0"}, 0.0),
    "reset long ago": ({"X_RateLimit_Reset": "946684800"}, 0.0),
    "reset never": ({"X_RateLimit_Reset": "9" * 30}, 60.0),
    "nought before reset": ({"Retry_After": "0", "X_RateLimit_Reset": "EPOCH"}, 0.0),
    "a number with underscores": ({"Retry_After": "1_0"}, 60.0),
    "no date to count from": ({"Retry_After": "DATE", "Date": ""}, 60.0),
    "a date that is none": ({"X_RateLimit_Reset": "EPOCH", "Date": "yesterday"}, 60.0),
    "seconds before reset": ({"Retry_After": "7", "X_RateLimit_Reset": "EPOCH"}, 7.0),
    "rubbish, then reset": ({"Retry_After": "soon", "X_RateLimit_Reset": "EPOCH"}, 20.0),
    "infinity": ({"Retry_After": "inf"}, 60.0),
    "not a number": ({"Retry_After": "nan"}, 60.0),
    "nothing": ({}, 60.0),
}


@pytest.mark.parametrize("ahead_s", [0, 7200, -7200])
@pytest.mark.parametrize("case", WAITS)
async def test_429_says_when_to_come_back_whatever_this_machines_clock_says(
    serve: Serve, case: str, ahead_s: float
) -> None:
    given, wait_s = WAITS[case]
    now_s = time.time() + ahead_s
    known = {
        "NOW": formatdate(now_s, usegmt=True),
        "DATE": formatdate(now_s + 20, usegmt=True),
        "NO ZONE": formatdate(now_s + 20).removesuffix(" -0000"),
        "EPOCH": str(int(now_s) + 20),
        "EPOCH_MS": str((int(now_s) + 20) * 1000),
    }
    headers = {name: known.get(value, value) for name, value in {"Date": "NOW", **given}.items()}

    async def busy(talk: Talk) -> None:
        await talk.answer(429, b"slow down", **headers)

    server = await serve(signing_in(busy))
    async with agent_at(server.base_url) as agent:
        with pytest.raises(TooEarly) as early:
            async with agent.create(routed()):
                pass
        assert early.value.wait_s == pytest.approx(wait_s, abs=6.5 if wait_s == 60 else 0.1)
        if wait_s > 0:
            with pytest.raises(TooEarly) as again:
                async with agent.create(routed()):
                    pass
            assert again.value.wait_s <= early.value.wait_s
            assert len(server.of("/conversation/")) == 1, "the window is closed: nothing is sent"


async def test_other_refusals_carry_the_wait_that_they_name(serve: Serve) -> None:
    error = await refusal(serve, whole(409, b"", Retry_After="3"))
    assert error.retry_after_s == pytest.approx(3)


async def test_a_429_closes_the_window_of_one_user_where_he_can_have_used_it_up(serve: Serve) -> None:
    """15 interacts a minute are allowed: the 16th of the same user is his own affair, a first one everybody's."""
    calls = 0

    async def limited(talk: Talk) -> None:
        nonlocal calls
        calls += 1
        await talk.answer(429 if calls > 15 else 204, b"", Retry_After="30")

    server = await serve(signing_in(limited))
    async with agent_at(server.base_url) as agent:
        for _ in range(15):
            async with agent.interact(routed(), CONVERSATION):
                pass
        with pytest.raises(TooEarly):
            async with agent.interact(routed(), CONVERSATION):
                pass
        calls = 0
        async with agent.interact(routed(user_id="user-2"), CONVERSATION):
            pass
        await agent.modify_tags("user-1", CONVERSATION, {})
    assert len(server.of(f"/conversation/{CONVERSATION}/interact")) == 17


async def test_the_last_call_of_a_window_is_known_without_a_429(serve: Serve) -> None:
    async def last(talk: Talk) -> None:
        now_s = int(time.time())
        told = {"Date": formatdate(now_s, usegmt=True), "X_RateLimit_Reset": str(now_s + 50)}
        await talk.answer(204, b"", X_RateLimit_Remaining="0", **told)

    server = await serve(signing_in(last))
    async with agent_at(server.base_url) as agent:
        await agent.finish("user-1", CONVERSATION)
        with pytest.raises(TooEarly) as early:
            await agent.finish("user-1", CONVERSATION)
        assert 20 < early.value.wait_s <= 50
        await agent.finish("user-2", CONVERSATION)
    assert len(server.of(f"/conversation/{CONVERSATION}/finish/")) == 2


async def test_a_429_to_a_sign_in_holds_every_sign_in_back_and_no_other_call(serve: Serve) -> None:
    async def limited(talk: Talk) -> None:
        if talk.request.path != SIGN_IN:
            await talk.answer(204)
        elif talk.request.headers["x-user-id"] == "user-1":
            await talk.answer(200, token())
        else:
            await talk.answer(429, b"", Retry_After="30")

    server = await serve(limited)
    async with agent_at(server.base_url) as agent:
        await agent.finish("user-1", CONVERSATION)
        for user_id in ("user-2", "user-3"):
            with pytest.raises(TooEarly):
                await agent.finish(user_id, CONVERSATION)
        await agent.finish("user-1", CONVERSATION)
    assert len(server.of(SIGN_IN)) == 2


@pytest.mark.parametrize("status", [200, 404, 422, 500, 503])
async def test_html_from_a_proxy_is_an_error_of_the_api_and_never_a_bug(serve: Serve, status: int) -> None:
    async def proxy(talk: Talk) -> None:
        await talk.answer(status, b"<html>" * 20_000, Content_Type="text/html")

    server = await serve(signing_in(proxy))
    async with agent_at(server.base_url) as agent:
        with pytest.raises(ApiError):
            await all_of(agent.conversations("user-1"))
        with pytest.raises(ApiError):
            await agent.modify_tags("user-1", CONVERSATION, {})
