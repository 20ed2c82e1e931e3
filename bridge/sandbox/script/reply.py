"""The agent's replies: believable words about the facts that it was told."""

import re
from typing import Any

import orjson

AGENT = "Aria"
_AMOUNT = re.compile(r"(?:[€$£]\s?\d[\d.,]*\d|\d[\d.,]*\d?\s?(?:EUR|USD|GBP|CHF|€|\$|£|%))")
_NAME = re.compile(r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)+\b")
_MAX_FACTS = 8
_MAX_QUOTE_CHARS = 400
_MAX_FACT_CHARS = 80
_WORDS_IN_PIECE = 5


def greeting() -> str:
    """The first words of an agent that speaks first."""
    return f"Hello, this is {AGENT}. I am here to help you today. What can I do for you?"


def answer(kind: str, message: str, events: list[str]) -> str:
    """The answer to a message of this kind (``user-message``, ``external-event``, ``skip``)."""
    if kind == "skip":
        return "Let us go on. Is there anything else that you would like to know?"
    opening = "I have just been informed of something new." if kind == "external-event" else "Thank you for telling me."
    earlier = f" Before that I was told: {_joined([_quote(event) for event in events])}." if events else ""
    return f"{opening}{earlier} {_about(message)} I will take care of it and keep you posted."


def recommendations(message: str) -> list[str]:
    """Answers that the user might give to that message."""
    return ["Yes, please go on.", f"Can you tell me more about {topic(message)}?", "No, thank you, that is all."]


def topic(message: str) -> str:
    """The topic of a message, in a few words."""
    facts = _facts(message)
    if facts:
        return facts[0]
    words = message[:_MAX_QUOTE_CHARS].split()[:6]
    return " ".join(words)[:_MAX_FACT_CHARS] or "the visit"


def pieces(text: str, count: int | None = None) -> list[str]:
    """The text in pieces that add up to it, of about five words or so many as asked for."""
    words = re.findall(r"\s*\S+\s*$|\s*\S+", text)
    size = _WORDS_IN_PIECE if count is None else max(1, -(-len(words) // count))
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def _about(message: str) -> str:
    facts = _facts(message)
    if facts:
        return f"I see that {_joined(facts)}."
    quote = _quote(message)
    amounts, names = _AMOUNT.findall(quote), _NAME.findall(quote)
    noted = f'I understand this: "{quote}".'
    if amounts:
        noted += f" The figures that matter are {_joined(list(dict.fromkeys(amounts)))}."
    if names:
        noted += f" It concerns {_joined(list(dict.fromkeys(names)))}."
    return noted


def _facts(message: str) -> list[str]:
    """``name is value`` for the leaves of a JSON message; none for any other."""
    if not message.lstrip().startswith(("{", "[")):
        return []
    try:
        content = orjson.loads(message)
    except orjson.JSONDecodeError:
        return []
    return _leaves(content, "")[:_MAX_FACTS]


def _leaves(content: Any, name: str) -> list[str]:
    if isinstance(content, dict):
        return [leaf for key, value in content.items() for leaf in _leaves(value, f"{name} {_words(key)}".strip())]
    if isinstance(content, list):
        return [leaf for value in content for leaf in _leaves(value, name)]
    return [f"{name or 'it'} is {content}"[:_MAX_FACT_CHARS]]


def _words(key: str) -> str:
    return re.sub(r"[_\-.]+", " ", key)


def _quote(text: str) -> str:
    return text if len(text) <= _MAX_QUOTE_CHARS else text[:_MAX_QUOTE_CHARS] + "…"


def _joined(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
