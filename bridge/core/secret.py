"""Secrets, ids and tokens as people, files and servers hand them over.

Blanks, tabs and line breaks around one are an accident (`echo` and editors put them there) and are taken away. Any
other character that cannot be seen is an error: it would be a secret that nobody else has. Errors never show a value.
"""

import re

AROUND = " \t\r\n"
WHITE = re.compile(f"[{AROUND}]+")


def trimmed(text: str) -> str:
    """The text without what is around it by accident. Raises ValueError for what cannot be seen inside."""
    text = text.strip(AROUND)
    if not text.isprintable():
        raise ValueError("it has a character inside that cannot be seen: a line break, a tab, a control character")
    return text


def header_value(text: str) -> str:
    """The same, for what is sent as the value of an HTTP header."""
    text = trimmed(text)
    if not text.isascii():
        raise ValueError("it has a character that an HTTP header cannot carry: only printable ASCII can be sent")
    return text


def compact(text: str) -> str:
    """The same without white space inside, for base64: it was wrapped by accident."""
    return trimmed(WHITE.sub("", text))


def bearer_token(text: str) -> str:
    """A token as a server gives it. Raises ValueError for what no `Authorization` header can carry."""
    text = header_value(text)
    if not text:
        raise ValueError("it is empty")
    return text
