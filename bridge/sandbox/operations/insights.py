"""The agent's reasoning and what could follow: insights, recommended responses, conversation starters.

docs/api-contract.md, 1.9 to 1.11.
"""

from aiohttp import web

from bridge.sandbox.http.body import read_body
from bridge.sandbox.http.call import Call
from bridge.sandbox.http.query import Query
from bridge.sandbox.http.refusal import NO_INTERACTION, NOT_LATEST_INTERACTION, Refusal, json_response
from bridge.sandbox.operations.requests import ConversationStarter, RecommendResponses
from bridge.sandbox.script import reply
from bridge.sandbox.script.actions import BEHAVIOUR, MACHINE, TOOL
from bridge.sandbox.state.rows import Interaction


async def interaction_insights(call: Call) -> web.StreamResponse:
    """GET .../interaction/{id}/insights."""
    Query(call.request).settle()
    interaction = _interaction(call)
    if interaction is None:
        raise Refusal(404, NO_INTERACTION)
    call.require("Conversation:GetInteractionInsights", "Organization:GetServiceHierarchicalStateMachine")
    return json_response(_insights(interaction, with_reflections=call.may("Conversation:GetMessage")))


async def recommended_responses(call: Call) -> web.StreamResponse:
    """POST .../interaction/{id}/recommend_responses - only for the latest interaction of an unfinished conversation."""
    query = Query(call.request)
    read_body(RecommendResponses, call.body if call.body.strip() else b"{}", query.problems)
    conversation = call.conversation()
    call.require("Conversation:GetRecommendedResponses")
    interaction = _interaction(call)
    if interaction is None or interaction is not conversation.interactions[-1] or conversation.finished_ms is not None:
        raise Refusal(400, NOT_LATEST_INTERACTION)
    return json_response({"recommended_responses": reply.recommendations(interaction.inbound)})


async def conversation_starters(call: Call) -> web.StreamResponse:
    """POST /conversation/conversation_starter."""
    query = Query(call.request)
    body = read_body(ConversationStarter, call.body, query.problems)
    call.require("Conversation:CreateConversation")
    service = call.state.directory.service(call.org_id, body.service_id)
    if service is None or not call.state.directory.has_version_set(service, body.service_version_set_name):
        raise Refusal(404, "Service not found.")
    count = max(body.min_count, min(body.max_count, len(body.facets)))
    chosen = [body.facets[index % len(body.facets)] for index in range(count)]
    prompts = [{"prompt": f"Tell me about {facet}.", "facets": [facet]} for facet in chosen]
    return json_response({"prompts": prompts})


def _interaction(call: Call) -> Interaction | None:
    wanted = call.request.match_info["interaction_id"]
    rows = call.conversation(NO_INTERACTION).interactions
    return next((row for row in rows if row.id == wanted), None)


def _insights(interaction: Interaction, *, with_reflections: bool) -> dict[str, object]:
    topic = reply.topic(interaction.inbound)
    call_log = {"tool_name": "lookup", **TOOL, "input": {"subject": topic}, "output": "found", "duration": 0.21}
    return {
        "current_state_name": "inform",
        "current_state_action": f"Acknowledge {topic}",
        "current_state_objective": "The user knows what happened and what follows.",
        "state_transition_logs": _transitions(call_log),
        "working_memory": [{"content": interaction.inbound or topic, "context": interaction.inbound_type}],
        "reflections": [f"The user should hear about {topic}."] if with_reflections else [],
        "triggered_dynamic_behavior_set_version_info": list(BEHAVIOUR) if interaction.scene % 2 else None,
        "select_next_action_tool_call_logs": [[]],
        "engage_user_tool_call_logs": [[call_log]],
    }


def _transitions(call_log: dict[str, object]) -> list[dict[str, object]]:
    def step(kind: str, before: str, after: str) -> dict[str, object]:
        return {
            "type": kind,
            "previous_state": before,
            "previous_service_hierarchical_state_machine_version_info": list(MACHINE),
            "next_state": after,
            "next_service_hierarchical_state_machine_version_info": list(MACHINE),
        }

    condition = {"previous_state_exit_condition_description": "The event is understood.", "tool_call_logs": [[]]}
    return [
        {**step("action", "listen", "understand"), **condition},
        {**step("tool-call", "understand", "inform"), "tool_call_logs": [[]], "designated_tool_call_log": call_log},
    ]
