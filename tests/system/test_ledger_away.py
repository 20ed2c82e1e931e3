"""A process without its ledger: another one has it, it cannot be opened, it goes away; and the twin that takes over."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.events import event, text_of
from tests.support.fake_api import Error, Gate, Husk, Piece, Stream, answer
from tests.support.nodes import shared_postgres
from tests.support.process import BridgeProcess, command, environment, run_command
from tests.support.rabbit import DEAD, EVENTS
from tests.support.waiting import stays, until
from tests.support.world import World


async def ledger_row(bridge: BridgeProcess) -> dict[str, Any]:
    found = await bridge.readiness()
    assert found is not None
    (row,) = [row for row in found[1]["components"] if row["name"] == "ledger"]
    return {**row, "ready": found[0] == 200}


async def is_held(bridge: BridgeProcess) -> bool:
    """Not ready, for want of the ledger."""
    row = await ledger_row(bridge) if await bridge.is_not_ready() else {"ok": True}
    return not row["ok"]


async def assert_held(world: World, bridge: BridgeProcess, *event_ids: str) -> None:
    """Nothing happens to these events, which are published now, and nothing is said of them."""
    asked = len(world.fake.truth.calls_of("create"))
    await world.publish(*[event(one) for one in event_ids])
    await until(lambda: world.rabbit.ready_is(EVENTS, len(event_ids)), "they wait in the queue")
    await stays(lambda: is_held(bridge), "it is held", 2)
    assert await world.rabbit.ready_is(EVENTS, len(event_ids))
    assert len(world.fake.truth.calls_of("create")) == asked
    assert [record for record in world.records if record.properties.correlation_id in event_ids] == []


async def assert_answered(world: World, *event_ids: str) -> None:
    """Each is heard once, in its first attempt, and has one ending."""
    for one, told in zip(event_ids, await world.endings(*event_ids, bound_s=60), strict=True):
        assert told.ending.type == "interaction-complete"
        assert told.ending.headers["attempt"] == 1
        assert len(world.fake.truth.committed(text_of(one))) == 1
    assert await world.rabbit.ready_is(DEAD, 0)


@pytest.mark.parametrize("husk", [Husk.ROLLBACK, Husk.COMMIT, Husk.EMPTY])
async def test_a_twin_is_not_ready_and_takes_over_when_the_first_is_killed(world: World, husk: Husk) -> None:
    first = await world.launch()
    await world.publish(event("before"))
    await world.ending("before")
    twin = world.bridge()
    twin.start()
    await until(lambda: is_held(twin), "the twin is held")
    who = f"in use by the process {first.pid} on {socket.gethostname()} since 20"
    assert who in (await ledger_row(twin))["reason"]
    gate = Gate()
    world.fake.script(text_of("killed"), answer("some ", "words", before_end=(gate,), abandoned=husk))
    await world.publish(event("killed"), event("before"))
    await world.streaming("killed")
    await stays(lambda: is_held(twin), "the twin leaves it alone", 2)
    await first.kill()
    gate.open()
    await twin.ready(15)
    told = await world.ending("killed")
    assert told.ending.type == "interaction-complete"
    assert len(world.fake.truth.committed(text_of("killed"))) == 1
    await until(lambda: world.counts(EVENTS, (0, 0)), "nothing is left")
    assert [record.type for record in world.records if record.type == "bridge-failed"] == []
    assert len(world.fake.truth.committed(text_of("before"))) == 1


async def test_a_twin_that_asks_goes_on_and_only_says_that_it_has_no_ledger(world: World) -> None:
    await world.launch()
    twin = world.bridge(ledger={"when_lost": "ask"})
    twin.start()
    await twin.ready()
    row = await ledger_row(twin)
    assert (row["ok"], row["ready"]) == (False, True)
    assert "in use by the process" in row["reason"]
    await world.publish(*[event(f"a{number}") for number in range(20)])
    await world.endings(*[f"a{number}" for number in range(20)])


def missing(path: Path) -> Callable[[], object]:
    return lambda: path.parent.mkdir()


def folder(path: Path) -> Callable[[], object]:
    path.mkdir(parents=True)
    return path.rmdir


def no_database(path: Path) -> Callable[[], object]:
    path.parent.mkdir()
    path.write_text("my diary\n" * 200)
    return path.unlink


def no_folder(path: Path) -> Callable[[], object]:
    path.parent.write_text("a file where the folder should be")

    def mend() -> None:
        path.parent.unlink()
        path.parent.mkdir()

    return mend


@pytest.mark.parametrize("spoil", [missing, folder, no_database, no_folder])
async def test_a_ledger_that_cannot_be_opened_holds_consuming_until_it_can(
    world: World, spoil: Callable[[Path], Callable[[], object]]
) -> None:
    """Its path is relative: it counts from the configuration file's folder, not from where the process runs."""
    mend = spoil(world.folder / "ledgers" / "bridge.db")
    await world.rabbit.declare()
    bridge = world.bridge(ledger={"url": "sqlite:///ledgers/bridge.db"})
    bridge.start()
    await until(lambda: is_held(bridge), "it is held")
    assert str(world.folder / "ledgers" / "bridge.db") in (await ledger_row(bridge))["reason"]
    await assert_held(world, bridge, "e1", "e2")
    mend()
    await bridge.ready(20)
    await assert_answered(world, "e1", "e2")


