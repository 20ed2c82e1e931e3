"""The demonstration as a person meets it: started as a program, seen through its output, ended with a signal."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.child import tail
from tests.support.processes import eventually, processes_in

ROOT = Path(__file__).resolve().parents[2]
ESCAPE = "\x1b"


STRICT = {"PYTHONWARNINGS": "error"}


class Demo:
    """`python -m deploy.local.demo` with its temporary files in a folder of the test.

    It respects nohup, which the tests may have been started with, and which is not its own caller's wish.
    """

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.output = folder / "output.txt"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AMIGO_", "BRIDGE_"))}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["env", "--default-signal=HUP", sys.executable, "-m", "deploy.local.demo", *arguments],
                cwd=ROOT,
                env={**kept, "TMPDIR": str(self.temporary), "BRIDGE_HTTP__PORT": "1", **STRICT, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return tail(self.output, 10_000)

    def says(self, pattern: str, within_s: float = 60) -> bool:
        return eventually(lambda: re.search(pattern, self.said) or self.process.poll() is not None, within_s) and (
            re.search(pattern, self.said) is not None
        )

    def place(self, name: str) -> str:
        found = re.search(rf"^  {name}\s+(.*)$", self.said, re.MULTILINE)
        assert found is not None, self.said
        return found[1]

    def end(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def pid_of(self, command: str) -> int:
        return next(pid for pid, line in processes_in(self.temporary).items() if f"-m bridge {command}" in line)

    def left_behind(self) -> list[object]:
        eventually(lambda: not processes_in(self.temporary))
        return [*processes_in(self.temporary).values(), *self.temporary.iterdir()]


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        demo.process.kill()
        demo.process.wait()


def start(demos: list[Demo], folder: Path, *arguments: str, **variables: str) -> Demo:
    demos.append(Demo(folder, *arguments, **variables))
    return demos[-1]


def test_once_shows_every_event_and_its_answer_and_leaves_nothing(demos: list[Demo], tmp_path: Path) -> None:
    demo = start(demos, tmp_path, "--once")
    assert demo.end() == 0, demo.said
    assert demo.left_behind() == []
    for event in ("payment", "appointment", "parcel", "report", "chat"):
        assert re.search(rf"→ \S+ +{event}-", demo.said)
        assert re.search(rf"← \S+\.new-message +{event}-", demo.said)
        assert re.search(rf"← \S+\.interaction-complete +{event}-\w+ +✓ \w", demo.said)
    assert re.search(r"← \S+\.conversation-finished +received-", demo.said)
    assert re.search(r"✗ bridge\.dead invalid-event +rubbish-", demo.said)
    assert "All 7 sample events have had their ending" in demo.said
    assert ESCAPE not in demo.said


def test_it_stays_until_ctrl_c_and_shows_what_others_publish(demos: list[Demo], tmp_path: Path) -> None:
    demo = start(demos, tmp_path)
    assert demo.says("All 7 sample events have had their ending"), demo.said
    with urllib.request.urlopen(demo.place("health"), timeout=5) as ready:
        assert ready.status == 200
    assert eventually(lambda: "bridge.events\t0\t1" in _shell(demo.place("its queues")))
    _shell(demo.place("publish").replace("$RANDOM", "own"))
    assert demo.says(r"text\.sms\.interaction-complete +my-own"), demo.said
    assert demo.end(signal.SIGINT) == 0, demo.said
    assert demo.left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_in_the_middle_of_the_start_leaves_nothing(
    demos: list[Demo], tmp_path: Path, number: signal.Signals
) -> None:
    demo = start(demos, tmp_path)
    assert demo.says("starting a RabbitMQ node")
    assert eventually(lambda: any("beam" in line for line in processes_in(demo.temporary).values()))
    assert demo.end(number) == 128 + number, demo.said
    assert demo.left_behind() == []


@pytest.mark.parametrize(("program", "command"), [("bridge", "run"), ("sandbox", "sandbox")])
def test_a_program_that_dies_is_named_and_everything_else_goes_too(
    demos: list[Demo], tmp_path: Path, program: str, command: str
) -> None:
    demo = start(demos, tmp_path)
    assert demo.says(r"← .*conversation-created"), demo.said
    os.kill(demo.pid_of(command), signal.SIGKILL)
    assert demo.end() == 1
    assert f"demo: the {program} ended with status -9" in demo.said
    assert demo.left_behind() == []


def test_a_killed_demonstration_leaves_no_process(demos: list[Demo], tmp_path: Path) -> None:
    demo = start(demos, tmp_path)
    assert demo.says(r"← .*conversation-created"), demo.said
    demo.end(signal.SIGKILL)
    assert eventually(lambda: not processes_in(demo.temporary)), processes_in(demo.temporary)


def test_a_reader_that_leaves_ends_it_cleanly(tmp_path: Path) -> None:
    command = f"{sys.executable} -m deploy.local.demo | head -n 3"
    environment = {**os.environ, "TMPDIR": str(tmp_path), **STRICT}
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert eventually(lambda: not processes_in(tmp_path) and not list(tmp_path.iterdir()), 30)
    assert "Traceback" not in done.stderr


def test_the_real_api_needs_all_its_variables(demos: list[Demo], tmp_path: Path) -> None:
    demo = start(demos, tmp_path, "--once", AMIGO_API_KEY="not-to-be-shown")
    assert demo.end() == 1
    assert "please set AMIGO_API_KEY_ID, AMIGO_ORGANIZATION_ID, AMIGO_USER_ID too" in demo.said
    assert "not-to-be-shown" not in demo.said
    assert demo.left_behind() == []


def test_with_an_api_key_it_speaks_to_the_api_that_the_variables_name(
    demos: list[Demo], tmp_path: Path, api: dict[str, str]
) -> None:
    demo = start(demos, tmp_path, "--once", **api)
    assert demo.end() == 0, demo.said
    assert "the real API answers, in the name of somebody" in demo.said
    assert "bridge sandbox" not in demo.said
    assert demo.left_behind() == []


@pytest.fixture
def api(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The sandbox in the place of the real API, and the variables for it."""
    log = tmp_path / "api.log"
    with log.open("wb") as output:
        process: Any = subprocess.Popen(
            [sys.executable, "-m", "bridge", "sandbox", "--port", "0"],
            cwd=ROOT,
            env={**os.environ, **STRICT},
            stdout=output,
            stderr=output,
        )
    try:
        assert eventually(lambda: "sandbox listening on" in tail(log, 50)), tail(log, 50)
        found = re.search(r"sandbox listening on (\S+)", tail(log, 50))
        assert found is not None
        yield {
            "AMIGO_BASE_URL": found[1],
            "AMIGO_ORGANIZATION_ID": "acme",
            "AMIGO_API_KEY_ID": "sandbox-key",
            "AMIGO_API_KEY": "sandbox-secret",
            "AMIGO_USER_ID": "somebody",
        }
    finally:
        process.terminate()
        process.wait(10)


def _shell(command: str) -> str:
    return subprocess.run(["bash", "-c", command], cwd="/", capture_output=True, text=True, check=True).stdout
