"""The PostgreSQL ledger: leases, several replicas, and a server that goes away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bridge.core.event.user import KnownUser
from bridge.core.ledger.ledger_entry import Claim, Entry, Holder, State
from bridge.edges.ledger.inspect import look
from bridge.edges.ledger.postgresql.ledger import PostgresqlLedger, PostgresqlLimits
from bridge.edges.ledger.postgresql.short_tables import SHORT_TABLES
from bridge.edges.ledger.postgresql.statements import MIGRATIONS
from bridge.edges.ledger.rows import CODES, hash_of
from bridge.flow.ports.ledger import LeaseLost, LedgerUnavailable
from tests.support.logbook import Logbook
from tests.support.postgres import PostgresServer
from tests.support.waiting import until

DIGEST = bytes(32)
KEEP_S = 1000.0
LEFT_S = "extract(epoch FROM until - now())::float8"


@pytest.fixture
async def database(postgres: PostgresServer) -> str:
    return await postgres.database()


@pytest.fixture
def url(postgres: PostgresServer, database: str) -> str:
    return postgres.url(database)


@pytest.fixture
async def ledger(url: str, log: Logbook) -> AsyncIterator[PostgresqlLedger]:
    async with PostgresqlLedger(url, KEEP_S, log) as opened:
        yield opened


def entry(event_id: str, state: State = State.OPEN) -> Entry:
    return Entry(event_id, state, DIGEST, ending=b"ending")


async def refused(ledger: PostgresqlLedger) -> str:
    """What a call says that must fail."""
    with pytest.raises(LedgerUnavailable) as raised:
        await ledger.write(entry("refused"))
    return str(raised.value)


async def well(ledger: PostgresqlLedger) -> None:
    await until(lambda: ledger.trouble is None, "it is well")


async def cut(postgres: PostgresServer, database: str) -> None:
    """The server ends the ledger's connections."""
    sessions = f"FROM pg_stat_activity WHERE datname = '{database}'"
    await postgres.execute(f"SELECT pg_terminate_backend(pid, 5000) {sessions}")


# --- leases


async def test_a_lease_that_is_not_renewed_ends_and_the_event_is_another_processs(
    postgres: PostgresServer, database: str, url: str, log: Logbook
) -> None:
    never = PostgresqlLimits(lease_s=7200.0, renew_s=3600.0)
    async with PostgresqlLedger(url, KEEP_S, log, never) as one, PostgresqlLedger(url, KEEP_S, log) as other:
        await one.claim("e1", DIGEST)
        await one.claim("e2", DIGEST)
        denied = await other.claim("e1", DIGEST)
        assert denied.holder is Holder.ANOTHER
        (row,) = await postgres.fetch(f"SELECT {LEFT_S} FROM amigo_bridge.owners WHERE {LEFT_S} > 3600", database)
        assert 7000 < float(str(row[0])) <= 7200
        ends_soon = f"UPDATE amigo_bridge.owners SET until = now() + interval '300ms' WHERE {LEFT_S} > 3600"
        await postgres.execute(ends_soon, database)

        async def free() -> bool:
            return (await other.claim("e1", DIGEST)).holder is Holder.EARLIER

        await until(free, "the lease is over", 20)
        await other.write(entry("e1"))
        with pytest.raises(LeaseLost, match="another process has 'e1' now"):
            await one.write(entry("e1", State.COMPLETE))
        found = await one.find("e1")
        assert found is not None
        assert found.state is State.OPEN
        await one.write(entry("e2"))  # nobody has taken it: it is still its own
        assert one.trouble is None


