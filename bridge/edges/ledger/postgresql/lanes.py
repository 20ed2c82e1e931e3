"""Lanes in PostgreSQL, for several replicas: whose turn it is, and who waits with which number.

**One lock**: the lane's row. Functions of the database draw numbers and decide while they hold it, so that each of
their statements sees what was committed before, and a claim takes the turn in its own statement. They lock the lanes in
the order of their keys, before anything else.

**Whether a turn is over** is told by its event's row in `known`: final, waiting, or its process's lease has been over
for `lost_after`. So the end of a turn is written only where somebody waits: who is refused says so to the replica that
has the turn (`w`), and its end wakes the replica of the next one (`g`).

**Answered, and its process is dead**: most likely the event was acknowledged, and only the news of that was lost, which
is written late. Where it was not, it has been delivered anew and claimed before `LEFT_ANSWERED` is over.
"""
# ruff: noqa: S608 - all are made of constants

from collections.abc import Sequence

from bridge.core.lanes.lane_turns import Before
from bridge.core.ledger.ledger_entry import State
from bridge.edges.ledger.call_queue import LedgerCall
from bridge.edges.ledger.lane_calls import FREE, Turn
from bridge.edges.ledger.postgresql.connection import DatabaseConnection
from bridge.edges.ledger.rows import CODES, FAILED_CODE, FINAL_STATES, Row, hash_of, id_of

CHANNEL = "amigo_bridge_lanes"
WAITING, ANSWERED = CODES[State.WAITING], CODES[State.ANSWERED]
MAX_COUNTED = 1000
"""Events before another that are counted, at the most."""
LEFT_ANSWERED = "interval '10 seconds'"
"""How long after the end of its process's lease an answered event holds up its lane."""

