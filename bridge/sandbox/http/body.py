"""JSON bodies, checked as exactly as the API checks them (422 with every problem at once)."""

from typing import TypeVar

import orjson
from pydantic import ValidationError

from bridge.sandbox.http.fields import RequestBody
from bridge.sandbox.http.refusal import Problems

_Body = TypeVar("_Body", bound=RequestBody)


def read_body(form: type[_Body], raw: bytes, problems: Problems) -> _Body:
    """The body in this form; where it is not, or anything else is wrong with the request, the 422."""
    try:
        body = form.model_validate(_decoded(raw, problems))
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_context=False):
            problems.add(error["type"], ("body", *error["loc"]), error["msg"], error["input"])
        problems.settle()
        raise
    problems.settle()
    return body


def _decoded(raw: bytes, problems: Problems) -> object:
    try:
        content: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        problems.add("json_invalid", ("body", error.pos), "JSON decode error")
        problems.settle()
        raise
    return content
