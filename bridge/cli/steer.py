"""`amigo-bridge pause`, `resume` and `status`: commands to all replicas, over the broker."""

import difflib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from bridge.cli.invocation import FAILED, config_option, json_option, loaded, run_async
from bridge.cli.screen import Screen
from bridge.cli.status_page import status_lines
from bridge.core.control.command import Command, CommandUnreadable, Facts, Verb, command_of
from bridge.core.control.pause import PauseScope
from bridge.core.duration import seconds
from bridge.edges.rabbitmq.control_client import ask, user_of
from bridge.edges.rabbitmq.generation import BrokerTrouble
from bridge.settings.model import Settings, load_reading

WAIT = "3s"

F = TypeVar("F", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class PauseOptions:
    """The options that say what a pause is about: exactly one of them is given."""

    everything: bool
    inbound: str | None
    route: str | None
    user: str | None

    def fields(self) -> dict[str, str]:
        """Scope and name, as a command has them. Raises a usage error."""
        named = {PauseScope.INBOUND: self.inbound, PauseScope.ROUTE: self.route, PauseScope.USER: self.user}
        given = [(scope, name) for scope, name in named.items() if name is not None]
        if self.everything:
            given.append((PauseScope.ALL, ""))
        if len(given) != 1:
            raise click.UsageError("say what: one of --all, --inbound QUEUE, --route NAME, --user ID")
        ((scope, name),) = given
        return {"scope": scope.value, "name": name}


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """A duration as the configuration has it; a usage error for anything else."""
    try:
        return None if value is None else seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def subject_options(command: F) -> F:
    """The options of a PauseOptions."""
    for option in (
        click.option("--user", help="The Amigo id of a user."),
        click.option("--route", help="The name of a route."),
        click.option("--inbound", help="The queue of an inbound."),
        click.option("--all", "everything", is_flag=True, help="Everything."),
    ):
        command = option(command)
    return command


def replica_options(command: F) -> F:
    """How long, and for how many answers, to wait."""
    for option in (
        click.option("--replicas", type=click.IntRange(1), help="Wait for so many; fewer answers are a failure."),
        click.option("--wait", "wait_s", callback=_seconds, default=WAIT, show_default=True, help="At most so long."),
    ):
        command = option(command)
    return command


@click.command()
@config_option
@json_option
@subject_options
@click.option("--reason", default="", help="Why; it is shown wherever the pause is.")
@click.option("--for", "for_s", callback=_seconds, help="Until when: 30m, 2h. Without it, until it is resumed.")
@replica_options
def pause(
    config: Path | None, as_json: bool, reason: str, for_s: float | None, wait_s: float, replicas: int | None,
    everything: bool, inbound: str | None, route: str | None, user: str | None,
) -> None:  # fmt: skip
    """Pause everything, an inbound, a route or a user, on all replicas."""
    screen = Screen(as_json=as_json)
    settings = loaded(load_reading, config, screen)
    fields: dict[str, object] = {**PauseOptions(everything, inbound, route, user).fields(), "reason": reason}
    if for_s is not None:
        fields["for"] = f"{round(for_s * 1000)}ms"
    command = _command(Verb.PAUSE, fields)
    _must_be_known(settings, command)
    answers = _asked(screen, settings, command, wait_s, replicas)
    _show(screen, command, answers, f"{_words(command)} is paused")


@click.command()
@config_option
@json_option
@subject_options
@replica_options
def resume(
    config: Path | None, as_json: bool, wait_s: float, replicas: int | None,
    everything: bool, inbound: str | None, route: str | None, user: str | None,
) -> None:  # fmt: skip
    """Lift a pause, on all replicas; what it has kept back goes on."""
    screen = Screen(as_json=as_json)
    settings = loaded(load_reading, config, screen)
    command = _command(Verb.RESUME, PauseOptions(everything, inbound, route, user).fields())
    answers = _asked(screen, settings, command, wait_s, replicas)
    if not any(answer.get("lifted") for answer in answers):
        _show(screen, command, answers, None)
        screen.problem(f"{_words(command)} was not paused{_instead(command, answers)}")
        sys.exit(FAILED)
    _show(screen, command, answers, f"{_words(command)} goes on")


@click.command()
@config_option
@json_option
@replica_options
def status(config: Path | None, as_json: bool, wait_s: float, replicas: int | None) -> None:
    """Show how every replica is; status 1 where one is not ready."""
    screen = Screen(as_json=as_json)
    settings = loaded(load_reading, config, screen)
    answers = _asked(screen, settings, Command(Verb.STATUS), wait_s, replicas)
    for answer in answers:
        screen.say(*status_lines(answer), **answer)
    configurations = {answer.get("configuration") for answer in answers}
    if len(configurations) > 1:
        screen.note(f"{len(configurations)} different configurations")
    if not all(answer.get("ready") for answer in answers):
        sys.exit(FAILED)


def _command(verb: Verb, fields: Mapping[str, object]) -> Command:
    try:
        return command_of({"command": verb.value, **fields})
    except CommandUnreadable as error:
        raise click.UsageError(str(error)) from None


def _must_be_known(settings: Settings, command: Command) -> None:
    """Raise a usage error for a route or an inbound that this configuration does not name."""
    known: dict[PauseScope, list[str]] = {
        PauseScope.ROUTE: [route.name for route in settings.routes],
        PauseScope.INBOUND: [inbound.queue for inbound in settings.amqp.inbound],
    }
    names = known.get(command.scope)
    if names is not None and command.name not in names:
        raise click.UsageError(f"there is no {_words(command)}{_meant(command.name, names)}")


def _meant(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), 1)
    return f". Did you mean {close[0]}?" if close else ""


