"""`amigo-bridge webhooks …` against the sandbox: a destination's life, and webhooks all the way to a subscriber."""

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from deploy.local.child import Child
from deploy.local.node import free_port
from tests.support.process import command, environment, run_command
from tests.support.rabbit import EVENTS, ReceivedMessage
from tests.support.waiting import stays, until
from tests.support.world import World

from .curl import answers, shell

DONE = "conversation-post-processing-complete"


class Platform:
    """The sandbox as a process, and a bridge that has it for its API."""

    def __init__(self, world: World, folder: Path, port: int) -> None:
        self.world, self.folder, self.port = world, folder, port
        self.secrets = folder / "platform.secrets"
        self.url = f"http://127.0.0.1:{port}"
        hook = {"name": "platform", "scheme": "amigo", "secrets_file": str(self.secrets)}
        bearer = {"name": "mine", "scheme": "bearer", "secrets": ["canary-bearer"], "id_header": "X-Id"}
        self.bridge = world.bridge(amigo={"base_url": self.url}, webhooks=[hook, bearer])
        self.bridge.file.write_text(yaml.safe_dump(self.bridge.config))

    async def say(self, *arguments: str) -> list[dict[str, Any]]:
        found = await run_command(self.folder, "webhooks", *arguments, "--config", str(self.bridge.file), "--json")
        assert found.status == 0, found.all
        return [json.loads(line) for line in found.out.splitlines()]

    async def send(self, number: int) -> None:
        content = {"conversation_id": f"{number:024x}", "post_processing_type": "extract-memories"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.url}/_sandbox/webhooks", json={"organization": "acme", "content": content}
            ) as response,
        ):
            assert response.status == 202

    def arrived(self, number: int) -> list[ReceivedMessage]:
        return [record for record in self.world.records if record.headers.get("conversation_id") == f"{number:024x}"]

    async def arrives(self, number: int) -> ReceivedMessage:
        await until(lambda: self.arrived(number), f"webhook {number} has arrived")
        return self.arrived(number)[0]


@pytest.fixture
async def platform(world: World, tmp_path: Path) -> AsyncIterator[Platform]:
    port = free_port()
    sandbox = command("sandbox", "--port", str(port), "--webhook-host", "127.0.0.1")
    with Child(sandbox, log=tmp_path / "sandbox.log", env=environment(), cwd=tmp_path) as child:
        made = Platform(world, tmp_path, port)

        async def is_up() -> bool:
            assert child.exit_status is None
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await until(is_up, "the sandbox listens")
        yield made


async def test_a_destination_is_registered_served_rotated_without_a_gap_filled_up_and_removed(
    platform: Platform,
) -> None:
    bridge = platform.bridge
    bridge.start()
    body = await bridge.not_ready(20)
    assert {"name": "webhook platform", "ok": False, "reason": "there is no secret to verify with"} in body[
        "components"
    ]
    (made,) = await platform.say("register", f"http://127.0.0.1:{bridge.port}/webhooks/platform")
    assert platform.secrets.stat().st_mode & 0o777 == 0o600
    await bridge.ready()

    await platform.send(1)
    record = await platform.arrives(1)
    assert (record.routing_key, record.type, record.exchange) == (f"platform.{DONE}", DONE, "agent.events")
    assert (record.message_id, record.headers["event_id"]) == (record.properties.correlation_id, record.message_id)
    assert json.loads(record.body)["type"] == DONE
    await stays(lambda: len(platform.arrived(1)) == 1, "it arrives once", 0.3)

    await platform.say("rotate", made["id"])
    assert re.fullmatch(r"\S+\n\S+ until \S+\n", platform.secrets.read_text())
    for number in (2, 3, 4):
        await platform.send(number)
        await platform.arrives(number)

    assert await bridge.stop() == 0
    await platform.send(5)

    async def is_logged() -> bool:
        return bool(await platform.say("deliveries", made["id"], "--status", "failed"))

    await until(is_logged, "the platform has noted its failure", 20)
    (shown,) = await platform.say("backfill", "--dry-run")
    assert platform.arrived(5) == []
    (filled,) = await platform.say("backfill")
    assert (filled["id"], filled["republished"]) == (shown["id"], True)
    late = await platform.arrives(5)
    assert (late.message_id, late.headers["recovered"], late.routing_key) == (filled["id"], True, f"platform.{DONE}")
    assert await platform.say("backfill") == []
    assert len(platform.arrived(5)) == 1

    await platform.say("update", made["id"], "--retries", "1")
    (row,) = await platform.say("list")
    assert (row["id"], row["retry_attempts"]) == (made["id"], 1)
    await platform.say("delete", made["id"])
    assert await platform.say("list") == []


