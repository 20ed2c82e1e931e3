"""The section `limits`: the documented figures, and no nonsense."""

from pathlib import Path

import pytest

from bridge.core.delivery.rate_limits import LIMITS, LimitScope
from bridge.settings.model import SettingsError, load
from bridge.settings.values import LIMIT_NAMES, limits_of

ENVIRONMENT = {"AMIGO_ORGANIZATION_ID": "acme", "AMIGO_API_KEY": "k", "AMIGO_API_KEY_ID": "i"}


def loaded(tmp_path: Path, text: str) -> object:
    path = tmp_path / "bridge.yaml"
    path.write_text(text, encoding="utf-8")
    return limits_of(load(path, ENVIRONMENT))


def test_without_the_section_the_documented_figures_hold() -> None:
    figures = limits_of(load(None, ENVIRONMENT))
    assert figures.calls == LIMITS
    assert (figures.window_s, figures.scope) == (60.0, LimitScope.AUTO)


def test_each_setting_is_the_figure_of_its_operation(tmp_path: Path) -> None:
    text = ", ".join(f"{name}: {number}" for number, name in enumerate(LIMIT_NAMES, 100))
    path = tmp_path / "bridge.yaml"
    path.write_text(f"limits: {{{text}, window: 2s, scope: organization}}")
    figures = limits_of(load(path, ENVIRONMENT))
    assert [figures.calls[operation] for operation in LIMIT_NAMES.values()] == list(range(100, 100 + len(LIMIT_NAMES)))
    assert figures.calls["services"] == LIMITS["services"]
    assert (figures.window_s, figures.scope) == (2.0, LimitScope.ORGANIZATION)


@pytest.mark.parametrize(
    "wrong", [*(f"{name}: {value}" for name in LIMIT_NAMES for value in (0, -1, "many")), "window: 0s", "scope: all"]
)
def test_nonsense_is_refused_by_its_path(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, f"limits: {{{wrong}}}")
    (line,) = refused.value.errors
    assert line.startswith(f"limits.{wrong.partition(':')[0]}: ")
