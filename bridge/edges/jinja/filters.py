"""Jinja's filters where they need another hand: what would multiply foreign data, what knows only floats, and JSON."""

import json
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from jinja2 import Environment, Undefined
from jinja2.nodes import EvalContext
from markupsafe import Markup

from bridge.core import numbers
from bridge.core.numbers import MAX_INT_DIGITS
from bridge.core.template import arithmetic
from bridge.core.template.budget import Budget, TooMuch
from bridge.core.template.formatting import MAX_WIDTH, measure, percent, plain
from bridge.edges.jinja._internals import FILTERS, make_attrgetter

Counted = Callable[[Iterable[Any]], Iterable[Any]]

TOO_LARGE = 10**MAX_INT_DIGITS
MAX_WORD_CHARS = 200
"""Beyond it text is not searched for hyphens and links: that takes a time which grows with the word's square."""
MAX_INDENT = 16
BOOLEANS = "true and false are no numbers"
UNSAID = object()
"""The default of a filter that its template does not give."""
LAZY = (
    "default",
    "d",
    "first",
    "last",
    "length",
    "count",
    "random",
    "attr",
    "items",
    "map",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "defined",
    "undefined",
    "none",
    "mapping",
    "sequence",
    "iterable",
    "string",
    "number",
    "callable",
    "boolean",
)
"""Filters and tests that do not look at the whole; what they yield later is paid for then."""
WEIGHTS = {
    "wordwrap": 400,
    "urlize": 2000,
    "striptags": 100,
    "title": 100,
    "xmlattr": 50,
    "urlencode": 50,
    "wordcount": 50,
    "list": 20,
    "sort": 20,
    "dictsort": 20,
    "groupby": 20,
    "unique": 20,
    "min": 5,
    "max": 5,
    **dict.fromkeys(LAZY, 0),
}
"""Units a character, where it is not 1; items are paid for in proportion."""
TEXTS = frozenset(
    (
        "capitalize",
        "center",
        "e",
        "escape",
        "forceescape",
        "format",
        "indent",
        "lower",
        "replace",
        "safe",
        "string",
        "striptags",
        "title",
        "trim",
        "truncate",
        "upper",
        "urlize",
        "wordcount",
        "wordwrap",
    )
)
"""Filters over text: whatever else they are given is told first."""


PATHS = frozenset(("map", "selectattr", "rejectattr", "groupby", "sum", "join", "sort", "unique", "min", "max"))
"""Filters that take the path of an attribute, which is followed once an item."""
MAX_STEPS = 50


def ensure_paths(given: Iterable[Any]) -> None:
    """Allow paths of attributes of few steps. Raises TooMuch."""
    if any(isinstance(one, str) and one.count(".") > MAX_STEPS for one in given):
        raise TooMuch(f"the path of an attribute has more than {MAX_STEPS} steps")


def ensure_chars(chars: Any) -> None:
    """Allow characters to strip: each is looked for once a character of the text. Raises TooMuch."""
    if isinstance(chars, str) and len(chars) > MAX_WORD_CHARS:
        raise TooMuch(f"more than {MAX_WORD_CHARS} characters to strip")


