"""All that the bridge uses of Jinja beyond its documentation."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from importlib import import_module, metadata
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter

from bridge.core.library import Library, ensure

JINJA = Library(
    "jinja2",
    "3.1.6",
    {
        "jinja2:Environment": ("concat",),
        "jinja2.filters": ("FILTERS", "make_attrgetter"),
        "jinja2.parser:Parser": ("parse_expression", "stream"),
        "jinja2.sandbox:ImmutableSandboxedEnvironment": ("wrap_str_format",),
        "jinja2.utils": ("Namespace",),
    },
)
ensure(JINJA, import_module, metadata.version)

from jinja2.filters import FILTERS, make_attrgetter  # noqa: E402 - once they are known to be there
from jinja2.parser import Parser  # noqa: E402
from jinja2.utils import Namespace  # noqa: E402

__all__ = [
    "FILTERS",
    "JINJA",
    "FormattingEnvironment",
    "Namespace",
    "Parser",
    "make_attrgetter",
    "takes_context",
]


class FormattingEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, for a class that says how text is joined and `str.format` is done."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.concat = self.joined  # type: ignore[method-assign]

    @abstractmethod
    def joined(self, pieces: Iterable[str]) -> str:
        """The pieces of a template's output, and of a macro's, as one text."""

    @abstractmethod
    def formatter(self) -> SandboxedFormatter:
        """The formatter for one call of `str.format`."""

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """A function in place of `str.format` and `str.format_map`; None for all else."""
        if not isinstance(value, BuiltinMethodType | MethodType) or not isinstance(value.__self__, str):
            return None
        text = str.__str__(value.__self__)
        match value.__name__:
            case "format":
                return lambda *args, **kwargs: self.formatter().vformat(text, args, kwargs)
            case "format_map":
                return lambda names: self.formatter().vformat(text, (), names)
            case _:
                return None


def takes_context(function: Callable[..., Any]) -> bool:
    """True for a filter or a test whose first argument is Jinja's: context, evaluation context or environment."""
    return hasattr(function, "jinja_pass_arg")
