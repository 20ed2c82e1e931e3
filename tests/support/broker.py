"""The broker's operator: private nodes, fresh vhosts, and the broker's own counts.

A vhost that nobody needs any more is given back: its quorum queues would go on ticking, and those of a hundred vhosts
keep most of a core busy.
"""

import itertools
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from deploy.local.node import HOST, RabbitNode

# Quorum queues report their counts to the operator's tools at every tick; 5 s by default.
TICK_MS = 200
POOL = 8
BY = '<<"tests">>'


class Broker:
    """A node and its vhosts; one call of rabbitmqctl makes several, since each call starts an Erlang machine."""

    def __init__(self, node: RabbitNode) -> None:
        self.node = node
        self._numbers = itertools.count(1)
        self._fresh: deque[str] = deque()
        self._used: list[str] = []

    def start(self) -> None:
        self.node.start()
        self.node.ctl("eval", f"application:set_env(rabbit, quorum_tick_interval, {TICK_MS}).")

    def restart(self, violently: bool) -> None:
        if violently:
            self.node.kill()
            self.node.start()
        else:
            self.node.restart()
        self.node.ctl("eval", f"application:set_env(rabbit, quorum_tick_interval, {TICK_MS}).")

    def vhost(self) -> str:
        """The name of a vhost that nobody has used."""
        if not self._fresh:
            names = [f"t{next(self._numbers)}" for _ in range(POOL)]
            self.add_vhosts(names)
            self._fresh.extend(names)
        return self._fresh.popleft()

    def give_back(self, vhost: str) -> None:
        """Nobody needs it any more: it goes when new ones are made."""
        self._used.append(vhost)

    def add_vhosts(self, names: list[str]) -> None:
        """Make these, which guest may use; those that were given back go."""
        used, self._used = self._used, []
        self.node.ctl(
            "eval",
            'All = <<".*">>, By = <<"tests">>, '
            f"[rabbit_vhost:delete(Name, By) || Name <- [{_listed(used)}]], "
            "[begin ok = rabbit_vhost:add(Name, By), "
            'ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, Name, All, All, All, By) end '
            f"|| Name <- [{_listed(names)}]].",
        )

    def add_user(
        self,
        vhost: str,
        name: str,
        password: str = "secret",
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
    ) -> str:
        """A new user with these rights in the vhost; the URL in their name."""
        who, where = _text(name), _text(vhost)
        rights = ", ".join(_text(right) for right in (configure, write, read))
        self.node.ctl(
            "eval",
            f"ok = rabbit_auth_backend_internal:add_user({who}, {_text(password)}, {BY}), "
            f"ok = rabbit_auth_backend_internal:set_permissions({who}, {where}, {rights}, {BY}).",
        )
        credentials = f"{quote(name, safe='')}:{quote(password, safe='')}"
        return f"amqp://{credentials}@{HOST}:{self.node.port}/{quote(vhost, safe='')}"

    def permit(self, vhost: str, name: str, *, configure: str = ".*", write: str = ".*", read: str = ".*") -> None:
        """The user's rights in the vhost from now on."""
        self.node.ctl("set_permissions", "-p", vhost, name, configure, write, read)

    def url(self, vhost: str) -> str:
        return self.node.url + vhost

    def counts(self, vhost: str, queue: str) -> tuple[int, int] | None:
        """(ready, unacknowledged) as the operator's tool says."""
        columns = ("name", "messages_ready", "messages_unacknowledged")
        rows = json.loads(self.node.ctl("list_queues", "--vhost", vhost, "--formatter", "json", *columns))
        for row in rows:
            if row["name"] == queue:
                return row["messages_ready"], row["messages_unacknowledged"]
        return None

    def bindings(self, vhost: str, exchange: str) -> list[str]:
        """The keys that are bound to the exchange."""
        columns = ("source_name", "routing_key")
        rows = json.loads(self.node.ctl("list_bindings", "--vhost", vhost, "--formatter", "json", *columns))
        return [row["routing_key"] for row in rows if row["source_name"] == exchange]

    @contextmanager
    def limited(self, name: str, value: int) -> Iterator[None]:
        """One of the node's limits (`max_message_size`, `frame_max`) for what is opened in here; then as it was."""
        before = self.node.ctl("eval", f"application:get_env(rabbit, {name}, 0).").strip()
        self._set_limit(name, str(value))
        try:
            yield
        finally:
            self._set_limit(name, before)

    @property
    def smallest_frame(self) -> int:
        """The least `frame_max` that it takes: AMQP's own, and twice that since RabbitMQ 4.1."""
        version = tuple(int(part) for part in self.node.ctl("version").strip().split(".")[:2])
        return 4096 if version < (4, 1) else 8192

    def _set_limit(self, name: str, value: str) -> None:
        self.node.ctl("eval", f"application:set_env(rabbit, {name}, {value}), persistent_term:put({name}, {value}).")

    def cut_connections(self, vhost: str) -> None:
        """Closes every connection of the vhost by force, the subscriber's too."""
        self.node.ctl("close_all_connections", "--vhost", vhost, "cut by a test")


def _listed(names: list[str]) -> str:
    return ", ".join(_text(name) for name in names)


def _text(text: str) -> str:
    """As Erlang writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}"/utf8>>'
