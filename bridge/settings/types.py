"""The forms of configured values: durations, addresses, names. Errors never quote what may be a secret."""

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainValidator, SecretStr, ValidationInfo
from yarl import URL

from bridge.core.answer.outbound_message import RoutingKey
from bridge.core.duration import seconds
from bridge.core.event.event_fields import HEX24, USER_ID, VERSION_SET, finish_s
from bridge.core.event.tags import faults
from bridge.core.event.version_weights import read_weights
from bridge.core.secret import AROUND, header_value, trimmed

AMQP_NAME = re.compile(r"[A-Za-z0-9_.:@#,/+ -]{0,127}")
API_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
AMQP_QUERY = frozenset({"heartbeat", "frame_max", "name", "cafile", "capath", "cadata", "certfile", "keyfile"})
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
HOST = re.compile(r"[A-Za-z0-9_.:%-]*")
USERINFO = re.compile(r"(?P<scheme>[a-z]+://)(?P<user>[^/@:]*)(?P<password>:[^@]*)?@", re.IGNORECASE)
MAX_PORT = 65_535
LOOPBACK = ("127.0.0.1", "localhost", "::1")
AMQP_FORM = "amqp://user:password@host:port/vhost"


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _finish(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("neither after nor never nor a duration such as 1h, 100 years at most")  # noqa: TRY004 - pydantic wants that
    try:
        return finish_s(value)
    except ValueError:
        raise ValueError("neither after nor never nor a duration such as 1h, 100 years at most") from None


def _of_form(form: re.Pattern[str], form_name: str) -> AfterValidator:
    def check(value: str) -> str:
        if form.fullmatch(value) is None:
            raise ValueError(f"not {form_name}")
        return value

    return AfterValidator(check)


def _routing_key(value: str) -> str:
    RoutingKey(value)
    return value


def _address(text: str, form: str) -> URL:
    """The text as a URL. The error of the library would quote it, password and all."""
    try:
        url = URL(text)
        _ = url.port
        host = _host(url.raw_host or "")
    except ValueError:
        raise ValueError(f"not of the form {form}") from None
    if HOST.fullmatch(host) is None:
        raise ValueError(f"not of the form {form}")
    return url


def _listen(value: str) -> str:
    """`host:port`; an IPv6 address stands in brackets."""
    host, colon, port = trimmed(value).rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare) is (bare == host) or not port.isdecimal() or int(port) > MAX_PORT:
        raise ValueError("not of the form host:port, such as 127.0.0.1:8081 or [::1]:8081")
    _host(bare)
    return f"{host}:{int(port)}"


def _host(value: str) -> str:
    """A name or an address that can be looked up: a resolver says nothing but UnicodeError of one that cannot."""
    value = trimmed(value)
    try:
        value.encode("idna")
    except UnicodeError:
        raise ValueError("not the name of a host") from None
    return value


def _without_blanks(text: str) -> str:
    """A URL without the blanks around it, around its user and around its password: in a URL a blank is written %20."""
    text = text.strip(AROUND)
    match = USERINFO.match(text)
    if match is None:
        return trimmed(text)
    _, colon, password = (match["password"] or "").partition(":")
    userinfo = f"{match['user'].strip(AROUND)}{colon}{password.strip(AROUND)}"
    return trimmed(f"{match['scheme']}{userinfo}@{text[match.end() :]}")


def _broker_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    text = _without_blanks(value.get_secret_value())
    url = _address(text, AMQP_FORM)
    if url.scheme not in ("amqp", "amqps") or not url.host:
        raise ValueError(f"not of the form {AMQP_FORM}")
    if not all((part or "").isprintable() for part in (url.user, url.password, url.path)):
        raise ValueError("user, password or virtual host has a character that cannot be seen, written with %")
    unknown = sorted(set(url.query) - AMQP_QUERY)
    if unknown:
        raise ValueError(f"unknown query keys: {', '.join(unknown)}; known are {', '.join(sorted(AMQP_QUERY))}")
    heartbeat = url.query.get("heartbeat", "10")
    if not heartbeat.isdecimal() or not 5 <= int(heartbeat) <= 60:
        raise ValueError("heartbeat is not a whole number from 5 to 60")
    frame_max = url.query.get("frame_max", "4096")
    if not frame_max.isdecimal() or not 4096 <= int(frame_max) <= 131_072:
        raise ValueError("frame_max is not a whole number from 4096 to 131072")
    try:
        unquote(urlsplit(value.get_secret_value()).path, errors="strict")
    except ValueError:
        raise ValueError("the name of the virtual host is not UTF-8 in percent signs and hex") from None
    far = url.host not in LOOPBACK
    if far and info.data.get("insecure") is False and (url.scheme == "amqp" or url.user in (None, "guest")):
        raise ValueError(
            "plain amqp or the user guest beyond this machine: use amqps and a user of its own, "
            "or set amqp.insecure: true where the network is trusted"
        )
    return SecretStr(text)


