"""Requests that are almost good: each has one thing in it changed that matters, the same one each time."""

import hashlib

from bridge.core.webhook.signature import HttpRequest
from tests.support.webhooks import Sample

LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Dice:
    """Numbers out of a digest: the same ones each time."""

    def __init__(self, seed: str) -> None:
        self._digest = hashlib.sha512(seed.encode()).digest()
        self._at = 0

    def below(self, limit: int) -> int:
        self._at += 4
        if self._at > len(self._digest):
            self._digest, self._at = hashlib.sha512(self._digest).digest(), 4
        return int.from_bytes(self._digest[self._at - 4 : self._at], "big") % limit


def other_letter(dice: Dice, letter: str) -> str:
    found = chr(LETTERS[dice.below(len(LETTERS))])
    return found if found.lower() != letter.lower() else ("_" if letter != "_" else "-")


def changed_text(dice: Dice, text: str, first: int) -> str:
    """One letter exchanged, left out or put in."""
    at = first + dice.below(len(text) - first)
    match dice.below(3):
        case 0:
            return text[:at] + other_letter(dice, text[at]) + text[at + 1 :]
        case 1:
            return text[:at] + text[at + 1 :]
    return text[:at] + other_letter(dice, "~") + text[at:]


def changed_body(dice: Dice, sample: Sample) -> bytes:
    """A byte flipped, left out, put in; or, where fields are signed and not bytes, a letter of a value exchanged."""
    body = sample.body
    if not sample.whole_body:
        at = body.index(b"hello") + dice.below(5)
        return body[:at] + other_letter(dice, chr(body[at])).encode() + body[at + 1 :]
    at = dice.below(len(body))
    match dice.below(4):
        case 0:
            return body[:at] + bytes((body[at] ^ (1 << dice.below(8)),)) + body[at + 1 :]
        case 1:
            return body[:at] + body[at + 1 :]
        case 2:
            return body[:at] + bytes((dice.below(256),)) + body[at:]
    return body[:at] + body[at:].swapcase() if body[at:] != body[at:].swapcase() else body + b"\n"


def mutated(sample: Sample, number: int) -> HttpRequest:
    """The sample's request with something in it that matters changed."""
    dice = Dice(f"{sample.source.scheme} {number}")
    signed = sample.source.scheme not in ("bearer", "basic")
    if signed and dice.below(2):
        return sample.but(body=changed_body(dice, sample))
    name = sample.guarded[dice.below(len(sample.guarded))]
    value = sample.headers[name]
    first = value.index(" ") + 1 if not signed else 0
    match dice.below(8):
        case 0:
            return sample.without(name)
        case 1:
            return sample.with_header(name, changed_text(dice, value, first), changed_text(dice, value, first))
    return sample.with_header(name, changed_text(dice, value, first))
