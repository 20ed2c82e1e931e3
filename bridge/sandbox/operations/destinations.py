"""Webhook destinations and what was delivered to them (docs/api-contract.md, 1.15 to 1.20)."""

import secrets
from urllib.parse import urlsplit

from aiohttp import web

from bridge.sandbox.http.body import read_body
from bridge.sandbox.http.call import Call
from bridge.sandbox.http.query import Query, page
from bridge.sandbox.http.refusal import (
    NO_DESTINATION,
    ROTATED_TOO_OFTEN,
    TOO_MANY_DESTINATIONS,
    Problems,
    Refusal,
    json_response,
)
from bridge.sandbox.operations.requests import DestinationChanges, NewDestination
from bridge.sandbox.operations.rows_of_path import delete, named
from bridge.sandbox.state.clock import iso
from bridge.sandbox.state.rows import Delivery, Destination

_MAX_DESTINATIONS = 10
_ROTATION_MS = 3_600_000
_DUAL_MS = 1_800_000
_MAX_PAGE = 50


async def create_destination(call: Call) -> web.StreamResponse:
    """POST /webhook_destination/ - 201 with the secret, which is shown only here."""
    query = Query(call.request)
    body = read_body(NewDestination, call.body, query.problems)
    _require_https(call, body.url)
    call.require("Webhook:CreateWebhookDestination")
    if len(_destinations(call)) >= _MAX_DESTINATIONS:
        raise Refusal(400, TOO_MANY_DESTINATIONS)
    now_ms = call.state.clock.now_ms()
    identity, types = (call.state.ids.new(), call.org_id, body.url), list[str](body.accepted_types)
    row = Destination(*identity, types, body.retry_attempts, _new_secret(), now_ms)
    call.state.store.save_destination(row)
    return json_response({"webhook_destination_id": row.id, "secret": row.secret}, 201)


async def list_destinations(call: Call) -> web.StreamResponse:
    """GET /webhook_destination/ - all on one page."""
    query = Query(call.request)
    ids = query.distinct_ids("id")
    query.settle()
    call.require("Webhook:GetWebhookDestination")
    rows = [row for row in _destinations(call) if not ids or row.id in ids]
    return json_response({"webhook_destinations": [_destination(row) for row in rows]})


async def update_destination(call: Call) -> web.StreamResponse:
    """POST /webhook_destination/{id} - 204; the URL cannot change."""
    query = Query(call.request)
    body = read_body(DestinationChanges, call.body, query.problems)
    row = _find(call)
    call.require("Webhook:UpdateWebhookDestination")
    row.accepted_types = row.accepted_types if body.accepted_types is None else list(body.accepted_types)
    row.retry_attempts = row.retry_attempts if body.retry_attempts is None else body.retry_attempts
    call.state.store.save_destination(row)
    return web.Response(status=204)


async def delete_destination(call: Call) -> web.StreamResponse:
    """DELETE /webhook_destination/{id} - 204."""
    return delete(call, _find, "Webhook:DeleteWebhookDestination", call.state.store.drop_destination)


async def rotate_secret(call: Call) -> web.StreamResponse:
    """POST /webhook_destination/{id}/rotate-secret - at most once per hour; both secrets sign for half an hour."""
    Query(call.request).settle()
    row = _find(call)
    call.require("Webhook:UpdateWebhookDestination")
    now_ms = call.state.clock.now_ms()
    if row.old_secret is not None and now_ms < row.secret_ms + _ROTATION_MS:
        raise Refusal(400, ROTATED_TOO_OFTEN)
    row.old_secret, row.secret = row.secret, _new_secret()
    row.secret_ms, row.dual_until_ms = now_ms, now_ms + _DUAL_MS
    call.state.store.save_destination(row)
    return json_response({"secret": row.secret, "dual_signing_stops_at": iso(row.dual_until_ms)})


async def list_deliveries(call: Call) -> web.StreamResponse:
    """GET /webhook_destination/{id}/delivery."""
    query = Query(call.request)
    statuses, kind = query.choices("status", ("success", "failed"), ("success", "failed")), query.text("type")
    after_ms, before_ms = query.moment_ms("created_after"), query.moment_ms("created_before")
    limit = query.number("limit", _MAX_PAGE, 0, _MAX_PAGE)
    start = query.number("continuation_token", 0)
    order = query.sort(["type", "status", "created_at"])
    query.settle()
    destination = _find(call)
    call.require("Webhook:GetWebhookDeliveries")
    rows = [
        _delivery(row)
        for row in call.state.store.deliveries.values()
        if row.destination_id == destination.id
        and row.status in statuses
        and kind in (None, row.type)
        and (after_ms is None or row.created_ms >= after_ms)
        and (before_ms is None or row.created_ms <= before_ms)
    ]
    for name, descending in reversed(order):
        rows.sort(key=lambda row: str(row[name]), reverse=descending)
    shown, more, token = page(rows, start, limit)
    return json_response({"webhook_deliveries": shown, "has_more": more, "continuation_token": token})


def _require_https(call: Call, url: str) -> None:
    """422 for an address that is not HTTPS; HTTP is taken where the options name the host."""
    problems, (scheme, host) = Problems(), _place(url)
    if not host or scheme not in ("http", "https"):
        problems.add("url_parsing", ("body", "url"), "Input should be a valid URL", url)
    elif scheme == "http" and host not in call.state.options.webhook_hosts:
        problems.add("url_scheme", ("body", "url"), "URL scheme should be 'https'", url)
    problems.settle()


def _place(url: str) -> tuple[str, str | None]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", None
    return parts.scheme, parts.hostname


def _new_secret() -> str:
    return f"whsec_{secrets.token_hex(16)}"


def _destinations(call: Call) -> list[Destination]:
    return [row for row in call.state.store.destinations.values() if row.org_id == call.org_id]


def _find(call: Call) -> Destination:
    return named(call, "webhook_destination_id", _destinations(call), NO_DESTINATION)


def _destination(row: Destination) -> dict[str, object]:
    return {
        "id": row.id,
        "url": row.url,
        "secret_generated_at": iso(row.secret_ms),
        "retry_attempts": row.retry_attempts,
        "accepted_types": row.accepted_types,
    }


def _delivery(row: Delivery) -> dict[str, object]:
    return {
        "id": row.id,
        "type": row.type,
        "webhook_content": row.content,
        "status": row.status,
        "delivery_attempts": [{"delivery_time": iso(at_ms), "status_code": status} for at_ms, status in row.attempts],
        "dual_signed": row.dual_signed,
        "created_at": iso(row.created_ms),
    }
