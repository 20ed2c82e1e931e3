"""The logs of calls in PostgreSQL: one row for each (scope, operation), by the database's clock, for all replicas.

A row has the times of the answers of the last window, and the calls that are let go and not answered yet, each with its
moment: that may be in the future, and is then kept for the call. Who asks is let go, gets a moment, or, where the next
slot belongs to a call that is not answered yet, is told when it may be free at the earliest.

One statement carries what is new and what is asked, of many calls. It locks the rows that it changes, each once, in the
order of their keys; what is only looked at (the organization's row, for a user's call) is not locked. So calls of
different users never wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.core.delivery.rate_limits import EVERYBODY
from bridge.edges.ledger.postgresql.connection import DatabaseConnection

LOST_S = 30.0
"""A call without an answer counts as answered after so long: its process may be gone."""
PURGE_AFTER_S = 3600.0

TABLE = """
CREATE TABLE amigo_bridge.rate_limits (
    scope text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    answered float8[] NOT NULL DEFAULT '{}',
    asked jsonb NOT NULL DEFAULT '{}',
    closed_until float8 NOT NULL DEFAULT 0,
    found_at float8 NOT NULL DEFAULT 0,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, operation)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

CREATE FUNCTION amigo_bridge.in_window(answered float8[], since float8, most integer)
RETURNS float8[] LANGUAGE plpgsql AS $body$
BEGIN
    IF cardinality(answered) > 0 THEN
        answered := ARRAY(SELECT at FROM unnest(answered) AS at WHERE at > since ORDER BY at);
        answered := answered[greatest(1, cardinality(answered) - most + 1) :];
    END IF;
    RETURN answered;
END $body$;

CREATE FUNCTION amigo_bridge.take_calls(
    looks text[], scopes text[], operations text[], limits integer[], ids text[],
    begun float8[], answered float8[], closed float8[], was_found boolean[], look integer[],
    span float8, lost float8
) RETURNS TABLE (wait_s float8, kept boolean, seen integer, found_ago float8) LANGUAGE plpgsql AS $body$
DECLARE
    now_s float8 := extract(epoch FROM clock_timestamp());
    looked_closed float8[] := '{}';
    moment float8;
    excess integer;
    times float8[];
    waiting jsonb;
    closed_at float8;
    was_found_at float8;
BEGIN
    FOR n IN 1 .. cardinality(looks) LOOP
        SELECT l.answered, l.asked, l.closed_until, l.found_at INTO times, waiting, closed_at, was_found_at
        FROM amigo_bridge.rate_limits l WHERE l.scope = '' AND l.operation = looks[n];
        looked_closed := looked_closed || coalesce(closed_at, 0);
        wait_s := coalesce(closed_at, 0) - now_s;
        found_ago := now_s - coalesce(was_found_at, 0);
        seen := (SELECT count(*) FROM unnest(times) AS at WHERE at > now_s - span);
        IF waiting <> '{}' THEN
            seen := seen + (SELECT count(*) FROM jsonb_object_keys(waiting));
        END IF;
        RETURN NEXT;
    END LOOP;
    seen := NULL;
    found_ago := NULL;
    FOR n IN 1 .. cardinality(scopes) LOOP
        IF n = 1 OR scopes[n] <> scopes[n - 1] OR operations[n] <> operations[n - 1] THEN
            LOOP
                SELECT l.answered, l.asked, l.closed_until, l.found_at INTO times, waiting, closed_at, was_found_at
                FROM amigo_bridge.rate_limits l
                WHERE l.scope = scopes[n] AND l.operation = operations[n] FOR NO KEY UPDATE;
                EXIT WHEN FOUND;
                INSERT INTO amigo_bridge.rate_limits (scope, operation) VALUES (scopes[n], operations[n])
                ON CONFLICT DO NOTHING;
            END LOOP;
            now_s := extract(epoch FROM clock_timestamp());
            IF waiting <> '{}' AND EXISTS (SELECT FROM jsonb_each_text(waiting) WHERE value::float8 < now_s - lost) THEN
                times := times || ARRAY(
                    SELECT value::float8 + lost FROM jsonb_each_text(waiting) WHERE value::float8 < now_s - lost
                );
                waiting := coalesce((
                    SELECT jsonb_object_agg(key, value) FROM jsonb_each(waiting) WHERE value::float8 >= now_s - lost
                ), '{}');
            END IF;
        END IF;
        IF look[n] IS NULL THEN
            IF closed[n] IS NOT NULL THEN
                closed_at := greatest(closed_at, now_s + closed[n]);
            END IF;
            IF was_found[n] THEN
                was_found_at := now_s;
            END IF;
            IF ids[n] IS NOT NULL THEN
                waiting := waiting - ids[n];
            END IF;
            IF begun[n] IS NOT NULL THEN
                waiting := waiting || jsonb_build_object(ids[n], now_s - begun[n]);
            END IF;
            IF answered[n] IS NOT NULL THEN
                times := times || (now_s - answered[n]);
            END IF;
            IF cardinality(times) > 4 * limits[n] THEN
                times := amigo_bridge.in_window(times, now_s - span, 2 * limits[n]);
            END IF;
        ELSE
            times := amigo_bridge.in_window(times, now_s - span, 2 * limits[n]);
            excess := cardinality(times) - limits[n];
            IF waiting <> '{}' THEN
                excess := excess + (SELECT count(*) FROM jsonb_object_keys(waiting));
            END IF;
            kept := excess < cardinality(times);
            IF excess < 0 THEN
                moment := now_s;
                kept := true;
            ELSIF kept THEN
                moment := times[excess + 1] + span;
            ELSE
                moment := (
                    SELECT greatest(value::float8, now_s) + span FROM jsonb_each_text(waiting)
                    ORDER BY value::float8 OFFSET excess - cardinality(times) LIMIT 1
                );
            END IF;
            moment := greatest(moment, closed_at, looked_closed[look[n]]);
            wait_s := moment - now_s;
            IF kept THEN
                waiting := waiting || jsonb_build_object(ids[n], moment);
            END IF;
            RETURN NEXT;
        END IF;
        IF n = cardinality(scopes) OR scopes[n] <> scopes[n + 1] OR operations[n] <> operations[n + 1] THEN
            UPDATE amigo_bridge.rate_limits l SET
                answered = times, asked = waiting, closed_until = closed_at, found_at = was_found_at, used_at = now()
            WHERE l.scope = scopes[n] AND l.operation = operations[n];
        END IF;
    END LOOP;
