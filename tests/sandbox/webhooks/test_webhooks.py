"""Webhooks out: who gets them, how they are signed, retried, rotated and logged."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from amigo_sdk.webhooks import parse_webhook_event, verify_signature

from bridge.sandbox.webhooks.signed_webhook import SIGNATURE_HEADER, STAMP_HEADER, sign
from tests.sandbox.caller import Caller, until
from tests.sandbox.conftest import Start

KINDS = ["conversation-post-processing-complete"]
LOCAL = frozenset({"127.0.0.1"})


@dataclass
class Receiver:
    """Takes webhooks on a real port and answers with the next status in line, else 204."""

    url: str = ""
    got: list[tuple[Any, bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((request.headers.copy(), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)

    async def has(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.got) >= count

        await until(enough)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    taker = Receiver()
    app = web.Application()
    app.router.add_post("/hook", taker.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    taker.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield taker
    await runner.cleanup()


async def register(caller: Caller, receiver: Receiver, **more: Any) -> tuple[str, str]:
    """Id and secret of a new destination."""
    body = {"url": receiver.url, "accepted_types": KINDS, **more}
    status, content = await caller.ask("POST", "/webhook_destination/", body)
    assert status == 201, content
    return content["webhook_destination_id"], content["secret"]


async def send(caller: Caller, fault: str = "") -> None:
    status, _ = await caller.ask("POST", "/_sandbox/webhooks", {"organization": "acme", "fault": fault})
    assert status == 202


async def deliveries(caller: Caller, destination_id: str, **params: Any) -> list[dict[str, Any]]:
    content = await caller.get(f"/webhook_destination/{destination_id}/delivery", **params)
    rows: list[dict[str, Any]] = content["webhook_deliveries"]
    return rows


def test_the_signature_is_that_of_the_published_vectors() -> None:
    body = (
        b'{"type":"conversation-post-processing-complete","post_processing_type":"extract-memories",'
        b'"conversation_id":"67d871c23eb91293ecfae8b0","org_id":"acme"}'
    )
    secret, stamp = "whsec_test_2f6b0c1d9e", 1767225600000
    assert sign(secret, stamp, body) == "494acca688ee94a9b3f110f768e8ea936c7c12056ff832d2f21d682343e83674"
    assert sign(secret, stamp, b"") == "e3c58fbeeab7b6747d6130ef09b5121e7487e930118a1052fec28fad075c8503"


async def test_a_finished_conversation_sends_one_webhook_for_each_processing(start: Start, receiver: Receiver) -> None:
    caller = await start(webhook_hosts=LOCAL, post_processing_s=0.0)
    _, secret = await register(caller, receiver)
    created = await caller.create()
    await caller.finish(created.conversation_id)
    await receiver.has(3)
    events = [
        parse_webhook_event(body, headers[SIGNATURE_HEADER], headers[STAMP_HEADER], secret)
        for headers, body in receiver.got
    ]
    (row,) = await caller.conversations()
    assert {event.conversation_id for event in events} == {created.conversation_id}
    assert {event.post_processing_type for event in events} == set(row["completed_post_processings"])
    assert row["is_analyzed"] is True


async def test_a_test_conversation_is_neither_processed_nor_announced(start: Start, receiver: Receiver) -> None:
    caller = await start(webhook_hosts=LOCAL, post_processing_s=0.0)
    await register(caller, receiver)
    silent = await caller.create(body={"is_test": True})
    await caller.finish(silent.conversation_id)
    loud = await caller.create()
    await caller.finish(loud.conversation_id)
    await receiver.has(3)
    rows = {row["id"]: row for row in await caller.conversations()}
    assert rows[silent.conversation_id]["completed_post_processings"] == []
    assert all(silent.conversation_id.encode() not in body for _, body in receiver.got)


async def test_a_webhook_is_retried_with_the_same_key_and_a_new_stamp(start: Start, receiver: Receiver) -> None:
    caller = await start(webhook_hosts=LOCAL, webhook_retry_s=(0.01, 0.0))
    destination_id, _ = await register(caller, receiver)
    receiver.statuses = [500, 404]
    await send(caller)
    await receiver.has(3)

    async def is_logged() -> bool:
        return len((await deliveries(caller, destination_id))[0]["delivery_attempts"]) == 3

    await until(is_logged)
    (delivery,) = await deliveries(caller, destination_id, status="success")
    assert [attempt["status_code"] for attempt in delivery["delivery_attempts"]] == [500, 404, 204]
    assert len({headers["x-amigo-idempotent-key"] for headers, _ in receiver.got}) == 1
    assert len({headers[STAMP_HEADER] for headers, _ in receiver.got}) > 1


async def test_the_waits_between_attempts_follow_the_sandboxs_clock(start: Start, receiver: Receiver) -> None:
    caller = await start(webhook_hosts=LOCAL)
    await register(caller, receiver)
    receiver.statuses = [500]
    await send(caller)
    await receiver.has(1)
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": 5})

    async def is_retried() -> bool:
        await caller.ask("POST", "/_sandbox/clock", {"advance_s": 5})
        return len(receiver.got) == 2

    await until(is_retried)


async def test_a_webhook_is_given_up_after_its_retries(start: Start, receiver: Receiver) -> None:
    caller = await start(webhook_hosts=LOCAL, webhook_retry_s=(0.0,))
    destination_id, _ = await register(caller, receiver, retry_attempts=1)
    receiver.statuses = [500] * 5
    await send(caller)
    await receiver.has(2)
    (delivery,) = await deliveries(caller, destination_id, status="failed")
    assert len(delivery["delivery_attempts"]) <= 2


async def test_only_configured_hosts_are_sent_to(start: Start, receiver: Receiver) -> None:
    caller = await start()
    status, _ = await caller.ask("POST", "/webhook_destination/", {"url": receiver.url, "accepted_types": KINDS})
    assert status == 422
    secure = receiver.url.replace("http://", "https://")
    destination_id, _ = await register(caller, Receiver(secure))
    await send(caller)
    (delivery,) = await deliveries(caller, destination_id)
    assert (delivery["status"], delivery["delivery_attempts"]) == ("failed", [])


@pytest.mark.parametrize("form", ["comma", "repeated", "second-header"])
async def test_both_secrets_sign_during_a_rotation(start: Start, receiver: Receiver, form: str) -> None:
    caller = await start(webhook_hosts=LOCAL, dual_signature=form)
    destination_id, old = await register(caller, receiver)
    _, rotated = await caller.ask("POST", f"/webhook_destination/{destination_id}/rotate-secret")
    await send(caller)
    await receiver.has(1)
    headers, body = receiver.got[0]
    values = [value for name, value in headers.items() if name.lower().startswith(SIGNATURE_HEADER)]
    signatures = {signature for value in values for signature in value.split(",")}
    stamp = int(headers[STAMP_HEADER])
    assert signatures == {sign(old, stamp, body), sign(rotated["secret"], stamp, body)}
    assert len(values) == (1 if form == "comma" else 2)
    assert (await deliveries(caller, destination_id))[0]["dual_signed"] is True


async def test_a_secret_rotates_once_per_hour_and_the_old_one_signs_for_half_of_it(
    start: Start, receiver: Receiver
) -> None:
    caller = await start(webhook_hosts=LOCAL)
    destination_id, _ = await register(caller, receiver)
    path = f"/webhook_destination/{destination_id}/rotate-secret"
    _, rotated = await caller.ask("POST", path)
    assert (await caller.ask("POST", path))[0] == 400
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": 1801})
    await send(caller)
    await receiver.has(1)
    headers, body = receiver.got[0]
    verify_signature(body.decode(), headers[STAMP_HEADER], headers[SIGNATURE_HEADER], rotated["secret"])
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": 1800})
    await caller.sign_in()
    assert (await caller.ask("POST", path))[0] == 200


@pytest.mark.parametrize(
    "fault", ["wrong-secret", "missing-header", "stale", "future", "duplicate", "unknown-type", "extra-field"]
)
async def test_a_webhook_can_go_out_wrong_in_every_way(start: Start, receiver: Receiver, fault: str) -> None:
    caller = await start(webhook_hosts=LOCAL)
    assert caller.state is not None
    _, secret = await register(caller, receiver)
    await send(caller, f"webhook-{fault}")
    await receiver.has(2 if fault == "duplicate" else 1)
    headers, body = receiver.got[0]
    stamp = int(headers[STAMP_HEADER])
    off_s = (stamp - caller.state.clock.now_ms()) / 1000
    assert (headers.get(SIGNATURE_HEADER) == sign(secret, stamp, body)) is (
        fault not in ("wrong-secret", "missing-header")
    )
    assert round(off_s / 60) == {"stale": -10, "future": 10}.get(fault, 0)
    assert (b"something-new" in body) is (fault == "unknown-type")
    assert (b"moon_phase" in body) is (fault == "extra-field")


async def test_webhooks_can_arrive_in_another_order(start: Start, receiver: Receiver) -> None:
    caller = await start(webhook_hosts=LOCAL)
    await register(caller, receiver)
    content = {"organization": "acme", "content": {"name": "first"}, "fault": "webhook-reordered"}
    await caller.ask("POST", "/_sandbox/webhooks", content)
    await caller.ask("POST", "/_sandbox/webhooks", {"organization": "acme", "content": {"name": "second"}})
    await receiver.has(2)
    assert [b"second" in body for _, body in receiver.got] == [True, False]


async def test_a_rule_can_spoil_the_webhooks_of_a_conversation(start: Start, receiver: Receiver) -> None:
    caller = await start(webhook_hosts=LOCAL, post_processing_s=0.0)
    await register(caller, receiver)
    await caller.fault("webhook-missing-header", count=1, match={"user": "user-1"})
    created = await caller.create()
    await caller.finish(created.conversation_id)
    await receiver.has(3)
    assert sorted(SIGNATURE_HEADER in headers for headers, _ in receiver.got) == [False, True, True]


async def test_destinations_are_listed_changed_and_deleted(start: Start, receiver: Receiver) -> None:
    caller = await start(webhook_hosts=LOCAL)
    destination_id, _ = await register(caller, receiver)
    path = f"/webhook_destination/{destination_id}"
    change = {"retry_attempts": 5, "accepted_types": []}
    assert (await caller.ask("POST", path, change))[0] == 204
    (row,) = (await caller.get("/webhook_destination/"))["webhook_destinations"]
    assert (row["retry_attempts"], row["accepted_types"]) == (5, [])
    assert (await caller.ask("DELETE", path))[0] == 204
    assert (await caller.ask("DELETE", path))[0] == 404


@pytest.mark.parametrize("wrong", [{"url": "nowhere"}, {"retry_attempts": 6}, {"accepted_types": ["gossip"]}])
async def test_a_wrong_destination_is_refused(start: Start, receiver: Receiver, wrong: dict[str, Any]) -> None:
    caller = await start(webhook_hosts=LOCAL)
    body = {"url": receiver.url, "accepted_types": KINDS, **wrong}
    assert (await caller.ask("POST", "/webhook_destination/", body))[0] == 422


async def test_an_organization_has_at_most_ten_destinations(start: Start, receiver: Receiver) -> None:
    caller = await start(webhook_hosts=LOCAL)
    for _ in range(10):
        await register(caller, receiver)
    body = {"url": receiver.url, "accepted_types": KINDS}
    assert (await caller.ask("POST", "/webhook_destination/", body))[0] == 400
