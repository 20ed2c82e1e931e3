"""Enrichments of routes: how they are written, and what is refused of them."""

from pathlib import Path

import pytest

from bridge.core.event.enrichment import Enrichment, EnrichmentKind
from bridge.settings.model import Settings, SettingsError, load

AMIGO = {"AMIGO_API_KEY": "secret", "AMIGO_API_KEY_ID": "key-id", "AMIGO_ORGANIZATION_ID": "acme"}


def settings(tmp_path: Path, enrich: str, more: str = "") -> Settings:
    path = tmp_path / "bridge.yaml"
    path.write_text(f"routes: [{{name: r, enrich: {enrich}}}]\n{more}", encoding="utf-8")
    return load(path, AMIGO)


def test_a_bare_name_stands_for_an_enrichment_without_conditions(tmp_path: Path) -> None:
    written = (
        "[insights, {kind: messages, when: data.vip}, {kind: recommended-responses, context: 'Hello {{ data.n }}'}]"
    )
    (route,) = settings(tmp_path, written).routes
    assert route.route().enrich == (
        Enrichment(EnrichmentKind.INSIGHTS),
        Enrichment(EnrichmentKind.MESSAGES, when="data.vip"),
        Enrichment(EnrichmentKind.RECOMMENDED_RESPONSES, context="Hello {{ data.n }}"),
    )


def test_there_are_none_unless_they_are_asked_for(tmp_path: Path) -> None:
    (route,) = settings(tmp_path, "[]").routes
    assert route.route().enrich == ()


@pytest.mark.parametrize(
    ("enrich", "words"),
    [
        ("[insight]", "routes.0.enrich.0.kind"),
        ("insights", "routes.0.enrich"),
        ("[{when: data.vip}]", "routes.0.enrich.0.kind"),
        ("[{kind: insights, why: not}]", "routes.0.enrich.0.why: unknown key"),
        ("[{kind: insights, when: 'data.'}]", "routes.0.enrich.0.when: not a Jinja expression"),
        ("[{kind: recommended-responses, context: '{{'}]", "routes.0.enrich.0.context: not a Jinja template"),
        ("[{kind: insights, context: hello}]", "context is for recommended-responses alone"),
        ("[insights, messages, {kind: insights, when: data.vip}]", "enrich has this more than once: insights"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_names_the_key(tmp_path: Path, enrich: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, enrich)
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", EnrichmentKind)
@pytest.mark.parametrize("types", ["[interaction-complete, 'bridge-*']", "[new-message]"])
def test_one_that_no_outbound_takes_is_refused(tmp_path: Path, kind: EnrichmentKind, types: str) -> None:
    with pytest.raises(SettingsError, match=rf"routes\.0\.enrich: {kind} is published as .*, which no outbound takes"):
        settings(tmp_path, f"[{kind}]", f"amqp: {{outbound: {{types: {types}}}}}")


def test_one_that_some_outbound_takes_is_fine(tmp_path: Path) -> None:
    outbound = "amqp: {outbound: [{types: [interaction-complete]}, {exchange: crm, types: ['interaction-*']}]}"
    assert settings(tmp_path, "[insights]", outbound).routes[0].enrich


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90.0), ("1s", 1.0)])
def test_their_time_is_configured(tmp_path: Path, written: str, seconds: float) -> None:
    loaded = settings(tmp_path, "[insights]", f"conversations: {{enrich_for: {written}}}")
    assert loaded.conversations.enrich_for == seconds


@pytest.mark.parametrize("written", ["0s", "500ms", "never"])
def test_no_time_at_all_is_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(SettingsError, match=r"conversations\.enrich_for"):
        settings(tmp_path, "[insights]", f"conversations: {{enrich_for: {written}}}")
