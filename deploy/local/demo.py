"""`./dev run`: the whole bridge on this machine, from a broker of its own to the agent's words on the terminal.

Everything runs in one temporary folder, listens on loopback only, and ends with this program.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.local.api import Api, ApiTrouble, real_api, sandbox_api
from deploy.local.child import Child
from deploy.local.interruptions import Interruptions, Stopped
from deploy.local.node import HOST, NodeError, RabbitNode, free_port
from deploy.local.samples import Sample, routes, samples
from deploy.local.traffic import Traffic
from deploy.local.view import View

ROOT = Path(__file__).resolve().parents[2]
START_S = 60
STOP_S = 15
# Interactively the agent speaks slowly enough to be followed, and the backend pauses between its events.
PACE, PAUSE_S = 4, 0.7
SIGNALLED = 128


class Failed(Exception):
    """The demonstration cannot go on; `log` is the end of the log that tells why."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Stage:
    """What runs: the broker, the bridge, the sandbox unless the real API is asked, and where things are."""

    folder: Path
    node: RabbitNode
    bridge: Child
    sandbox: Child | None
    api: Api
    http: str

    @property
    def config(self) -> Path:
        return self.folder / "bridge.yaml"

    def check(self) -> None:
        """Raises Failed when one of the processes has ended."""
        for name, child in (("bridge", self.bridge), ("sandbox", self.sandbox)):
            if child is not None and child.exit_status is not None:
                raise Failed(f"the {name} ended with status {child.exit_status}", child.tail())


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all went well, also after Ctrl-C; 1 when something failed; 128 + signal when stopped before the end."""
    parser = argparse.ArgumentParser(prog="./dev run", description="The bridge on this machine, with sample events.")
    parser.add_argument("--once", action="store_true", help="end when every sample event has had its ending")
    once = parser.parse_args(arguments).once
    view, interruptions = View(), Interruptions()
    shown: list[Stage] = []
    with ExitStack() as stack:
        try:
            stage = start(stack, view, once)
            shown.append(stage)
            interruptions.run(perform(stage, view, once))
            status = 0
        except Stopped as stopped:
            status = 0 if shown and not once else SIGNALLED + stopped.number
        except (Failed, NodeError, ApiTrouble, OSError) as error:
            view.failure(str(error), getattr(error, "log", ""))
            status = 1
        finally:
            interruptions.ignore()
        view.step("stopping everything")
    view.step("nothing is left behind")
    return status


def start(stack: ExitStack, view: View, once: bool) -> Stage:
    """Everything up and ready; the stack takes it down in reverse order."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amigo-bridge-")))
    real = real_api(os.environ) if os.environ.get("AMIGO_API_KEY") else None
    sandbox = None if real else _sandbox(stack, folder, once)
    view.step("starting a RabbitMQ node of its own")
    node = stack.enter_context(RabbitNode(folder / "rabbitmq"))
    api = real or sandbox_api(_address(sandbox))
    view.step("asking the real API" if real else "the sandbox plays the Amigo API (AMIGO_API_KEY is not set)")
    view.step("starting the bridge")
    http = free_port()
    config = configuration(node.url, http, api)
    (folder / "bridge.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    bridge = _program(folder, "bridge", "run", "--config", str(folder / "bridge.yaml"), environment=environment(api))
    stage = Stage(folder, node, stack.enter_context(bridge), sandbox, api, f"http://{HOST}:{http}")
    _await_ready(stage)
    return stage


async def perform(stage: Stage, view: View, once: bool) -> None:
    """Publish the samples and show what passes, until all is said (`once`) or for ever. Raises Failed."""
    async with Traffic.opened(stage.node.url, view) as traffic:
        watch = asyncio.create_task(_watch(stage, traffic))
        work = asyncio.create_task(_play(stage, traffic, view, once))
        try:
            await asyncio.wait((watch, work), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watch, work):
                task.cancel()
            results = await asyncio.gather(watch, work, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


async def _play(stage: Stage, traffic: Traffic, view: View, once: bool) -> None:
    told = samples(stage.api.user_id, stage.api.service_id)
    view.heading("Where things are")
    view.places(places(stage))
    view.heading("→ events of the backends   ← what the agent and the bridge say   ✗ dead letters")
    await traffic.publish(told, 0 if once else PAUSE_S)
    await _ended(stage, traffic, told)
    dead = await traffic.dead_letters()
    view.heading(f"All {len(told)} sample events have had their ending; {dead} in the dead-letter queue, as it should.")
    if once:
        return
    view.places({"publish one yourself": publish_command(stage)})
    view.step("everything that passes is shown here; Ctrl-C ends it and leaves nothing behind")
    await asyncio.Event().wait()


async def _ended(stage: Stage, traffic: Traffic, told: Sequence[Sample]) -> None:
    limit = stage.api.answers_within_s
    try:
        async with asyncio.timeout(limit):
            await traffic.all_ended(told)
    except TimeoutError:
        missing = ", ".join(traffic.waiting_for(told))
        raise Failed(f"no ending within {limit:g} s for {missing}", stage.bridge.tail()) from None


async def _watch(stage: Stage, traffic: Traffic) -> None:
    while not traffic.lost.is_set():
        stage.check()
        await asyncio.sleep(0.2)
    raise Failed("the connection to RabbitMQ was lost", stage.node.log.read_text(encoding="utf-8")[-2000:])


def configuration(amqp: str, http: int, api: Api) -> dict[str, object]:
    """The bridge's configuration for the demonstration."""
    config: dict[str, object] = {
        "amqp": {"url": amqp},
        "amigo": dict(api.section),
        "routes": routes(api.service_id),
        "http": {"host": HOST, "port": http},
        "shutdown": {"grace": "5s"},
        "log": {"level": "info", "format": "json"},
    }
    return {name: section for name, section in config.items() if section}


def environment(api: Api) -> dict[str, str]:
    """For the bridge: its own variables left out, and those of the API unless the real one is asked."""
    foreign = ("BRIDGE_", "AMIGO_") if api.section else ("BRIDGE_",)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def places(stage: Stage) -> Mapping[str, str]:
    """What a person may want to look at from another terminal."""
    bridge = f"{_python()} -m bridge"
    return {
        "health": f"{stage.http}/readyz",
        "metrics": f"{stage.http}/metrics",
        "bridge's log": str(stage.bridge.log),
        "configuration": str(stage.config),
        "RabbitMQ": stage.node.url,
        "queues": f"sh {shlex.quote(str(stage.node.ctl_script()))} list_queues name messages consumers",
        "subscribe": f"{bridge} tail --config {shlex.quote(str(stage.config))} --key 'text.#'",
    }


def publish_command(stage: Stage) -> str:
    user = stage.api.user_id or "maria-lopez"
    return (
        f"{_python()} -m bridge publish --config {shlex.quote(str(stage.config))} --id my-event-1 "
        f"--user-id {shlex.quote(user)} --service-id {stage.api.service_id} --channel sms --message 'The doctor is late.'"
    )


def _python() -> str:
    return shlex.quote(sys.executable)


def _program(folder: Path, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Child:
    command = [sys.executable, "-m", "bridge", *arguments]
    return Child(command, log=folder / f"{name}.log", env=environment, cwd=folder)


def _sandbox(stack: ExitStack, folder: Path, once: bool) -> Child:
    pace = "1" if once else str(PACE)
    options = ("--host", HOST, "--port", "0", "--pace", pace)
    own = environment(sandbox_api(""))
    return stack.enter_context(_program(folder, "sandbox", "sandbox", *options, environment=own))


def _address(sandbox: Child | None) -> str:
    assert sandbox is not None
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        found = re.search(r"^sandbox listening on (http://\S+)", sandbox.tail(50), re.MULTILINE)
        if found:
            return found[1]
        if sandbox.exit_status is not None:
            raise Failed(f"the sandbox ended with status {sandbox.exit_status} at its start", sandbox.tail())
        time.sleep(0.05)
    raise Failed(f"the sandbox did not listen within {START_S} s", sandbox.tail())


def _await_ready(stage: Stage) -> None:
    deadline = time.monotonic() + START_S
    while reasons := _not_ready(f"{stage.http}/readyz"):
        stage.check()
        if time.monotonic() > deadline:
            raise Failed(f"the bridge was not ready within {START_S} s: {reasons}", stage.bridge.tail())
        time.sleep(0.05)


def _not_ready(url: str) -> str:
    """Why not; empty when ready."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return ""
    except urllib.error.HTTPError as refused:
        with refused:
            rows = json.load(refused).get("components", [])
        return ", ".join(f"{row['name']}: {row['reason']}" for row in rows if not row["ok"]) or "not ready"
    except OSError as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main())
