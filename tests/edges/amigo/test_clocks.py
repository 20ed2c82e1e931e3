"""Clocks that differ: how long a token is used hangs on the API's clock alone, and a wrong one is told once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from bridge.edges.amigo import tokens
from bridge.edges.amigo.client import HttpClient
from tests.edges.amigo.test_tokens import Door
from tests.edges.conftest import Serve
from tests.support.amigo import IDLE_S, credentials
from tests.support.fakes import FakeLog


class Clocks:
    """The API's clock and this machine's two, each as far off as a test says."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.real_s = 1_800_000_000.0
        self.ahead_s = ahead_s

    def wall(self) -> float:
        return self.real_s + self.ahead_s

    def monotonic(self) -> float:
        return self.real_s - 1_799_000_000.0

    def http_date(self) -> str:
        return formatdate(self.real_s, usegmt=True)

    def iso(self, seconds: float) -> str:
        return datetime.fromtimestamp(self.real_s + seconds, UTC).isoformat()


@asynccontextmanager
async def tokens_at(base_url: str, clocks: Clocks) -> AsyncIterator[tuple[tokens.Tokens, FakeLog]]:
    who, log = credentials(base_url), FakeLog()
    async with HttpClient(who, IDLE_S) as client:
        yield tokens.Tokens(client, who, clock=clocks.wall, monotonic=clocks.monotonic, log=log), log


AHEAD_S = [0.0, 7200.0, -7200.0, 3590.0, -86_400.0]


@pytest.mark.parametrize("ahead_s", AHEAD_S)
async def test_a_token_is_renewed_before_it_expires_whatever_this_machines_clock_says(
    serve: Serve, ahead_s: float
) -> None:
    clocks, door = Clocks(ahead_s), Door()
    door.date, door.expires_at = clocks.http_date(), clocks.iso(3600)
    server = await serve(door)
    async with tokens_at(server.base_url, clocks) as (kept, _):
        for _ in range(20):
            await kept.of("user-1")
        assert door.given == {"user-1": 1}
        clocks.real_s += 3600 - 300 - 1
        await kept.of("user-1")
        assert door.given == {"user-1": 1}
        clocks.real_s += 2
        await kept.of("user-1")
    assert door.given == {"user-1": 2}


async def test_a_step_of_this_machines_clock_changes_nothing(serve: Serve) -> None:
    clocks, door = Clocks(), Door()
    door.date, door.expires_at = clocks.http_date(), clocks.iso(3600)
    server = await serve(door)
    async with tokens_at(server.base_url, clocks) as (kept, _):
        for ahead_s in AHEAD_S:
            clocks.ahead_s = ahead_s
            await kept.of("user-1")
    assert door.given == {"user-1": 1}


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("expired", ["+00:00", "without a zone"])
async def test_a_token_that_has_expired_when_it_is_issued_is_used_until_a_401_with_one_warning(
    serve: Serve, dated: bool, expired: str
) -> None:
    clocks, door = Clocks(), Door()
    door.date = clocks.http_date() if dated else None
    door.expires_at = clocks.iso(-7200) if expired == "+00:00" else clocks.iso(-7200).removesuffix("+00:00")
    server = await serve(door)
    async with tokens_at(server.base_url, clocks) as (kept, log):
        for _ in range(5):
            text = await kept.of("user-1")
            clocks.real_s += 86_400
        assert door.given == {"user-1": 1}
        kept.drop("user-1", text)
        await kept.of("user-1")
        await kept.of("user-2")
    assert door.given == {"user-1": 2, "user-2": 1}
    (warning,) = log.of("clock.differs")
    assert warning["ahead_s"] >= 7200


@pytest.mark.parametrize(("ahead_s", "warnings"), [(0.0, 0), (50.0, 0), (7200.0, 1), (-7200.0, 1)])
async def test_clocks_that_differ_are_told_once(serve: Serve, ahead_s: float, warnings: int) -> None:
    clocks, door = Clocks(ahead_s), Door()
    door.date, door.expires_at = clocks.http_date(), clocks.iso(3600)
    server = await serve(door)
    async with tokens_at(server.base_url, clocks) as (kept, log):
        for user_id in ("user-1", "user-2", "user-3"):
            await kept.of(user_id)
        assert kept.ahead_s == ahead_s
    assert [line["ahead_s"] for line in log.of("clock.differs")] == [ahead_s] * warnings


async def test_a_time_without_a_zone_is_utc(serve: Serve) -> None:
    clocks, door = Clocks(), Door()
    door.date, door.expires_at = clocks.http_date(), clocks.iso(3600).removesuffix("+00:00")
    server = await serve(door)
    async with tokens_at(server.base_url, clocks) as (kept, log):
        await kept.of("user-1")
        assert log.lines == []
        clocks.real_s += 3400
        await kept.of("user-1")
    assert door.given == {"user-1": 2}


async def test_without_a_date_the_lifetime_that_is_named_holds(serve: Serve) -> None:
    clocks, door = Clocks(7200.0), Door()
    door.date, door.expires_at, door.more = None, clocks.iso(3600), {"expires_in": 600}
    server = await serve(door)
    async with tokens_at(server.base_url, clocks) as (kept, _):
        await kept.of("user-1")
        clocks.real_s += 299
        await kept.of("user-1")
        assert door.given == {"user-1": 1}
        clocks.real_s += 2
        await kept.of("user-1")
    assert door.given == {"user-1": 2}


@pytest.mark.parametrize("ahead_s", AHEAD_S)
async def test_the_apis_time_goes_on_whatever_this_machines_clock_does(serve: Serve, ahead_s: float) -> None:
    clocks, door = Clocks(), Door()
    door.date, door.expires_at = clocks.http_date(), clocks.iso(3600)
    server = await serve(door)
    async with tokens_at(server.base_url, clocks) as (kept, _):
        assert kept.told_s() is None
        await kept.of("user-1")
        clocks.ahead_s = ahead_s
        clocks.real_s += 1000
        assert kept.told_s() == clocks.real_s


async def test_an_api_that_does_not_date_its_answers_tells_no_time(serve: Serve) -> None:
    clocks, door = Clocks(), Door()
    door.date, door.expires_at = None, clocks.iso(3600)
    server = await serve(door)
    async with tokens_at(server.base_url, clocks) as (kept, _):
        await kept.of("user-1")
        assert kept.told_s() is None
