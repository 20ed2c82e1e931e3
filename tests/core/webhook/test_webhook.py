"""What a verified webhook becomes: ids, headers, bodies, platform events; and the small rules around it."""

import hashlib
import json
from typing import Any

import orjson
import pytest

from bridge.core.answer.outbound_message import MessageFactory, Outbound, RoutingKey
from bridge.core.broker.topology import Inbound
from bridge.core.errors import MAX_ERROR_BYTES, InvalidEvent
from bridge.core.event.event import read_event
from bridge.core.webhook import problem, urlencoded, webhook
from bridge.core.webhook.client_address import client_address, networks
from bridge.core.webhook.duplicates import Duplicates
from bridge.core.webhook.problem import Problem
from bridge.core.webhook.signature import HmacForm, HttpRequest, Source
from bridge.core.webhook.token_bucket import TokenBucket
from tests.support.making import MIB, incoming
from tests.support.webhooks import samples

GITHUB = Source("git", "github")
AMIGO = Source("platform", "amigo")
INBOUND = Inbound("bridge.events", "bridge.events", ("#",), 1, MIB)
HEX = "67d871c23eb91293ecfae8b0"
JSON = ("application/json",)


def request(body: Any, **headers: str) -> HttpRequest:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    return HttpRequest({"content-type": JSON, **named}, raw)


# --- ids


@pytest.mark.parametrize(
    ("source", "asked", "expected"),
    [
        (GITHUB, request({}, x_github_delivery="d-1"), "git:d-1"),
        (AMIGO, request({}, x_amigo_idempotent_key="k"), "platform:k"),
        (Source("s", "stripe"), request({"id": "evt_1"}), "s:evt_1"),
        (Source("s", "slack"), request({"event_id": "Ev1"}), "s:Ev1"),
        (Source("s", "bearer", id_header="X-Own"), request({}, x_own="7"), "s:7"),
        (Source("s", "github", id_header="X-Own"), request({}, x_own="7", x_github_delivery="d"), "s:7"),
        (Source("s", "hmac", hmac=HmacForm("X-S", id_header="X-Id")), request({}, x_id="8"), "s:8"),
    ],
)
def test_the_senders_own_id_is_it(source: Source, asked: HttpRequest, expected: str) -> None:
    assert webhook.read(source, asked, None).id == expected


@pytest.mark.parametrize("own", ["", "\udcff", "tab\t", "\x1b[31m"])
def test_an_id_that_is_no_text_to_be_read_becomes_a_digest_and_none_the_bodys(own: str) -> None:
    found = webhook.read(GITHUB, request({"a": 1}, x_github_delivery=own), None)
    assert len(found.id) == len("git:") + 64
    without = webhook.read(GITHUB, request({"a": 1}), None)
    assert (found.id == without.id) is (own == "")


def test_ids_that_differ_in_bytes_that_are_no_text_are_different() -> None:
    first, second = (webhook.read(GITHUB, request({}, x_github_delivery=f"é{odd}"), None).id for odd in "\udcfe\udcff")
    assert first != second


@pytest.mark.parametrize("own", ["x" * 196, "é" * 98, "a b", "urn:uuid:1/2?3"])
def test_an_id_is_taken_as_it_is_up_to_200_bytes_with_the_name(own: str) -> None:
    assert webhook.read(GITHUB, request({}, x_github_delivery=own), None).id == f"git:{own}"


@pytest.mark.parametrize("own", ["x" * 197, "é" * 98 + "x", "x" * 8000])
def test_an_event_id_of_more_than_200_bytes_is_its_digest(own: str) -> None:
    whole = f"git:{own}"
    expected = f"sha256:{hashlib.sha256(whole.encode()).hexdigest()}"
    assert webhook.read(GITHUB, request({}, x_github_delivery=own), None).id == expected
    assert webhook.of_delivery("git", own, {}).id == expected
    webhook.inbound_message(webhook.read(GITHUB, request({}, x_github_delivery=own), None), INBOUND, 0.0)


def test_an_id_that_is_no_text_is_none() -> None:
    odds: list[Any] = [1, None, ["x"], {}]
    for odd in odds:
        assert len(webhook.read(Source("s", "stripe"), request({"id": odd}), None).id) == 66


