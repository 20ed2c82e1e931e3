"""Bodies that are forms: objects, or the JSON that a lone `payload` is."""

from typing import Any

import orjson
import pytest

from bridge.core.webhook import urlencoded, webhook
from bridge.core.webhook.problem import Problem
from bridge.core.webhook.signature import HttpRequest, Source
from tests.support.webhooks import percent

GITHUB = Source("git", "github")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {}),
        (b"a=1&b=x+y%20z&a=2", {"a": ["1", "2"], "b": "x y z"}),
        (b"a&=b&c=%C3%A9%zz", {"a": "", "": "b", "c": "é%zz"}),
        (b"payload=%7B%22a%22%3A1%7D", {"a": 1}),
        (b"payload=nonsense", {"payload": "nonsense"}),
        (b"payload=[urgent] call", {"payload": "[urgent] call"}),
        (b"payload=[test] call", {"payload": "[test] call"}),
        (b"payload=[nullify]", {"payload": "[nullify]"}),
        (b"payload=%EF%BB%BFcall", {"payload": "\ufeffcall"}),
        (b"payload=1&other=2", {"payload": "1", "other": "2"}),
        (b"payload=%22%5Cud800%22&other=2", {"payload": '"\\ud800"', "other": "2"}),
    ],
)
def test_a_form_is_an_object(body: bytes, expected: Any) -> None:
    written, value = urlencoded.as_json(body)
    assert value == expected
    assert orjson.loads(written) == expected


def test_a_payload_keeps_its_bytes() -> None:
    """Its digits above all: a number of any size reaches the agent as it was written."""
    payload = b'{"n":  123456789012345678901234567890, "d": 1.10, "e": 1E400, "long": ' + b"9" * 5000 + b"}"
    assert urlencoded.as_json(b"payload=" + percent(payload).encode())[0] == payload


@pytest.mark.parametrize(
    "payload",
    [
        '{"a": "\\ud800"}',
        '"\\ud800"',
        '["\\udc00"]',
        '{"a": "\\ud83d \\ude00"}',
        '{"\\udfff": 1}',
        '{"a": NaN}',
        '{"a": ',
        " {broken",
        "[1, 2",
        "[",
        '["a", "b",]',
        ' [ {"a": 1}',
        "[true; false]",
        "[-]",
        '\ufeff{"a": 1}',
        "\ufeff[1]",
        '\ufeff"a"',
        "[" * 3000 + "]" * 3000,
        '{"a": "\x00"}',
    ],
)
def test_a_payload_that_is_meant_as_json_and_cannot_be_read_is_400(payload: str) -> None:
    asked = HttpRequest({"content-type": (urlencoded.CONTENT_TYPE,)}, b"payload=" + percent(payload.encode()).encode())
    with pytest.raises(Problem) as caught:
        webhook.read(GITHUB, asked, None)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"a=%ff", b"a=%ed%a0%80", b"%ed%b0%80=a", b"payload=%ed%a0%80", b"a=\xff"])
def test_a_form_that_is_no_text_is_400(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        webhook.read(GITHUB, HttpRequest({"content-type": (urlencoded.CONTENT_TYPE,)}, body), None)
    assert caught.value.status == 400
