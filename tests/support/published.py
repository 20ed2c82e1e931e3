"""The published specification of the API, and its schemas as judges.

The copy beside this file is cut from the official SDK's source distribution; its `info` says from which, and how.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

Schema = dict[str, Any]
DOCUMENT: dict[str, Any] = orjson.loads(Path(__file__).with_name("openapi.json").read_bytes())
_BASE = "/v1/{organization}"


@dataclass(frozen=True)
class PublishedOperation:
    """One operation; `path` follows `/v1/{organization}`, `answers` has a schema for each status, None for none."""

    id: str
    method: str
    path: str
    parameters: tuple[Schema, ...]
    body_kind: str | None
    body: Schema | None
    body_required: bool
    answers: dict[int, Schema | None]

    @property
    def good_status(self) -> int:
        return next(status for status in self.answers if status < 300)

    def placed(self, place: str) -> list[Schema]:
        """The parameters in the path, the query or the header."""
        return [parameter for parameter in self.parameters if parameter["in"] == place]


def _operations() -> Iterator[PublishedOperation]:
    for path, methods in DOCUMENT["paths"].items():
        for method, row in methods.items():
            body: Schema = row.get("requestBody", {})
            kinds: Schema = body.get("content", {})
            kind = next(iter(kinds), None)
            yield PublishedOperation(
                row["operationId"],
                method.upper(),
                path.removeprefix(_BASE),
                tuple(row.get("parameters", ())),
                kind,
                kinds[kind]["schema"] if kind else None,
                body.get("required", False),
                {int(status): _answer(response) for status, response in row["responses"].items()},
            )


def _answer(response: Schema) -> Schema | None:
    media: list[Schema] = list(response.get("content", {}).values())
    return media[0]["schema"] if media else None


def resolved(schema: Schema) -> Schema:
    """The schema that a reference stands for, as deep as references go."""
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = DOCUMENT["components"]["schemas"][name]
    return schema


def judge(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    """The schema as a judge of what is asked; fields that it does not name are nothing to it."""
    return _judge(orjson.dumps(schema), closed=False)


def strict_judge(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    """The schema as a judge of what is answered; a field that it does not name is a fault."""
    return _judge(orjson.dumps(schema), closed=True)


@cache
def _judge(written: bytes, *, closed: bool) -> jsonschema_rs.Draft202012Validator:
    schema = orjson.loads(written)
    schemas = _closed_schemas() if closed else DOCUMENT["components"]["schemas"]
    whole = {**(_closed(schema) if closed else schema), "components": {"schemas": schemas}}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


@cache
def _closed_schemas() -> Schema:
    closed: Schema = _closed(DOCUMENT["components"]["schemas"])
    return closed


def _closed(part: Any) -> Any:
    """A copy in which every object with named fields has these and no others."""
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    copy = {name: _closed(item) for name, item in part.items()}
    if copy.get("type") == "object" and copy.get("properties"):
        copy.setdefault("additionalProperties", False)
    return copy


OPERATIONS: dict[str, PublishedOperation] = {operation.id: operation for operation in _operations()}
