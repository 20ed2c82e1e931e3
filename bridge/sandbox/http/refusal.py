"""Refusals: every answer that is not a success, in FastAPI's form ``{"detail": ...}``.

The texts are those of docs/api-contract.md, Appendix A.
"""

from collections.abc import Mapping

import orjson
from aiohttp import web

UNAUTHORISED = "Invalid authorization credentials."
FORBIDDEN = "Missing required permissions."
MAINTENANCE = "The service is going through temporary maintenance."
SIGN_IN_FAILED = "API key not found, is incorrect, or the requested user is not found."
NO_ORGANIZATION = "Specified organization is not found."
NO_SERVICE = "Specified organization, service, or version set is not found."
NO_CONVERSATION = "Specified organization or conversation is not found."
NO_INTERACTION = "Specified organization, conversation, or interaction is not found."
NO_MESSAGE = "Specified organization or message is not found."
NO_DESTINATION = "Specified organization or webhook destination is not found."
NO_USER = "Specified organization or user is not found."
NO_ROLE = "Specified organization or role is not found."
UNFINISHED_EXISTS = "Attempting to start a conversation when other unfinished conversations exist."
OPERATION_IN_PROGRESS = "A related operation is in progress."
FINISHED_OR_BUSY = "The specified conversation is already finished, or a related operation is in process."
NO_INTERACTIONS = "The conversation has no interactions."
EMPTY_MESSAGE = "The user message is empty."
EVENT_NOT_PAST = "The timestamps for external event messages are not in the past."
EVENT_INCONSISTENT = "The timestamps for external event messages are inconsistent with the conversation."
BODY_TIMED_OUT = "The request body stream timed out."
AUDIO_UNSUPPORTED = "The format of the supplied audio file is not supported."
TEXT_HAS_NO_SOURCE = "The message is a text message."
TOO_MANY_TAGS = "The conversation cannot contain more than 20 tags."
NOT_LATEST_INTERACTION = (
    "The conversation is finished, or the supplied interaction ID doesn't correspond to the latest, "
    "completed interaction."
)
EMAIL_TAKEN = "User with the same email already exists in this organization, or a related operation is in progress."
TOO_MANY_DESTINATIONS = "The organization already has the maximum amount of webhook destinations defined."
ROTATED_TOO_OFTEN = "The frequency of secret rotation is limited to once per hour."


class Refusal(Exception):
    """Ends an operation with this status and detail."""

    def __init__(self, status: int, detail: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        return json_response({"detail": self.detail}, self.status, self.headers)


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer, compact UTF-8."""
    return web.Response(
        body=orjson.dumps(content), status=status, content_type="application/json", headers=dict(headers or {})
    )


class Problems:
    """Collects everything wrong with a request, as FastAPI does, and refuses it with one 422."""

    def __init__(self) -> None:
        self._found: list[dict[str, object]] = []

    def add(self, kind: str, location: tuple[str | int, ...], message: str, given: object = None) -> None:
        self._found.append({"type": kind, "loc": list(location), "msg": message, "input": given})

    def settle(self) -> None:
        """Raises the 422 if anything was found."""
        if self._found:
            raise Refusal(422, self._found)