def test_the_same_time_and_body_are_the_same_webhook_whatever_its_unsigned_id() -> None:
    first, second = (
        webhook.read(AMIGO, request({"type": "t"}, x_amigo_idempotent_key=key), "1767225600000") for key in "ab"
    )
    assert set(first.keys) & set(second.keys)
    later = webhook.read(AMIGO, request({"type": "t"}, x_amigo_idempotent_key="a"), "1767225600001")
    assert set(first.keys) & set(later.keys) == {"platform:a"}


# --- the event


def test_the_reader_of_the_queue_takes_the_webhooks_id_whatever_the_body_says() -> None:
    """A sender must not be able to choose the id of somebody else's event."""
    for body in ({"id": "chosen", "message": "m"}, {"id": "chosen", "foreign": 1}, [1, 2]):
        found = webhook.read(GITHUB, request(body, x_github_delivery="d"), None)
        message = webhook.inbound_message(found, INBOUND, 1.5)
        properties = {"message_id": message.message_id, "content_type": "application/json"}
        event = read_event(incoming(message.body, properties=properties, headers=message.headers), MIB)
        assert (event.id, message.routing_key, message.timestamp_s) == ("git:d", "webhook.git", 1)
        assert event.foreign is (body != {"id": "chosen", "message": "m"})


def test_without_the_header_of_a_webhook_arrays_are_no_events_and_ids_are_the_bodys() -> None:
    with pytest.raises(InvalidEvent):
        read_event(incoming(b"[1]", properties={"message_id": "m"}), MIB)
    assert read_event(incoming({"id": "own", "message": "m"}, properties={"message_id": "m"}), MIB).id == "own"


@pytest.mark.parametrize("body", [{"message": " "}, {"kind": "nonsense"}, {"service_id": HEX, "channel": "fax"}])
def test_what_could_never_work_is_said_at_the_door(body: Any) -> None:
    with pytest.raises(Problem) as caught:
        webhook.inbound_message(webhook.read(GITHUB, request(body), None), INBOUND, 0.0)
    assert caught.value.status == 422


def test_to_the_default_exchange_it_goes_by_the_queues_name() -> None:
    found = webhook.read(GITHUB, request({"a": 1}), None)
    message = webhook.inbound_message(found, Inbound("", "mine", (), 1, MIB), 0.0)
    assert (message.exchange, message.routing_key) == ("", "mine")


def test_routes_see_headers_but_nothing_secret_and_nothing_that_acts() -> None:
    own = Source("s", "hmac", hmac=HmacForm("X-Seal"))
    secret = ("authorization", "cookie", "x_api_key", "x_hub_signature_256", "x_shopify_hmac_sha256", "x_seal")
    acting = ("x_bridge_source", "x_bridge_attempt", "x_death", "x_delivery_count", "x_first_death_queue")
    hidden = dict.fromkeys((*secret, *acting, "x_gitlab_token", "x_forwarded_for"), "x")
    long = {"x_long": "x" * 1025, "x_wide": "é" * 513, "x_" + "n" * 127: "x"}
    asked = request({"a": 1}, x_shown="yes", x_odd="\udcffé", **long, **hidden)
    found = webhook.read(own, asked, None)
    assert found.headers == {"content-type": "application/json", "x-shown": "yes", "x-odd": "?é"}
    many = HttpRequest({f"x-{number}": ("v",) for number in range(1000)}, b"{}")
    assert len(webhook.read(own, many, None).headers) == webhook.MAX_HEADERS


def test_what_routes_see_of_headers_is_counted_in_bytes_and_the_largest_go_first() -> None:
    emoji = {f"x-{number:02}": ("😀" * 256,) for number in range(60)}
    asked = HttpRequest({"content-type": JSON, "x-event": ("push",), **emoji}, b"{}")
    found = webhook.read(GITHUB, asked, None).headers
    assert sum(len(name) + len(text.encode()) for name, text in found.items()) <= webhook.MAX_HEADERS_BYTES
    assert found["x-event"] == "push"
    assert list(found) == ["content-type", "x-event", *(f"x-{number:02}" for number in range(len(found) - 2))]
    assert len(found) == 33
    sizes = HttpRequest({"a": ("x" * 1000,), **{f"b{n:02}": ("x" * 990,) for n in range(33)}, "c": ("x" * 800,)}, b"{}")
    assert "a" not in webhook.read(GITHUB, sizes, None).headers
    assert "c" in webhook.read(GITHUB, sizes, None).headers


