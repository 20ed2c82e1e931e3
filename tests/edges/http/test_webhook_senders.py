"""The webhook door as its senders know it: answers that they act upon, challenges that they wait for, CloudEvents."""

import asyncio
import json
import subprocess
import urllib.request
from xml.etree import ElementTree

import pytest

from bridge.core.webhook.signature import Source
from bridge.flow.ports.webhook import NotConfirmed
from tests.support.hooks import SECRET, FakeConfirmedPublisher, Hooks, signed

SLACK = Source("chat", "slack", rate=1e9)
BODY = b'{"a":1}'


@pytest.fixture
def confirmed_publisher() -> FakeConfirmedPublisher:
    return FakeConfirmedPublisher()


# --- what senders take for a yes


async def test_slack_is_answered_200_and_nothing_that_it_would_show(
    confirmed_publisher: FakeConfirmedPublisher,
) -> None:
    body = b'{"type":"event_callback","event_id":"Ev1"}'
    async with Hooks(confirmed_publisher, SLACK) as hooks:
        for headers in (signed(SLACK, body), {**signed(SLACK, body), "X-Slack-Retry-Num": "1"}):
            found = await hooks.send("chat", body, headers)
            assert (found.status, found.body) == (200, b"")
        (message,) = confirmed_publisher.messages
        assert message.message_id == "chat:Ev1"
        confirmed_publisher.trouble = NotConfirmed("no connection")
        other = b'{"event_id":"Ev2"}'
        assert (await hooks.send("chat", other, signed(SLACK, other))).status == 503


async def test_slacks_look_at_the_certificate_is_200_where_it_is_signed(
    confirmed_publisher: FakeConfirmedPublisher,
) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    async with Hooks(confirmed_publisher, SLACK) as hooks:
        for body in (b"ssl_check=1&token=x", b"token=x&ssl_check=1"):
            found = await hooks.send("chat", body, {**signed(SLACK, body), **kind})
            assert (found.status, found.body) == (200, b"")
            assert (await hooks.send("chat", body, {**signed(SLACK, b"other"), **kind})).status == 401
    assert confirmed_publisher.messages == []


async def test_twilio_is_answered_with_instructions_to_do_nothing(confirmed_publisher: FakeConfirmedPublisher) -> None:
    source = Source("sms", "twilio", url="https://hooks.example.com/webhooks/sms", rate=1e9)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"From=me&Body=Hello"
    async with Hooks(confirmed_publisher, source) as hooks:
        for _ in range(2):
            found = await hooks.send("sms", body, {**signed(source, body), **kind})
            assert (found.status, found.headers["Content-Type"]) == (200, "text/xml")
            root = ElementTree.fromstring(found.body)
            assert (root.tag, len(root), root.text) == ("Response", 0, None)
    (message,) = confirmed_publisher.messages
    assert json.loads(message.body) == {"From": "me", "Body": "Hello"}


# --- challenges


@pytest.mark.parametrize(
    ("scheme", "secret", "challenge"),
    [
        ("basic", "user:pass word", 'Basic realm="webhooks", charset="UTF-8"'),
        ("bearer", SECRET, 'Bearer realm="webhooks"'),
        ("github", SECRET, 'Webhook realm="webhooks"'),
    ],
)
async def test_a_401_has_the_challenge_of_its_scheme(
    confirmed_publisher: FakeConfirmedPublisher, scheme: str, secret: str, challenge: str
) -> None:
    async with Hooks(confirmed_publisher, Source("door", scheme), secrets=(secret,)) as hooks:
        for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer x"}):
            found = await hooks.send("door", BODY, {"Content-Type": "application/json", **headers})
            assert (found.status, found.headers["WWW-Authenticate"]) == (401, challenge)


async def test_clients_that_wait_for_the_challenge_get_in(confirmed_publisher: FakeConfirmedPublisher) -> None:
    def by_urllib(url: str) -> int:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, url, "user", "påss")
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
        asked = urllib.request.Request(url, BODY, {"Content-Type": "application/json"})
        with opener.open(asked, timeout=20) as answer:
            return int(answer.status)

    def by_curl(url: str) -> str:
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--anyauth", "-u", "user:påss"]
        body = ["-H", "Content-Type: application/json", "-d", '{"b":1}', url]
        return subprocess.run([*command, *body], capture_output=True, text=True, timeout=20, check=True).stdout

    async with Hooks(confirmed_publisher, Source("door", "basic"), secrets=("user:påss",)) as hooks:
        assert await asyncio.to_thread(by_curl, f"{hooks.url}door") == "202"
        assert await asyncio.to_thread(by_urllib, f"{hooks.url}door") == 202
    assert len(confirmed_publisher.messages) == 2


# --- CloudEvents


async def test_one_cloudevent_is_one_event_in_either_mode(confirmed_publisher: FakeConfirmedPublisher) -> None:
    source = Source("cloud", "bearer", rate=1e9)
    attributes = {"specversion": "1.0", "id": "A/1 é", "source": "/s", "type": "t"}
    by = {"Authorization": f"Bearer {SECRET}"}
    async with Hooks(confirmed_publisher, source) as hooks:
        for time in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"):
            body = json.dumps({**attributes, "time": time, "data": {"a": 1}}).encode()
            found = await hooks.send("cloud", body, {**by, "Content-Type": "application/cloudevents+json"})
            assert (found.status, found.json) == (202, {"id": "cloud:A/1 é"})
        headers = {f"ce-{name}": value for name, value in {**attributes, "id": "A%2F1%20%C3%A9"}.items()}
        found = await hooks.send("cloud", b'{"a":1}', {**by, **headers, "Content-Type": "application/json"})
        assert (found.status, found.json) == (202, {"id": "cloud:A/1 é"})
        batch = json.dumps([attributes, attributes]).encode()
        kind = {"Content-Type": "application/cloudevents-batch+json"}
        assert (await hooks.send("cloud", batch, {**by, **kind})).status == 415
    (message,) = confirmed_publisher.messages
    assert json.loads(message.body) == {"a": 1}
    assert message.headers["ce-type"] == "t"
    assert message.timestamp_s == 1_767_225_600


async def test_a_captured_request_is_a_repeat_under_the_id_of_a_cloudevent_that_nobody_signed(
    confirmed_publisher: FakeConfirmedPublisher,
) -> None:
    body = b'{"type":"block_actions"}'
    headers = signed(SLACK, body)
    for_cloud = {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "t"}
    async with Hooks(confirmed_publisher, SLACK) as hooks:
        for more in ({}, {**for_cloud, "ce-id": "1"}, {**for_cloud, "ce-id": "2"}):
            assert (await hooks.send("chat", body, {**headers, **more})).status == 200
    assert len(confirmed_publisher.messages) == 1
