"""The broker's operator: private nodes, fresh vhosts, and the broker's own counts.

A vhost that nobody needs any more is given back: its quorum queues would go on ticking, and those of a hundred vhosts
keep most of a core busy. What can be asked through the node's own functions is: `rabbitmqctl` costs a second of a core.
"""

import itertools
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from deploy.local.node import HOST, RabbitNode
from tests.support.erlang_door import ErlangDoor

# Quorum queues report their counts to the operator's tools at every tick; 5 s by default.
TICK_MS = 1000
POOL = 8
BY = '<<"tests">>'


class Broker:
    """A node and its vhosts, several of which are made at once."""

    def __init__(self, node: RabbitNode) -> None:
        self.node = node
        self._door = ErlangDoor(node)
        self._numbers = itertools.count(1)
        self._fresh: deque[str] = deque()
        self._used: list[str] = []

    def start(self) -> None:
        self.node.start()
        self._tick_often()

    def restart(self, violently: bool) -> None:
        if violently:
            self.node.kill()
            self.node.start()
        else:
            self.node.restart()
        self._tick_often()

    def _tick_often(self) -> None:
        self.evaluate(f"application:set_env(rabbit, quorum_tick_interval, {TICK_MS}).")

    def evaluate(self, expressions: str) -> str:
        """What the node makes of these Erlang expressions, as Erlang writes it."""
        return self._door.evaluate(expressions)

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
        self.evaluate(
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
        self.evaluate(
            f"ok = rabbit_auth_backend_internal:add_user({who}, {_text(password)}, {BY}), "
            f"ok = rabbit_auth_backend_internal:set_permissions({who}, {where}, {rights}, {BY}).",
        )
        credentials = f"{quote(name, safe='')}:{quote(password, safe='')}"
        return f"amqp://{credentials}@{HOST}:{self.node.port}/{quote(vhost, safe='')}"

    def permit(self, vhost: str, name: str, *, configure: str = ".*", write: str = ".*", read: str = ".*") -> None:
        """The user's rights in the vhost from now on."""
        rights = ", ".join(_text(right) for right in (configure, write, read))
        self.evaluate(
            f"ok = rabbit_auth_backend_internal:set_permissions({_text(name)}, {_text(vhost)}, {rights}, {BY})."
        )

    def permit_keys(self, vhost: str, exchange: str, write: str) -> None:
        """The routing keys that guest may write to the exchange from now on; all may be read."""
        who, where, what = _text("guest"), _text(vhost), _text(exchange)
        rights = f"{_text(write)}, {_text('.*')}"
        self.evaluate(
            f"ok = rabbit_auth_backend_internal:set_topic_permissions({who}, {where}, {what}, {rights}, {BY})."
        )

    def url(self, vhost: str) -> str:
        return self.node.url + vhost

    def counts(self, vhost: str, queue: str) -> tuple[int, int] | None:
        """(ready, unacknowledged) at this moment; the operator's tools say what quorum queues last reported."""
        counts = self.evaluate(
            f"case rabbit_amqqueue:lookup(rabbit_misc:r({_text(vhost)}, queue, {_text(queue)})) of "
            "{ok, Queue} -> "
            "    case amqqueue:get_type(Queue) of "
            "        rabbit_quorum_queue -> "
            "            Counts = fun(State) -> "
            "                [rabbit_fifo:query_messages_ready(State), rabbit_fifo:query_messages_checked_out(State)] "
            "            end, "
            "            {ok, {_, Both}, _} = ra:leader_query(amqqueue:get_pid(Queue), Counts), Both; "
            "        _ -> "
            "            Names = [messages_ready, messages_unacknowledged], "
            "            [Count || {_, Count} <- rabbit_amqqueue:info(Queue, Names)] "
            "    end; "
            "{error, not_found} -> [] end."
        )
        found = json.loads(counts)
        return (found[0], found[1]) if found else None

    def bindings(self, vhost: str, exchange: str) -> list[str]:
        """The keys that are bound to the exchange."""
        columns = ("source_name", "routing_key")
        rows = json.loads(self.node.ctl("list_bindings", "--vhost", vhost, "--formatter", "json", *columns))
        return [row["routing_key"] for row in rows if row["source_name"] == exchange]

    @contextmanager
    def limited(self, name: str, value: int) -> Iterator[None]:
        """One of the node's limits (`max_message_size`, `frame_max`) for what is opened in here; then as it was."""
        before = self.evaluate(f"application:get_env(rabbit, {name}, 0).")
        self._set_limit(name, str(value))
        try:
            yield
        finally:
            self._set_limit(name, before)

    @property
    def smallest_frame(self) -> int:
        """The least `frame_max` that it takes: AMQP's own, and twice that since RabbitMQ 4.1."""
        version = self.evaluate(
            "{ok, Version} = application:get_key(rabbit, vsn), "
            '[list_to_integer(Part) || Part <- lists:sublist(string:tokens(Version, "."), 2)].'
        )
        return 4096 if json.loads(version) < [4, 1] else 8192

    def _set_limit(self, name: str, value: str) -> None:
        self.evaluate(f"application:set_env(rabbit, {name}, {value}), persistent_term:put({name}, {value}).")

    def cut_connections(self, vhost: str) -> None:
        """Closes every connection of the vhost by force, the subscriber's too."""
        self.evaluate(
            '[catch rabbit_networking:close_connection(One, "cut by a test") '
            "|| One <- rabbit_networking:connections(), "
            f"[{{vhost, {_text(vhost)}}}] =:= (catch rabbit_networking:connection_info(One, [vhost]))]."
        )


def _listed(names: list[str]) -> str:
    return ", ".join(_text(name) for name in names)


def _text(text: str) -> str:
    """As Erlang writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}"/utf8>>'