def test_a_number_of_any_size_is_taken() -> None:
    body = b'{"n": ' + b"9" * 5000 + b', "e": 1E400}'
    assert webhook.inbound_message(webhook.read(GITHUB, request(body), None), INBOUND, 0.0).body == body


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN", b'"\\ud800"', b"{} {}"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        webhook.read(GITHUB, request(body), None)
    assert caught.value.status == 400


# --- platform events


def test_a_platform_event_goes_to_every_outbound_that_takes_it() -> None:
    outbounds = (
        Outbound("agent.events", RoutingKey("{channel}.{type}")),
        Outbound("audit", RoutingKey("x"), types=("conversation-*",), required=True, cloudevents=True),
        Outbound("errors", RoutingKey("x"), types=("error",)),
    )
    stamp = webhook.platform_factory(MessageFactory(outbounds, lambda: 1.9))
    body = b'{"type": "conversation-done!",  "conversation_id": "%s", "x": 1}' % HEX.encode()
    found = webhook.read(AMIGO, request(body, x_amigo_idempotent_key="k"), None)
    first, second = webhook.platform_messages(found, stamp)
    assert (first.exchange, first.routing_key, first.body) == ("agent.events", "platform.conversation-done_", body)
    assert (first.type, first.message_id, first.correlation_id) == ("conversation-done!", "platform:k", "platform:k")
    assert first.headers == {"event_id": "platform:k", "conversation_id": HEX}
    assert (second.exchange, second.mandatory) == ("audit", True)
    assert second.headers["cloudEvents:id"] == "platform:k"


@pytest.mark.parametrize("content", [[], {}, {"type": 1}, {"type": ""}, {"type": "x" * 101}, {"type": "a b"}, "text"])
def test_without_a_type_it_is_no_platform_event(content: Any) -> None:
    found = webhook.read(AMIGO, request(content), None)
    with pytest.raises(Problem, match="type"):
        webhook.platform_messages(found, MessageFactory((), lambda: 0.0))


def test_a_conversation_id_of_another_form_is_no_header() -> None:
    for odd in (5, "x", HEX.upper(), HEX + "0", None):
        assert webhook.read(AMIGO, request({"type": "t", "conversation_id": odd}), None).conversation_id is None


# --- types, forms, handshakes


@pytest.mark.parametrize("name", samples())
def test_every_scheme_takes_its_own_content_type(name: str) -> None:
    webhook.check_type(samples()[name].source, samples()[name].request)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "multipart/form-data", "application/jsonx"])
def test_other_content_types_are_415(kind: str) -> None:
    with pytest.raises(Problem) as caught:
        webhook.check_type(GITHUB, HttpRequest({"content-type": (kind,)}, b""))
    assert caught.value.status == 415


def test_json_has_many_names_and_forms_are_not_for_all() -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/cloudevents+json"):
        webhook.check_type(GITHUB, HttpRequest({"content-type": (kind,)}, b""))
    with pytest.raises(Problem):
        webhook.check_type(AMIGO, HttpRequest({"content-type": (urlencoded.CONTENT_TYPE,)}, b""))


def test_bodies_that_are_not_compressed_may_say_so_in_many_ways() -> None:
    for said in (("utf-8",), ("UTF-8",), ("utf8",), ("Identity",), ("",), ("identity, utf-8",), ("identity", "utf-8")):
        webhook.check_type(GITHUB, HttpRequest({"content-type": JSON, "content-encoding": said}, b""))
    for said in (("gzip",), ("identity", "gzip"), ("utf-8, br",), ("x-utf-8",), ("utf-16",)):
        with pytest.raises(Problem) as caught:
            webhook.check_type(GITHUB, HttpRequest({"content-type": JSON, "content-encoding": said}, b""))
        assert caught.value.status == 415


def test_slacks_look_at_the_certificate_starts_nothing() -> None:
    slack = Source("s", "slack")
    found = webhook.handshake(slack, request({}), {"ssl_check": "1", "token": "t"})
    assert found is not None
    assert (found.status, found.body) == (200, b"")
    for other in ({"ssl_check": "0"}, {"ssl_check": ["1", "0"]}, {"text": "ssl_check=1"}, ["ssl_check"]):
        assert webhook.handshake(slack, request({}), other) is None
    assert webhook.handshake(GITHUB, request({}), {"ssl_check": "1"}) is None


