"""The commands beside `run`: check, publish, tail; exit statuses; and secrets that never print."""

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fake_api import Refusal

from .events import SERVICE, event, fields, text_of
from .process import BridgeProcess, Output, command, environment, run_command
from .waiting import until
from .world import World

# Every secret of this configuration begins with `canary-`, which run_command refuses to see in any output.
FAULTY: dict[str, Any] = {
    "amqp": {
        "url": "amqp://bridge:canary-amqp@127.0.0.1:5672/",
        "inbuond": {"exchange": "x"},
        "consumer_timeout": "soon",
    },
    "amigo": {
        "base_url": "https://api.amigo.ai",
        "organization_id": "acme",
        "api_key": "canary-key",
        "api_key_id": "canary-id",
        "user_id": "${NO_SUCH_VARIABLE_HERE}",
    },
    "channels": {"pigeon": {"version_set": "v"}},
    "routes": [{"name": "r", "when": "data.(", "service_id": "not-an-id"}],
    "retry": {"attempts": "many"},
    "http": {"port": 70000},
    "shutdown": {"grace": "10 parsecs"},
    "log": {"level": "loudest"},
}
PATHS = [
    "amqp.inbuond",
    "amqp.consumer_timeout",
    "NO_SUCH_VARIABLE_HERE",
    "channels.pigeon",
    "when",
    "service_id",
    "retry.attempts",
    "retry.first",
    "http.port",
    "http.prot",
    "shutdown.grace",
    "log.level",
]
FAULTY_ENVIRONMENT = {"BRIDGE_HTTP__PROT": "8080", "BRIDGE_RETRY__FIRST": "canary-soon"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "bridge.yaml"
    file.write_text(yaml.safe_dump(config))
    return str(file)


@pytest.mark.parametrize("verb", ["check", "run"])
async def test_all_errors_are_listed_with_their_paths_and_the_status_is_78(folder: Path, verb: str) -> None:
    done = await run_command(folder, verb, "--config", written(folder, FAULTY), env=FAULTY_ENVIRONMENT)
    assert done.status == 78
    missing = [path for path in PATHS if path not in done.all]
    assert missing == [], done.all
    assert "Traceback" not in done.all


async def test_a_configuration_that_is_not_yaml_is_an_error_with_status_78(folder: Path) -> None:
    (folder / "bridge.yaml").write_text("amqp: [unclosed\n  api_key: canary-key")
    done = await run_command(folder, "check", "--config", "bridge.yaml")
    assert done.status == 78
    assert "bridge.yaml" in done.all
    assert "Traceback" not in done.all


async def test_check_accepts_a_good_configuration(world: World) -> None:
    done = await run_command(world.folder, "check", "--config", written(world.folder, world.config()))
    assert done.status == 0, done.all


async def test_waiting_longer_than_the_brokers_patience_is_refused(world: World) -> None:
    config = world.config(amqp={"consumer_timeout": "10m"}, amigo={"longest": "15m"})
    done = await run_command(world.folder, "check", "--config", written(world.folder, config))
    assert done.status == 78
    assert "consumer_timeout" in done.all


@pytest.mark.parametrize("arguments", [("fly",), ("run", "--no-such-option"), ("check", "extra", "arguments")])
async def test_wrong_usage_is_status_2(folder: Path, arguments: tuple[str, ...]) -> None:
    assert (await run_command(folder, *arguments)).status == 2


async def test_the_environment_wins_over_the_file_and_bridge_over_amigo(world: World) -> None:
    config = world.config()
    right, wrong = config["amigo"]["base_url"], "http://127.0.0.1:9"
    config["amigo"]["base_url"] = "http://127.0.0.1:10"
    config["amigo"]["api_key"] = "${THE_KEY}"
    config["amigo"]["organization_id"] = "${ORGANIZATION:-acme}"
    bridge = BridgeProcess(world.folder, config)
    world.bridges.append(bridge)
    key = world.fake.api_key
    bridge.start(
        {"BRIDGE_AMIGO__BASE_URL": right, "AMIGO_BASE_URL": wrong, "THE_KEY": key, "AMIGO_USER_ID": "env-user"}
    )
    await bridge.ready()
    await until(lambda: "env-user" in world.fake.sign_ins, "the user of the environment signs in")


async def publish(world: World, *arguments: str, stdin: str = "") -> Output:
    return await run_command(world.folder, "publish", "--config", world.bridges[0].file.name, *arguments, stdin=stdin)


async def test_publish_sends_from_flags_a_file_and_standard_input(world: World) -> None:
    await world.launch()
    flags = ("--id", "f1", "--message", "from flags", "--user-id", "u-f1", "--service-id", SERVICE)
    more = ("--channel", "sms", "--tag", "source=shell", "--version-set", "test")
    (world.folder / "event.json").write_text(json.dumps(fields("f2", message="from a file")))
    given = [json.dumps(fields(one, message=f"from stdin {one}")) for one in ("f3", "f4")]
    for done in (
        await publish(world, *flags, *more),
        await publish(world, "event.json"),
        await publish(world, "-", stdin="\n".join(given)),
    ):
        assert done.status == 0, done.all
    await world.endings("f1", "f2", "f3", "f4")
    conversation = world.fake.truth.conversation_of("from flags")
    assert (conversation.user, conversation.version_set) == ("u-f1", "test")
    assert (conversation.tags["channel"], conversation.tags["source"]) == ("sms", "shell")


async def test_publish_to_nowhere_is_a_failure_and_says_so(world: World) -> None:
    world.bridge().file.write_text(yaml.safe_dump(world.config(amqp={"url": "amqp://guest:guest@127.0.0.1:9/"})))
    done = await publish(world, "--id", "x", "--message", "x", "--service-id", SERVICE)
    assert done.status == 1
    assert "Traceback" not in done.all


async def test_publish_waits_for_the_brokers_word(world: World) -> None:
    """Without the exchange nothing can be accepted: not status 0."""
    world.bridge().file.write_text(yaml.safe_dump(world.config()))
    done = await publish(world, "--id", "x", "--message", "x", "--service-id", SERVICE)
    assert done.status == 1


async def test_tail_shows_what_goes_out_as_it_goes_out(world: World) -> None:
    await world.launch()
    everything = Tail(world, "--json")
    endings = Tail(world, "--json", "--key", "text.sms.interaction-complete")
    plain = Tail(world)
    tails = (everything, endings, plain)
    try:
        await until(lambda: watched(world, len(tails)), "the tails listen")
        await world.publish(event("t1", channel="sms"), event("t2", channel="email"))
        told = await world.endings("t1", "t2")
        lines = sum(len(one.pieces) for one in told)
        await until(lambda: len(everything.lines) >= lines, "everything is shown")
        await until(lambda: endings.lines, "the ending is shown")
        await until(lambda: "Good day to you." in plain.text or "Good " in plain.text, "the words are shown")
    finally:
        statuses = [one.stop() for one in tails]
    assert len(everything.lines) == lines
    assert "text.sms.interaction-complete" in endings.text
    assert "email" not in endings.text
    assert len(endings.lines) == 1
    assert all(isinstance(json.loads(line), dict) for line in everything.lines)
    for one in told:
        assert all(piece.routing_key in everything.text for piece in one.pieces)
    assert statuses == [0, 0, 0]
    assert not any("Traceback" in one.text for one in tails)


async def watched(world: World, tails: int) -> bool:
    """Every tail has bound a queue of its own beside the subscriber's."""
    bindings = await asyncio.to_thread(world.rabbit.broker.bindings, world.rabbit.vhost, "agent.events")
    return len(bindings) > tails


class Tail:
    """`amigo-bridge tail` until Ctrl-C."""

    def __init__(self, world: World, *arguments: str) -> None:
        self._file = world.folder / f"tail-{len(arguments)}.out"
        with self._file.open("wb") as sink:
            self._process = subprocess.Popen(
                # A run of the tests in the background of a shell ignores SIGINT, and so would its children.
                ["env", "--default-signal=INT", *command("tail", "--config", world.bridges[0].file.name, *arguments)],
                cwd=world.folder,
                env=environment(),
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self) -> str:
        return self._file.read_text()

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("{")]

    def stop(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(10)


async def trace(world: World, *arguments: str) -> Output:
    return await run_command(world.folder, "trace", "--config", world.bridges[0].file.name, *arguments)


async def test_trace_tells_what_happened_to_an_event_while_the_service_runs(world: World) -> None:
    await world.launch()
    world.fake.script(text_of("t2"), Refusal(422))
    await world.publish(event("t1"), event("t2", user_id="u-t2"))
    await world.endings("t1", "t2")
    talk = world.fake.truth.talks_of(text_of("t1"))[0]
    said = {"state": "answered"}
    while said["state"] == "answered":  # what is complete is written soon, for many at once
        done = await trace(world, "t1", "--json", "--ask", "--user-id", talk.conversation.user)
        assert done.status == 0, done.all
        said = json.loads(done.out)
    assert (said["state"], said["conversation_id"]) == ("complete", talk.conversation.id)
    assert [row["id"] for row in said["conversations"]] == [talk.conversation.id]
    failed = await trace(world, "t2")
    assert failed.status == 0
    assert "failed" in failed.out
    assert "rejected" in failed.out
    unknown = await trace(world, "nobody")
    assert (unknown.status, "does not know it" in unknown.out) == (1, True)


async def test_trace_without_a_ledger_says_so(world: World) -> None:
    world.bridge().file.write_text(yaml.safe_dump(world.config(ledger={"url": "sqlite:////nowhere/at/all.db"})))
    done = await trace(world, "t1")
    assert (done.status, "no such file" in done.err) == (1, True)
