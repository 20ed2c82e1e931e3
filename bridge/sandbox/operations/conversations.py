"""Operations on whole conversations: finish, list, tags (docs/api-contract.md, 1.4, 1.5 and 1.8)."""

from aiohttp import web

from bridge.sandbox.http.body import read_body
from bridge.sandbox.http.call import Call
from bridge.sandbox.http.query import Query, page, tags_match
from bridge.sandbox.http.refusal import FINISHED_OR_BUSY, NO_INTERACTIONS, TOO_MANY_TAGS, Refusal, json_response
from bridge.sandbox.operations.requests import TagChanges
from bridge.sandbox.state.clock import iso
from bridge.sandbox.state.rows import POST_PROCESSINGS, Conversation

_MAX_TAGS = 20
_MAX_PAGE = 150


async def finish(call: Call) -> web.StreamResponse:
    """POST /conversation/{id}/finish/ - 204; an empty conversation is deleted."""
    Query(call.request).settle()
    conversation, store = call.conversation(), call.state.store
    call.require("User:UpdateUserInfo", "Conversation:FinishConversation")
    if conversation.finished_ms is not None or store.streaming(conversation):
        raise Refusal(409, FINISHED_OR_BUSY)
    if conversation.messages:
        store.finish(conversation)
        call.state.webhook_sender.process(conversation)
    elif call.state.options.finish_empty == "delete":
        store.drop(conversation)
    else:
        raise Refusal(400, NO_INTERACTIONS)
    return web.Response(status=204)


async def list_conversations(call: Call) -> web.StreamResponse:
    """GET /conversation/ - without the right to see them: an empty list."""
    query = Query(call.request)
    user_ids, service_ids, ids = query.distinct("user_id"), query.distinct_ids("service_id"), query.ids("id")
    is_finished, tags = query.flag("is_finished"), query.tags("tag")
    limit = query.number("limit", _MAX_PAGE, 1, _MAX_PAGE)
    start = query.number("continuation_token", 0)
    order = query.sort(["created_at"])
    query.settle()
    rows = [
        row
        for row in call.state.store.of_users(call.org_id, user_ids)
        if (not service_ids or row.service_id in service_ids)
        and (not ids or row.id in ids)
        and (is_finished is None or _shown_finished(call, row) == is_finished)
        and tags_match(row.tags, tags)
        and call.sees(row)
    ]
    if not call.may("Conversation:GetConversation"):
        rows = []
    if order:
        rows.sort(key=lambda row: (row.created_ms, row.id), reverse=order[0][1])
    shown, more, token = page(rows, start, limit)
    content = [_conversation(call, row) for row in shown]
    return json_response({"conversations": content, "has_more": more, "continuation_token": token})


async def modify_tags(call: Call) -> web.StreamResponse:
    """POST /conversation/{id}/tags/ - 204; updates are made before deletes."""
    query = Query(call.request)
    body = read_body(TagChanges, call.body, query.problems)
    conversation = call.conversation()
    call.require("Conversation:ModifyConversation")
    tags = {key: value for key, value in {**conversation.tags, **body.updates}.items() if key not in body.deletes}
    if len(tags) > _MAX_TAGS:
        raise Refusal(400, TOO_MANY_TAGS)
    conversation.tags = tags
    call.state.store.save(conversation)
    return web.Response(status=204)


def _shown_finished(call: Call, row: Conversation) -> bool:
    lag_ms = call.state.options.finish_lag_s * 1000
    return row.finished_ms is not None and call.state.clock.now_ms() >= row.finished_ms + lag_ms


def _conversation(call: Call, row: Conversation) -> dict[str, object]:
    final = row.messages[-1].message if row.messages and call.may("Conversation:GetMessage") else ""
    return {
        "id": row.id,
        "user_id": row.user_id,
        "created_at": iso(row.created_ms),
        "is_finished": _shown_finished(call, row),
        "is_analyzed": set(POST_PROCESSINGS) <= set(row.post_processed),
        "completed_post_processings": row.post_processed,
        "final_message": final,
        "service_id": row.service_id,
        "version_set_info": _version_set(row) if call.may("Service:GetVersionSet") else None,
        "num_messages": len(row.messages),
        "tags": row.tags,
    }


def _version_set(row: Conversation) -> dict[str, object]:
    return {
        "name": row.version_set,
        "agent_version_info": ["5c0000000000000000000001", 4],
        "service_hierarchical_state_machine_version_info": ["5d0000000000000000000001", 3],
        "llm_model_preferences": {},
    }