TABLES = """
CREATE TABLE amigo_bridge.lanes (
    lane bytea PRIMARY KEY,
    next_number bigint NOT NULL DEFAULT 1,
    turn bytea,
    turn_owner text,
    turn_number bigint,
    turn_requeue integer NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX lanes_changed_at ON amigo_bridge.lanes USING brin (changed_at);
CREATE TABLE amigo_bridge.lane_places (
    key bytea PRIMARY KEY,
    event_id text NOT NULL,
    lane bytea NOT NULL,
    number bigint NOT NULL,
    owner text NOT NULL,
    back_at timestamptz,
    awaits text,
    held boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX lane_places_in_order ON amigo_bridge.lane_places (lane, number);
"""
FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION amigo_bridge.left_answered(of_state smallint, by_owner text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT of_state = {ANSWERED} AND by_owner IS NOT NULL AND NOT EXISTS (
        SELECT FROM amigo_bridge.owners o WHERE o.owner = by_owner AND o.until > now() - {LEFT_ANSWERED}
    )
$$;

CREATE OR REPLACE FUNCTION amigo_bridge.lock_lanes(wanted bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO amigo_bridge.lanes (lane) SELECT DISTINCT w FROM unnest(wanted) w ORDER BY w ON CONFLICT DO NOTHING;
    PERFORM FROM amigo_bridge.lanes l WHERE l.lane = ANY (wanted) ORDER BY l.lane FOR UPDATE;
END $$;

CREATE OR REPLACE FUNCTION amigo_bridge.wake_next(of_lane bytea, me text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    next_owner text;
BEGIN
    SELECT p.owner INTO next_owner FROM amigo_bridge.lane_places p
    WHERE p.lane = of_lane AND p.back_at IS NULL AND NOT p.held AND p.awaits IS NULL ORDER BY p.number LIMIT 1;
    IF next_owner <> me THEN
        PERFORM pg_notify('{CHANNEL}', 'g' || encode(of_lane, 'hex') || next_owner);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION amigo_bridge.turn_is_over(l amigo_bridge.lanes, lost_before timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    its_state smallint;
    its_requeue integer;
    its_owner text;
BEGIN
    SELECT k.state, k.requeue, k.owner INTO its_state, its_requeue, its_owner
    FROM amigo_bridge.known k WHERE k.key = l.turn;
    IF NOT FOUND OR its_state = {WAITING} THEN
        RETURN true;
    ELSIF its_state = {FAILED_CODE} THEN
        RETURN its_requeue >= l.turn_requeue;
    ELSIF its_state IN {FINAL_STATES} OR amigo_bridge.left_answered(its_state, its_owner) THEN
        RETURN true;
    END IF;
    RETURN coalesce((SELECT o.until FROM amigo_bridge.owners o WHERE o.owner = l.turn_owner), l.changed_at)
        <= least(lost_before, now());
END $$;

CREATE OR REPLACE FUNCTION amigo_bridge.take_turns(
    me text, lanes_ bytea[], keys bytea[], ids text[], lost_after double precision[], steers boolean[], joins text[],
    requeues integer[]
) RETURNS TABLE (key bytea, before integer, first_id text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    known_ record;
    l amigo_bridge.lanes;
    mine amigo_bridge.lane_places;
    has_place boolean;
    my_number bigint;
    lost_before timestamptz;
    others record;
    held_by text;
BEGIN
    PERFORM amigo_bridge.lock_lanes(lanes_);
    FOR i IN 1 .. cardinality(keys) LOOP
        SELECT k.state, k.requeue, k.owner <> me AND k.state NOT IN {FINAL_STATES} AND EXISTS (
            SELECT FROM amigo_bridge.owners o WHERE o.owner = k.owner AND o.until > now()
        ) AS elsewhere INTO known_ FROM amigo_bridge.known k WHERE k.key = keys[i];
        CONTINUE WHEN FOUND AND (known_.elsewhere OR (
            known_.state IN {FINAL_STATES} AND NOT (known_.state = {FAILED_CODE} AND requeues[i] > known_.requeue)
        ));
        SELECT * INTO l FROM amigo_bridge.lanes WHERE lane = lanes_[i];
        SELECT * INTO mine FROM amigo_bridge.lane_places p WHERE p.key = keys[i];
        has_place := FOUND;
        IF has_place AND (mine.lane <> l.lane OR known_.state = {FAILED_CODE}) THEN
            DELETE FROM amigo_bridge.lane_places p WHERE p.key = keys[i];
            has_place := false;
        END IF;
        IF has_place THEN
            my_number := mine.number;
        ELSIF l.turn = keys[i] AND known_.state IS DISTINCT FROM {FAILED_CODE} THEN
            my_number := l.turn_number;
        ELSE
            my_number := l.next_number;
        END IF;
        IF l.turn_owner = me AND l.turn <> keys[i] THEN
            DELETE FROM amigo_bridge.lane_places p WHERE p.key = l.turn AND p.owner = me AND p.back_at IS NULL;
        END IF;
        lost_before := CASE WHEN lost_after[i] = 'infinity' THEN '-infinity'::timestamptz
            ELSE now() - lost_after[i] * interval '1 second' END;
        held_by := NULL;
        IF l.turn <> keys[i] AND l.turn_owner <> me AND NOT amigo_bridge.turn_is_over(l, lost_before) THEN
            held_by := l.turn_owner;
        END IF;
        IF l.turn = keys[i] AND my_number = l.turn_number THEN
            SELECT 0 AS count, NULL::text AS first INTO others;
        ELSE
            SELECT count(*)::integer AS count, (array_agg(b.event_id ORDER BY b.number))[1] AS first INTO others FROM (
                SELECT p.event_id, p.number FROM amigo_bridge.lane_places p
                LEFT JOIN amigo_bridge.owners o ON o.owner = p.owner
                WHERE p.lane = l.lane AND p.number < my_number AND NOT p.held
                AND (p.awaits IS NULL OR NOT (steers[i] OR p.awaits IS NOT DISTINCT FROM joins[i]))
                AND NOT (held_by IS NOT NULL AND p.key = l.turn)
                AND coalesce(p.back_at, o.until, p.changed_at) >= lost_before
                AND NOT EXISTS (SELECT FROM amigo_bridge.known k WHERE k.key = p.key AND (
                    k.state IN {FINAL_STATES} OR p.back_at IS NULL AND amigo_bridge.left_answered(k.state, k.owner)
                ))
                ORDER BY p.number LIMIT {MAX_COUNTED}
            ) b;
        END IF;
        IF held_by IS NULL AND others.count = 0 THEN
            UPDATE amigo_bridge.lanes SET turn = keys[i], turn_owner = me, turn_number = my_number,
                turn_requeue = requeues[i], next_number = greatest(next_number, my_number + 1), changed_at = now()
            WHERE lane = l.lane;
            IF has_place THEN
                UPDATE amigo_bridge.lane_places p SET owner = me, back_at = NULL, awaits = NULL, held = false,
                    changed_at = now() WHERE p.key = keys[i];
            END IF;
            IF has_place OR EXISTS (SELECT FROM amigo_bridge.lane_places p WHERE p.lane = l.lane) THEN
                key := keys[i]; before := 0; first_id := NULL;
                RETURN NEXT;
            END IF;
            CONTINUE;
        END IF;
        INSERT INTO amigo_bridge.lane_places AS p (key, event_id, lane, number, owner)
        VALUES (keys[i], ids[i], l.lane, my_number, me)
        ON CONFLICT (key) DO UPDATE SET owner = me, back_at = NULL, awaits = NULL, held = false, changed_at = now();
        UPDATE amigo_bridge.lanes SET next_number = greatest(next_number, my_number + 1), changed_at = now()
        WHERE lane = l.lane;
        key := keys[i]; before := others.count; first_id := others.first;
        IF held_by IS NOT NULL THEN
            before := before + 1;
            SELECT k.event_id INTO first_id FROM amigo_bridge.known k WHERE k.key = l.turn;
            PERFORM pg_notify('{CHANNEL}', 'w' || encode(l.lane, 'hex') || held_by);
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION amigo_bridge.line_up(
    me text, lanes_ bytea[], keys bytea[], ids text[], back_in double precision[], awaits_ text[], held_ boolean[]
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    l amigo_bridge.lanes;
    back timestamptz;
    my_number bigint;
BEGIN
    PERFORM amigo_bridge.lock_lanes(lanes_);
    FOR i IN 1 .. cardinality(keys) LOOP
        SELECT * INTO l FROM amigo_bridge.lanes WHERE lane = lanes_[i];
        back := now() + back_in[i] * interval '1 second';
        DELETE FROM amigo_bridge.lane_places p WHERE p.key = keys[i] AND p.lane <> l.lane;
        my_number := CASE WHEN l.turn = keys[i] THEN l.turn_number ELSE l.next_number END;
        INSERT INTO amigo_bridge.lane_places AS p (key, event_id, lane, number, owner, back_at, awaits, held)
        VALUES (keys[i], ids[i], l.lane, my_number, me, back, awaits_[i], held_[i])
        ON CONFLICT (key) DO UPDATE SET owner = me, back_at = excluded.back_at, awaits = excluded.awaits,
            held = excluded.held, changed_at = now()
        RETURNING p.number INTO my_number;
        IF l.turn = keys[i] AND (back IS NOT NULL OR awaits_[i] IS NOT NULL OR held_[i]) THEN
            l.turn := NULL;
            l.turn_owner := NULL;
        END IF;
        UPDATE amigo_bridge.lanes SET next_number = greatest(next_number, my_number + 1), turn = l.turn,
            turn_owner = l.turn_owner, changed_at = now() WHERE lane = l.lane;
        IF l.turn IS NULL THEN
            PERFORM amigo_bridge.wake_next(l.lane, me);
        ELSIF l.turn_owner <> me THEN
            PERFORM pg_notify('{CHANNEL}', 'w' || encode(l.lane, 'hex') || l.turn_owner);
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION amigo_bridge.leave_lanes(me text, lanes_ bytea[], keys bytea[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM amigo_bridge.lock_lanes(lanes_);
    FOR i IN 1 .. cardinality(keys) LOOP
        DELETE FROM amigo_bridge.lane_places p WHERE p.key = keys[i] AND p.owner = me;
        UPDATE amigo_bridge.lanes SET turn = NULL, turn_owner = NULL, changed_at = now()
        WHERE lane = lanes_[i] AND turn = keys[i] AND turn_owner = me;
        PERFORM amigo_bridge.wake_next(lanes_[i], me);
    END LOOP;
END $$;
"""
TURNS = (
    "amigo_bridge.take_turns($1, {0}::bytea[], {1}::bytea[], {2}::text[], {3}::float8[], {4}::boolean[], {5}::text[],"
    " {6}::integer[])"
)
TAKE = f"SELECT key, before, first_id FROM {TURNS.format(*(f'${number}' for number in range(2, 9)))}"
IN_CLAIM = TURNS.format(*(f"${number}" for number in range(13, 20)))
"""With the claim, of which the parameters come before these."""
LINE_UP = (
    "SELECT amigo_bridge.line_up($1, $2::bytea[], $3::bytea[], $4::text[], $5::float8[], $6::text[], $7::boolean[])"
)
LEAVE = "SELECT amigo_bridge.leave_lanes($1, $2::bytea[], $3::bytea[])"
AHEAD = f"""
WITH places AS (
    SELECT p.key, p.number, NOT p.held AND coalesce(p.back_at, o.until, p.changed_at) >= (
        CASE WHEN $3::float8 = 'infinity' THEN '-infinity'::timestamptz ELSE now() - $3 * interval '1 second' END
    ) AND NOT EXISTS (SELECT FROM amigo_bridge.known k WHERE k.key = p.key AND k.state IN {FINAL_STATES}) AS counts
    FROM amigo_bridge.lane_places p LEFT JOIN amigo_bridge.owners o ON o.owner = p.owner WHERE p.lane = $1
), ranked AS (
    SELECT key, count(*) FILTER (WHERE counts) OVER (ORDER BY number) - counts::integer AS ahead FROM places
)
SELECT key, ahead FROM ranked WHERE key = ANY ($2::bytea[])
"""
CANCELLED = "DELETE FROM amigo_bridge.lane_places WHERE key = $1"
PURGE = """
DELETE FROM amigo_bridge.lane_places p
WHERE greatest(p.back_at, p.changed_at) < now() - $1::float8 * interval '1 second'
AND NOT EXISTS (SELECT FROM amigo_bridge.owners o WHERE o.owner = p.owner AND o.until > now() AND p.back_at IS NULL)
"""
PURGE_LANES = """
DELETE FROM amigo_bridge.lanes WHERE lane IN (
    SELECT l.lane FROM amigo_bridge.lanes l WHERE l.changed_at < now() - $1::float8 * interval '1 second'
    AND NOT EXISTS (SELECT FROM amigo_bridge.lane_places p WHERE p.lane = l.lane)
    ORDER BY l.lane LIMIT 1000 FOR UPDATE SKIP LOCKED
)
"""


def columns(calls: Sequence[LedgerCall]) -> list[list[object]]:
    """The parameters of TURNS, of calls that want the turn of a lane."""
    rows = [(call.line[0], hash_of(call.key), call.key, *call.line[1:]) for call in calls if call.line is not None]
    return [list(column) for column in zip(*rows, strict=True)]


def turn_of(before: int | None, first_key: str | None) -> Turn:
    """The answer in a row of TURNS; with None it had none."""
    if before is None:
        return FREE
    return Turn(Before(id_of(first_key or ""), before) if before else None, awaited=True)


async def take(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[Turn]:
    """Take turns for events that are claimed."""
    rows: dict[bytes, Row] = {bytes(row[0]): row for row in await connection.fetch(TAKE, owner, *columns(calls))}
    of_calls = [rows.get(hash_of(call.key)) for call in calls]
    return [FREE if row is None else turn_of(row[1], row[2]) for row in of_calls]


async def line_up(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[None]:
    """Give events places, in their order."""
    rows = [(call.row[0], hash_of(key), key, *rest) for call in calls for key, *rest in call.row[1]]
    if rows:
        await connection.execute(LINE_UP, owner, *[list(column) for column in zip(*rows, strict=True)])
    return [None] * len(calls)


async def ahead(connection: DatabaseConnection, _: str, calls: Sequence[LedgerCall]) -> list[dict[str, int]]:
    """How many come before each of some events in their lane."""
    answers = []
    for call in calls:
        lane, keys, lost_after_s = call.row
        names = {hash_of(key): key for key in keys}
        rows = await connection.fetch(AHEAD, lane, list(names), lost_after_s)
        answers.append({names[bytes(row[0])]: row[1] for row in rows})
    return answers


async def leave(connection: DatabaseConnection, owner: str, calls: Sequence[LedgerCall]) -> list[None]:
    """These events are waited for no more."""
    await connection.execute(LEAVE, owner, [call.row[0] for call in calls], [hash_of(call.row[1]) for call in calls])
    return [None] * len(calls)
