"""The kinds of fields in JSON bodies, as the published specification words them.

Types are taken strictly, as the specification has them: no `"5"` for a number, no `1` for true, no null but where it is
named.
"""

import re
from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AnyUrl, BaseModel, ConfigDict, Field, HttpUrl, StringConstraints, TypeAdapter

from bridge.sandbox.http.languages import LANGUAGES
from bridge.sandbox.http.timezones import TIMEZONES

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_RESERVED_DOMAINS = (".invalid", ".test", ".local", ".localhost")
_SHORT_LANGUAGE = re.compile(r"\w{2}")
_ANY_ADDRESS: TypeAdapter[AnyUrl] = TypeAdapter(AnyUrl)
_WEB_ADDRESS: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)
_Item = TypeVar("_Item")


class RequestBody(BaseModel):
    """A JSON body; fields that it does not name are ignored, as the API does."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def email_address(text: str) -> str:
    """The address with its domain in lower case; ValueError for none, and for reserved domains."""
    local, _, domain = text.strip().rpartition("@")
    if not _EMAIL.fullmatch(text.strip()) or domain.lower().endswith(_RESERVED_DOMAINS):
        raise ValueError("value is not a valid email address")
    return f"{local}@{domain.lower()}"


def distinct(items: list[_Item]) -> list[_Item]:
    """The items; ValueError where one is named twice."""
    if any(item in items[:number] for number, item in enumerate(items)):
        raise ValueError("items should be unique")
    return items


def _one_of(known: frozenset[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in known:
            raise ValueError(f"value is not {what}")
        return text

    return check


def _language(text: str) -> str:
    if text not in LANGUAGES and not _SHORT_LANGUAGE.fullmatch(text):
        raise ValueError("value is not a language of ISO 639-3, nor a code of two letters")
    return text


def _address(kind: "TypeAdapter[AnyUrl] | TypeAdapter[HttpUrl]") -> Callable[[str], str]:
    """Keeps an address as it was written."""

    def check(text: str) -> str:
        kind.validate_python(text)
        return text

    return check


def _not_user_id(name: str) -> str:
    if name == "user_id":
        raise ValueError("user_id is set by the API itself")
    return name


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""A string that is stripped and then not empty."""
HexId = Annotated[str, StringConstraints(pattern=r"^[a-f0-9]{24}$")]
Email = Annotated[str, AfterValidator(email_address)]
Address = Annotated[str, StringConstraints(min_length=1), AfterValidator(_address(_ANY_ADDRESS))]
WebAddress = Annotated[str, StringConstraints(min_length=1, max_length=2083), AfterValidator(_address(_WEB_ADDRESS))]
Language = Annotated[str, AfterValidator(_language)]
Timezone = Annotated[str, AfterValidator(_one_of(TIMEZONES, "a time zone of the IANA database"))]

TagWords = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[\w\s]+$")]
CreateTagValue = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
"""A tag's value as create takes it: any characters; modify takes `TagWords`, of any length."""
CreateTags = Annotated[dict[TagWords, CreateTagValue | None], Field(max_length=20)]
ModifyTags = Annotated[dict[TagWords, TagWords | None], Field(max_length=20)]

_Variable = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[a-z_][a-z0-9_]+$")]
PlainVariables = Annotated[dict[Annotated[_Variable, AfterValidator(_not_user_id)], str], Field(max_length=19)]
SecretVariables = Annotated[dict[_Variable, str], Field(max_length=20)]
