"""What is read from an event, and what becomes of it at the API: ids, kinds, routes, tags, version sets."""

import json
from typing import Any

import pytest

from tests.support.events import SERVICE, event, event_tag, fields, raw, service, text_of
from tests.support.fake_api import Call
from tests.support.oracle import of_event
from tests.support.process import BridgeProcess
from tests.support.rabbit import Outgoing
from tests.support.waiting import until
from tests.support.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALERTS = "5f000000000000000000a1e5"
CONFIG: dict[str, Any] = {
    "channels": {"phone": {"version_set": "of_channel", "response_format": "voice"}},
    "routes": [
        {
            "name": "alerts",
            "when": "data.severity == 'high'",
            "service_id": ALERTS,
            "channel": "sms",
            "version_set": "of_route",
            "user_id": "{{ data.customer.amigo_user_id }}",
            "message": "canary-body URGENT: {{ data.title }}",
            "tags": {"source": "payments", "urgency": "{{ data.severity }}"},
        },
        {
            "name": "never-reached",
            "when": "data.severity == 'high'",
            "service_id": SERVICE,
            "message": "the second match",
        },
        {
            "name": "crm",
            "when": "routing_key == 'crm.updated' and headers.tenant == 'acme'",
            "service_id": service(7),
            "user_id": "crm-{{ headers.tenant }}",
            "message": "canary-body key {{ routing_key }}",
        },
    ],
}


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return CONFIG


async def created(world: World, text: str) -> Call:
    """The one create call that said this."""

    def found() -> list[Call]:
        return [call for call in world.fake.truth.calls_of("create") if call.text == text]

    await until(found, f"the API heard {text!r}")
    (call,) = found()
    return call


def cloud(event_id: str, data: Any, **attributes: str) -> Outgoing:
    body = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/crm",
        "type": "com.acme.thing",
        "data": data,
        **attributes,
    }
    return raw(json.dumps(body).encode(), content_type="application/cloudevents+json")


def alert(title: str, **more: Any) -> dict[str, Any]:
    return {"severity": "high", "title": title, "customer": {"amigo_user_id": f"of-{title}"}, **more}


async def test_the_bodys_id_wins_over_cloudevents_and_message_id(shared: World, bridge: BridgeProcess) -> None:
    named = cloud("ce-1", fields("body-1"))
    named.properties.message_id = "m-1"
    await shared.publish(named)
    await shared.ending("body-1")
    assert (await created(shared, text_of("body-1"))).body["tags"]["bridge_event"] == event_tag("body-1")


async def test_the_cloudevents_id_wins_over_message_id(shared: World, bridge: BridgeProcess) -> None:
    named = cloud("ce-2", fields(None, user_id="u-ce-2", message="canary-body ce-2"))
    named.properties.message_id = "m-2"
    await shared.publish(named)
    await shared.ending("ce-2")


async def test_message_id_is_the_last_resort(shared: World, bridge: BridgeProcess) -> None:
    body = json.dumps(fields(None, user_id="u-m-3", message="canary-body m-3")).encode()
    await shared.publish(raw(body, message_id="m-3"))
    await shared.ending("m-3")


async def test_without_any_id_it_is_invalid(shared: World, bridge: BridgeProcess) -> None:
    before = len(shared.records)
    known = len(await shared.dead(0))
    await shared.publish(raw(json.dumps(fields(None, user_id="u-none", message="canary-body none")).encode()))
    letter = (await shared.dead(known + 1))[-1]
    assert (letter.routing_key, letter.headers["x-bridge-reason"]) == ("invalid-event", "invalid-event")
    assert len(shared.records) == before
    assert shared.fake.truth.calls_of("create", user="u-none") == []


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
async def test_binary_cloudevents_are_read_under_both_prefixes(
    shared: World, bridge: BridgeProcess, prefix: str
) -> None:
    event_id = f"bin-{len(prefix)}-{prefix[-1] == ':'}"
    attributes = {"specversion": "1.0", "id": event_id, "source": "/crm", "type": "com.acme.thing"}
    headers = {prefix + name: value for name, value in attributes.items()}
    body = json.dumps(fields(None, user_id=f"u-{event_id}", message=text_of(event_id))).encode()
    await shared.publish(raw(body, headers=headers, message_id="another"))
    await shared.ending(event_id)