async def test_a_lease_is_renewed_for_all_events_with_one_row(
    postgres: PostgresServer, database: str, log: Logbook
) -> None:
    often = PostgresqlLimits(lease_s=60.0, renew_s=0.1)
    url = postgres.url(database)
    async with PostgresqlLedger(url, KEEP_S, log, often) as one, PostgresqlLedger(url, KEEP_S, log, often) as other:
        await asyncio.gather(*(one.claim(f"e{number}", DIGEST) for number in range(50)))

        async def renewed() -> bool:
            rows = await postgres.fetch(f"SELECT {LEFT_S} FROM amigo_bridge.owners", database)
            return len(rows) == 2 and all(float(str(row[0])) > 30 for row in rows)

        await until(renewed, "there are leases")
        await postgres.execute("UPDATE amigo_bridge.owners SET until = now() + interval '20 seconds'", database)
        await until(renewed, "each is renewed before its end")

        async def held() -> bool:
            claims = await asyncio.gather(*(other.claim(f"e{number}", DIGEST) for number in range(50)))
            return {claim.holder for claim in claims} == {Holder.ANOTHER}

        assert await held()
        assert len(await postgres.fetch("SELECT FROM amigo_bridge.owners", database)) == 2
    assert len(await postgres.fetch("SELECT FROM amigo_bridge.owners", database)) == 0


async def test_replicas_that_write_and_claim_each_others_events_never_stop_one_another(url: str, log: Logbook) -> None:
    async with PostgresqlLedger(url, KEEP_S, log) as one, PostgresqlLedger(url, KEEP_S, log) as other:
        events = [f"e{number}" for number in range(200)]

        async def work(ledger: PostgresqlLedger, order: list[str]) -> int:
            got = 0
            for event_id in order:
                if (await ledger.claim(event_id, DIGEST)).holder is not Holder.ANOTHER:
                    await ledger.write(entry(event_id))
                    got += 1
            return got

        orders = [events[start::10] + events[:start] for start in range(10)]
        work_of_all = [work(one, order) for order in orders] + [work(other, order[::-1]) for order in orders]
        assert min(await asyncio.gather(*work_of_all)) >= 0
        assert log.at("error") == []
        assert [await one.find(event_id) for event_id in events] == [entry(event_id) for event_id in events]


# --- the server goes away


async def test_a_server_that_is_gone_at_the_start_is_waited_for(
    postgres: PostgresServer, url: str, log: Logbook
) -> None:
    postgres.stop()
    try:
        async with PostgresqlLedger(url.replace("bridge@", "bridge:pass%20word@"), KEEP_S, log) as ledger:
            place = f"127.0.0.1:{postgres.port}/"
            assert await refused(ledger) == ledger.trouble
            assert ledger.trouble is not None
            assert ledger.trouble.startswith(f"the ledger at {place}")
            assert "pass" not in str(log.lines)
            postgres.start()
            await well(ledger)
            assert await ledger.claim("e1", DIGEST) == Claim(Holder.NOBODY)
    finally:
        postgres.stop()
        postgres.start()


async def test_a_server_that_restarts_is_found_again_with_all_that_it_knew(
    postgres: PostgresServer, ledger: PostgresqlLedger
) -> None:
    await ledger.claim("e1", DIGEST)
    await ledger.write(entry("e1"))
    postgres.stop()
    try:
        await until(lambda: ledger.trouble, "it is seen although nobody asks")
        await refused(ledger)
    finally:
        postgres.start()
    await well(ledger)
    assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, entry("e1"))


async def test_a_connection_that_is_cut_fails_no_call(
    postgres: PostgresServer, database: str, ledger: PostgresqlLedger, log: Logbook
) -> None:
    await ledger.claim("e1", DIGEST)
    await cut(postgres, database)
    await ledger.write(entry("e1"))
    calls = asyncio.gather(*(ledger.write(entry(f"e{number}")) for number in range(5_000)))
    await cut(postgres, database)
    await calls
    assert log.at("error") == []
    found = await asyncio.gather(*(ledger.find(f"e{number}") for number in range(5_000)))
    assert found == [entry(f"e{number}") for number in range(5_000)]


async def test_a_server_that_does_not_answer_holds_nobody_for_long(
    postgres: PostgresServer, url: str, log: Logbook
) -> None:
    async with PostgresqlLedger(url, KEEP_S, log, PostgresqlLimits(connect_s=3.0, command_s=3.0)) as ledger:
        await ledger.claim("e1", DIGEST)
        postgres.pause()
        try:
            async with asyncio.timeout(60):
                assert "does not answer" in await refused(ledger)
        finally:
            postgres.resume()
        await well(ledger)
        await ledger.write(entry("e1"))


