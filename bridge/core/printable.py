"""Foreign text made safe for a person's terminal: characters that it obeys instead of showing are escaped.

Escaped are the control characters (C0, DEL, C1), line and paragraph separators, marks that change the direction of
text, invisible format characters and halves of surrogate pairs. What scripts and emoji need (joiners) stays.
"""

import re

CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""One line of text: `\n`, `\x1b`, `\u202e` in place of what a terminal would act upon."""
    return text if text.isascii() and text.isprintable() else CONTROLS.sub(_escaped, text)


def printable_json(text: str) -> str:
    r"""JSON, still the same value: what a terminal would act upon stands as `\u009b`. It has to be on one line."""
    return text if text.isascii() and text.isprintable() else CONTROLS.sub(_as_json, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return NAMED.get(char) or char.encode("unicode_escape", "surrogatepass").decode("ascii")


def _as_json(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))
