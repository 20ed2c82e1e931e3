"""The logs of calls in PostgreSQL: one row for each (scope, operation), by the database's clock, for all replicas.

A row has the times of the answers of the last window, and the calls that are let go and not answered yet, each with its
moment: that may be in the future, and is then kept for the call. Who asks is let go, gets a moment, or, where the next
slot belongs to a call that is not answered yet, is told when it may be free at the earliest.

One statement carries what was answered and what is asked, of many calls. Rows are locked in the order of their keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.edges.ledger.postgresql.connection import DatabaseConnection

LOST_S = 30.0
"""A call without an answer counts as answered after so long: its process may be gone."""
PURGE_AFTER_S = 3600.0

TABLE = """
CREATE TABLE amigo_bridge.rate_limits (
    scope text NOT NULL,
    operation text NOT NULL,
    answered float8[] NOT NULL DEFAULT '{}',
    asked jsonb NOT NULL DEFAULT '{}',
    closed_until float8 NOT NULL DEFAULT 0,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, operation)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

CREATE FUNCTION amigo_bridge.counting(
    row_ amigo_bridge.rate_limits, limit_ integer, now_s float8, span float8, lost float8
) RETURNS amigo_bridge.rate_limits LANGUAGE plpgsql AS $body$
BEGIN
    IF EXISTS (SELECT FROM jsonb_each_text(row_.asked) WHERE value::float8 < now_s - lost) THEN
        row_.answered := row_.answered || ARRAY(
            SELECT value::float8 + lost FROM jsonb_each_text(row_.asked) WHERE value::float8 < now_s - lost
        );
        row_.asked := coalesce((
            SELECT jsonb_object_agg(key, value) FROM jsonb_each(row_.asked) WHERE value::float8 >= now_s - lost
        ), '{}');
    END IF;
    row_.answered := ARRAY(SELECT at FROM unnest(row_.answered) AS at WHERE at > now_s - span ORDER BY at);
    row_.answered := row_.answered[greatest(1, cardinality(row_.answered) - 2 * limit_ + 1) :];
    RETURN row_;
END $body$;

CREATE FUNCTION amigo_bridge.take_calls(
    r_scope text[], r_operation text[], r_id text[], r_ago float8[], r_closed float8[],
    a_scope text[], a_operation text[], a_id text[], a_limit integer[], a_also text[],
    span float8, lost float8
) RETURNS TABLE (wait_s float8, kept boolean, seen integer) LANGUAGE plpgsql AS $body$
DECLARE
    now_s float8;
    moment float8;
    excess integer;
    log amigo_bridge.rate_limits;
    scopes text[] := r_scope || a_scope || a_also;
    operations text[] := r_operation || a_operation || a_operation;
