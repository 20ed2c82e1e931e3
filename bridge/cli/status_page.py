"""The status of one replica in words."""

from collections.abc import Iterator, Mapping, Sequence

from bridge.core.control.command import Facts

MAX_LIMITS = 5


def status_lines(answer: Facts) -> Sequence[str]:
    """The lines for a person. What a replica of another version does not tell is left out."""
    if "error" in answer:
        return [f"{answer.get('replica')}: {answer['error']}"]
    return list(_lines(answer))


def _lines(answer: Facts) -> Iterator[str]:
    ready = "ready" if answer.get("ready") else "NOT READY"
    yield f"{answer.get('replica')}  {ready}, version {answer.get('version')}, since {answer.get('since')}"
    yield _line("config", f"{answer.get('configuration')}, generation {answer.get('generation')}")
    for name, reason in _map(answer.get("problems")).items():
        yield _line("problem", f"{name}: {reason}")
    yield _line("in hand", f"{answer.get('in_hand')}, {answer.get('running')} being answered")
    yield from _waiting(_map(answer.get("waiting")))
    limits = _list(answer.get("limits"))
    for limit in limits[:MAX_LIMITS]:
        who = f"user {limit.get('user_id')}" if limit.get("user_id") else "everybody"
        yield _line("limit", f"{limit.get('operation')} of {who}, for {limit.get('left_s')} s")
    if len(limits) > MAX_LIMITS:
        yield _line("limits", f"{len(limits) - MAX_LIMITS} more")
    breaker = _map(answer.get("breaker"))
    why = "; ".join(f"{name}: {error}" for name, error in _map(breaker.get("why")).items())
    yield _line("breaker", f"open: {why}" if breaker.get("open") else "closed")
    for pause in _list(answer.get("pauses")):
        yield _line("paused", _pause(pause))
    if answer.get("only_this_replica"):
        yield _line("steering", f"by HTTP alone: {answer['only_this_replica']}")


def _waiting(waiting: Mapping[str, object]) -> Iterator[str]:
    if not waiting.get("events"):
        yield _line("waiting", "0")
        return
    yield _line("waiting", f"{waiting['events']} in {waiting.get('lanes')} lanes")
    yield _line("oldest", f"{waiting.get('event_id')}, {waiting.get('oldest_s')} s: {waiting.get('why')}")


def _pause(pause: Mapping[str, object]) -> str:
    until = f" until {pause['until']}" if pause.get("until") else ""
    reason = f": {pause['reason']}" if pause.get("reason") else ""
    subject = f"{pause.get('scope')} {pause.get('name') or ''}".strip()
    return f"{subject} since {pause.get('since')} by {pause.get('by')}{until}{reason}"


def _line(name: str, words: str) -> str:
    return f"  {name:<12} {words}"


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Mapping[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
