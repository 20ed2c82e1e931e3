"""The commands beside `run`: check, publish, tail; exit statuses; and secrets that never print."""

import asyncio
import json
import shlex
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pika.exceptions import NackError

from bridge.cli.main import main
from tests.support.events import SERVICE, event, fields
from tests.support.process import BridgeProcess, Output, command, environment, run_command
from tests.support.rabbit import EVENTS, QUORUM, Outgoing
from tests.support.waiting import until
from tests.support.world import World

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


ROUTE = {
    "name": "alerts",
    "when": "data.severity == 'high'",
    "service_id": SERVICE,
    "user_id": "{{ data.user }}",
    "message": "{{ data.title }}: {{ data.amount * 1.19 }}",
}
GOOD = {"id": "p-good", "severity": "high", "user": "u-p", "title": "Paid", "amount": 10}


async def publish_alone(world: World, *arguments: str, stdin: str = "", **changes: Any) -> Output:
    """Publish where no service runs, with a queue that takes everything, and without credentials for the API."""
    config = world.config(routes=[ROUTE], **changes)
    config["amigo"] = {"api_key": "${NOT_SET_HERE}", "user_id": "u-default"}
    file = written(world.folder, config)
    return await run_command(world.folder, "publish", "--config", file, *arguments, stdin=stdin)


REFUSED: list[tuple[dict[str, Any] | str, str]] = [
    ({"message": "x", "service_id": SERVICE}, "no id"),
    ({"id": "p1", "service_id": SERVICE}, "(p1) would be refused: no message"),
    ({"id": "p1", "message": "x"}, "(p1) would be refused: no route"),
    ({"id": "p1", "kind": "user-message", "channel": "fax"}, "channel"),
    ({**GOOD, "user": None}, "(p-good) would be refused: route alerts: template user_id: null came"),
    ({**GOOD, "amount": "much"}, "template message"),
    ({**GOOD, "title": "x" * 2_000_000}, "at most 1048576"),
    ("{'id': 1}", "not JSON"),
    ("[1, 2]", "JSON array"),
    ({"id": "p\x1b[31m", "service_id": SERVICE}, r"(p\x1b[31m) would be refused"),
]


async def test_publish_refuses_what_would_be_dead_lettered_and_publishes_nothing_then(world: World) -> None:
    await world.rabbit.make_queue(EVENTS, QUORUM, "#", exchange=EVENTS)
    lines = [json.dumps(GOOD), *(body if isinstance(body, str) else json.dumps(body) for body, _ in REFUSED)]
    done = await publish_alone(world, "-", stdin="\n".join(lines))
    assert (done.status, done.out) == (1, ""), done.all
    *said, last = done.err.splitlines()
    assert len(said) == len(REFUSED)
    for number, (line, (_, reason)) in enumerate(zip(said, REFUSED, strict=True), 2):
        assert line.startswith(f"event {number}")
        assert reason in line
    assert last == "nothing was published; --force publishes it all the same"
    assert "\x1b" not in done.all
    assert (await world.rabbit.depth(EVENTS) or (0, 0))[0] == 0
    forced = await publish_alone(world, "-", "--force", stdin="\n".join(lines))
    assert forced.status == 0, forced.all
    assert [message.body.decode() for message in await world.rabbit.take(EVENTS)] == lines


async def test_publish_of_what_the_service_takes_needs_no_credentials_and_keeps_digits(world: World) -> None:
    await world.rabbit.make_queue(EVENTS, QUORUM, "#", exchange=EVENTS)
    data = '{"severity":"high","user":"u","title":"t","amount":1.10,"big":123456789012345678901234567890}'
    for arguments in (("--id", "p1", "--data", data), ("--id", "p2", "--message", "x", "--service-id", SERVICE)):
        done = await publish_alone(world, *arguments, "--json")
        assert done.status == 0, done.all
        assert json.loads(done.out) == {"published": arguments[1], "exchange": EVENTS}
    first, _ = await world.rabbit.take(EVENTS)
    assert data in first.body.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--id", "x", "--data", "{"),
        ("--id", "x", "--data", "NaN"),
        ("--id", "x", "--tag", "no-equals-sign"),
        ("--id", "x", "--message", "half a pair: \ud800"),
        ("--id", "x", "--create-first-name", "Ada", "--create-last-name", "Lovelace"),
        ("--id", "x", "--routing-key", "k" * 256),
        ("--id", "x", "--routing-key", "\udcff"),
        ("--id", "x", "--exchange", "é" * 128),
        ("--id", "x", "--kind", "none"),
        ("-",),
        (),
        ("-", "--id", "x"),
    ],
)
def test_wrong_usage_of_publish_is_status_2(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, ["publish", *arguments])
    assert done.exit_code == 2, done.output


async def test_publish_says_what_the_broker_returned_and_what_it_refused(world: World) -> None:
    await world.rabbit.make_queue(
        "full", {**QUORUM, "x-max-length": 1, "x-overflow": "reject-publish"}, "in.#", exchange=EVENTS
    )
    lines = "\n".join(json.dumps({**GOOD, "id": f"p{number}"}) for number in range(30))
    returned = await publish_alone(world, "-", "--routing-key", "out", stdin=lines)
    assert (returned.status, returned.out) == (1, "")
    assert "returned it: no queue bound to bridge.events takes 'out'" in returned.err
    refused = await publish_alone(world, "-", "--routing-key", "in.x", stdin=lines)
    assert refused.status == 1
    assert "refused it (nack)" in refused.err
    assert 1 <= len(refused.out.splitlines()) < 30
    assert "published p0 to bridge.events" in refused.out


async def test_tail_that_has_shown_enough_ends_without_a_word_of_a_library(world: World) -> None:
    await world.rabbit.make_queue("agent.events", QUORUM, "#")
    file = written(world.folder, world.config())
    sent = [Outgoing(b'{"message": "\\u001b[31mred\\nline"}', routing_key="a", exchange="agent.events")] * 20
    for arguments in (("--count", "1"), ("--count", "7"), ("--count", "3", "--json")):
        tailing = asyncio.create_task(run_command(world.folder, "tail", "--config", file, *arguments))
        while not tailing.done():
            with suppress(NackError):  # of RabbitMQ 4.3, where a queue goes that a message was on its way to
                await world.rabbit.publish(*sent)
        done = await tailing
        assert done.status == 0, done.all
        assert done.err == "listening to agent.events; Ctrl-C ends it\n"
        assert len(done.out.splitlines()) == int(arguments[1])
        assert "\x1b" not in done.out


@pytest.mark.parametrize("more", [(), ("--json",)])
async def test_tail_into_a_pipe_whose_reader_has_gone_ends_well(world: World, more: tuple[str, ...]) -> None:
    await world.rabbit.make_queue("agent.events", QUORUM, "#")
    tail = shlex.join(command("tail", "--config", written(world.folder, world.config()), *more))
    piped = f"{{ {tail}; echo $? >status; }} 2>errors | head -n 1"
    running = await asyncio.create_subprocess_shell(piped, cwd=world.folder, env=environment(), stdout=subprocess.PIPE)
    while not (world.folder / "status").exists():
        with suppress(NackError):
            await world.rabbit.publish(*[Outgoing(b"{}", routing_key="a", exchange="agent.events")] * 20)
    await running.communicate()
    assert (world.folder / "status").read_text() == "0\n"
    assert (world.folder / "errors").read_text() == "listening to agent.events; Ctrl-C ends it\n"


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