END $body$;
"""
TAKE = """
SELECT wait_s, kept, seen, found_ago FROM amigo_bridge.take_calls(
    $1::text[], $2::text[], $3::text[], $4::integer[], $5::text[],
    $6::float8[], $7::float8[], $8::float8[], $9::boolean[], $10::integer[], $11::float8, $12::float8
)
"""
PURGE = "DELETE FROM amigo_bridge.rate_limits WHERE used_at < now() - $1::float8 * interval '1 second'"


@dataclass(frozen=True, slots=True)
class CallReport:
    """News of a row, at moments in monotonic seconds. Of the call `id_`: let go at `begun_s`, or answered at `at_s`.

    With neither it is not made. Without a call: the gate is closed, or the scope was found to be the organization's.
    """

    scope: str
    operation: str
    limit: int
    id_: str | None = None
    begun_s: float | None = None
    at_s: float | None = None
    closed_until_s: float | None = None
    scope_found: bool = False


@dataclass(frozen=True, slots=True)
class CallAsked:
    """A call that asks to be let go by one row."""

    scope: str
    operation: str
    id_: str
    limit: int


@dataclass(frozen=True, slots=True)
class CallMoment:
    """Seconds to wait, and if the moment is kept for the call."""

    wait_s: float
    kept: bool


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """The organization's row before the calls: seconds until its gate opens, how many calls count, and how many
    seconds ago the scope was found to be the organization's."""

    closed_s: float
    seen: int
    found_ago_s: float


Taken = tuple[list[CallMoment], dict[str, OrganizationRow]]


async def take(
    connection: DatabaseConnection,
    reports: Sequence[CallReport],
    asked: Sequence[CallAsked],
    span_s: float,
    now_s: float,
) -> Taken:
    """Tell what is new and ask for calls, in one round trip; `now_s` is on the clock of the reports.

    Gives the moments, and of each operation that users ask for the organization's row.
    """
    looks = sorted({call.operation for call in asked if call.scope != EVERYBODY})
    entries: list[tuple[object, ...]] = [_report(report, now_s) for report in reports]
    entries += [_asked(call, looks, number) for number, call in enumerate(asked)]
    entries.sort(key=lambda entry: entry[:2])  # what is new of a row stays before what is asked of it
    columns = list(zip(*entries, strict=True)) or [()] * 10
    rows = await connection.fetch(TAKE, looks, *columns[:9], span_s, LOST_S)
    seen = {look: OrganizationRow(row[0], row[2], row[3]) for look, row in zip(looks, rows, strict=False)}
    numbers = [number for number in columns[9] if number is not None]
    moments = dict(zip(numbers, (CallMoment(row[0], row[1]) for row in rows[len(looks) :]), strict=True))
    return [moments[number] for number in range(len(asked))], seen


def _report(report: CallReport, now_s: float) -> tuple[object, ...]:
    def ago(at_s: float | None) -> float | None:
        return None if at_s is None else now_s - at_s

    closed_s = None if report.closed_until_s is None else report.closed_until_s - now_s
    key = (report.scope, report.operation, report.limit, report.id_)
    return (*key, ago(report.begun_s), ago(report.at_s), closed_s, report.scope_found, None, None)


def _asked(call: CallAsked, looks: Sequence[str], number: int) -> tuple[object, ...]:
    look = 0 if call.scope == EVERYBODY else looks.index(call.operation) + 1
    return (call.scope, call.operation, call.limit, call.id_, None, None, None, False, look, number)


async def purge(connection: DatabaseConnection) -> None:
    """Forget what has not been used for long."""
    await connection.execute(PURGE, PURGE_AFTER_S)
