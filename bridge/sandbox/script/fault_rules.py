"""The fault book: which faults wait for whom, and how often they still strike."""

import random
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from bridge.sandbox.script.fault import Fault, Match, Seen, UnknownFault, faults_in_text, make_fault, parse_fault

HEADER = "x-sandbox-fault"


@dataclass
class Rule:
    """A fault with those whom it strikes; ``left`` None = for ever."""

    number: int
    fault: Fault
    match: Match
    left: int | None
    probability: float


class FaultRules:
    """Rules from the admin endpoint, and memory of what messages have already brought upon themselves."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._rules: list[Rule] = []
        self._numbered = 0
        self._struck: Counter[tuple[str, str, Fault]] = Counter()

    def add(self, asked: dict[str, Any]) -> Rule:
        """Takes ``{kind, match, count, probability, ...settings}``; UnknownFault says what is wrong with it."""
        settings = dict(asked)
        kind, match = str(settings.pop("kind", "")), settings.pop("match", {})
        count, probability = settings.pop("count", None), settings.pop("probability", 1.0)
        try:
            left = None if count is None else int(count)
            rule = Rule(self._numbered + 1, make_fault(kind, settings), Match(**match), left, float(probability))
        except (TypeError, ValueError) as error:
            raise UnknownFault(f"bad rule: {error}") from error
        self._numbered += 1
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        self._rules.clear()
        self._struck.clear()

    def rules(self) -> list[dict[str, Any]]:
        return [asdict(rule) for rule in self._rules]

    def choose(self, seen: Seen) -> list[Fault]:
        """The faults of one request, those of its header first, then of its text, then of the rules.

        Only the first one that is not a scripted reply counts; the rules behind it are not used up.
        """
        chosen = [parse_fault(part)[0] for part in seen.headers.get(HEADER, "").split(",") if part.strip()]
        for fault, count in faults_in_text(seen.text):
            key = (seen.user, seen.text, fault)
            if fault.directive is not None or count is None or self._struck[key] < count:
                self._struck[key] += fault.directive is None
                chosen.append(fault)
        for rule in self._rules:
            disturbed = any(fault.directive is None for fault in chosen)
            wanted = rule.fault.concerns(seen.operation) and not (disturbed and rule.fault.directive is None)
            if wanted and rule.match.fits(seen) and self._strikes(rule):
                chosen.append(rule.fault)
        return [fault for fault in chosen if fault.concerns(seen.operation)]

    def _strikes(self, rule: Rule) -> bool:
        if rule.left == 0 or self._dice.random() >= rule.probability:
            return False
        if rule.left is not None:
            rule.left -= 1
        return True