def test_an_answer_is_what_the_sender_takes_for_one() -> None:
    twilio, slack, other = (problem.taken(scheme, "s:1") for scheme in ("twilio", "slack", "github"))
    assert (twilio.status, twilio.body, twilio.content_type) == (200, b"<Response/>", "text/xml")
    assert (slack.status, slack.body) == (200, b"")
    assert (other.status, other.body, other.content_type) == (202, b'{"id":"s:1"}', "application/json")


def test_no_handshake_for_others() -> None:
    body = {"type": "url_verification", "challenge": "c"}
    assert webhook.handshake(GITHUB, request(body), body) is None
    assert webhook.handshake(Source("s", "slack"), request({}), {"type": "url_verification", "challenge": 5}) is None


# --- small rules


def test_a_bucket_lets_a_second_of_its_rate_through_at_once() -> None:
    bucket = TokenBucket(10)
    assert [bucket.take(100.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(100.0) == pytest.approx(0.1)
    assert [bucket.take(100.25), bucket.take(100.25)] == [0.0, 0.0]
    assert bucket.take(50.0) > 0, "a clock that goes back gives nothing"
    slow = TokenBucket(0.5)
    assert (slow.take(0.0), slow.take(0.0), slow.take(2.0)) == (0.0, 2.0, 0.0)


def test_repeats_are_forgotten_after_a_day_and_beyond_their_number() -> None:
    repeats = Duplicates(keep_s=10, most=3)
    repeats.remember(("a", "seal"), "a", 0.0)
    assert [repeats.find((key,), 10.0) for key in ("a", "seal", "b")] == ["a", "a", None]
    assert repeats.find(("a",), 10.1) is None
    for key in "bcd":
        repeats.remember((key,), key, 1.0)
    assert (len(repeats), repeats.find(("a",), 1.0), repeats.find(("x", "d"), 1.0)) == (3, None, "d")


TRUSTED = networks(("10.0.0.0/8", "::1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.1", ["1.1.1.1"], "203.0.113.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, <script>"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("::1", ["10.0.0.3"], "10.0.0.3"),
        ("", ["1.1.1.1"], ""),
        ("10.0.0.1", ["1.1.1.1:55000"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6:1, 1.1.1.1:55000, 10.0.0.2:443"], "1.1.1.1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]:443, [::1]:80, ::1"], "2001:db8::1"),
        ("10.0.0.1", ['"[2001:db8::1]:443"'], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1:443"], "2001:db8::1:443"),
        ("10.0.0.1", ["[::ffff:1.1.1.1]:9, [::ffff:10.0.0.2]:9"], "::ffff:1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1,, ,10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1:_port"], "1.1.1.1"),
        ("10.0.0.1", ["[fe80::1%eth0]:5"], "fe80::1%eth0"),
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, _hidden:80, 10.0.0.2:80"], "10.0.0.2"),
        ("10.0.0.1", ["[fe80::1%\x1b[31m]"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::1"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1:http"], "10.0.0.1"),
        ("10.0.0.1:80", ["1.1.1.1"], "10.0.0.1:80"),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: list[str], expected: str) -> None:
    assert client_address(peer, forwarded, TRUSTED) == expected


def test_problems_are_documents() -> None:
    refusals = [
        problem.no_such_webhook(),
        problem.not_a_post(),
        problem.not_understood("d"),
        problem.too_large(1),
        problem.too_slow(1),
        problem.broken_off(),
        problem.not_verified("n", "mismatch", "c"),
        problem.not_text("e"),
        problem.not_json("e"),
        problem.not_an_event("e"),
        problem.too_many(0.01),
        problem.not_taken(),
        problem.too_busy(),
        problem.malformed(too_long=True),
        problem.of_status(403),
        problem.of_status(417),
        problem.of_status(500),
    ]
    for refusal in refusals:
        document = json.loads(refusal.document)
        assert document.keys() == {"type", "title", "status", "detail"}
        assert document["status"] == refusal.status
    assert {refusal.status for refusal in refusals} == set(problem.TITLES)
    assert json.loads(problem.of_status(418).document)["title"] == "Error"
    assert problem.not_verified("n", "a", "c").document == problem.not_verified("n", "b", "c").document


def test_what_a_sender_is_told_has_a_bound() -> None:
    refusal = problem.not_an_event("é" * 5_000)
    assert len(orjson.loads(refusal.document)["detail"].encode()) <= MAX_ERROR_BYTES
    assert refusal.detail.endswith("…")
