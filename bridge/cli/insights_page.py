"""The agent's reasoning in an interaction as a page to read (docs/api-contract.md, 1.10)."""

from collections.abc import Iterator, Mapping, Sequence

from bridge.cli.screen import Screen
from bridge.core import numbers
from bridge.core.permissions import lacks
from bridge.edges.amigo.pages import Row
from bridge.edges.amigo.results import Insights, ToolCall

NO_REFLECTIONS = f"none, or {lacks('messages')}"
PATH = ("type", "previous_state", "next_state")
DETAILS = ("previous_state_exit_condition_description", "inner_thought_message_id", "performed_queries")


def insights_page(screen: Screen, row: Row) -> Iterator[str]:
    """The lines of the page; each part has a heading, and a part without content says so."""
    insights = Insights.read("insights", row)
    for name, text in (
        ("State", insights.current_state_name),
        ("Action", insights.current_state_action),
        ("Objective", insights.current_state_objective),
    ):
        yield from _part(screen, name, [text])
    behaviour = insights.triggered_dynamic_behavior_set_version_info
    triggered = [] if behaviour is None else [f"{behaviour[0]}, version {behaviour[1]}"]
    yield from _part(screen, "Dynamic behavior", triggered)
    yield from _part(screen, "Transitions", [_transition(log) for log in insights.state_transition_logs])
    yield from _part(screen, "Working memory", [f"{one.content} ({one.context})" for one in insights.working_memory])
    yield from _part(screen, "Reflections", insights.reflections, NO_REFLECTIONS)
    yield from _part(screen, "Tools, to choose the action", _calls(insights.select_next_action_tool_call_logs))
    yield from _part(screen, "Tools, to talk with the user", _calls(insights.engage_user_tool_call_logs))


def _part(screen: Screen, title: str, entries: Sequence[str], nothing: str = "none") -> Iterator[str]:
    yield title
    for entry in entries or [nothing]:
        yield from screen.wrapped(entry)


def _transition(log: Mapping[str, object]) -> str:
    kind, before, after = (str(log.get(name, "")) for name in PATH)
    lines = [f"{before} → {after}  [{kind}]"]
    lines += [f"    {_text(log[name])}" for name in DETAILS if log.get(name)]
    lines += [f"    {_call(ToolCall.read('insights', call))}" for call in _calls_of(log)]
    return "\n".join(lines)


def _calls_of(log: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The tool calls of a transition, that of a tool-call state last."""
    rounds = log.get("tool_call_logs")
    for round_ in [*(rounds if isinstance(rounds, list) else []), [log.get("designated_tool_call_log")]]:
        yield from (call for call in (round_ if isinstance(round_, list) else []) if isinstance(call, Mapping))


def _calls(rounds: Sequence[Sequence[ToolCall]]) -> list[str]:
    return [_call(call) for round_ in rounds for call in round_]


def _call(call: ToolCall) -> str:
    output = "no output" if call.output is None else call.output
    return f"{call.tool_name} {call.tool_version} ({call.duration:g} s) {_text(call.input)} → {output}"


def _text(value: object) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else numbers.dumps(value).decode()
