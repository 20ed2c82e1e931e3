"""docs/configuration.md is what `./dev docs` makes of the settings, and says what each key is for."""

from deploy.local import settings_reference
from deploy.local.settings_reference import PAGE, WORDS, keys, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run ./dev docs"


def test_every_key_has_its_words_and_no_words_are_without_a_key() -> None:
    assert set(WORDS) - set(keys()) == set()
    assert len(keys()) > 60


def test_the_words_fit_into_a_table() -> None:
    assert [key for key, words in WORDS.items() if "|" in words or "\n" in words] == []
    assert settings_reference.__doc__
