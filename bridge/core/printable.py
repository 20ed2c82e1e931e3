"""Foreign text made safe for a person's terminal: characters that it obeys instead of showing are escaped.

Escaped are the control characters (C0, DEL, C1), line and paragraph separators, marks that change the direction of
text, what nobody sees (Unicode's default-ignorable code points, fillers among them) and halves of surrogate pairs. What
scripts and emoji need stays: the joiners U+200C and U+200D, the variation selectors of the Basic Multilingual Plane.
"""

import re

CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
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