def _api_url(value: str, info: ValidationInfo) -> str:
    value = trimmed(value)
    url = _address(value, "https://host")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("not of the form https://host")
    if url.query_string or url.fragment or " " in value:
        raise ValueError("not of the form https://host: no query, no fragment, no blank")
    if url.user is not None:
        raise ValueError("it carries a user or a password: the credentials are api_key_id and api_key")
    if url.scheme == "http" and url.host not in LOOPBACK and info.data.get("insecure") is False:
        raise ValueError("plain http beyond this machine: use https, or set amigo.insecure: true")
    return value


def _public_url(value: str) -> str:
    value = trimmed(value)
    url = _address(value, "https://host/path")
    if url.scheme not in ("http", "https") or not url.host or url.query_string or url.fragment:
        raise ValueError("not of the form https://host/path, without a query")
    return value


def _payload(value: str) -> str:
    places = re.findall(r"\{[^{}]*\}", value)
    if "{body}" not in places or set(places) - {"{body}", "{timestamp}", "{id}"}:
        raise ValueError("a template over {body}, which must be in it, {timestamp} and {id}")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError("not an address or a network such as 10.0.0.0/8") from None
    return value


def _webhook_secret(value: SecretStr) -> SecretStr:
    """Check a webhook's secret as text; its scheme says what may be inside."""
    return SecretStr(_not_empty(value.get_secret_value().strip(AROUND)))


def header_secret(value: SecretStr) -> SecretStr:
    """A secret that somebody sends in an HTTP header. Raises ValueError."""
    return SecretStr(_not_empty(header_value(value.get_secret_value())))


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("empty")
    return text


def _trimmed(value: object) -> object:
    return header_value(value) if isinstance(value, str) else value


def _ledger_url(value: SecretStr) -> SecretStr:
    value = SecretStr(_without_blanks(value.get_secret_value()))
    if re.fullmatch(r"sqlite:///.+|postgresql://.+", value.get_secret_value()) is None:
        raise ValueError("not of the form sqlite:///file.db or postgresql://user:password@host/database")
    return value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return value


def _tags(value: dict[str, str]) -> dict[str, str]:
    wrong = faults(dict.fromkeys(value, "x"))
    if wrong:
        raise ValueError("; ".join(wrong))
    return value


def _one_or_many(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Regex = Annotated[str, AfterValidator(_regex)]
Duration = Annotated[float, BeforeValidator(seconds)]
FinishWish = Annotated[float, BeforeValidator(_finish)]
"""Seconds of silence: 0 for `after`, infinite for `never`."""
Name = Annotated[
    str, _of_form(AMQP_NAME, "a name of at most 127 of the characters A-Z a-z 0-9 _ . : @ # , / + - and space")
]
Hex24 = Annotated[str, _of_form(HEX24, "24 digits of lower-case hex")]
VersionSet = Annotated[str, _of_form(VERSION_SET, "of the form [A-Za-z0-9_-]{1,40}")]
VersionSets = Annotated[str | dict[str, float], PlainValidator(read_weights)]
"""One, or weights by which the user's id decides."""
ChannelName = Literal[
    "phone", "web_voice", "mobile_voice", "sms", "whatsapp", "web_chat", "mobile_chat", "email", "api"
]
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]
RoutingKeyTemplate = Annotated[str, AfterValidator(_routing_key)]
ApiUrl = Annotated[str, AfterValidator(_api_url)]
LedgerUrl = Annotated[SecretStr, AfterValidator(_ledger_url)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_webhook_secret)]
ApiKey = Annotated[SecretStr, AfterValidator(header_secret)]
ApiKeyId = Annotated[str, BeforeValidator(_trimmed), AfterValidator(_not_empty)]
ApiName = Annotated[str, BeforeValidator(_trimmed), _of_form(API_NAME, "of the form [A-Za-z0-9_.-]+, no dot first")]
Host = Annotated[str, AfterValidator(_host)]
Listen = Annotated[str, AfterValidator(_listen)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
Payload = Annotated[str, AfterValidator(_payload)]
Network = Annotated[str, AfterValidator(_network)]
HeaderName = Annotated[str, _of_form(HEADER_NAME, "the name of an HTTP header")]
UserId = Annotated[str, BeforeValidator(_trimmed), _of_form(USER_ID, "1 to 200 printable ASCII characters")]
TagNames = AfterValidator(_tags)
OneOrMany = BeforeValidator(_one_or_many)