async def test_a_content_type_may_have_parameters(shared: World, bridge: BridgeProcess) -> None:
    named = cloud("ce-charset", fields(None, user_id="u-charset", message="canary-body charset"))
    named.properties.content_type = "application/cloudevents+json; charset=UTF-8"
    plain = event("json-charset")
    plain.properties.content_type = "application/json; charset=utf-8"
    await shared.publish(named, plain)
    for told in await shared.endings("ce-charset", "json-charset"):
        assert told.ending.type == "interaction-complete"


async def test_an_event_just_below_the_limit_is_fine(shared: World, bridge: BridgeProcess) -> None:
    await shared.publish(event("large", data={"filling": "x" * 1_000_000}))
    assert (await shared.ending("large")).ending.type == "interaction-complete"


async def test_a_foreign_cloudevent_is_data_for_the_routes(shared: World, bridge: BridgeProcess) -> None:
    await shared.publish(cloud("foreign-1", alert("disk")))
    told = await shared.ending("foreign-1")
    call = await created(shared, "canary-body URGENT: disk")
    assert (call.user, call.body["service_id"]) == ("of-disk", ALERTS)
    assert told.ending.headers["route"] == "alerts"
    assert told.ending.routing_key == "text.sms.interaction-complete"


async def test_any_backends_json_is_data_for_the_routes(shared: World, bridge: BridgeProcess) -> None:
    await shared.publish(raw(json.dumps(alert("plain")).encode(), message_id="foreign-2"))
    await shared.ending("foreign-2")
    assert (await created(shared, "canary-body URGENT: plain")).user == "of-plain"


async def test_a_route_fills_what_the_event_leaves_open_and_the_first_match_wins(
    shared: World, bridge: BridgeProcess
) -> None:
    sparse = fields("sparse", user_id=None, service_id=None, message=None, data=alert("sparse"))
    await shared.publish(raw(json.dumps(sparse).encode()))
    told = await shared.ending("sparse")
    call = await created(shared, "canary-body URGENT: sparse")
    assert call.body["tags"] == {
        "channel": "sms",
        "channel_type": "text",
        "bridge_event": event_tag("sparse"),
        "source": "payments",
        "urgency": "high",
    }
    assert call.body["service_version_set_name"] == "of_route"
    assert {record.headers["route"] for record in told.pieces} == {"alerts"}


async def test_what_the_event_says_itself_wins_over_the_route(shared: World, bridge: BridgeProcess) -> None:
    full = fields(
        "full", channel="email", version_set="its-own", tags={"source": "crm", "x y": "z"}, data=alert("full")
    )
    await shared.publish(raw(json.dumps(full).encode()))
    told = await shared.ending("full")
    call = await created(shared, text_of("full"))
    assert (call.user, call.body["service_id"]) == ("u-full", SERVICE)
    assert call.body["service_version_set_name"] == "its-own"
    assert call.body["tags"] == {
        "channel": "email",
        "channel_type": "async",
        "bridge_event": event_tag("full"),
        "source": "crm",
        "urgency": "high",
        "x y": "z",
    }
    assert told.ending.routing_key == "async.email.interaction-complete"


async def test_a_route_may_look_at_the_routing_key_and_the_headers(shared: World, bridge: BridgeProcess) -> None:
    body = json.dumps(fields("crm-1", user_id=None, service_id=None, message=None)).encode()
    await shared.publish(raw(body, routing_key="crm.updated", headers={"tenant": "acme"}))
    await shared.ending("crm-1")
    call = await created(shared, "canary-body key crm.updated")
    assert (call.user, call.body["service_id"]) == ("crm-acme", service(7))


