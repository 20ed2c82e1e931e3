"""Commands over the API as processes, against a server of the test."""

import json
from pathlib import Path
from typing import Any

import yaml

from deploy.local.unlimited import UNLIMITED
from tests.support.amigo import API_KEY
from tests.support.process import Output, run_command

USER = "user-1"
CONVERSATION = "6a0000000000000000000001"
INTERACTION = "6b0000000000000000000001"
MESSAGE = "6c0000000000000000000001"
SERVICE = "5f0000000000000000000001"
AT = "2026-11-28T09:12:05.250Z"


class Commands:
    """`amigo-bridge …` with a configuration that names one API and one user."""

    def __init__(self, folder: Path, base_url: str, **amigo: Any) -> None:
        self.folder = folder
        self.file = folder / "bridge.yaml"
        settings = {
            "base_url": base_url,
            "organization_id": "acme",
            "api_key": API_KEY,
            "api_key_id": "key-id-1",
            "user_id": USER,
            **amigo,
        }
        self.file.write_text(yaml.safe_dump({"amigo": settings, "limits": UNLIMITED}))

    async def run(self, *arguments: str, columns: int = 100) -> Output:
        return await run_command(
            self.folder, *arguments, "--config", str(self.file), env={"COLUMNS": str(columns), "PYTHONUTF8": "1"}
        )

    async def rows(self, *arguments: str) -> list[Any]:
        """The lines of `--json`, from a command that ends well."""
        done = await self.run(*arguments, "--json")
        assert done.status == 0, done.all
        return [json.loads(line) for line in done.out.splitlines()]


def conversation(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"6a{number:022x}",
        "user_id": USER,
        "created_at": AT,
        "is_finished": False,
        "is_analyzed": False,
        "completed_post_processings": [],
        "final_message": "Good morning",
        "service_id": SERVICE,
        "version_set_info": {"name": "release", "llm_model_preferences": {}},
        "num_messages": 2,
        "tags": {"channel": "sms", "urgent": None},
        **changes,
    }


def message(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"6c{number:022x}",
        "interaction_id": INTERACTION,
        "created_at": AT,
        "sender": "Sam",
        "message": f"Line {number}",
        "format": "text",
        "message_type": "user-message",
        **changes,
    }


def user(**changes: Any) -> dict[str, Any]:
    return {
        "org_id": "acme",
        "user_id": "5a0000000000000000000001",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "ada@example.com",
        "user_stats": {"num_conversations": 3, "num_messages": 20, "last_message_time": AT},
        "role": "5b0000000000000000000001",
        "preferences": {"timezone": "Europe/London"},
        **changes,
    }


INSIGHTS = {
    "current_state_name": "inform",
    "current_state_action": "Acknowledge the bill",
    "current_state_objective": "The user knows what follows.",
    "state_transition_logs": [
        {"type": "decision", "previous_state": "listen", "next_state": "inform", "tool_call_logs": [[]]}
    ],
    "working_memory": [{"content": "Invoice 7", "context": "user-message"}],
    "reflections": ["The user is in a hurry."],
    "triggered_dynamic_behavior_set_version_info": ["5e0000000000000000000001", 4],
    "select_next_action_tool_call_logs": [[]],
    "engage_user_tool_call_logs": [
        [
            {
                "tool_name": "lookup",
                "tool_id": "t",
                "tool_version": "1.2",
                "input": {"amount": 1},
                "output": "found",
                "duration": 0.21,
            }
        ]
    ],
}


def page(name: str, rows: list[Any], following: int | None = None) -> dict[str, Any]:
    """An answer with rows, and where it goes on."""
    return {name: rows, "has_more": following is not None, "continuation_token": following}
