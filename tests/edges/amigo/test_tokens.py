"""Signing in: once at a time, in time, and once more after a 401 but not twice."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest

from bridge.core.errors import ApiError, NotSent, SignInRefused, TooEarly, UnknownUser
from bridge.edges.amigo import tokens
from tests.edges.conftest import Serve
from tests.support.amigo import CONVERSATION, agent_at, read, routed
from tests.support.scripted import CHUNKED, LAST_CHUNK, SIGN_IN, Talk, chunk, token

FINISH = f"/conversation/{CONVERSATION}/finish/"


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


class Door:
    """Signs in as told, numbers its tokens, and accepts those that `accepts` says."""

    def __init__(self, accepts: Callable[[int], bool] = lambda _: True, expires_at: str = in_seconds(3600)) -> None:
        self.given: Counter[str] = Counter()
        self.accepts = accepts
        self.expires_at = expires_at
        self.date: str | None = formatdate(usegmt=True)
        self.more: dict[str, object] = {}
        self.refused: set[str] = set()
        self.knocked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, talk: Talk) -> None:
        if talk.request.path == SIGN_IN:
            return await self._sign_in(talk)
        if talk.request.path == "/organization/":
            return await talk.answer(200, {})
        text = talk.request.headers["authorization"].removeprefix("Bearer ")
        if not self.accepts(int(text.rpartition(" ")[2])):
            return await talk.answer(401, {"detail": "Invalid authorization credentials."})
        if "ndjson" in talk.request.headers.get("accept", ""):
            return await talk.send(CHUNKED + chunk(b"hello\n") + LAST_CHUNK)
        return await talk.answer(204)

    async def _sign_in(self, talk: Talk) -> None:
        user_id = talk.request.headers["x-user-id"]
        self.knocked.set()
        await self.open.wait()
        if user_id in self.refused:
            return await talk.answer(401, {"detail": "API key not found, is incorrect, or the user is not found."})
        self.given[user_id] += 1
        told = {**token(f"{user_id} {self.given[user_id]}", self.expires_at), **self.more}
        return await talk.answer(200, told, **({"Date": self.date} if self.date is not None else {}))


async def test_fifty_simultaneous_calls_make_one_sign_in(serve: Serve) -> None:
    door = Door()
    door.open.clear()
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        calls = [asyncio.create_task(agent.finish("user-1", CONVERSATION)) for _ in range(50)]
        await door.knocked.wait()
        door.open.set()
        await asyncio.gather(*calls)
    assert door.given == {"user-1": 1}
    assert len(server.of(FINISH)) == 50


async def test_cancelling_one_call_does_not_take_the_sign_in_from_the_others(serve: Serve) -> None:
    door = Door()
    door.open.clear()
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        first = asyncio.create_task(agent.finish("user-1", CONVERSATION))
        await door.knocked.wait()
        second = asyncio.create_task(agent.finish("user-1", CONVERSATION))
        await asyncio.sleep(0)
        first.cancel()
        door.open.set()
        await second
    assert len(server.of(SIGN_IN)) == 1


async def test_fifty_simultaneous_calls_share_a_refusal(serve: Serve) -> None:
    door = Door()
    door.refused = {"bridge-user"}
    door.open.clear()
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        calls = [asyncio.create_task(agent.finish("bridge-user", CONVERSATION)) for _ in range(50)]
        await door.knocked.wait()
        door.open.set()
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in errors} == {SignInRefused}
    assert len(server.of(SIGN_IN)) == 1


async def test_a_token_is_used_until_shortly_before_it_expires(serve: Serve) -> None:
    door = Door(expires_at=in_seconds(3600))
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        await agent.finish("user-1", CONVERSATION)
        await agent.finish("user-1", CONVERSATION)
        assert door.given == {"user-1": 1}


EXPIRIES = ["soon", "", "2999-01-01T00:00:00", "2999-01-01T00:00:00.123456+02:00", "9999-12-31T23:59:59-23:59", "1"]


@pytest.mark.parametrize("expires_at", EXPIRIES)
async def test_any_form_of_expiry_works(serve: Serve, expires_at: str) -> None:
    door = Door(expires_at=expires_at)
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        await agent.finish("user-1", CONVERSATION)
        await agent.finish("user-1", CONVERSATION)
    assert door.given == {"user-1": 1}


async def test_a_401_means_one_more_sign_in_and_one_more_request(serve: Serve) -> None:
    door = Door(accepts=lambda number: number > 1)
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        await agent.finish("user-1", CONVERSATION)
        assert (len(server.of(FINISH)), door.given["user-1"]) == (2, 2)
        async with agent.create(routed(user_id="user-2")) as stream:
            assert await read(stream) == b"hello\n"
        first, second = server.of("/conversation/")
        assert (first.body, door.given["user-2"]) == (second.body, 2)


async def test_a_401_to_fifty_calls_means_one_more_sign_in(serve: Serve) -> None:
    door = Door()
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        await agent.finish("user-1", CONVERSATION)
        door.accepts = lambda number: number > 1
        await asyncio.gather(*(agent.finish("user-1", CONVERSATION) for _ in range(50)))
    assert door.given["user-1"] == 2
    assert len(server.of(FINISH)) == 101


async def test_a_401_for_a_fresh_token_too_is_a_refusal_of_the_credentials(serve: Serve) -> None:
    door = Door(accepts=lambda _: False)
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        with pytest.raises(SignInRefused):
            await agent.finish("user-1", CONVERSATION)
        with pytest.raises(SignInRefused):
            async with agent.interact(routed(user_id="user-2"), CONVERSATION):
                pass
    assert (door.given["user-1"], door.given["user-2"]) == (2, 2)
    assert len(server.of(FINISH)) == 2


async def test_a_user_whom_the_api_does_not_know_is_his_own_fault(serve: Serve) -> None:
    door = Door()
    door.refused = {"stranger"}
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        for _ in range(3):
            with pytest.raises(UnknownUser):
                await agent.finish("stranger", CONVERSATION)


async def test_a_refusal_of_everybody_is_the_bridges_own(serve: Serve) -> None:
    door = Door()
    door.refused = {"stranger", "bridge-user"}
    server = await serve(door)
    async with agent_at(server.base_url) as agent:
        for user_id in ("stranger", "bridge-user"):
            with pytest.raises(SignInRefused):
                await agent.finish(user_id, CONVERSATION)


async def test_without_a_user_of_its_own_a_refusal_is_the_bridges(serve: Serve) -> None:
    door = Door()
    door.refused = {"stranger"}
    server = await serve(door)
    async with agent_at(server.base_url, user_id=None) as agent:
        with pytest.raises(SignInRefused):
            await agent.finish("stranger", CONVERSATION)
        await agent.probe(credentials=True)


@pytest.mark.parametrize(
    ("status", "error"), [(404, SignInRefused), (422, SignInRefused), (500, NotSent), (503, NotSent)]
)
async def test_what_a_failed_sign_in_means(serve: Serve, status: int, error: type[ApiError]) -> None:
    async def refuse(talk: Talk) -> None:
        await talk.answer(status, b"no")

    server = await serve(refuse)
    async with agent_at(server.base_url) as agent:
        with pytest.raises(error):
            await agent.finish("bridge-user", CONVERSATION)


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {} ", "\t{}"])
async def test_white_space_around_a_token_is_no_part_of_it(serve: Serve, around: str) -> None:
    async def spaced(talk: Talk) -> None:
        if talk.request.path == SIGN_IN:
            return await talk.answer(200, token(around.format("the-token")))
        return await talk.answer(204)

    server = await serve(spaced)
    async with agent_at(server.base_url) as agent:
        await agent.finish("user-1", CONVERSATION)
    assert server.of(FINISH)[0].headers["authorization"] == "Bearer the-token"


@pytest.mark.parametrize(
    "unsendable", ["qqq\nqqq", "qqq\r\nX-Evil: 1", "qqq\u0000qqq", "qqq\u0007qqq", "qqqä", "\n", ""]
)
async def test_a_token_that_cannot_be_sent_is_an_error_of_the_api_and_not_shown(serve: Serve, unsendable: str) -> None:
    async def odd(talk: Talk) -> None:
        await talk.answer(200, token(unsendable))

    server = await serve(odd)
    async with agent_at(server.base_url) as agent:
        with pytest.raises(NotSent) as wrong:
            await agent.finish("user-1", CONVERSATION)
    assert "qqq" not in str(wrong.value)
    assert server.of(FINISH) == []


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"id_token": 5}', b"<html>"])
async def test_a_sign_in_without_a_token_means_that_the_call_was_not_sent(serve: Serve, answer: bytes) -> None:
    async def odd(talk: Talk) -> None:
        await talk.answer(200, answer)

    server = await serve(odd)
    async with agent_at(server.base_url) as agent:
        with pytest.raises(NotSent):
            await agent.finish("user-1", CONVERSATION)


async def test_a_sign_in_that_failed_is_tried_anew_at_the_next_call(serve: Serve) -> None:
    answers = [500, 200]

    async def at_first(talk: Talk) -> None:
        if talk.request.path == SIGN_IN:
            await talk.answer(answers.pop(0), token())
        else:
            await talk.answer(204)

    server = await serve(at_first)
    async with agent_at(server.base_url) as agent:
        with pytest.raises(NotSent):
            await agent.finish("user-1", CONVERSATION)
        await agent.finish("user-1", CONVERSATION)


async def test_the_least_recently_used_token_is_forgotten_first(serve: Serve) -> None:
    door = Door()
    server = await serve(door)
    async with agent_at(server.base_url, max_users=3) as agent:
        for user_id in ("a", "b", "c", "a", "d", "a", "c", "d", "b"):
            await agent.finish(user_id, CONVERSATION)
    assert door.given == {"a": 1, "b": 2, "c": 1, "d": 1}


def test_ten_thousand_users_are_remembered() -> None:
    assert tokens.MAX_USERS == 10_000


async def test_a_window_that_is_closed_for_sign_ins_leaves_those_signed_in_alone(serve: Serve) -> None:
    door = Door()
    server = await serve(door)

    async def busy(talk: Talk) -> None:
        await talk.answer(429, b"", Retry_After="30")

    async with agent_at(server.base_url) as agent:
        await agent.finish("user-1", CONVERSATION)
        server.script = busy
        with pytest.raises(TooEarly):
            await agent.finish("user-2", CONVERSATION)
        server.script = door
        await agent.finish("user-1", CONVERSATION)