def _instead(command: Command, answers: Sequence[Facts]) -> str:
    """The name that may have been meant, else what is paused."""
    pauses = [each for answer in answers for each in _pauses(answer)]
    names = {str(each["name"]) for each in pauses if each["scope"] == command.scope.value and each["name"]}
    if meant := _meant(command.name, names):
        return meant
    others = sorted({f"{each['scope']} {each['name'] or ''}".strip() for each in pauses})
    return f"; paused: {', '.join(others)}" if others else "; nothing is"


def _asked(
    screen: Screen, settings: Settings, command: Command, wait_s: float, replicas: int | None
) -> Sequence[Facts]:
    """The answers, by replica; the command ends with 1 where there are none, too few, or failures."""
    url = settings.amqp.url[0].get_secret_value()
    try:
        answers = run_async(ask(url, command, wait_s, replicas))
    except BrokerTrouble as trouble:
        screen.problem(str(trouble))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        screen.problem("interrupted")
        sys.exit(FAILED)
    if not answers:
        screen.problem(
            f"no replica has answered within {wait_s:g} s: none runs, or none obeys {user_of(url)}, "
            "who must be the bridge's own user at the broker or in control.users"
        )
        sys.exit(FAILED)
    answers.sort(key=lambda answer: str(answer.get("replica")))
    failed = [answer for answer in answers if "error" in answer]
    for answer in failed:
        screen.problem(f"{answer.get('replica')}: {answer['error']}")
    if replicas is not None and len(answers) < replicas:
        screen.problem(f"{len(answers)} of {replicas} replicas have answered within {wait_s:g} s")
    if failed or (replicas is not None and len(answers) < replicas):
        _show(screen, command, answers, None)
        sys.exit(FAILED)
    return answers


def _show(screen: Screen, command: Command, answers: Sequence[Facts], words: str | None) -> None:
    lines = []
    if words is not None:
        names = ", ".join(str(answer.get("replica")) for answer in answers)
        lines = [f"{words}, on {len(answers)} replica{'s' * (len(answers) > 1)}: {names}"]
    if lines or screen.as_json:
        screen.say(*lines, command=command.verb.value, scope=command.scope.value, name=command.name, replicas=answers)


def _words(command: Command) -> str:
    return "everything" if command.scope is PauseScope.ALL else f"{command.scope.value} {command.name}"


def _pauses(answer: Facts) -> Sequence[Mapping[str, object]]:
    pauses = answer.get("pauses")
    return pauses if isinstance(pauses, list) else []
