"""The agent's actions: bodies of ``current-agent-action`` events, all 24 types (docs/api-contract.md, 2.3)."""

import base64
import io
import wave
from typing import Any

MACHINE = ("5d0000000000000000000001", 3)
BEHAVIOUR = ("5d0000000000000000000002", 7)
TOOL = {"tool_id": "5d0000000000000000000003", "tool_version": "1.4.0"}
_FILLER = "One moment, I am looking that up."

# Four scenes in a plausible order; one is played in each interaction, so that all types occur within four.
SCENES = (
    (
        "select-dynamic-behavior-vector-generated",
        "select-dynamic-behavior-relevance-retrieval-completed",
        "select-dynamic-behavior-completed",
        "check-if-active-memory-needed-completed",
        "navigate-state-machine-action-state-action-selected",
        "engage-user-message-fragment-generated",
    ),
    (
        "extract-active-memories-completed",
        "navigate-state-machine-decision-state-decision-started",
        "navigate-state-machine-exit-condition-selected",
        "navigate-state-machine-state-transitioned",
        "tool-call-started",
        "action-too-long",
        "tool-call-ended",
    ),
    (
        "navigate-state-machine-recall-state-static-queries-retrieved",
        "navigate-state-machine-recall-state-dynamic-queries-generated",
        "navigate-state-machine-recall-state-active-memory-retrieved",
        "navigate-state-machine-reflection-state-prompt-retrieved",
        "navigate-state-machine-reflection-state-reflection-generated",
        "navigate-state-machine-annotation-state-annotation-retrieved",
    ),
    (
        "designated-tool-retrieved",
        "designated-tool-call-params-generated",
        "navigate-state-machine-tool-call-state-tool-output-available",
        "navigate-state-machine-dynamic-behavior-override",
        "engage-user-dynamic-behavior-override",
    ),
)
ALL_TYPES = tuple(kind for scene in SCENES for kind in scene)


def scene(number: int, topic: str) -> list[dict[str, Any]]:
    """The actions of the interaction with this running number, about this topic."""
    return [action(kind, topic) for kind in SCENES[number % len(SCENES)]]


def action(kind: str, topic: str) -> dict[str, Any]:
    """One action with all its fields."""
    return {"type": kind, **_details(topic).get(kind, {})}


def filler_wav() -> str:
    """A tenth of a second of silence as the API sends audio fillers: base64 of mono 16-bit 16 kHz WAV."""
    return base64.b64encode(wav(b"\0\0" * 1600)).decode()


def wav(pcm: bytes) -> bytes:
    """PCM16 mono at 16 kHz in a WAV file."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm)
    return target.getvalue()


def _details(topic: str) -> dict[str, dict[str, Any]]:
    return {**_memory(topic), **_navigation(topic), **_tools(topic), **_engagement(topic)}


def _memory(topic: str) -> dict[str, dict[str, Any]]:
    question = f"What is known about {topic}?"
    answers = [[question, "Nothing before today."]]
    recall = "navigate-state-machine-recall-state"
    return {
        "select-dynamic-behavior-completed": {
            "selected_dynamic_behavior_set_version_info": list(BEHAVIOUR),
            "previous_selected_dynamic_behavior_set_version_info": None,
        },
        "check-if-active-memory-needed-completed": {"queries": [question]},
        "extract-active-memories-completed": {"queries_and_responses": answers},
        f"{recall}-static-queries-retrieved": {"static_queries": [question]},
        f"{recall}-dynamic-queries-generated": {"dynamic_queries": [question], "requested_information": topic},
        f"{recall}-active-memory-retrieved": {"queries_and_responses": answers},
    }


def _navigation(topic: str) -> dict[str, dict[str, Any]]:
    prefix = "navigate-state-machine"
    return {
        f"{prefix}-dynamic-behavior-override": {"overriding_instructions": True, "overriding_tool_candidates": False},
        f"{prefix}-action-state-action-selected": {"action": f"Acknowledge {topic}"},
        f"{prefix}-exit-condition-selected": {
            "exit_condition": "The event is understood.",
            "next_state_state_machine_version_info": list(MACHINE),
            "next_state_name": "inform",
        },
        f"{prefix}-reflection-state-prompt-retrieved": {"prompt": "What matters most to the user now?"},
        f"{prefix}-reflection-state-reflection-generated": {"reflection": f"The user should hear about {topic}."},
        f"{prefix}-annotation-state-annotation-retrieved": {"annotation": "Be brief and concrete."},
        f"{prefix}-state-transitioned": {
            "prev_state": "listen",
            "prev_state_state_machine_version_info": list(MACHINE),
            "next_state": "inform",
            "next_state_state_machine_version_info": list(MACHINE),
        },
    }


def _tools(topic: str) -> dict[str, dict[str, Any]]:
    params, result = {"subject": topic}, '{"found": true}'
    return {
        "navigate-state-machine-tool-call-state-tool-output-available": {
            **TOOL,
            "tool_output": result,
            "duration": 0.21,
            "input_arguments": params,
        },
        "designated-tool-retrieved": TOOL,
        "designated-tool-call-params-generated": {**TOOL, "tool_call_params": params},
        "tool-call-started": {"tool_round_index": 0, **TOOL, "input_params": params},
        "tool-call-ended": {
            "tool_round_index": 0,
            **TOOL,
            "input_parameters": params,
            "result": result,
            "duration": 0.21,
        },
    }


def _engagement(topic: str) -> dict[str, dict[str, Any]]:
    return {
        "engage-user-dynamic-behavior-override": {"overriding_instructions": False, "overriding_tool_candidates": True},
        "engage-user-message-fragment-generated": {"index": 0, "fragment": f"About {topic}", "is_final": False},
        "action-too-long": {"filler": _FILLER, "previously_started_event": {"type": "tool-call-started"}},
    }
