"""The operators' listener, asked by a real client: who gets in, what a role may do, what moves there."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from bridge.core.control.access import Role
from bridge.core.control.command import Command, Facts, Verb
from bridge.core.control.pause import PauseScope
from bridge.core.webhook.client_address import networks
from bridge.edges.http.admin_server import AdminDoor, AdminServer, AdminToken
from bridge.edges.http.server import Component, HealthPages, HealthServer
from bridge.flow.settling.refusal_log import RefusalLog
from tests.support.logbook import Logbook

OPS, BOARD = "o" * 32, "b" * 40
TOKENS = [AdminToken("ops", OPS, Role.OPERATOR), AdminToken("board", BOARD, Role.VIEWER)]
PAUSE = {"scope": "route", "name": "payments", "reason": "why", "for": "1m"}


@dataclass
class FakeReplicas:
    """This replica and the others: what they were told, and what they answer."""

    obeyed: list[tuple[Command, str]] = field(default_factory=list)
    heard: list[tuple[Command, str]] = field(default_factory=list)
    answer: Facts = field(default_factory=lambda: {"replica": "here"})
    trouble: str | None = None

    async def obey(self, command: Command, by: str) -> Facts:
        self.obeyed.append((command, by))
        return dict(self.answer)

    async def tell(self, command: Command, by: str) -> Sequence[Facts]:
        self.heard.append((command, by))
        return [] if self.trouble else [{"replica": "there"}]


class AdminAsked:
    def __init__(self, server: AdminServer, session: aiohttp.ClientSession, replicas: FakeReplicas) -> None:
        self.replicas = replicas
        self._session = session
        self._root = f"http://127.0.0.1:{server.port}"

    async def ask(
        self, method: str, path: str, token: str | None = None, body: Any = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
        async with self._session.request(method, self._root + path, headers=sent, json=body) as response:
            is_json = "json" in response.headers["Content-Type"]
            answer = await response.json(content_type=None) if is_json else await response.text()
            return response.status, answer, dict(response.headers)


@pytest.fixture
async def asked(log: Logbook) -> AsyncIterator[AdminAsked]:
    replicas = FakeReplicas()
    pages = HealthPages(lambda: [Component("api", False, "it is down")], lambda: b"bridge_x 1\n", "1")
    door = AdminDoor(TOKENS, networks(["127.0.0.1"]), RefusalLog(log))
    async with (
        AdminServer("127.0.0.1", 0, pages, door, replicas, replicas) as server,
        aiohttp.ClientSession() as session,
    ):
        yield AdminAsked(server, session, replicas)


async def test_a_viewer_looks_and_an_operator_steers(asked: AdminAsked) -> None:
    for token in (OPS, BOARD):
        status, answer, _ = await asked.ask("GET", "/admin/status", token)
        assert (status, answer) == (200, {"replicas": [{"replica": "here"}, {"replica": "there"}]})
    status, answer, _ = await asked.ask("POST", "/admin/pause", OPS, PAUSE)
    assert (status, len(answer["replicas"])) == (200, 2)
    command = Command(Verb.PAUSE, PauseScope.ROUTE, "payments", "why", 60.0)
    assert asked.replicas.obeyed[-1] == asked.replicas.heard[-1] == (command, "token ops")
    status, _, _ = await asked.ask("POST", "/admin/resume", OPS, {"scope": "all"})
    assert (status, asked.replicas.obeyed[-1][0]) == (200, Command(Verb.RESUME))


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_viewer_changes_nothing(asked: AdminAsked, verb: str) -> None:
    status, answer, _ = await asked.ask("POST", f"/admin/{verb}", BOARD, {"scope": "all"})
    assert (status, answer["title"]) == (403, "Forbidden")
    assert asked.replicas.obeyed == asked.replicas.heard == []


@pytest.mark.parametrize("path", ["/admin/status", "/admin/pause", "/admin/", "/admin/nothing"])
async def test_without_a_token_nobody_gets_in_nor_with_one_in_another_place(asked: AdminAsked, path: str) -> None:
    method = "POST" if path.endswith("pause") else "GET"
    for query, headers in (
        ("", {}),
        (f"?token={OPS}&access_token={OPS}", {}),
        ("", {"X-Token": OPS}),
        ("", {"Cookie": f"token={OPS}"}),
        ("", {"Authorization": f"Basic {OPS}"}),
        ("", {"Authorization": OPS}),
        ("", {"Authorization": "Bearer "}),
    ):
        status, answer, sent = await asked.ask(method, path + query, None, {"scope": "all"}, **headers)
        assert (status, answer["status"]) == (401, 401)
        assert sent["WWW-Authenticate"].startswith("Bearer")
    assert asked.replicas.obeyed == []


async def test_ten_wrong_tokens_and_the_address_has_to_wait_also_with_the_right_one(
    asked: AdminAsked, log: Logbook
) -> None:
    attacker = {"X-Forwarded-For": "198.51.100.7"}
    for number in range(10):
        assert (await asked.ask("GET", "/admin/status", f"{OPS[:-2]}{number:02}", **attacker))[0] == 401
    for token in ("wrong", OPS):
        status, _, headers = await asked.ask("GET", "/admin/status", token, **attacker)
        assert (status, 0 < int(headers["Retry-After"]) <= 60) == (429, True)
    assert (await asked.ask("GET", "/admin/status", OPS))[0] == 200, "another address"
    assert log.of("admin.refused")[0] == {"client": "198.51.100.7"}
    assert OPS[:-2] not in str(log.lines)


async def test_many_wrong_tokens_from_many_addresses_are_few_lines(asked: AdminAsked, log: Logbook) -> None:
    for number in range(200):
        attacker = {"X-Forwarded-For": f"198.51.100.{number}"}
        assert (await asked.ask("GET", "/admin/status", "wrong", **attacker))[0] == 401
    assert 0 < len(log.of("admin.refused")) < 20


async def test_who_sends_no_token_is_no_attacker(asked: AdminAsked) -> None:
    for _ in range(20):
        assert (await asked.ask("GET", "/admin/status"))[0] == 401
    assert (await asked.ask("GET", "/admin/status", OPS))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/admin/pause", None, 405),
        ("POST", "/admin/status", None, 405),
        ("POST", "/admin/nothing", None, 404),
        ("POST", "/admin/pause", [], 400),
        ("POST", "/admin/pause", {}, 422),
        ("POST", "/admin/pause", {"scope": "route"}, 422),
        ("POST", "/admin/resume", {"scope": "all", "command": "status", "x": 1}, 422),
        ("POST", "/admin/pause", {"reason": "x" * 20_000}, 413),
    ],
)
async def test_what_is_no_command_is_refused(asked: AdminAsked, method: str, path: str, body: Any, status: int) -> None:
    assert (await asked.ask(method, path, OPS, body))[0] == status
    assert asked.replicas.obeyed == []


async def test_where_the_others_cannot_be_told_the_answer_says_so(asked: AdminAsked) -> None:
    asked.replicas.trouble = "access refused"
    status, answer, _ = await asked.ask("POST", "/admin/pause", OPS, PAUSE)
    assert (status, answer) == (200, {"replicas": [{"replica": "here"}], "only_this_replica": "access refused"})


async def test_what_this_replica_cannot_do_nobody_else_is_told(asked: AdminAsked) -> None:
    asked.replicas.answer = {"replica": "here", "error": "the ledger is away"}
    status, answer, _ = await asked.ask("POST", "/admin/pause", OPS, PAUSE)
    assert (status, answer["replicas"][0]["error"], asked.replicas.heard) == (503, "the ledger is away", [])


async def test_metrics_and_reasons_are_here_without_a_token(asked: AdminAsked) -> None:
    assert (await asked.ask("GET", "/metrics"))[1] == "bridge_x 1\n"
    status, answer, _ = await asked.ask("GET", "/readyz")
    assert (status, answer["components"][0]["reason"]) == (503, "it is down")
    assert (await asked.ask("GET", "/webhooks/x"))[0] == 404


async def test_and_then_the_public_port_has_neither() -> None:
    rows = [Component("api", False, "it is down")]
    server = HealthServer("127.0.0.1", 0, components=lambda: rows, metrics=None, version="1")
    async with server, aiohttp.ClientSession() as session:
        root = f"http://127.0.0.1:{server.port}"
        async with session.get(f"{root}/readyz") as response:
            assert (response.status, await response.json()) == (
                503,
                {"ready": False, "components": [{"name": "api", "ok": False}]},
            )
        for path in ("/metrics", "/admin/status", "/admin/pause"):
            async with session.get(root + path, headers={"Authorization": f"Bearer {OPS}"}) as response:
                assert response.status == 404


def test_a_token_is_in_no_text() -> None:
    assert OPS not in repr(TOKENS)
