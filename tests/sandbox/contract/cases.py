"""Requests made of the published specification: each is right but for one place, or right there too."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from tests.sandbox.contract.variations import Variation, right, variations
from tests.support.published import OPERATIONS, PublishedOperation, Schema, judge, resolved

_INTEGER = re.compile(r"[+-]?\d+")
_FLAGS = {"true": True, "false": False, "1": True, "0": False}  # how a query spells a boolean
# What must be said along with a field, so that the field alone decides.
_COMPANIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("create-conversation", "initial_message"): {"initial_message_type": "user-message"},
    ("create-conversation", "initial_message_type"): {"initial_message": "Hi"},
}
_VOICE = {"request_format": ["voice"], "request_audio_config": ['{"type":"mp3"}']}
_SORTABLE = re.compile(r"`([a-z_.]+)`")
_TAG_FILTERS = ("channel:sms", "channel:*", "channel:")
_EVENT = {
    "external_event_message_content": "It rained.",
    "external_event_message_timestamp": "2026-01-01T00:00:00Z",
}


@dataclass(frozen=True)
class Case:
    """One request; `path` replaces what the path names, a header of None is not sent, `body` is sent as it is."""

    operation: str
    where: str
    variation: Variation
    is_right: bool
    body: bytes | None = None
    form: dict[str, Any] | None = None
    query: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str | None] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The id of the test: what is tried where, and whether it is right."""
        return f"{self.operation} {self.where} {self.variation.name} {'taken' if self.is_right else '422'}"


def cases() -> list[Case]:
    """All of them, each once."""
    made = {case.name: case for operation in OPERATIONS.values() for case in _of(operation)}
    return list(made.values())


def _of(operation: PublishedOperation) -> Iterator[Case]:
    base = _right_request(operation)
    yield replace(base, variation=Variation("", "nothing-wrong", None))
    yield from _paths(operation, base)
    yield from _queries(operation, base)
    yield from _headers(operation, base)
    if operation.body is not None and base.form is None:
        yield from _json_bodies(operation, operation.body, base)
    elif operation.body is not None:
        yield from _forms(operation.body, base)


def _right_request(operation: PublishedOperation) -> Case:
    required = [parameter for parameter in operation.placed("query") if parameter.get("required")]
    query = {parameter["name"]: [str(right(parameter["schema"]))] for parameter in required}
    base = Case(operation.id, "request", Variation("", "", None), is_right=True, query=query)
    if operation.body is None:
        return base
    if operation.body_kind == "multipart/form-data":
        return replace(base, form={"initial_message_type": "user-message", "recorded_message": "Hi"})
    return replace(base, body=orjson.dumps(right(operation.body)))


def _paths(operation: PublishedOperation, base: Case) -> Iterator[Case]:
    """Wrong ids only: a right one that names nothing is 404, and a right one that does is in every other case."""
    for parameter in operation.placed("path"):
        decide = judge(parameter["schema"])
        for tried in variations(parameter["schema"], parameter["name"]):
            if isinstance(tried.value, str) and tried.value and not decide.is_valid(tried.value):
                path = {parameter["name"]: tried.value}
                yield replace(base, where="path", variation=tried, is_right=False, path=path)


def _headers(operation: PublishedOperation, base: Case) -> Iterator[Case]:
    for parameter in operation.placed("header"):
        if not parameter.get("required"):
            continue
        name, decide = parameter["name"], judge(parameter["schema"])
        absent = Variation(name, "absent", None)
        yield replace(base, where="header", variation=absent, is_right=False, headers={name: None})
        for tried in variations(parameter["schema"], name):
            if isinstance(tried.value, str) and not decide.is_valid(tried.value):
                headers: dict[str, str | None] = {name: tried.value}
                yield replace(base, where="header", variation=tried, is_right=False, headers=headers)


