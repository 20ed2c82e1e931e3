"""Values to try in place of what a schema describes: every wrong type, null, empty, at each bound and one beyond it.

Nothing here knows which of them are right: the schema itself judges that.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.support.published import Schema, resolved


class Variation(NamedTuple):
    """A value at a place (`user_preferences.timezone`; empty for the whole), and what it tries there."""

    place: str
    what: str
    value: Any

    @property
    def name(self) -> str:
        return f"{self.place or 'all'}={self.what}"


EVERY_TYPE: dict[str, Any] = {
    "null": None,
    "true": True,
    "0": 0,
    "5": 5,
    "1.5": 1.5,
    "text": "text",
    "empty-text": "",
    "empty-list": [],
    "list": ["text"],
    "empty-object": {},
    "object": {"some": "thing"},
}
# For each pattern of a request: values that fit it, then some that come close.
PATTERNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "^[a-f0-9]{24}$": (
        ("5f0000000000000000000001",),
        (
            "5f000000000000000000001",
            "5f00000000000000000000001",
            "5F0000000000000000000001",
            "5g0000000000000000000001",
        ),
    ),
    r"^[\w\s]+$": (("web_chat 2",), ("web-chat", "a:b")),
    r"^[\w\s_]+$": (("web_chat 2",), ("web-chat", "a:b")),
    "^[a-z_][a-z0-9_]+$": (("plan_2", "_x"), ("Plan", "2plan", "p", "a-b")),
    r"^\w{2}$": (("en",), ("e", "e-")),
    r"^[a-z-]+( [a-z-]+){0,2}$": (("beta-blocker",), ("Beta", "one two three four")),
    r"^multipart\/form-data; boundary=.+$": (
        (),
        ("application/json", "multipart/form-data", "multipart/form-data;boundary=b", "text/plain; boundary=b"),
    ),
}
FORMATS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "uri": (("https://hooks.example.com/amigo",), ("not a uri", "hooks.example.com", "//example.com")),
    "email": (("ada@example.com",), ("ada", "ada@", "@example.com", "ada@example@com")),
    "date-time": (
        ("2026-01-01T00:00:00Z", "2026-01-01T02:00:00.123+02:00"),
        ("yesterday", "2026-13-01T00:00:00Z", "2026-01-32T00:00:00Z"),
    ),
}
# Where a schema takes any string, and the service does not.
RIGHT_BY_NAME = {"role_name": "DefaultUserRole", "service_version_set_name": "release"}
_FILLER = "x"


def right(schema: Schema) -> Any:
    """A value that the schema takes, as small as can be."""
    schema = resolved(schema)
    options: list[Schema] = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if options:
        return right(options[0])
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema["type"]:
        case "string":
            return _right_text(schema)
        case "integer":
            return int(schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1))
        case "boolean":
            return True
        case "array":
            return [right(schema["items"]) for _ in range(schema.get("minItems", 0))]
        case "object":
            return {name: right_field(schema, name) for name in schema.get("required", ())}
        case other:
            raise AssertionError(f"no right value is known for {other}")


def right_field(schema: Schema, name: str) -> Any:
    return RIGHT_BY_NAME.get(name) or right(schema["properties"][name])


def _right_text(schema: Schema) -> str:
    if "pattern" in schema:
        return PATTERNS[schema["pattern"]][0][0]
    if "format" in schema:
        return FORMATS[schema["format"]][0][0]
    shortest: int = min(schema.get("minLength", 1), schema.get("maxLength", 1))
    return _FILLER * shortest


def variations(schema: Schema, place: str = "") -> Iterator[Variation]:
    """Everything to try, the parts of objects and lists included."""
    for what, value in EVERY_TYPE.items():
        yield Variation(place, what, value)
    yield from _close_calls(schema, place)


def _close_calls(schema: Schema, place: str) -> Iterator[Variation]:
    schema = resolved(schema)
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _close_calls(option, place)
    if "enum" in schema or "const" in schema:
        yield from _choices(schema, place)
    elif schema.get("type") == "string":
        yield from _texts(schema, place)
    elif schema.get("type") == "integer":
        yield from _numbers(schema, place)
    elif schema.get("type") == "array":
        yield from _lists(schema, place)
    elif "properties" in schema:
        yield from _fields(schema, place)
    elif schema.get("type") == "object":
        yield from _mappings(schema, place)


def _choices(schema: Schema, place: str) -> Iterator[Variation]:
    known = schema.get("enum", [schema.get("const")])
    for value in dict.fromkeys((known[0], known[-1])):
        yield Variation(place, str(value), value)
        near = f"{value}x" if isinstance(value, str) else value + 7
        yield Variation(place, f"near-{value}", near)
        if isinstance(value, str):
            yield Variation(place, f"swapped-case-{value}", value.swapcase())


def _texts(schema: Schema, place: str) -> Iterator[Variation]:
    for rule, samples in (("pattern", PATTERNS), ("format", FORMATS)):
        if rule in schema:
            fitting, close = samples[schema[rule]]
            yield from (Variation(place, value, value) for value in (*fitting, *close))
    for bound in ("minLength", "maxLength"):
        if bound in schema:
            for length in range(max(0, schema[bound] - 1), schema[bound] + 2):
                yield Variation(place, f"{length}-characters", _long(_right_text(schema), length))


def _long(text: str, length: int) -> str:
    return text + _FILLER * (length - len(text)) if length > len(text) else text[:length]


def _numbers(schema: Schema, place: str) -> Iterator[Variation]:
    for bound in ("minimum", "exclusiveMinimum", "maximum"):
        if bound in schema:
            for value in range(int(schema[bound]) - 1, int(schema[bound]) + 2):
                yield Variation(place, str(value), value)
    yield Variation(place, "beyond-64-bits", 2**64)


def _lists(schema: Schema, place: str) -> Iterator[Variation]:
    item = right(schema["items"])
    yield Variation(place, "one-item", [item])
    yield Variation(place, "an-item-twice", [item, item])
    for part in variations(schema["items"], f"{place}[]"):
        yield part._replace(value=[part.value])
    for count in (schema["maxItems"], schema["maxItems"] + 1) if "maxItems" in schema else ():
        yield Variation(place, f"{count}-items", [item] * count)


def _fields(schema: Schema, place: str) -> Iterator[Variation]:
    base = right(schema)
    yield Variation(place, "an-unknown-field-more", {**base, "moon_phase": "waxing"})
    for name in schema.get("required", ()):
        yield Variation(f"{place}.{name}".lstrip("."), "absent", {key: base[key] for key in base if key != name})
    for name, field in schema["properties"].items():
        for part in variations(field, f"{place}.{name}".lstrip(".")):
            yield part._replace(value={**base, name: part.value})


def _mappings(schema: Schema, place: str) -> Iterator[Variation]:
    names, values = schema.get("propertyNames", {"type": "string"}), schema["additionalProperties"]
    value = right(values)
    for key in _texts(resolved(names), f"{place}.name"):
        yield key._replace(value={key.value: value})
    for part in variations(values, f"{place}.value"):
        yield part._replace(value={right(names): part.value})
    for count in (schema["maxProperties"], schema["maxProperties"] + 1) if "maxProperties" in schema else ():
        yield Variation(place, f"{count}-fields", {f"key_{number}": value for number in range(count)})