# --- schema, batches, purging


async def test_of_many_that_start_at_once_one_makes_the_schema(url: str, log: Logbook) -> None:
    ledgers = [PostgresqlLedger(url, KEEP_S, log) for _ in range(8)]
    await asyncio.gather(*(ledger.__aenter__() for ledger in ledgers))
    try:
        assert [ledger.trouble for ledger in ledgers] == [None] * 8
        assert log.at("error") == []
    finally:
        await asyncio.gather(*(ledger.__aexit__() for ledger in ledgers))


@pytest.mark.parametrize("version", range(1, MIGRATIONS.index(SHORT_TABLES) + 1))
async def test_what_an_older_version_has_left_is_known_with_its_owner(
    postgres: PostgresServer, database: str, log: Logbook, version: int
) -> None:
    await postgres.execute("CREATE SCHEMA amigo_bridge", database)
    await postgres.execute("CREATE TABLE amigo_bridge.version (version integer NOT NULL)", database)
    await postgres.execute(f"INSERT INTO amigo_bridge.version VALUES ({version})", database)
    for migration in MIGRATIONS[:version]:
        for statement in filter(str.strip, migration.split(";")):
            await postgres.execute(statement, database)
    requeue, table = "replay" if version < 3 else "requeue", "events" if version < 6 else "old_events"
    for event_id, state, owner in (("e1", "open", "NULL"), ("e2", "complete", "NULL"), ("e3", "claimed", "'other'")):
        await postgres.execute(
            f"INSERT INTO amigo_bridge.{table} (event_id, owner, state, digest, attempt, {requeue}, ending) VALUES"
            f" ('{event_id}', {owner}, '{state}', decode(repeat('00', 32), 'hex'), 0, 0, 'ending')",
            database,
        )
    await postgres.execute(
        "INSERT INTO amigo_bridge.owners (owner, until) VALUES ('other', now() + interval '1 hour')", database
    )
    async with PostgresqlLedger(postgres.url(database), KEEP_S, log) as ledger:
        traced = await look(postgres.url(database), "e1")
        assert traced is not None
        assert traced.entry == entry("e1")
        assert (await ledger.claim("e3", DIGEST)).holder is Holder.ANOTHER
        assert await ledger.claim("e2", DIGEST) == Claim(Holder.EARLIER, entry("e2", State.COMPLETE))
        assert await ledger.claim("e1", DIGEST) == Claim(Holder.EARLIER, entry("e1"))
        await ledger.write(entry("e1", State.ANSWERED))
        assert await ledger.find("e1") == entry("e1", State.ANSWERED)
    assert await postgres.fetch("SELECT FROM amigo_bridge.old_events", database) == []


async def test_a_later_schema_is_refused(postgres: PostgresServer, database: str, log: Logbook) -> None:
    url = postgres.url(database)
    async with PostgresqlLedger(url, KEEP_S, log):
        pass
    assert await postgres.fetch("SELECT version FROM amigo_bridge.version", database) == [(len(MIGRATIONS),)]
    await postgres.execute("UPDATE amigo_bridge.version SET version = version + 1", database)
    async with PostgresqlLedger(url, KEEP_S, log) as ledger:
        later = f": a later version of amigo-bridge has made its schema ({len(MIGRATIONS) + 1})"
        assert str(ledger.trouble).endswith(later)


async def test_a_user_who_may_only_use_the_schema_is_enough(
    postgres: PostgresServer, database: str, log: Logbook
) -> None:
    async with PostgresqlLedger(postgres.url(database), KEEP_S, log):
        pass
    tables = "ON ALL TABLES IN SCHEMA amigo_bridge"
    await postgres.execute(f"CREATE ROLE plain_{database} LOGIN")
    await postgres.execute(f"GRANT USAGE ON SCHEMA amigo_bridge TO plain_{database}", database)
    await postgres.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE {tables} TO plain_{database}", database)
    url = postgres.url(database).replace("bridge@", f"plain_{database}@")
    async with PostgresqlLedger(url, KEEP_S, log) as ledger:
        assert await ledger.claim("e1", DIGEST) == Claim(Holder.NOBODY)
        await ledger.write(entry("e1"))
        await ledger.release(["e1"])


