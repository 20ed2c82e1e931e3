"""White space around a secret is an accident; what cannot be seen inside of one is an error that does not show it."""

import pytest

from bridge.core.secret import bearer_token, compact, header_value, trimmed
from bridge.core.webhook.schemes import SCHEMES, key_of

ACCIDENTS = ["{}\n", "{}\r\n", "\n{}", "  {}", "{}  ", "\t{}\t", "{}\n\n", " \r\n{} \r\n"]
UNSEEN = ["\n", "\r\n", "\t", "\x00", "\x07", "\x1b", "\x7f", "\x85", "\u2028", "\u200b", "\ufeff", "\u202e", "\ud800"]
KEYED = [name for name, scheme in SCHEMES.items() if scheme.keyed]


def secret_of(scheme: str) -> str:
    return {"standard-webhooks": "whsec_c2VjcmV0IQ==", "basic": "user:pass word"}.get(scheme, "a pass phrase")


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("clean", [trimmed, header_value, compact, bearer_token])
def test_white_space_around_is_taken_away(clean: object, accident: str) -> None:
    assert callable(clean)
    assert clean(accident.format("se-cret")) == "se-cret"


@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize("clean", [trimmed, header_value, bearer_token])
def test_what_cannot_be_seen_inside_is_an_error_that_does_not_show_it(clean: object, unseen: str) -> None:
    assert callable(clean)
    with pytest.raises(ValueError, match="it has a character") as wrong:
        clean(f"canary{unseen}secret")
    assert "canary" not in str(wrong.value)


def test_blanks_inside_stay_and_base64_has_none() -> None:
    assert trimmed(" a pass phrase ") == "a pass phrase"
    assert compact(" c2Vj\r\ncmV0\t IQ==\n") == "c2VjcmV0IQ=="


@pytest.mark.parametrize("text", ["schlüssel", "密鑰", "\u0661", "🔑"])
def test_what_no_header_can_carry_is_an_error(text: str) -> None:
    assert trimmed(text) == text
    with pytest.raises(ValueError, match="printable ASCII"):
        header_value(text)


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_a_token_is_not_empty(text: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        bearer_token(text)


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("scheme", KEYED)
def test_a_webhooks_secret_is_the_same_with_white_space_around_it(scheme: str, accident: str) -> None:
    assert key_of(scheme, accident.format(secret_of(scheme))) == key_of(scheme, secret_of(scheme))


@pytest.mark.parametrize("scheme", KEYED)
def test_a_webhooks_secret_with_an_unseen_character_is_an_error(scheme: str) -> None:
    secret = secret_of(scheme)
    for unseen in ("\x00", "\x07", "\u200b", "\ufeff"):
        with pytest.raises(ValueError):
            key_of(scheme, secret[:8] + unseen + secret[8:])


def test_base64_may_be_wrapped_and_a_passphrase_keeps_its_blanks() -> None:
    assert key_of("standard-webhooks", "whsec_c2Vj\n  cmV0IQ==\n") == b"secret!"
    assert key_of("hmac", " our own  secret ") == b"our own  secret"
    assert key_of("basic", "user: pass word \n") == b"user: pass word"
