"""The private RabbitMQ node, for real: two nodes for the whole file, each started once."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pika
import pika.exceptions
import pytest

from deploy.local.node import NodeError, RabbitNode, free_port, opens
from tests.support.processes import eventually, processes_in

QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    with RabbitNode(tmp_path_factory.mktemp("a node") / "né") as running:
        yield running


@pytest.fixture
def other(tmp_path: Path) -> Iterator[RabbitNode]:
    started = RabbitNode(tmp_path / "other")
    try:
        yield started
    finally:
        started.stop()


def connect(url: str) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(url))


def processes_of(node: RabbitNode) -> dict[int, str]:
    return processes_in(node.folder)


def put(url: str, queue: str, body: bytes) -> None:
    with connect(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True, arguments=QUORUM)
        channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)


def take(url: str, queue: str) -> bytes:
    with connect(url) as connection:
        for _, _, body in connection.channel().consume(queue, auto_ack=True, inactivity_timeout=20):
            assert isinstance(body, bytes), f"nothing came from {queue}"
            return body
    raise AssertionError("the broker cancelled the consumer")


def test_a_started_node_takes_connections_at_once(node: RabbitNode) -> None:
    with connect(node.url) as connection:
        assert connection.is_open


def listening(pids: Collection[int]) -> list[str]:
    """The addresses, in the kernel's hexadecimal, on which these processes take TCP connections."""
    sockets = {os.readlink(link) for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [row.split() for table in ("tcp", "tcp6") for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


def test_a_node_listens_on_loopback_only(node: RabbitNode) -> None:
    addresses = listening(processes_of(node))
    assert len(addresses) >= 3
    assert set(addresses) <= {"0100007F", "0" * 24 + "01000000"}


def test_a_node_has_no_file_open_outside_its_folder_but_programs(node: RabbitNode) -> None:
    links = [link for pid in processes_of(node) for link in Path(f"/proc/{pid}/fd").iterdir()]
    files = {os.path.realpath(link) for link in links if os.readlink(link).startswith("/")}
    inside = {name.removeprefix(os.environ.get("BRIDGE_TEST_BROKER_ROOT", "")) for name in files}
    assert [name for name in inside if not name.startswith((f"{node.folder}/", "/dev/", "/usr/lib/"))] == []


def test_two_nodes_run_side_by_side(node: RabbitNode, other: RabbitNode) -> None:
    other.start()
    put(other.url, "mine", b"other")
    put(node.url, "mine", b"first")
    assert take(other.url, "mine") == b"other"
    assert take(node.url, "mine") == b"first"


def test_a_vhost_is_a_world_of_its_own(node: RabbitNode) -> None:
    put(node.add_vhost("left"), "q", b"left")
    put(node.add_vhost("right"), "q", b"right")
    assert take(node.url + "left", "q") == b"left"
    assert take(node.url + "right", "q") == b"right"


def test_a_vhost_name_cannot_smuggle_in_erlang(node: RabbitNode) -> None:
    with pytest.raises(ValueError, match="made of letters"):
        node.add_vhost('x">>), init:stop(')


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_node_comes_back_on_its_port_with_its_durable_messages(node: RabbitNode, how: str) -> None:
    put(node.url, "kept", how.encode())
    url = node.url
    if how == "restart":
        node.restart()
    else:
        node.kill()
        assert not opens(node.port)
        node.start()
    assert node.url == url
    assert take(url, "kept") == how.encode()


def test_a_paused_node_keeps_its_connections_and_answers_after_the_pause(node: RabbitNode) -> None:
    with connect(node.url) as connection:
        node.pause()
        assert not opens(node.port)
        node.resume()
        connection.channel().queue_declare("after-the-pause", exclusive=True)


def test_ctl_says_what_went_wrong(node: RabbitNode) -> None:
    with pytest.raises(NodeError, match=r"rabbitmqctl delete_vhost nowhere failed.*nowhere"):
        node.ctl("delete_vhost", "nowhere")


def test_ctl_prints_the_answer_only(node: RabbitNode) -> None:
    assert node.ctl("eval", "1 + 1.") == "2\n"


def test_the_ctl_script_is_rabbitmqctl_for_this_node(node: RabbitNode) -> None:
    command = ["sh", str(node.ctl_script()), "eval", 'rabbit_misc:format("~s", [node()]).']
    assert subprocess.run(command, env={}, capture_output=True, text=True, check=True).stdout == '"rabbit@localhost"\n'


def test_stop_leaves_no_process_and_may_be_called_twice(other: RabbitNode) -> None:
    other.start()
    assert len(processes_of(other)) >= 2
    other.stop()
    assert eventually(lambda: processes_of(other) == {}), processes_of(other)
    other.stop()
    with pytest.raises(NodeError, match="is not running"):
        other.ctl("status")
    assert processes_of(other) == {}


def test_a_paused_node_can_be_stopped(other: RabbitNode) -> None:
    other.start()
    other.pause()
    other.stop()
    assert eventually(lambda: processes_of(other) == {}), processes_of(other)


def test_a_killed_parent_takes_its_node_along(other: RabbitNode, tmp_path: Path) -> None:
    script = (
        "import sys, threading; from pathlib import Path; from deploy.local.node import RabbitNode\n"
        "node = RabbitNode(Path(sys.argv[1]))\n"
        "starter = threading.Thread(target=node.start); starter.start(); starter.join()\n"
        "print(node.port, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(other.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert opens(port), "the node outlives the thread that started it"
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: processes_of(other) == {}), processes_of(other)


def test_a_start_that_fails_names_the_reason_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        node = RabbitNode(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(NodeError, match=r"eaddrinuse|address already in use"):
            node.start(timeout=30)
    assert eventually(lambda: processes_of(node) == {}), processes_of(node)


def test_a_folder_in_which_rabbitmq_would_hang_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="apostrophe"):
        RabbitNode(tmp_path / "a node's folder")


def test_a_second_start_of_a_running_node_is_refused(node: RabbitNode) -> None:
    with pytest.raises(NodeError, match="running already"):
        node.start()
    assert opens(node.port)


def test_a_missing_rabbitmq_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"RabbitMQ is not installed here .*\./dev installs it"):
        RabbitNode(tmp_path / "node", programs=tmp_path).start()


def test_free_ports_lie_outside_the_range_of_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if first > 12_000:
        assert all(10_000 <= free_port() < first for _ in range(20))
