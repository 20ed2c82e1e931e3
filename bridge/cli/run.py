"""`amigo-bridge run`: the service."""

import sys
from contextlib import suppress
from pathlib import Path

import click
from yarl import URL

from bridge.cli.invocation import config_option, loaded, run_async
from bridge.cli.screen import Screen
from bridge.edges.telemetry.logs import configure
from bridge.service import serve
from bridge.settings.model import DEFAULT_FILE, Settings, load


@click.command()
@config_option
def run(config: Path | None) -> None:
    """Run the service until SIGTERM."""
    settings = loaded(load, config, Screen(as_json=False))
    log = configure(settings.log.level, settings.log.format, _secrets(settings))
    for key, error in unused_settings(settings).items():
        log.warning("setting.unused", key=key, error=error)
    if config is None:
        _make_folder(settings)
    sys.exit(run_async(serve(settings, log)))


def _make_folder(settings: Settings) -> None:
    """The environment alone is enough: the ledger's folder is made where no file is, but would be by default."""
    folder = DEFAULT_FILE.absolute().parent
    if settings.ledger.url.get_secret_value() == f"sqlite:///{folder / 'bridge.db'}":
        with suppress(OSError):  # the ledger says what is wrong
            folder.mkdir(exist_ok=True)


def _secrets(settings: Settings) -> list[str]:
    secret = [settings.amigo.api_key, *(s for hook in settings.webhooks for s in hook.secrets)]
    secret += [each.token for each in settings.admin.tokens.values()]
    urls = [URL(url.get_secret_value()) for url in (*settings.amqp.url, settings.ledger.url)]
    passwords = {form for url in urls for form in (url.password, url.raw_password) if form and form != "guest"}
    return [*(value.get_secret_value() for value in secret), *passwords]


def unused_settings(settings: Settings) -> dict[str, str]:
    """Keys that change nothing as the others stand, and why."""
    if settings.admin.tokens or "listen" not in settings.admin.model_fields_set:
        return {}
    return {"admin.listen": "without admin.tokens nobody listens there"}
