"""What the demonstration runs: a RabbitMQ node, the bridge, and the sandbox unless the real API is asked.

All of it lives in one temporary folder and listens on loopback only.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.local.api import Api, real_api, sandbox_api
from deploy.local.child import Child
from deploy.local.node import HOST, RabbitNode, free_port
from deploy.local.samples import routes
from deploy.local.unlimited import UNLIMITED
from deploy.local.view import View

ROOT = Path(__file__).resolve().parents[2]
READY_S = 60
# No proxy of the environment stands between us and loopback.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """The demonstration cannot go on; `log` is the end of the log that tells why."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Stage:
    """What runs and where it is."""

    node: RabbitNode
    bridge: Child
    sandbox: Child | None
    api: Api
    http: str
    config: Path

    def check(self) -> None:
        """Raises Failed when one of the processes has ended."""
        for name, child in (("sandbox", self.sandbox), ("bridge", self.bridge)):
            if child is not None and child.exit_status is not None:
                raise Failed(f"the {name} ended with status {child.exit_status}", child.tail())

    def places(self) -> Mapping[str, str]:
        """What a person may want to look at from another terminal."""
        return {
            "health": f"{self.http}/readyz",
            "metrics": f"{self.http}/metrics",
            "bridge's log": str(self.bridge.log),
            "configuration": str(self.config),
            "RabbitMQ": self.node.url,
            "its queues": f"sh {shlex.quote(str(self.node.ctl_script()))} list_queues name messages consumers",
            "subscribe": self._command("tail", "--key", "text.#"),
            "publish": self._command("publish", *self._example()) + " --id my-$RANDOM",
        }

    def _example(self) -> list[str]:
        user = self.api.user_id or "maria-lopez"
        said = "The doctor is 20 minutes late."
        return ["--user-id", user, "--service-id", self.api.service_id, "--channel", "sms", "--message", said]

    def _command(self, name: str, *arguments: str) -> str:
        return shlex.join([sys.executable, "-m", "bridge", name, "--config", str(self.config), *arguments])


def start(stack: ExitStack, view: View, pace: float) -> Stage:
    """Everything up and ready; the stack takes it down in reverse order. Raises Failed, ApiTrouble, NodeError."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amigo-bridge-")))
    if os.environ.get("AMIGO_API_KEY"):
        api, sandbox = real_api(os.environ), None
        view.step(f"the real API answers, in the name of {api.user_id}, with service {api.service_id}")
    else:
        api, sandbox = _sandbox(stack, folder, pace)
        view.step("the sandbox plays the Amigo API (AMIGO_API_KEY is not set)")
    view.step("starting a RabbitMQ node of its own")
    node = stack.enter_context(RabbitNode(folder / "rabbitmq"))
    view.step("starting the bridge")
    stage = _bridge(stack, folder, node, api, sandbox)
    _await_ready(stage)
    return stage


def configuration(amqp: str, http: int, api: Api, ledger: Path) -> dict[str, object]:
    """The bridge's configuration; the real API's part comes from the environment."""
    config: dict[str, object] = {
        "amqp": {"url": amqp},
        "amigo": dict(api.section),
        "routes": routes(api.service_id, api.user_id),
        "limits": UNLIMITED if api.section else {},
        "ledger": {"url": f"sqlite:///{ledger}"},
        "http": {"host": HOST, "port": http},
        "shutdown": {"grace": "5s"},
        "log": {"level": "info", "format": "json"},
    }
    return {name: section for name, section in config.items() if section}


def environment(api: Api) -> dict[str, str]:
    """The caller's, without the bridge's own variables, and without the API's unless the real one is asked."""
    foreign = ("BRIDGE_", "AMIGO_") if api.section else ("BRIDGE_",)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _sandbox(stack: ExitStack, folder: Path, pace: float) -> tuple[Api, Child]:
    port = free_port()
    api = sandbox_api(f"http://{HOST}:{port}")
    options = ("--host", HOST, "--port", str(port), "--pace", str(pace))
    return api, stack.enter_context(_program(folder, api, "sandbox", *options))


def _bridge(stack: ExitStack, folder: Path, node: RabbitNode, api: Api, sandbox: Child | None) -> Stage:
    http, config = free_port(), folder / "bridge.yaml"
    text = yaml.safe_dump(configuration(node.url, http, api, folder / "bridge.db"), sort_keys=False, allow_unicode=True)
    config.write_text(text, encoding="utf-8")
    bridge = stack.enter_context(_program(folder, api, "run", "--config", str(config)))
    return Stage(node, bridge, sandbox, api, f"http://{HOST}:{http}", config)


def _program(folder: Path, api: Api, command: str, *options: str) -> Child:
    log = folder / ("sandbox.log" if command == "sandbox" else "bridge.log")
    return Child([sys.executable, "-m", "bridge", command, *options], log=log, env=environment(api), cwd=folder)


def _await_ready(stage: Stage) -> None:
    deadline = time.monotonic() + READY_S
    while reason := _not_ready(f"{stage.http}/readyz"):
        stage.check()
        if time.monotonic() > deadline:
            raise Failed(f"the bridge was not ready within {READY_S} s: {reason}", stage.bridge.tail())
        time.sleep(0.05)


def _not_ready(url: str) -> str:
    """Why not; empty when ready."""
    try:
        with DIRECT.open(url, timeout=5):
            return ""
    except urllib.error.HTTPError as refused:
        with refused:
            rows = json.load(refused).get("components", [])
        return ", ".join(f"{row['name']}: {row['reason']}" for row in rows if not row["ok"]) or "not ready"
    except OSError as error:
        return str(error)
