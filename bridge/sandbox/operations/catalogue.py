"""An organization's offer: itself and its services (docs/api-contract.md, 1.12)."""

from operator import attrgetter

from aiohttp import web

from bridge.sandbox.http.call import Call
from bridge.sandbox.http.query import Query, page, tags_match
from bridge.sandbox.http.refusal import json_response
from bridge.sandbox.operations.requests import Preferences
from bridge.sandbox.state.rows import Service

_MAX_PAGE, _USUAL_PAGE = 20, 10


async def organization(call: Call) -> web.StreamResponse:
    """GET /organization/ - open to everybody; a reachability and region probe."""
    name = call.state.directory.organization(call.org_id)
    return json_response(
        {
            "org_id": call.org_id,
            "org_name": name,
            "default_user_preferences": Preferences().model_dump(),
            "tenant_id": None,
        }
    )


async def list_services(call: Call) -> web.StreamResponse:
    """GET /service/."""
    query = Query(call.request)
    ids, is_active, tags = query.distinct_ids("id"), query.flag("is_active"), query.tags("tags")
    limit = query.number("limit", _USUAL_PAGE, 1, _MAX_PAGE)
    start = query.number("continuation_token", 0)
    order = query.sort(["name", "is_active"])
    query.settle()
    directory = call.state.directory
    asked = [directory.service(call.org_id, service_id) for service_id in dict.fromkeys(ids)]
    known = asked if ids else directory.services(call.org_id)
    rows = [
        row
        for row in known
        if row is not None
        and (is_active is None or row.is_active == is_active)
        and tags_match(row.tags, tags)
        and call.may("Service:GetService")
    ]
    for name, descending in reversed(order):
        rows.sort(key=attrgetter(name), reverse=descending)
    shown, more, token = page(rows, start, limit)
    content = [_service(row) for row in shown]
    values = {"tags": _tag_values(directory.services(call.org_id))} if start <= 0 else None
    listing = {"services": content, "has_more": more, "continuation_token": token, "filter_values": values}
    return json_response(listing)


def _tag_values(rows: list[Service]) -> list[str]:
    return sorted({f"{key}:{value or ''}" for row in rows for key, value in row.tags.items()})


def _service(row: Service) -> dict[str, object]:
    editor = {"org_id": row.org_id, "user_id": "sandbox"}
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "is_active": row.is_active,
        "agent_id": "5c0000000000000000000001",
        "service_hierarchical_state_machine_id": "5d0000000000000000000001",
        "version_sets": {name: _version_set(name) for name in row.version_sets},
        "tags": [{"key": key, "value": value} for key, value in row.tags.items()],
        "keyterms": [],
        "creator": editor,
        "updated_by": editor,
    }


def _version_set(name: str) -> dict[str, object]:
    number = None if name == "edge" else 3
    return {
        "agent_version_number": number,
        "service_hierarchical_state_machine_version_number": number,
        "llm_model_preferences": {},
    }