async def test_user_and_channel_have_defaults(shared: World, bridge: BridgeProcess) -> None:
    await shared.publish(event("defaults", user_id=None))
    told = await shared.ending("defaults")
    call = await created(shared, text_of("defaults"))
    assert call.user == "bridge-bot"
    assert told.ending.routing_key == "async.api.interaction-complete"
    assert "route" not in told.ending.headers
    assert call.body["service_version_set_name"] == "release"
    assert call.param("response_format") == ["text"]


@pytest.mark.parametrize(
    ("event_id", "more", "version_set", "response_format"),
    [
        ("v-channel", {"channel": "phone"}, "of_channel", "voice"),
        ("v-own", {"channel": "phone", "version_set": "its_own"}, "its_own", "voice"),
        ("v-other-voice", {"channel": "web_voice"}, "release", "text"),
        ("v-route", {"data": alert("v-route")}, "of_route", "text"),
        ("v-channel-route", {"channel": "phone", "data": alert("v-channel-route")}, "of_channel", "voice"),
    ],
)
async def test_the_version_set_is_the_events_else_the_channels_else_the_routes(
    shared: World, bridge: BridgeProcess, event_id: str, more: dict[str, Any], version_set: str, response_format: str
) -> None:
    await shared.publish(event(event_id, **more))
    await shared.ending(event_id)
    call = await created(shared, text_of(event_id))
    assert call.body["service_version_set_name"] == version_set
    assert call.param("response_format") == [response_format]


async def test_an_object_as_message_becomes_compact_json(shared: World, bridge: BridgeProcess) -> None:
    message = {"order": {"id": 7, "total": "9.90"}, "lines": [1, 2.5, None, True], "note": "ü canary-body"}
    await shared.publish(event("object", message=message))
    await shared.ending("object")
    assert await created(shared, json.dumps(message, separators=(",", ":"), ensure_ascii=False))


@pytest.mark.parametrize("kind", [None, "external-event", "user-message"])
async def test_the_kind_is_the_initial_message_type(shared: World, bridge: BridgeProcess, kind: str | None) -> None:
    event_id = f"kind-{kind}"
    await shared.publish(event(event_id, kind=kind))
    await shared.ending(event_id)
    assert (await created(shared, text_of(event_id))).body["initial_message_type"] == (kind or "external-event")


async def test_agent_first_has_no_message(shared: World, bridge: BridgeProcess) -> None:
    await shared.publish(event("first", kind="agent-first", message=None))
    await shared.ending("first")
    (call,) = shared.fake.truth.calls_of("create", user="u-first")
    assert call.body.get("initial_message") is None
    assert call.body.get("initial_message_type") is None


async def test_an_event_may_aim_at_a_conversation(shared: World, bridge: BridgeProcess) -> None:
    target = shared.fake.truth.open("u-aim", SERVICE, {"channel": "api", "channel_type": "async"})
    await shared.publish(event("aim", conversation_id=target.id))
    told = await shared.ending("aim")
    assert told.ending.headers["conversation_id"] == target.id
    assert [one.text for one in target.interactions] == [text_of("aim")]
    assert shared.fake.truth.calls_of("create", user="u-aim") == []


async def test_inbound_headers_and_properties_are_never_copied_out(shared: World, bridge: BridgeProcess) -> None:
    body = json.dumps(fields("quiet")).encode()
    named = raw(body, headers={"tenant": "other", "CC": ["elsewhere"]}, reply_to="me", app_id="backend", type="thing")
    await shared.publish(named)
    await shared.ending("quiet")
    for record in of_event(shared.records, "quiet"):
        assert record.headers.keys().isdisjoint({"tenant", "CC"})
        assert record.properties.reply_to is None
        assert record.properties.app_id == "amigo-bridge"
