"""A group of commands of which only the one that is called is imported: all of them together take a second to load."""

import gc
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import ClassVar

import click


class LazyGroup(click.Group):
    """A click group of the commands in `places`, `module:attribute` by name, beside those that it has by itself."""

    places: ClassVar[Mapping[str, str]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self.places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(_loaded(module), attribute)
        return command


def _loaded(name: str) -> ModuleType:
    """The module. Modules make next to no garbage: collecting it would take a tenth of the time of their loading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        return import_module(name)
    finally:
        if was_on:
            gc.enable()
