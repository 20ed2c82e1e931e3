"""Answers to refused webhooks: problem documents (RFC 9457) that help the honest and tell an attacker nothing.

400  no HTTP, not JSON, or it breaks off         415  the content type or encoding is not understood
401  signature, headers or time                  417  an expectation that is not known
404  no webhook of this name                     422  JSON, and yet no event
405  not a POST                                  429  more than the source's rate
408  the body takes too long                     500  a bug
413  the body is too large                       503  the broker cannot confirm, or too much is in hand

Of the operators' listener alone: 403, a token whose role may not do that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from bridge.core.errors import BridgeError, bounded

CONTENT_TYPE = "application/problem+json"
JSON, TEXT = "application/json", "text/plain; charset=utf-8"
RETRY_S = 5
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""With the type `about:blank` the title is the status's own phrase (RFC 9457, section 4.2.1; RFC 9110, section 15)."""


class Problem(BridgeError):
    """A webhook is not taken; `kind` is for the log and the metrics, `detail` for the sender."""

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.detail = bounded(detail)
        super().__init__(self.detail)
        self.status = status
        self.kind = kind
        self.headers = dict(headers or {})

    @property
    def document(self) -> bytes:
        """The problem as JSON."""
        return orjson.dumps(
            {
                "type": "about:blank",
                "title": TITLES.get(self.status, "Error"),
                "status": self.status,
                "detail": self.detail,
            }
        )


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to a webhook that is not refused; `content_type` is the body's."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON


TAKEN = {
    "twilio": HttpAnswer(200, b"<Response/>", content_type="text/xml"),
    "slack": HttpAnswer(200, b"", content_type=TEXT),
}
"""Senders that act upon an answer: Twilio takes it for instructions (TwiML), Slack for a message to whoever asked."""


def taken(scheme: str, event_id: str) -> HttpAnswer:
    """The broker has it, or had it before."""
    return TAKEN.get(scheme) or HttpAnswer(202, orjson.dumps({"id": event_id}))


def malformed(*, too_long: bool) -> Problem:
    """The problem of bytes that are no HTTP. The parser's words stay here: they change, and repeat what was sent."""
    detail = "A line of the request is too long." if too_long else "The request is not well-formed HTTP/1.1."
    return Problem(400, "malformed", detail)


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """For an address that is no webhook's, and for what should not happen."""
    return Problem(status, "http", TITLES.get(status, "Error"), headers)


def no_such_webhook() -> Problem:
    return Problem(404, "unknown", "No webhook of this name is configured.")


def not_a_post() -> Problem:
    return Problem(405, "method", "Webhooks are sent with POST.", {"Allow": "POST"})


def not_understood(detail: str) -> Problem:
    return Problem(415, "content-type", detail)


def too_large(most: int) -> Problem:
    return Problem(413, "too-large", f"At most {most} bytes are taken.")


def too_slow(seconds: float) -> Problem:
    return Problem(408, "too-slow", f"The body did not arrive within {seconds:g} s.")


def broken_off() -> Problem:
    return Problem(400, "broken-off", "The body did not arrive as a whole.")


def not_verified(needs: str, kind: str, challenge: str) -> Problem:
    """The same words whatever was wrong: `kind` is not among them. `challenge` as in RFC 9110, section 11.6.1."""
    return Problem(
        401,
        kind,
        f"The request does not verify. Needed: {needs}; made over the bytes as they are sent, "
        "with a secret that is active here, and at a time close to this server's.",
        {"WWW-Authenticate": challenge},
    )


def not_json(error: str) -> Problem:
    return Problem(400, "not-json", f"The body is not JSON in UTF-8: {error}")


def not_text(error: str) -> Problem:
    return Problem(400, "not-text", f"Not understood: {error}.")


def not_an_event(error: str) -> Problem:
    return Problem(422, "invalid", error)


def too_many(wait_s: float) -> Problem:
    seconds = str(max(1, round(wait_s + 0.5)))
    return Problem(429, "rate", "More requests than this webhook takes; try again later.", {"Retry-After": seconds})


def not_taken() -> Problem:
    return Problem(503, "not-taken", "The event could not be put in the queue.", {"Retry-After": str(RETRY_S)})


def too_busy() -> Problem:
    return Problem(503, "busy", "Too many webhooks are in hand; try again shortly.", {"Retry-After": "1"})
