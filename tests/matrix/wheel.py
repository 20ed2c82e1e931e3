"""A wheel of this checkout, installed with plain pip into a fresh environment of this Python, does what it should.

`python -m tests.matrix.wheel` prints a line for every step; the exit status is 0 where each of them worked.
"""

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.local.child import Child
from deploy.local.node import HOST, NodeError, RabbitNode, free_port
from tests.matrix.checkout import copy_to

LIMIT_S = 600
READY_S = 60
EVENT = ("--id", "wheel-1", "--message", "Hello", "--service-id", "5f0000000000000000000001", "--channel", "sms")


class Failed(Exception):
    """A step did not work; the message says what was seen."""


def main() -> int:
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amigo-wheel-")))
            Installed.make(folder).does_everything(stack)
    except (Failed, NodeError) as error:
        print(f"failed: {error}", flush=True)
        return 1
    print("the wheel does what it should", flush=True)
    return 0


@dataclass(frozen=True)
class Installed:
    """The program of a fresh environment, and the folder in which it is used: not the checkout."""

    program: Path
    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Installed":
        """Build the wheel and install it with whatever the index has for this Python."""
        source, wheels, environment = folder / "source", folder / "wheels", folder / "venv"
        copy_to(source)
        pip = ("-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check")
        own = (sys.executable, *pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels))
        with step("a wheel is built"):
            run(*own, str(source), cwd=folder)
        (wheel,) = wheels.iterdir()
        with step(f"{wheel.name} is installed with plain pip"):
            run(sys.executable, "-m", "venv", str(environment), cwd=folder)
            run(str(environment / "bin" / "python"), *pip, "install", str(wheel), cwd=folder)
        return cls(environment / "bin" / "amigo-bridge", folder)

    def does_everything(self, stack: ExitStack) -> None:
        with step("--version says a version"):
            said = self.says("--version")
            expect("." in said, said)
        with step("--help names the commands"):
            said = self.says("--help")
            expect(all(f" {name} " in said for name in ("check", "run", "sandbox", "publish", "tail")), said)
        node = stack.enter_context(RabbitNode(self.folder / "rabbitmq"))
        api, http, config = free_port(), free_port(), self.folder / "bridge.yaml"
        config.write_text(yaml.safe_dump(configuration(node.url, api, http)), encoding="utf-8")
        with step("check finds the configuration right"):
            self.says("check", "--config", str(config))
        sandbox = stack.enter_context(self.runs("sandbox", "--host", HOST, "--port", str(api), "--pace", "0"))
        with step("run becomes ready"):
            bridge = stack.enter_context(self.runs("run", "--config", str(config)))
            await_ready(f"http://{HOST}:{http}/readyz", bridge, sandbox)
        with step("an event is answered"):
            self.is_answered(node, config, bridge)
        for name, child in (("run", bridge), ("sandbox", sandbox)):
            with step(f"{name} ends with status 0 when it is told to"):
                status = child.stop(grace_s=30)
                expect(status == 0, f"status {status}\n{child.tail()}")

    def is_answered(self, node: RabbitNode, config: Path, bridge: Child) -> None:
        """One published event ends with `event_id` among the endings that the metrics count."""
        self.says("publish", "--config", str(config), *EVENT)
        deadline = time.monotonic() + READY_S
        while not any(row.get("event") == "delivery.settled" for row in logged(bridge.log)):
            expect(bridge.exit_status is None and time.monotonic() < deadline, bridge.tail())
            time.sleep(0.1)
        settled = [row for row in logged(bridge.log) if row.get("event") == "delivery.settled"]
        expect(settled[0].get("settlement") == "ack", json.dumps(settled))

    def says(self, *arguments: str) -> str:
        return run(str(self.program), *arguments, cwd=self.folder)

    def runs(self, *arguments: str) -> Child:
        return Child([str(self.program), *arguments], log=self.folder / f"{arguments[0]}.log", cwd=self.folder)


def configuration(amqp: str, api: int, http: int) -> dict[str, object]:
    """Of a bridge that speaks to its own sandbox."""
    amigo = {"organization_id": "acme", "api_key": "sandbox-secret", "api_key_id": "sandbox-key", "user_id": "user-1"}
    return {
        "amqp": {"url": amqp},
        "amigo": {"base_url": f"http://{HOST}:{api}", **amigo},
        "ledger": {"url": "sqlite:///wheel.db"},
        "http": {"host": HOST, "port": http},
        "log": {"level": "info", "format": "json"},
    }


@contextmanager
def step(what: str) -> Iterator[None]:
    started_s = time.monotonic()
    yield
    print(f"{what} ({time.monotonic() - started_s:.1f} s)", flush=True)


def run(*command: str, cwd: Path) -> str:
    """What the command prints. Raises Failed."""
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{' '.join(command)}: no end within {LIMIT_S} s") from late
    if done.returncode:
        raise Failed(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)


def await_ready(url: str, *children: Child) -> None:
    deadline, direct = time.monotonic() + READY_S, urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with direct.open(url, timeout=5):
                return
        except urllib.error.HTTPError as refused:
            refused.close()
        except OSError:
            pass
        for child in children:
            expect(child.exit_status is None and time.monotonic() < deadline, child.tail())
        time.sleep(0.1)


def logged(path: Path) -> Iterator[dict[str, object]]:
    """The lines of a log in JSON; a line that is not written whole yet is none."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


if __name__ == "__main__":
    sys.exit(main())