async def test_the_curl_that_sign_prints_is_taken(platform: Platform) -> None:
    platform.secrets.write_text("whsec_of_the_test\n")
    platform.bridge.start()
    await platform.bridge.ready()
    (platform.folder / "hook.json").write_text('{"type": "something-new"}')
    for name, more in (("platform", ["--body", "hook.json"]), ("platform", []), ("mine", [])):
        arguments = command("webhooks", "sign", name, *more, "--config", str(platform.bridge.file))
        printed = await asyncio.to_thread(
            subprocess.run,
            arguments,
            cwd=platform.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert printed.stdout.startswith("curl -i ")
        ((status, body),) = answers(await shell(printed.stdout))
        assert (status, json.loads(body)["id"].partition(":")[0]) == ("HTTP/1.1 202 Accepted", name)
    found = await platform.world.dead(1)
    assert found[0].routing_key == "no-route"


SCHEMES: list[dict[str, Any]] = [
    {"scheme": "standard-webhooks", "secrets": ["whsec_" + base64.b64encode(b"the key of the test").decode()]},
    {"scheme": "twilio", "url": "https://hooks.example.com:8443/webhooks/twilio"},
    {"scheme": "basic", "secrets": ["user:password"]},
    {"scheme": "none", "secrets": [], "insecure": True},
    {"scheme": "hmac", "hmac": {"header": "X-Seal", "id_header": "X-Id"}},
    *({"scheme": scheme} for scheme in ("amigo", "github", "stripe", "shopify", "slack", "bearer")),
]


async def test_the_curl_that_sign_prints_is_taken_whatever_the_scheme(world: World) -> None:
    hooks = [{"name": hook["scheme"], "secrets": ["secret"], **hook} for hook in SCHEMES]
    bridge = world.bridge(amigo={"base_url": "http://127.0.0.1:9"}, webhooks=hooks)
    bridge.start()

    async def takes_webhooks() -> bool:
        found = await bridge.readiness()
        return found is not None and any(row["name"] == "broker" and row["ok"] for row in found[1]["components"])

    await until(takes_webhooks, "it is connected to the broker", 30)
    for hook in hooks:
        printed = await run_command(world.folder, "webhooks", "sign", hook["name"], "--config", str(bridge.file))
        assert printed.status == 0, printed.all
        assert "refused" not in printed.all
        ((status, body),) = answers(await shell(printed.out))
        expected = {"slack": ("200 OK", ""), "twilio": ("200 OK", "<Response/>")}.get(hook["name"])
        assert status.removeprefix("HTTP/1.1 ") == (expected[0] if expected else "202 Accepted"), hook
        assert body == expected[1] if expected else json.loads(body)["id"].startswith(f"{hook['name']}:")
    queued = {record.message_id.partition(":")[0] for record in await world.rabbit.take(EVENTS)}
    assert queued == {hook["name"] for hook in hooks} - {"amigo"}


async def test_sign_says_what_will_be_refused_all_the_same(platform: Platform) -> None:
    config = str(platform.bridge.file)
    platform.secrets.write_text("whsec_of_the_test\n")
    for body, said in ((b'{"message": "m"}', "type"), (b"{", "not JSON")):
        (platform.folder / "hook.json").write_bytes(body)
        found = await run_command(
            platform.folder, "webhooks", "sign", "platform", "--body", "hook.json", "--config", config
        )
        assert (found.status, "it will be refused" in found.all, said in found.all) == (0, True, True), found.all
        assert found.out.startswith("curl -i ")
    (platform.folder / "hook.json").write_bytes(b"\xff")
    found = await run_command(
        platform.folder, "webhooks", "sign", "platform", "--body", "hook.json", "--config", config
    )
    assert (found.status, "Traceback" in found.all, "UTF-8" in found.all) == (2, False, True), found.all


@pytest.mark.parametrize("ahead_s", [7200, -7200])
async def test_times_are_the_platforms_whatever_this_machines_clock_says(platform: Platform, ahead_s: int) -> None:
    """`--since` counts back from the platform's now; an old secret is kept for as long as the platform's time says."""
    async with aiohttp.ClientSession() as session:
        await session.post(f"{platform.url}/_sandbox/clock", json={"advance_s": ahead_s})
    (made,) = await platform.say("register", f"http://127.0.0.1:{platform.bridge.port}/webhooks/platform")
    await platform.send(1)

    async def is_logged() -> bool:
        return bool(await platform.say("deliveries", made["id"], "--since", "1h"))

    await until(is_logged, "the platform has noted it", 20)
    await platform.say("rotate", made["id"])
    until_ = platform.secrets.read_text().split(" until ")[1].strip()
    left_s = (datetime.fromisoformat(until_) - datetime.now(UTC)).total_seconds()
    assert 20 * 60 < left_s < 40 * 60


async def test_a_command_that_cannot_work_says_why(platform: Platform) -> None:
    config = str(platform.bridge.file)

    async def says(arguments: list[str], status: int, said: str) -> None:
        found = await run_command(platform.folder, "webhooks", *arguments, "--config", config)
        assert (found.status, said in found.all) == (status, True), found.all

    await says(["delete", "0" * 24], 1, "404")
    await says(["update", "0" * 24], 2, "--type or --retries")
    await says(["sign", "nobody"], 2, "platform, mine")
    await says(["sign", "platform"], 2, "no secret")
    await says(["backfill", "--since", "yesterday"], 2, "duration")
