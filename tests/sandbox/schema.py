"""As much of JSON Schema as the published OpenAPI document uses, for checking answers against it."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


class Schema:
    """Finds what is wrong with a value; ``root`` is the document that references point into."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root

    def faults(self, value: Any, schema: dict[str, Any], place: str = "$") -> Iterator[str]:
        if "$ref" in schema:
            yield from self.faults(value, self._resolve(schema["$ref"]), place)
        for union in (schema.get("anyOf"), schema.get("oneOf")):
            if union and not any(not list(self.faults(value, option, place)) for option in union):
                yield f"{place} fits no alternative: {value!r:.80}"
        if "const" in schema and value != schema["const"]:
            yield f"{place} is not {schema['const']!r}"
        if "enum" in schema and value not in schema["enum"]:
            yield f"{place} is none of {schema['enum']}"
        if "type" in schema:
            yield from self._typed(value, schema, place)

    def _resolve(self, reference: str) -> dict[str, Any]:
        found: Any = self._root
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        resolved: dict[str, Any] = found
        return resolved

    def _typed(self, value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
        expected: str = schema["type"]
        kinds: Any = _TYPES[expected]  # so that isinstance() does not narrow the value to all of them
        if not isinstance(value, kinds) or (isinstance(value, bool) and expected in ("integer", "number")):
            yield f"{place} is no {expected}: {value!r:.80}"
        elif expected == "object":
            yield from self._object(value, schema, place)
        elif expected == "array":
            yield from self._array(value, schema, place)
        elif expected == "string":
            yield from self._string(value, schema, place)

    def _object(self, value: dict[str, Any], schema: dict[str, Any], place: str) -> Iterator[str]:
        yield from (f"{place} lacks {name}" for name in schema.get("required", []) if name not in value)
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        if properties:
            yield from (f"{place} has an unknown {name}" for name in value if name not in properties)
        for name, item in value.items():
            if name in properties:
                yield from self.faults(item, properties[name], f"{place}.{name}")
            elif isinstance(others, dict):
                yield from self.faults(item, others, f"{place}.{name}")

    def _array(self, value: list[Any], schema: dict[str, Any], place: str) -> Iterator[str]:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{place} has {len(value)} items"
        kinds = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        for number, (item, kind) in enumerate(zip(value, kinds, strict=False)):
            yield from self.faults(item, kind, f"{place}[{number}]")

    def _string(self, value: str, schema: dict[str, Any], place: str) -> Iterator[str]:
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{place} does not match {schema['pattern']}"
        if schema.get("format") == "date-time":
            try:
                datetime.fromisoformat(value)
            except ValueError:
                yield f"{place} is no date-time: {value}"
