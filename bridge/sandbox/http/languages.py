"""Languages that a user may prefer: the codes of ISO 639-3 that the published specification lists.

Written in languages.txt as in a dictionary: `aa=bc` stands for `aab` and `aac`.
"""

from pathlib import Path

_ENTRIES = Path(__file__).with_name("languages.txt").read_text(encoding="ascii").split()

LANGUAGES = frozenset(
    start + letter for entry in _ENTRIES for start, _, letters in [entry.partition("=")] for letter in letters
)
