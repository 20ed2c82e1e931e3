"""A name with several addresses: where one answers nothing, the next is tried, and connecting has a limit."""

import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from bridge.core.errors import NotSent
from bridge.edges.amigo.agent import AmigoAgent
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import USUAL_LIMITS, CallLimits, HttpClient
from tests.edges.conftest import Serve
from tests.support.amigo import CONVERSATION, credentials, read, routed
from tests.support.scripted import CHUNKED, LAST_CHUNK, Talk, chunk, signing_in

NAME = "api.example"
LOOPBACK = {"IPv4": "127.0.0.2", "IPv6": "::1"}


class TwoAddresses(AbstractResolver):
    """Knows one name."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        self.asked.append(host)
        return [_found(host, each, port) for each in self.hosts]

    async def close(self) -> None:
        pass


def _found(name: str, host: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return ResolveResult(hostname=name, host=host, port=port, family=family, proto=0, flags=0)


@contextmanager
def black_hole(host: str, port: int) -> Iterator[None]:
    """An address where connecting gets no answer at all: a listener whose backlog is full and never emptied."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(20):
            filler = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            filler.settimeout(0.2)
            try:
                filler.connect((host, port))
            except TimeoutError:
                break
        else:
            raise AssertionError("the backlog takes everybody")
        yield


@asynccontextmanager
async def agent_by_name(
    port: int, hosts: Sequence[str], limits: CallLimits = USUAL_LIMITS
) -> AsyncIterator[AmigoAgent]:
    who = credentials(f"http://{NAME}:{port}")
    resolver = TwoAddresses(*hosts)
    async with HttpClient(who, 5.0, resolver, limits) as client:
        yield AmigoAgent(SignedClient(client, who, ONE_ATTEMPT, lambda: 0.0))
    assert set(resolver.asked) == {NAME}


async def hello(talk: Talk) -> None:
    if "ndjson" in talk.request.headers.get("accept", ""):
        await talk.send(CHUNKED + chunk(b"hello\n") + LAST_CHUNK)
    else:
        await talk.answer(204)


@pytest.mark.parametrize("family", LOOPBACK)
async def test_an_address_that_answers_nothing_is_passed_over_by_calls_and_streams(serve: Serve, family: str) -> None:
    server = await serve(signing_in(hello))
    with black_hole(LOOPBACK[family], server.port):
        async with agent_by_name(server.port, [LOOPBACK[family], "127.0.0.1"]) as agent:
            await agent.finish("user-1", CONVERSATION)
            async with agent.create(routed()) as stream:
                assert await read(stream) == b"hello\n"


@pytest.mark.parametrize("family", LOOPBACK)
async def test_an_address_that_refuses_is_passed_over_too(serve: Serve, family: str) -> None:
    server = await serve(signing_in(hello))
    async with agent_by_name(server.port, [LOOPBACK[family], "127.0.0.1"]) as agent:
        await agent.finish("user-1", CONVERSATION)


async def test_where_no_address_answers_nothing_was_sent_and_that_is_said_within_the_limit(
    serve: Serve,
) -> None:
    server = await serve(signing_in(hello))
    hosts = ["::1", "127.0.0.2", "127.0.0.3"]
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(black_hole(host, server.port))
        async with agent_by_name(server.port, hosts, CallLimits(connect_s=0.3)) as agent:
            with pytest.raises(NotSent):
                await agent.finish("user-1", CONVERSATION)
    assert server.requests == []


def test_connecting_has_a_limit_that_leaves_room_for_the_answer() -> None:
    assert USUAL_LIMITS.connect_s < USUAL_LIMITS.reach_s < USUAL_LIMITS.control_s
