"""The messages on `bridge.control`: commands and answers, told apart by the property `type`."""

from dataclasses import dataclass

import orjson
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from bridge.core.answer.outbound_message import APP_ID
from bridge.core.control.command import Facts

COMMAND, ANSWER = "bridge.command", "bridge.answer"
TRANSIENT = 1


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as it came. `asked` tells which command it is or answers, `user_id` is the broker's word.

    `replica` is the one that passes a command on which reached it by HTTP, `by` who gave it there.
    """

    type: str
    asked: str
    user_id: str | None
    body: bytes
    replica: str = ""
    by: str = ""

    @property
    def facts(self) -> Facts:
        """The body as a JSON object; an answer that is none says so."""
        try:
            facts = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            facts = None
        return facts if isinstance(facts, dict) else {"error": "the answer is not a JSON object"}


def heard(message: DeliveredMessage) -> Heard:
    """The message in a delivery of aiormq."""
    sent = message.header.properties
    headers = sent.headers or {}
    return Heard(
        type=str(sent.message_type or ""),
        asked=str(sent.correlation_id or ""),
        user_id=sent.user_id or None,
        body=message.body,
        replica=str(headers.get("replica") or ""),
        by=str(headers.get("by") or ""),
    )


def properties(type_: str, asked: str, user_id: str, headers: dict[str, str] | None = None) -> Basic.Properties:
    """The properties of a message of our own: the broker refuses one whose `user_id` is not the connection's user."""
    return Basic.Properties(
        content_type="application/json",
        delivery_mode=TRANSIENT,
        correlation_id=asked,
        message_type=type_,
        user_id=user_id,
        app_id=APP_ID,
        headers=dict(headers or {}),
    )