async def test_calls_that_wait_together_go_together(ledger: PostgresqlLedger) -> None:
    await asyncio.gather(*(ledger.claim(f"e{number}", DIGEST) for number in range(900)))
    await asyncio.gather(*(ledger.write(entry(f"e{number}")) for number in range(900)))
    assert ledger.operations == 1800
    assert ledger.commits <= 6


async def test_what_is_complete_is_written_after_a_while_unless_another_has_it(
    postgres: PostgresServer, database: str, ledger: PostgresqlLedger
) -> None:
    for event_id in ("e1", "e2"):
        await ledger.claim(event_id, DIGEST)
        await ledger.write(entry(event_id, State.ANSWERED))
        ledger.write_soon(entry(event_id, State.COMPLETE))
    await postgres.execute("UPDATE amigo_bridge.known SET owner = 'another' WHERE event_id = 'e2'", database)
    complete = f"SELECT event_id FROM amigo_bridge.known WHERE state = {CODES[State.COMPLETE]}"
    found: list[str] = []
    deadline_s = asyncio.get_running_loop().time() + 10
    while not found and asyncio.get_running_loop().time() < deadline_s:
        found = [str(row[0]) for row in await postgres.fetch(complete, database)]
    assert found == ["e1"]


async def test_what_is_too_old_is_removed_and_what_is_unfinished_much_later(
    postgres: PostgresServer, database: str, log: Logbook
) -> None:
    often = PostgresqlLimits(purge_every_s=0.05, settle_s=0.2)
    async with PostgresqlLedger(postgres.url(database), KEEP_S, log, often, KEEP_S / 4) as ledger:

        async def age(event_id: str, claimed_s: float, changed_s: float) -> None:
            await postgres.execute(
                f"UPDATE amigo_bridge.known SET claimed_at = now() - interval '{claimed_s} seconds',"
                f" changed_at = now() - interval '{changed_s} seconds' WHERE event_id LIKE '{event_id}'",
                database,
            )

        await asyncio.gather(*(ledger.write(entry(f"old{number}", State.COMPLETE)) for number in range(1200)))
        for event_id, state in (("unfinished", State.OPEN), ("changed", State.FAILED), ("ancient", State.OPEN)):
            await ledger.write(entry(event_id, state))
        await ledger.write(entry("ahead", State.COMPLETE))
        await age("ahead", -9 * KEEP_S, -9 * KEEP_S)
        await age("unfinished", 3.9 * KEEP_S, 3.9 * KEEP_S)
        await age("changed", 9 * KEEP_S, KEEP_S / 2)
        await age("ancient", 4.1 * KEEP_S, 4.1 * KEEP_S)
        await age("old%", KEEP_S + 1, KEEP_S + 1)

        async def left(table: str) -> list[object]:
            return [row[0] for row in await postgres.fetch(f"SELECT key FROM amigo_bridge.{table}", database)]

        async def purged() -> bool:
            known, past = await left("known"), await left("past")
            return set(known) == {hash_of("ahead"), hash_of("unfinished")} and past == [hash_of("changed")]

        await until(purged, "what is too old is gone, and what has ended is laid aside")
        assert await ledger.find("changed") == replace(entry("changed", State.FAILED), digest=DIGEST[:8])


async def test_a_user_of_whom_nothing_is_known_any_more_is_cleared_away(url: str, log: Logbook) -> None:
    old = KnownUser("ad" * 32, "user-1", 1.0)
    async with PostgresqlLedger(url, KEEP_S, log) as ledger:
        ledger.keep_user(old)
        await ledger.write(entry("e1"))
    async with PostgresqlLedger(url, KEEP_S, log) as ledger:

        async def gone() -> bool:
            return await ledger.find_user(old.digest, 0.0) is None

        await until(gone, "it is cleared away")
