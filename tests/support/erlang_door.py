"""A way into a running node: evaluates Erlang there over a socket, in milliseconds.

`rabbitmqctl eval` starts an Erlang machine for each question, which costs a second of a core. It is asked once for each
start of the node, to open the door: a process in the node that listens on the loopback interface and evaluates what
comes with its secret.
"""

import secrets
import socket
import threading

from deploy.local.node import HOST, NodeError, RabbitNode

TIMEOUT_S = 60.0
# One request a connection: secret, expressions; the answer is `+` or `-` and the value or error as Erlang writes it.
# The process would otherwise write to, and end with, the machine that rabbitmqctl starts.
DOOR = """
    Me = self(),
    Evaluated = fun(Text) ->
        try
            {{ok, Tokens, _}} = erl_scan:string(unicode:characters_to_list(Text)),
            {{ok, Expressions}} = erl_parse:parse_exprs(Tokens),
            {{value, Value, _}} = erl_eval:exprs(Expressions, []),
            io_lib:format("+~tw", [Value])
        catch
            Class:Reason -> io_lib:format("-~tp", [{{Class, Reason}}])
        end
    end,
    Serve = fun Serve(Listener) ->
        {{ok, Socket}} = gen_tcp:accept(Listener),
        case gen_tcp:recv(Socket, 0, 10000) of
            {{ok, <<"{secret}", Text/binary>>}} ->
                gen_tcp:send(Socket, unicode:characters_to_binary(Evaluated(Text)));
            _ -> refused
        end,
        gen_tcp:close(Socket),
        Serve(Listener)
    end,
    spawn(fun() ->
        group_leader(whereis(init), self()),
        Options = [binary, {{packet, 4}}, {{active, false}}, {{ip, {{127, 0, 0, 1}}}}, {{backlog, 64}}],
        {{ok, Listener}} = gen_tcp:listen(0, Options),
        {{ok, Port}} = inet:port(Listener),
        Me ! {{door, Port}},
        Serve(Listener)
    end),
    receive {{door, Port}} -> Port after 10000 -> exit(no_door) end.
"""


class ErlangDoor:
    """Opened when it is first needed, and again where the node has been started anew."""

    def __init__(self, node: RabbitNode) -> None:
        self._node = node
        self._secret = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._port: int | None = None

    def evaluate(self, expressions: str) -> str:
        """The last expression's value as Erlang writes it; `expressions` end with a full stop. NodeError: it failed."""
        with self._lock:
            if self._port is not None:
                try:
                    return self._answer(self._port, expressions)
                except ConnectionRefusedError:
                    self._port = None
            self._port = int(self._node.ctl("eval", DOOR.format(secret=self._secret)))
            return self._answer(self._port, expressions)

    def _answer(self, port: int, expressions: str) -> str:
        with socket.create_connection((HOST, port), TIMEOUT_S) as link:
            request = (self._secret + expressions).encode()
            link.sendall(len(request).to_bytes(4, "big") + request)
            answer = b"".join(iter(lambda: link.recv(65_536), b""))[4:].decode()
        if not answer.startswith("+"):
            raise NodeError(f"the node did not evaluate {expressions}: {answer[1:] or 'no answer'}")
        return answer[1:]