def _queries(operation: PublishedOperation, base: Case) -> Iterator[Case]:
    for parameter in operation.placed("query"):
        name, schema = parameter["name"], parameter["schema"]
        if parameter.get("required"):
            query = {key: values for key, values in base.query.items() if key != name}
            absent = Variation(name, "absent", None)
            yield replace(base, where="query", variation=absent, is_right=False, query=query)
        decide = judge(schema)
        for tried in variations(schema, name):
            written = _written(tried.value, schema)
            if written is None:
                continue
            is_right = decide.is_valid(_read(written, schema))
            query = {**base.query, name: written}
            yield replace(base, where="query", variation=tried, is_right=is_right, query=query)
            if name in _VOICE:
                spoken = {**base.query, **_VOICE, name: written}
                tried = tried._replace(what=f"{tried.what}-spoken")
                yield replace(base, where="query", variation=tried, is_right=is_right, query=spoken)
        for text in _right_by_description(parameter):
            query = {**base.query, name: [text]}
            yield replace(base, where="query", variation=Variation(name, text, text), query=query)


def _right_by_description(parameter: Schema) -> list[str]:
    """Orders and filters: the schema takes any text, the description says which."""
    if parameter["name"] == "sort_by":
        fields = _SORTABLE.findall(parameter["description"])
        return [f"{sign}{name}" for name in fields for sign in "+-"]
    return list(_TAG_FILTERS) if parameter["name"] in ("tag", "tags") else []


def _kinds(schema: Schema) -> set[str]:
    schema = resolved(schema)
    options = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    return {kind for option in options for kind in _kinds(option)} if options else {schema["type"]}


def _written(value: Any, schema: Schema) -> list[str] | None:
    """The values of the parameter in a query; None for what a query cannot say of it."""
    kinds = _kinds(schema)
    if "object" in kinds:
        return [json.dumps(value)]
    if "array" in kinds:
        texts = value if isinstance(value, list) else []
        return texts if texts and all(isinstance(text, str) for text in texts) else None
    if value is None or isinstance(value, list | dict):
        return None
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def _read(written: list[str], schema: Schema) -> Any:
    """The parameter as it is understood."""
    kinds = _kinds(schema)
    if "array" in kinds:
        return written
    if "object" in kinds:
        return json.loads(written[0])
    if "integer" in kinds and _INTEGER.fullmatch(written[0]):
        return int(written[0])
    return _FLAGS.get(written[0], written[0]) if "boolean" in kinds else written[0]


def _json_bodies(operation: PublishedOperation, schema: Schema, base: Case) -> Iterator[Case]:
    absent, broken = Variation("", "absent", None), Variation("", "half-a-body", None)
    yield replace(base, where="body", variation=absent, is_right=not operation.body_required, body=b"")
    yield replace(base, where="body", variation=broken, is_right=False, body=b'{"service_id": ')
    decide = judge(schema)
    for tried in variations(schema):
        value = tried.value
        companions = _COMPANIONS.get((operation.id, tried.place), {})
        if companions:
            value = {**value, **companions}
        body = json.dumps(value).encode()  # orjson writes no number beyond 64 bits
        yield replace(base, where="body", variation=tried, is_right=decide.is_valid(value), body=body)


def _forms(schema: Schema, base: Case) -> Iterator[Case]:
    """A form has texts only; of lists each item is a part."""
    decide = judge(schema)
    for shape in schema["oneOf"]:
        kind = shape["properties"]["initial_message_type"]["const"]
        for tried in variations(shape, kind):
            if not isinstance(tried.value, dict) or not all(_is_sendable(*part) for part in tried.value.items()):
                continue
            form = {name: value for name, value in tried.value.items() if value != []}
            count = max((len(form.get(name, [])) for name in _EVENT), default=0)
            form = {**{name: [text] * count for name, text in _EVENT.items() if count}, **form}
            yield replace(base, where="form", variation=tried, is_right=decide.is_valid(form), form=form)


def _is_sendable(name: str, value: Any) -> bool:
    if name in _EVENT:
        return isinstance(value, list) and all(isinstance(text, str) for text in value)
    return isinstance(value, str)
