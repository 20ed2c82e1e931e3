"""Jinja's sandbox, narrowed: what foreign data can make a template do is paid for out of a budget.

Keys of the data win over methods, numbers keep their digits, and whatever is printed is told as text or JSON has it.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial, wraps
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import StrictUndefined, pass_context
from jinja2.environment import Template, TemplateExpression
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter

from bridge.core.template.arithmetic import calculated, negated
from bridge.core.template.budget import Budget, TooMuch
from bridge.core.template.formatting import formatted, measure, plain
from bridge.edges.jinja import tree
from bridge.edges.jinja._internals import FormattingEnvironment, Namespace, takes_context
from bridge.edges.jinja.filters import PATHS, TEXTS, WEIGHTS, Filters, ensure_chars, ensure_paths

TURN = 2500
"""Units for one turn of a loop, with what stands in it."""
CALL = 1000
MACRO = 5000
FILTER = 300
ITEM = 300
"""Units for one item that a filter or a function looks at."""
GLANCE = 50
"""Units for one item that is only searched or copied."""
DEEP = frozenset(("sort", "dictsort", "groupby", "unique", "min", "max", "eq", "ne", "lt", "le", "gt", "ge", "in"))
"""Filters and tests that compare items, with whatever is in them."""

Whole: tuple[type[Any], ...] = (
    list,
    tuple,
    dict,
    range,
    set,
    frozenset,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)
METHODS_OF_NUMBERS = frozenset({"is_integer", "bit_length", "is_nan", "is_signed", "is_zero", "normalize"})


class Environment(FormattingEnvironment):
    """Templates and expressions, compiled once. `budget` is what the rendering that is under way may still do."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    intercepted_unops = frozenset({"-", "+"})

    def __init__(self) -> None:
        self.budget = Budget()
        super().__init__(undefined=StrictUndefined, autoescape=False, optimized=False, finalize=self._finalized)
        del self.globals["lipsum"]
        own: dict[str, Callable[..., Any]] = {
            tree.COUNTED: self.counted,
            tree.JOINED: lambda *parts: self.joined(self.plain(part) for part in parts),
            tree.OPERAND: self._operand,
            tree.SEARCHED: self._searched,
            tree.METHOD: self._method,
            tree.DECIMAL: Decimal,
        }
        filters = Filters(self, self.budget, partial(self.counted, each=ITEM))
        self.filters.update(filters.table())
        self.tests.update(filters.tests())
        self.filters = {name: self._metered(name, made) for name, made in dict[str, Any](self.filters).items()} | own
        self.tests = {name: self._metered(name, made) for name, made in dict[str, Any](self.tests).items()}

    def template(self, text: str) -> Template:
        """A template. Raises TemplateError."""
        return self.from_string(tree.template(self, text))

    def expression(self, text: str) -> TemplateExpression:
        """An expression. Raises TemplateError."""
        return TemplateExpression(self.from_string(tree.expression(self, text)), undefined_to_none=False)

    def plain(self, value: Any) -> str:
        """A value as text."""
        return plain(value, self.budget)

    def counted(self, items: Iterable[Any], each: int = TURN) -> Iterator[Any]:
        """The items; each is paid for."""
        spend = self.budget.spend
        for item in items:
            spend(each)
            yield item

    def joined(self, pieces: Iterable[str]) -> str:
        """The pieces as one text. Raises TooMuch before it has grown too long."""
        length, kept = 0, []
        for piece in pieces:
            length += len(piece)
            self.budget.within(length)
            kept.append(piece)
        self.budget.spend(length)
        return "".join(kept)

    def cost(self, value: Any, weight: int) -> int:
        """Units for a look at the whole of a value."""
        if isinstance(value, str | bytes | bytearray):
            return len(value) * weight
        return len(value) * max(ITEM, weight * 100) if isinstance(value, Whole) else 0

    # --- what Jinja's sandbox asks

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return calculated(operator, left, right, self.budget)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        return negated(arg) if operator == "-" else negated(negated(arg))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of the data, else an attribute that is no method: one that is meant is called (see `_method`)."""
        kind = type(obj)
        if kind is dict:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if kind is Namespace and not attribute.startswith("_"):
            return getattr(obj, attribute)  # the sandbox's questions to it are slow, and this is a loop's variable
        return self._no_method(obj, attribute, super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        if not isinstance(obj, dict):
            return self._no_method(obj, argument, super().getitem(obj, argument))
        try:
            return obj[argument]
        except (TypeError, LookupError):
            return self.undefined(obj=obj, name=argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, int | float | Decimal) and attr not in METHODS_OF_NUMBERS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def formatter(self) -> SandboxedFormatter:
        return _Formatter(self)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        budget = __self.budget
        budget.spend(CALL + ITEM * (len(args) + len(kwargs)))
        budget.spend(sum(__self.cost(one, 1) for one in (*args, *kwargs.values())))
        if isinstance(__obj, MethodType) and isinstance(__obj.__self__, str):
            __obj = getattr(str.__str__(__obj.__self__), __obj.__name__)  # of Markup: it takes no account of any bound
        if isinstance(__obj, BuiltinMethodType):
            args = __self._checked(__obj, args, kwargs)
        else:
            budget.spend(MACRO)
            if isinstance(__obj, LoopContext):
                args = tuple(__self.counted(one) for one in args)
        return __self._taken(super().call(__context, __obj, *args, **kwargs))

    # --- what stands between

    @pass_context
    def _finalized(self, _: Context, value: Any) -> str:
        return value if type(value) is str else plain(value, self.budget)

    def _operand(self, value: Any) -> Any:
        """One side of a comparison: a float is the decimal that it is written as."""
        if type(value) is float:
            return Decimal(repr(value))
        if isinstance(value, str):
            self.budget.spend(len(value))
        elif isinstance(value, dict | list | tuple):
            measure(value, self.budget)
        return value

    def _searched(self, value: Any) -> Any:
        """A value that is searched, or of which a piece is copied."""
        self.budget.spend(len(value) if isinstance(value, str) else self.cost(value, 1) * GLANCE // ITEM)
        return value

    def _method(self, obj: Any, name: str) -> Any:
        """Whatever is called: here a method wins over a key, since what comes as data cannot be called."""
        return super().getattr(obj, name)

    def _no_method(self, obj: Any, name: str, value: Any) -> Any:
        if isinstance(value, BuiltinMethodType | MethodType):
            return self.undefined(f"{name} is a method of a {type(obj).__name__}: it is called with ()", obj, name)
        return value

    def _metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or a test that is paid for, by what it is given and what it makes."""
        weight, first = WEIGHTS.get(name, 1), 1 if takes_context(function) else 0
        is_text, is_deep = name in TEXTS, name in DEEP

        @wraps(function)
        def metered(*args: Any, **kwargs: Any) -> Any:
            if is_text and len(args) > first and not isinstance(args[first], str):
                args = (*args[:first], self.plain(args[first]), *args[first + 1 :])
            self.budget.spend(FILTER)
            if weight:
                self.budget.spend(sum(self.cost(one, weight) for one in (*args, *kwargs.values())))
            if is_deep:
                measure(args, self.budget)
            if name in PATHS:
                ensure_paths((*args[first + 1 :], *kwargs.values()))
            return self._taken(function(*args, **kwargs))

        return metered

    def _taken(self, made: Any) -> Any:
        """The result of a filter or a call: not too long, and paid for; a lazy one is counted as it goes.

        Text is plain, never Markup, which has methods of its own; nothing is escaped by itself here.
        """
        if isinstance(made, str) and type(made) is not str:
            made = str.__str__(made)
        if isinstance(made, str | bytes | bytearray | list | tuple | dict):
            self.budget.make(len(made))
        elif isinstance(made, Iterator):
            return self.counted(made)
        return made

    def _checked(self, method: BuiltinMethodType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """A method of text, an object or a list, before it is called. Raises TooMuch. Gives the arguments."""
        text, name = method.__self__, method.__name__
        self.budget.spend(self.cost(text, 20))
        if not isinstance(text, str):
            return args
        if name in ("center", "ljust", "rjust", "zfill") and args and isinstance(args[0], int):
            self.budget.make(args[0])
        elif name == "expandtabs":
            size = args[0] if args else kwargs.get("tabsize", 8)
            self.budget.make(len(text) + text.count("\t") * size)
        elif name == "replace" and len(args) > 1:
            self.budget.make(text.count(args[0]) * len(args[1]) + len(text))
        elif name in ("strip", "lstrip", "rstrip") and args:
            ensure_chars(args[0])
        elif name in ("rfind", "rindex", "rsplit", "rpartition") and args and isinstance(args[0], str):
            self.budget.spend(len(text) * len(args[0]))  # from the right Python searches the simple way
        elif name == "translate":
            raise TooMuch("translate is not taken: use replace")
        elif name == "join" and args:
            parts = list(self.counted(args[0]))
            self.budget.make(sum(map(len, parts)) + len(text) * len(parts))
            return (parts,)
        return args


class _Formatter(SandboxedFormatter):
    """`str.format`, with values told as everywhere else and widths within bounds."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._budget = environment.budget
        self._length = 0

    def format_field(self, value: Any, format_spec: str) -> str:
        made = formatted(value, format_spec, self._budget)
        self._length += len(made)
        self._budget.within(self._length)
        return made

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return value if conversion is None else plain(value, self._budget)