def take_away(world: World) -> Callable[[], object]:
    """The ledger's file is gone, and nothing can be at its place; gives what brings it back."""
    path = world.folder / "bridge.db"
    aside = path.rename(world.folder / "aside")
    path.mkdir()

    def bring_back() -> None:
        path.rmdir()
        aside.rename(path)

    return bring_back


async def test_a_ledger_that_is_away_for_the_patience_holds_what_has_not_begun_and_nothing_else(world: World) -> None:
    bridge = await world.launch(ledger={"patience": "1s"}, lanes={"park_after": "3s"})
    gate = Gate()
    world.fake.script(text_of("streams"), answer("some ", "words", before_end=(gate,)))
    await world.publish(event("streams"))
    await world.streaming("streams")
    bring_back = take_away(world)
    await world.publish(event("early"))
    await until(lambda: is_held(bridge), "it is held")
    gate.open()
    await assert_answered(world, "streams")
    parked = [f"{EVENTS}.delay.30", EVENTS]

    async def early_is_parked() -> bool:
        return any([await world.rabbit.ready_is(queue, 1) for queue in parked])

    await until(early_is_parked, "what was in hand is parked")
    assert world.fake.truth.talks_of(text_of("early")) == []
    bring_back()
    await bridge.ready(20)
    await world.publish(event("late"), event("streams"))
    await assert_answered(world, "late", "early", "streams")


async def test_an_event_that_fails_without_the_ledger_is_given_up_only_once_that_is_back(world: World) -> None:
    bridge = await world.launch(ledger={"patience": "1s"})
    gate = Gate()
    world.fake.script(text_of("r"), Stream((Piece("some "), gate, Error(422))))
    await world.publish(event("r"))
    await world.streaming("r")
    bring_back = take_away(world)
    gate.open()
    await until(lambda: [one for one in world.records if one.type == "bridge-voided"], "it has failed")
    await until(lambda: is_held(bridge), "it is held")
    await stays(lambda: world.rabbit.ready_is(DEAD, 0), "nothing is given up", 2)
    bring_back()
    (letter,) = await world.dead(1)
    assert (letter.routing_key, letter.headers["x-bridge-attempts"]) == ("rejected", 1)
    assert (await world.ending("r")).ending.type == "bridge-failed"
    assert len(world.fake.truth.talks_of(text_of("r"))) == 1
    await bridge.ready(20)


async def test_trace_reads_the_ledger_of_a_service_and_of_one_that_is_gone(world: World) -> None:
    bridge = await world.launch()
    await world.publish(event("t1"))
    await world.ending("t1")
    twin = world.bridge()
    twin.start()
    await until(lambda: is_held(twin), "the twin is held")

    async def traced() -> dict[str, Any]:
        done = await run_command(world.folder, "trace", "--config", bridge.file.name, "t1", "--json")
        assert done.status == 0, done.all
        return dict(json.loads(done.out))

    assert (await traced())["state"] in ("answered", "complete")
    await twin.stop()
    await bridge.kill()
    before = sorted(path.name for path in world.folder.glob("bridge.db*"))
    assert (await traced())["event_id"] == "t1"
    assert sorted(path.name for path in world.folder.glob("bridge.db*")) == before


async def test_a_database_that_is_away_holds_the_same_way(world: World, request: pytest.FixtureRequest) -> None:
    server = await asyncio.to_thread(shared_postgres, request.config)
    name = await server.database()
    away = f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"
    end = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
    await server.execute(away)
    await world.rabbit.declare()
    bridge = world.bridge(ledger={"url": server.url(name), "patience": "1s"})
    bridge.start()
    await until(lambda: is_held(bridge), "it is held")
    await assert_held(world, bridge, "p1")
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await bridge.ready(20)
    await assert_answered(world, "p1")
    await server.execute(away)
    await server.execute(end)
    await until(lambda: is_held(bridge), "it is held again")
    await assert_held(world, bridge, "p2")
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await assert_answered(world, "p2")


async def test_the_environment_alone_is_enough_and_the_ledger_is_where_the_default_file_would_be(world: World) -> None:
    elsewhere = world.folder / "elsewhere"
    elsewhere.mkdir()
    seen = world.bridge()
    amigo = seen.config["amigo"]
    variables = {
        "BRIDGE_AMQP__URL": world.rabbit.url,
        "BRIDGE_HTTP__PORT": str(seen.port),
        **{f"AMIGO_{name.upper()}": value for name, value in amigo.items() if name != "settle"},
    }
    process = await asyncio.create_subprocess_exec(*command("run"), cwd=elsewhere, env=environment(variables))
    try:

        async def ready() -> bool:
            found = await seen.readiness()
            return found is not None and found[0] == 200

        await until(ready, "it is ready")
        assert [path.name for path in elsewhere.iterdir()] == ["config"]
        assert (elsewhere / "config" / "bridge.db").exists()
    finally:
        process.terminate()
        status = await asyncio.wait_for(process.wait(), 20)
    assert status == 0