BEGIN
    INSERT INTO amigo_bridge.rate_limits (scope, operation)
    SELECT DISTINCT key.s, key.o FROM unnest(scopes, operations) AS key (s, o) WHERE key.s IS NOT NULL
    ORDER BY key.s, key.o ON CONFLICT DO NOTHING;
    PERFORM FROM amigo_bridge.rate_limits l
    WHERE (l.scope, l.operation) IN (SELECT key.s, key.o FROM unnest(scopes, operations) AS key (s, o))
    ORDER BY l.scope, l.operation FOR UPDATE;
    now_s := extract(epoch FROM clock_timestamp());
    FOR n IN 1 .. cardinality(r_scope) LOOP
        UPDATE amigo_bridge.rate_limits l SET
            answered = CASE WHEN r_ago[n] IS NULL THEN l.answered ELSE l.answered || (now_s - r_ago[n]) END,
            asked = CASE WHEN r_id[n] IS NULL THEN l.asked ELSE l.asked - r_id[n] END,
            closed_until = greatest(l.closed_until, coalesce(now_s + r_closed[n], 0)),
            used_at = now()
        WHERE l.scope = r_scope[n] AND l.operation = r_operation[n];
    END LOOP;
    FOR n IN 1 .. cardinality(a_scope) LOOP
        SELECT * INTO log FROM amigo_bridge.rate_limits l WHERE l.scope = a_scope[n] AND l.operation = a_operation[n];
        log := amigo_bridge.counting(log, a_limit[n], now_s, span, lost);
        excess := cardinality(log.answered) + (SELECT count(*) FROM jsonb_object_keys(log.asked)) - a_limit[n];
        kept := excess < cardinality(log.answered);
        IF excess < 0 THEN
            moment := now_s;
            kept := true;
        ELSIF kept THEN
            moment := log.answered[excess + 1] + span;
        ELSE
            moment := (
                SELECT greatest(value::float8, now_s) + span FROM jsonb_each_text(log.asked)
                ORDER BY value::float8 OFFSET excess - cardinality(log.answered) LIMIT 1
            );
        END IF;
        moment := greatest(moment, log.closed_until);
        wait_s := moment - now_s;
        IF kept THEN
            log.asked := log.asked || jsonb_build_object(a_id[n], moment);
        END IF;
        UPDATE amigo_bridge.rate_limits l SET answered = log.answered, asked = log.asked, used_at = now()
        WHERE l.scope = a_scope[n] AND l.operation = a_operation[n];
        seen := NULL;
        IF a_also[n] IS NOT NULL THEN
            SELECT * INTO log FROM amigo_bridge.rate_limits l
            WHERE l.scope = a_also[n] AND l.operation = a_operation[n];
            log := amigo_bridge.counting(log, a_limit[n], now_s, span, lost);
            seen := cardinality(log.answered) + (SELECT count(*) FROM jsonb_object_keys(log.asked));
            IF kept THEN
                UPDATE amigo_bridge.rate_limits l SET answered = log.answered, used_at = now(),
                    asked = log.asked || jsonb_build_object(a_id[n], moment)
                WHERE l.scope = a_also[n] AND l.operation = a_operation[n];
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $body$;
"""
TAKE = """
SELECT wait_s, kept, seen FROM amigo_bridge.take_calls(
    $1::text[], $2::text[], $3::text[], $4::float8[], $5::float8[],
    $6::text[], $7::text[], $8::text[], $9::integer[], $10::text[], $11::float8, $12::float8
)
"""
PURGE = "DELETE FROM amigo_bridge.rate_limits WHERE used_at < now() - $1::float8 * interval '1 second'"


@dataclass(frozen=True, slots=True)
class CallReport:
    """News of a row: the call `id_` was answered at `at_s` (monotonic seconds; None: not made), or the gate closed."""

    scope: str
    operation: str
    id_: str | None
    at_s: float | None = None
    closed_until_s: float | None = None


@dataclass(frozen=True, slots=True)
class CallAsked:
    """A call that asks to be let go by one row, and counts in another one too (`also`)."""

    scope: str
    operation: str
    id_: str
    limit: int
    also: str | None


@dataclass(frozen=True, slots=True)
class CallMoment:
    """Seconds to wait, if the moment is kept for the call, and how many calls counted in the other row before it."""

    wait_s: float
    kept: bool
    seen: int | None


async def take(
    connection: DatabaseConnection,
    reports: Sequence[CallReport],
    asked: Sequence[CallAsked],
    span_s: float,
    now_s: float,
) -> list[CallMoment]:
    """Tell what is new and ask for calls, in one round trip; `now_s` is on the clock of the reports."""
    rows = await connection.fetch(
        TAKE,
        [report.scope for report in reports],
        [report.operation for report in reports],
        [report.id_ for report in reports],
        [None if report.at_s is None else now_s - report.at_s for report in reports],
        [None if report.closed_until_s is None else report.closed_until_s - now_s for report in reports],
        [call.scope for call in asked],
        [call.operation for call in asked],
        [call.id_ for call in asked],
        [call.limit for call in asked],
        [call.also for call in asked],
        span_s,
        LOST_S,
    )
    return [CallMoment(row[0], row[1], row[2]) for row in rows]


async def purge(connection: DatabaseConnection) -> None:
    """Forget what has not been used for long."""
    await connection.execute(PURGE, PURGE_AFTER_S)
