"""The open conversation of every user of the scenario `joining`, as the lean API lists it, page by page."""

import json
from collections.abc import Mapping, Sequence

from tests.bench.topology import SERVICE

Query = Mapping[str, Sequence[str]]

BUSY = b'{"detail":"The user has other unfinished conversations with this service."}'
MADE = "2026-01-01T00:00:00Z"


def conversations(query: Query, messages: int) -> bytes:
    """The list: the user's one conversation, in which so much was said."""
    user_id = query["user_id"][0]
    row = {
        "id": f"6a{int(user_id.rsplit('-', 1)[1]):022x}",
        "user_id": user_id,
        "service_id": SERVICE,
        "created_at": MADE,
        "is_finished": False,
        "is_analyzed": False,
        "completed_post_processings": [],
        "final_message": "",
        "version_set_info": None,
        "num_messages": messages,
        "tags": {"channel": "api", "channel_type": "async"},
    }
    return json.dumps({"conversations": [row], "has_more": False, "continuation_token": None}).encode()


def messages(query: Query, count: int) -> bytes:
    """A page of the messages of a conversation."""
    start, limit = (int(query.get(name, [usual])[0]) for name, usual in (("continuation_token", "0"), ("limit", "500")))
    numbers = range(count)[::-1] if "-created_at" in query.get("sort_by", ()) else range(count)
    rows = [
        {
            "id": f"6b{number:022x}",
            "interaction_id": f"6c{number // 2:022x}",
            "created_at": MADE,
            "sender": "Agent",
            "message": "Good day.",
            "format": "text",
            "message_type": "agent-message",
        }
        for number in numbers[start : start + limit]
    ]
    more = start + limit < count
    page = {"messages": rows, "has_more": more, "continuation_token": start + limit if more else None}
    return json.dumps(page).encode()
