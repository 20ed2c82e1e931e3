"""The curl commands of docs/webhooks.md, one for each scheme: run as they stand there, against config/webhooks.yaml."""

import base64
import json
import re
from typing import Any

import yaml

from bridge.core.webhook.schemes import SCHEMES
from tests.support.process import ROOT
from tests.support.rabbit import EVENTS
from tests.support.waiting import until
from tests.support.world import World

from .curl import answers, shell

FENCED = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGE = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
WHSEC = "whsec_" + base64.b64encode(b"the key of billing").decode()
TEXT = (ROOT / "config" / "webhooks.yaml").read_text(encoding="utf-8")
HOOKS: list[dict[str, Any]] = yaml.safe_load(TEXT)["webhooks"]
SECRETS = {
    **dict.fromkeys(re.findall(r"\$\{(\w+)\}", TEXT), "example"),
    "BILLING_SECRET": WHSEC,
    "BILLING_OLD_SECRET": WHSEC,
    "CRM_USER_AND_PASSWORD": "crm:example",
}


def script() -> str:
    """The block of the page that posts to every webhook."""
    (found,) = (block for block in FENCED.findall(PAGE) if "post github" in block)
    return str(found)


async def test_every_curl_of_the_page_is_taken(world: World) -> None:
    bridge = world.bridge(webhooks=HOOKS, amigo={"base_url": "http://127.0.0.1:9"})
    bridge.start(SECRETS)

    async def takes_webhooks() -> bool:
        found = await bridge.readiness()
        return found is not None and any(row["name"] == "broker" and row["ok"] for row in found[1]["components"])

    await until(takes_webhooks, "it is connected to the broker", 30)
    env = {"url": f"http://127.0.0.1:{bridge.port}/webhooks", "BILLING_SECRET": WHSEC}
    found = list(answers(await shell(script(), env)))
    others = {"slack": "", "twilio": "<Response/>"}
    assert len(found) == len(HOOKS)
    assert sorted(body.strip() for status, body in found if status == "HTTP/1.1 200 OK") == sorted(others.values())
    ids = {json.loads(body)["id"] for status, body in found if status == "HTTP/1.1 202 Accepted"}
    assert {id_.partition(":")[0] for id_ in ids} == {hook["name"] for hook in HOOKS if hook["scheme"] not in others}
    assert {hook["scheme"] for hook in HOOKS} == set(SCHEMES)
    queued = {record.message_id for record in await world.rabbit.take(EVENTS)}
    assert {id_.partition(":")[0] for id_ in queued} == {hook["name"] for hook in HOOKS} - {"platform"}
    assert queued >= {id_ for id_ in ids if not id_.startswith("platform:")}
    await until(lambda: world.records, "the platform's goes out")
    assert [(one.routing_key, one.message_id) for one in world.records] == [("platform.hello", "platform:1")]
