"""Query parameters as the API wants them (docs/api-contract.md, 1)."""

from collections.abc import Mapping, Sequence

from bridge.edges.amigo.outgoing import Params


def given(**params: str | Sequence[str]) -> Params:
    """The parameters that say something; a list is sent as the same key several times."""
    return {name: value for name, value in params.items() if value}


def flag(value: bool | None) -> str:
    """Nothing for None."""
    return "" if value is None else str(value).lower()


def tag_filter(tags: Mapping[str, str | None] | None) -> list[str]:
    """`key:value`; a value of `*` is any, and none at all means null."""
    return [f"{key}:{value or ''}" for key, value in (tags or {}).items()]