class Filters:
    """The filters of one environment."""

    def __init__(self, environment: Environment, budget: Budget, counted: Counted) -> None:
        self._environment = environment
        self._budget = budget
        self._counted = counted

    def table(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {
            "abs": absolute,
            "batch": self.batch,
            "center": self.center,
            "filesizeformat": self.file_size,
            "float": self.floating,
            "format": self.printed,
            "indent": self.indented,
            "int": self.whole,
            "join": self.join,
            "pprint": self.pretty,
            "replace": self.replace,
            "round": self.rounded,
            "slice": self.slices,
            "sum": self.total,
            "tojson": self.tojson,
            "trim": trimmed,
            "urlencode": self.urlencode,
            "urlize": self.urlize,
            "wordwrap": self.wordwrap,
            "xmlattr": self.xmlattr,
        }

    def tests(self) -> dict[str, Callable[..., bool]]:
        """Jinja's tests over numbers, by name: exact, and of finite numbers alone."""
        return {
            "divisibleby": self.divisible,
            "even": lambda value: self.divisible(value, 2),
            "odd": lambda value: bool(self._rest(value, 2) == 1),
        }

    def divisible(self, value: Any, num: Any) -> bool:
        return bool(self._rest(value, num) == 0)

    def _rest(self, value: Any, divisor: Any) -> Any:
        return arithmetic.calculated("%", finite(value), finite(divisor), self._budget)

    def batch(self, value: Iterable[Any], linecount: int, fill_with: Any = None) -> Any:
        self._budget.make(linecount)
        return FILTERS["batch"](value, linecount, fill_with)

    def center(self, value: str, width: int = 80) -> str:
        self._budget.make(width)
        return value.center(width)

    def file_size(self, value: Any, binary: bool = False) -> Any:
        size = finite(value if isinstance(value, int) else self.floating(value, value))
        return FILTERS["filesizeformat"](size, binary)

    def floating(self, value: Any, default: Any = UNSAID) -> Any:
        return finite(FILTERS["float"](value, self._default(value, default, 0.0)))

    def whole(self, value: Any, default: Any = UNSAID, base: int = 10) -> Any:
        return whole(value, self._default(value, default, 0), base)

    def _default(self, value: Any, default: Any, usual: Any) -> Any:
        """The number in place of what is none. Where a name or an id belongs, null has none that nobody asked for."""
        if default is not UNSAID:
            return default
        if value is None or isinstance(value, bool):
            self._ensure_tellable(value)
        return usual

    def _ensure_tellable(self, value: Any) -> None:
        """Allow text and numbers where only these belong, and all elsewhere. Raises NotFormatted."""
        if self._budget.strict and not isinstance(value, str):
            plain(value, self._budget)

    def printed(self, value: str, *args: Any, **kwargs: Any) -> str:
        if args and kwargs:
            raise TypeError("positional and keyword arguments at the same time")
        return percent(value, kwargs or args, self._budget)

    def indented(self, s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> Any:
        each = len(width) if isinstance(width, str) else width
        self._budget.make(len(s) + each * (len(s.splitlines()) + 1))
        return FILTERS["indent"](s, width, first, blank)

    def join(self, value: Iterable[Any], d: Any = "", attribute: Any = None) -> str:
        between, length, parts = plain(d, self._budget), 0, []
        for item in self._of(value, attribute):
            parts.append(plain(item, self._budget))
            length += len(parts[-1]) + len(between)
            self._budget.within(length)
        return between.join(parts)

    def pretty(self, value: Any, verbose: bool = False) -> str:
        return self._json(value, 2)

    def replace(self, s: str, old: Any, new: Any, count: int | None = None) -> str:
        old, new = plain(old, self._budget), plain(new, self._budget)
        self._budget.make(len(s) + s.count(old) * len(new))
        return s.replace(old, new, -1 if count is None else count)

    def rounded(self, value: Any, precision: int = 0, method: str = "common") -> Any:
        if not -MAX_WIDTH <= precision <= MAX_WIDTH:
            raise TooMuch(f"more than {MAX_WIDTH} places")
        if isinstance(value, bool):
            raise TypeError(BOOLEANS)
        if isinstance(value, Decimal) or (isinstance(value, int) and abs(value) > arithmetic.EXACT_IN_BINARY):
            return arithmetic.rounded(Decimal(value), precision, method)
        return FILTERS["round"](value, precision, method)

    def slices(self, value: Iterable[Any], slices: int, fill_with: Any = None) -> Any:
        self._budget.make(slices)
        items = list(self._counted(value))
        each, longer = divmod(len(items), slices)
        start = 0
        for number in range(slices):
            end = start + each + (number < longer)
            filled = [] if fill_with is None or number < longer else [fill_with]
            yield items[start:end] + filled
            start = end

    def total(self, iterable: Iterable[Any], attribute: Any = None, start: Any = 0) -> Any:
        total = start
        for item in self._of(iterable, attribute):
            total = arithmetic.calculated("+", total, item, self._budget)
        return total

    def tojson(self, value: Any, indent: int | None = None) -> Markup:
        text = self._json(value, indent)
        for char in "<>&'":
            text = text.replace(char, f"\\u{ord(char):04x}")
        return Markup(text)  # noqa: S704 (as Jinja's own: it is not escaped once more)

    def urlencode(self, value: Any) -> str:
        self._ensure_tellable(value)
        if isinstance(value, str | bytes | bytearray) or not isinstance(value, Iterable):
            return str(FILTERS["urlencode"](plain(value, self._budget)))
        pairs = self._counted(value.items() if isinstance(value, dict) else value)
        return str(FILTERS["urlencode"]([(self._plain(name), self._plain(one)) for name, one in pairs]))

    def xmlattr(self, d: dict[Any, Any], autospace: bool = True) -> Any:
        given = {name: one for name, one in d.items() if one is not None and not isinstance(one, Undefined)}
        texts = {name: self._plain(one) for name, one in given.items()}
        return FILTERS["xmlattr"](EvalContext(self._environment), texts, autospace)

    def _plain(self, value: Any) -> str:
        return plain(value, self._budget)

    def urlize(self, value: str, *args: Any, **kwargs: Any) -> Any:
        if _longest_word(value) > MAX_WORD_CHARS * 5:
            raise TooMuch(f"a word of more than {MAX_WORD_CHARS * 5} characters")
        context = EvalContext(self._environment)
        return FILTERS["urlize"](context, value, *args, **kwargs)

    def wordwrap(
        self,
        s: str,
        width: int = 79,
        break_long_words: bool = True,
        wrapstring: str | None = None,
        *more: Any,
        **named: Any,
    ) -> Any:
        longest, between = _longest_word(s), wrapstring or "\n"
        self._budget.spend(longest * longest // (8 * max(1, width)))  # each cut copies the rest
        self._budget.make(len(s) + (len(s) // max(1, width) + s.count(" ") + s.count("\n") + 1) * len(between))
        if longest > MAX_WORD_CHARS:
            more, named = (), {"break_on_hyphens": False}
        return FILTERS["wordwrap"](self._environment, s, width, break_long_words, wrapstring, *more, **named)

    def _of(self, items: Iterable[Any], attribute: Any) -> Iterable[Any]:
        counted = self._counted(items)
        return counted if attribute is None else map(make_attrgetter(self._environment, attribute), counted)

    def _json(self, value: Any, indent: int | None) -> str:
        self._ensure_tellable(value)
        measure(value, self._budget)
        step = None if indent is None else min(max(indent, 0), MAX_INDENT)
        pieces: list[str] = []
        length = 0
        for piece in _pieces(value, step, "\n"):
            length += len(piece)
            self._budget.within(length)
            pieces.append(piece)
        self._budget.spend(length)
        return "".join(pieces)


def absolute(value: Any) -> Any:
    """A number without its sign, with every digit."""
    if isinstance(value, bool):
        raise TypeError(BOOLEANS)
    return value.copy_abs() if isinstance(value, Decimal) else abs(value)


def finite(value: Any) -> Any:
    """A number that can be worked with. Raises ValueError, TypeError."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError(BOOLEANS if isinstance(value, bool) else f"a {type(value).__name__} is no number")
    if isinstance(value, float | Decimal) and not Decimal(value).is_finite():
        raise ValueError("it comes to no finite number")
    return value


def whole(value: Any, default: Any = 0, base: int = 10) -> Any:
    """A number without its fraction, with every digit before it. Raises TooMuch, ValueError."""
    if isinstance(value, numbers.Number) and value.token.lstrip("-").isdigit():
        return value  # a whole number already, of more digits than Python writes
    if isinstance(value, Decimal):
        return arithmetic.int_of(value)
    made = FILTERS["int"](value, default, base)
    if isinstance(made, int) and abs(made) >= TOO_LARGE:
        raise TooMuch(f"a whole number of more than {MAX_INT_DIGITS} digits")
    return made


def trimmed(value: str, chars: str | None = None) -> str:
    """A text without white space, or other characters, at its ends. Raises TooMuch."""
    ensure_chars(chars)
    return value.strip(chars)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _pieces(value: Any, step: int | None, line: str) -> Iterator[str]:
    """JSON as `json.dumps` writes it, with keys in order and decimals as they were written."""
    if isinstance(value, dict):
        inner = [((json.dumps(_key(key)) + ": "), value[key]) for key in sorted(value)]
        yield from _listed("{", "}", inner, step, line)
    elif isinstance(value, list | tuple):
        yield from _listed("[", "]", [("", part) for part in value], step, line)
    elif isinstance(value, Decimal):
        yield numbers.written(value)
    else:
        yield json.dumps(value, allow_nan=False)


def _listed(opening: str, closing: str, parts: list[tuple[str, Any]], step: int | None, line: str) -> Iterator[str]:
    inside = line if step is None else line + " " * step
    for number, (label, part) in enumerate(parts):
        between = inside if step is not None else " " if number else ""
        yield (opening if number == 0 else ",") + between + label
        yield from _pieces(part, step, inside)
    yield (opening if not parts else line if step is not None else "") + closing


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError("keys of JSON are texts")
    return key
