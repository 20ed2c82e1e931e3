"""Webhooks through the whole service: to an agent, through broker stops and kills, and beside hostile senders."""

import asyncio
import hashlib
import hmac
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp

from tests.support.process import BridgeProcess, run_command
from tests.support.rabbit import EVENTS
from tests.support.waiting import until
from tests.support.world import World

SECRET = "canary-hook-secret"
HOOK: dict[str, Any] = {"name": "git", "scheme": "github", "secrets": [SECRET], "rate": 1_000_000}
ROUTE = {
    "name": "hooks",
    "when": "source == 'git' and headers['x-github-event'] == 'push'",
    "service_id": "5f0000000000000000000001",
    "user_id": "u-{{ data.who }}",
    "message": "canary-body {{ data.who }} pushed",
}
# An API that is not there: nothing is taken out of the queue, so that it can be counted.
NO_API = {"amigo": {"base_url": "http://127.0.0.1:9"}, "webhooks": [HOOK]}
SENDERS = 50


def request_of(number: int | str) -> tuple[bytes, dict[str, str]]:
    body = json.dumps({"who": f"w{number}", "filling": "x" * 100}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return body, {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": f"d-{number}",
        "X-Hub-Signature-256": f"sha256={signature}",
    }


class Senders:
    """Fifty clients that send numbered webhooks, and remember how each was answered."""

    def __init__(self, bridge: BridgeProcess) -> None:
        self.url = f"http://127.0.0.1:{bridge.port}/webhooks/git"
        self.answers: dict[int, int | None] = {}
        self._next = 0

    @property
    def taken(self) -> set[str]:
        return {f"git:d-{number}" for number, status in self.answers.items() if status == 202}

    def stop(self) -> None:
        """No more than have been begun."""
        self._next = 10**9

    async def send(self, session: aiohttp.ClientSession, number: int) -> int | None:
        """The status; None where nobody answered."""
        body, headers = request_of(number)
        try:
            async with session.post(self.url, data=body, headers=headers) as response:
                self.answers[number] = response.status
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            self.answers[number] = None
        return self.answers[number]

    async def work(self, total: int) -> None:
        """Send until so many have been sent in all."""

        async def one(session: aiohttp.ClientSession) -> None:
            while self._next < total:
                self._next += 1
                if await self.send(session, self._next) != 202:
                    await asyncio.sleep(0.02)  # as any sender would wait before its next try

        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            await asyncio.gather(*(one(session) for _ in range(SENDERS)))


@asynccontextmanager
async def working(senders: Senders, total: int) -> AsyncIterator[Callable[[], int]]:
    """Meanwhile; gives how many have been answered so far. All have been when it ends."""
    task = asyncio.create_task(senders.work(total))
    yield lambda: len(senders.answers)
    await task


async def queued(world: World) -> set[str]:
    return {record.message_id for record in await world.rabbit.take(EVENTS)}


async def listening(bridge: BridgeProcess) -> None:
    """It has a broker, and takes webhooks."""

    async def is_so() -> bool:
        found = await bridge.readiness()
        return found is not None and any(row["name"] == "broker" and row["ok"] for row in found[1]["components"])

    await until(is_so, "it is connected to the broker", 30)


async def test_a_webhook_starts_a_conversation_once(world: World) -> None:
    await world.launch(webhooks=[HOOK], routes=[ROUTE])
    senders = Senders(world.bridges[0])
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            assert await senders.send(session, 1) == 202
    told = await world.ending("git:d-1")
    assert told.ending.type == "interaction-complete"
    (call,) = world.fake.truth.calls_of("create")
    assert (call.user, call.text) == ("u-w1", "canary-body w1 pushed")
    found = await world.bridges[0].get("/metrics")
    assert found is not None
    assert 'bridge_webhooks_total{outcome="repeat",source="git"} 2.0' in found[1]


async def test_a_cloudevent_starts_a_conversation_once_and_a_route_sees_its_attributes(world: World) -> None:
    route = {
        **ROUTE,
        "when": "source == 'cloud' and headers['ce-type'] == 'pushed'",
        "message": "{{ headers['ce-subject'] }}: {{ data.who }}",
    }
    bridge = await world.launch(webhooks=[{"name": "cloud", "scheme": "bearer", "secrets": [SECRET]}], routes=[route])
    url, by = f"http://127.0.0.1:{bridge.port}/webhooks/cloud", {"Authorization": f"Bearer {SECRET}"}
    attributes = {"specversion": "1.0", "id": "e-1", "source": "/s", "type": "pushed", "subject": "Größe"}
    in_headers = {f"ce-{name}": quote(value) for name, value in attributes.items()}
    async with aiohttp.ClientSession(headers=by) as session:
        for body, headers in (
            ({**attributes, "data": {"who": "w1"}}, {"Content-Type": "application/cloudevents+json"}),
            ({**attributes, "time": "2026-01-01T00:00:00Z"}, {"Content-Type": "application/cloudevents+json"}),
            ({"who": "w1"}, {"Content-Type": "application/json", **in_headers}),
        ):
            async with session.post(url, data=json.dumps(body), headers=headers) as response:
                assert (response.status, await response.json()) == (202, {"id": "cloud:e-1"})
    told = await world.ending("cloud:e-1")
    assert told.ending.type == "interaction-complete"
    (call,) = world.fake.truth.calls_of("create")
    assert (call.user, call.text) == ("u-w1", "Größe: w1")


async def test_a_sender_that_ends_its_direction_is_answered(world: World) -> None:
    """On uvloop, on which the service runs; tests/edges/http/test_half_closed.py has the variants."""
    bridge = world.bridge(**NO_API)
    bridge.start()
    await listening(bridge)
    requests = []
    for number in range(3):
        body, headers = request_of(number)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST /webhooks/git HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)
    for sent, statuses in (
        (requests[0], [b"202"]),
        (b"".join(requests), [b"202"] * 3),
        (requests[0] + requests[1][:-1], [b"202", b"400"]),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", [b"200"]),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(20):
            assert re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", await reader.read()) == statuses
        writer.close()
    assert await queued(world) == {f"git:d-{number}" for number in range(3)}
    assert not [line for line in bridge.log_lines() if line.get("logger", "").startswith("aiohttp")]


async def test_the_same_webhook_after_a_restart_starts_no_second_conversation(world: World) -> None:
    """The door has forgotten it, and puts it in the queue again; the ledger has not."""
    bridge = await world.launch(webhooks=[HOOK], routes=[ROUTE])

    async def is_complete() -> bool:
        done = await run_command(world.folder, "trace", "--config", bridge.file.name, "git:d-1", "--json")
        return bool(json.loads(done.out)["state"] == "complete")

    async with aiohttp.ClientSession() as session:
        assert await Senders(bridge).send(session, 1) == 202
        await world.ending("git:d-1")
        await until(is_complete, "the ledger knows that it is complete")
        await bridge.kill()
        bridge.start()
        await bridge.ready()
        assert await Senders(bridge).send(session, 1) == 202

    async def is_settled() -> bool:
        found = await bridge.get("/metrics")
        return found is not None and "bridge_repeats_total 1.0" in found[1]

    await until(is_settled, "the repeat has been acknowledged as one")
    found = await bridge.get("/metrics")
    assert found is not None
    assert 'bridge_webhooks_total{outcome="taken",source="git"} 1.0' in found[1]
    assert len(world.fake.truth.calls_of("create")) == 1
    assert [record.type for record in world.records].count("interaction-complete") == 1


async def test_every_202_is_in_the_queue_when_the_broker_stops_among_ten_thousand(rough_world: World) -> None:
    world = rough_world
    bridge = world.bridge(**NO_API)
    bridge.start()
    await listening(bridge)
    senders = Senders(bridge)
    async with working(senders, 10_000) as answered:
        await until(lambda: answered() > 3_000, "a third is through", 60)
        await asyncio.to_thread(world.rabbit.broker.restart, True)
    await listening(bridge)
    await until(lambda: None not in senders.answers.values(), "all have been answered", 5)
    assert len(senders.answers) == 10_000
    assert set(senders.answers.values()) <= {202, 503}
    assert 503 in senders.answers.values()
    missing = senders.taken - await queued(world)
    assert not missing
    assert len(senders.taken) > 3_000


async def test_kill_minus_nine_at_random_loses_no_202(world: World) -> None:
    dice = random.Random(4711)
    bridge = world.bridge(**NO_API)
    bridge.start()
    await listening(bridge)
    senders = Senders(bridge)
    async with working(senders, 1_000_000) as answered:
        for _ in range(4):
            before = answered()
            await until(lambda: answered() > before + 50, "some are through", 30)  # noqa: B023
            await asyncio.sleep(dice.random() * 0.3)
            await bridge.kill()
            bridge.start()
            await listening(bridge)
        senders.stop()
    assert not senders.taken - await queued(world)
    assert len(senders.taken) > 200


async def test_thousands_of_connections_that_never_send_keep_nobody_waiting(world: World) -> None:
    bridge = world.bridge(**NO_API)
    bridge.start()
    await listening(bridge)
    senders = Senders(bridge)
    idle: list[asyncio.StreamWriter] = []
    slow = request_of("slow")
    head = "".join(f"{name}: {value}\r\n" for name, value in slow[1].items())
    start = f"POST /webhooks/git HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 1000000\r\n\r\n".encode()
    before_bytes = rss_bytes(bridge)
    try:
        async with aiohttp.ClientSession() as session:
            for number in range(5_000):
                _, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
                if number % 5 == 0:
                    writer.write(start + slow[0])
                idle.append(writer)
                if number % 500 == 499:
                    async with asyncio.timeout(60):
                        assert await senders.send(session, number) == 202
        grown = rss_bytes(bridge) - before_bytes
        print(f"{len(idle)} idle connections: {grown / 2**20:.1f} MiB more")
        assert grown < 150 * 1024 * 1024
        assert await bridge.get("/livez") is not None
        assert await queued(world) == senders.taken
    finally:
        for writer in idle:
            writer.transport.abort()


async def test_a_gibibyte_in_chunks_is_cut_and_costs_no_memory(world: World) -> None:
    bridge = world.bridge(**NO_API)
    bridge.start()
    await listening(bridge)
    senders = Senders(bridge)
    before_bytes = rss_bytes(bridge)
    async with aiohttp.ClientSession() as session:
        pushing = [asyncio.create_task(pushed(bridge, 2**30)) for _ in range(20)]
        assert await senders.send(session, 1) == 202
        held: list[int] = []

        def all_are_cut() -> bool:
            held.append(rss_bytes(bridge) - before_bytes)
            return all(task.done() for task in pushing)

        await until(all_are_cut, "all have been cut", 60)
        assert await senders.send(session, 2) == 202
    sent = await asyncio.gather(*pushing)
    print(f"at most {max(sent) / 2**20:.1f} MiB were sent, {max(held) / 2**20:.1f} MiB more held")
    assert max(sent) < 2**30  # cut, not read to the end; how much is read until then depends on the machine
    assert max(held) < 100 * 2**20
    assert await queued(world) == senders.taken


async def pushed(bridge: BridgeProcess, total: int) -> int:
    """How many bytes of a body in chunks could be sent before the connection was closed."""
    _, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    headers = "".join(f"{name}: {value}\r\n" for name, value in request_of("endless")[1].items())
    writer.write(f"POST /webhooks/git HTTP/1.1\r\nHost: x\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode())
    chunk, sent = b"10000\r\n" + b"x" * 0x10000 + b"\r\n", 0
    try:
        while sent < total:
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return sent


def rss_bytes(bridge: BridgeProcess) -> int:
    with open(f"/proc/{bridge.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


async def test_an_insecure_webhook_is_said_at_every_start(world: World) -> None:
    bridge = await world.launch(webhooks=[{"name": "open", "scheme": "none", "insecure": True}])
    assert [line["source"] for line in bridge.log_lines() if line["event"] == "webhook.insecure"] == ["open"]
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{bridge.port}/webhooks/open", json={"id": "chosen", "a": 1}) as response,
    ):
        assert (await response.json())["id"].startswith("open:")
    (letter,) = await world.dead(1)
    assert (letter.routing_key, letter.message_id[:5]) == ("no-route", "open:")


async def test_what_is_no_http_does_not_fill_the_log(world: World) -> None:
    bridge = await world.launch(webhooks=[HOOK])
    for number in range(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
        writer.write((b"POST nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n")[number % 3])
        assert b"application/problem+json" in await reader.read()
        writer.close()
    assert not [line for line in bridge.log_lines() if line.get("logger", "").startswith("aiohttp")]
    assert 1 <= len([line for line in bridge.log_lines() if line.get("reason") == "malformed"]) < 40
