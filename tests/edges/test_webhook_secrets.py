"""The webhooks' secrets: files that change while they are read."""

from functools import partial
from pathlib import Path

import pytest

from bridge.core.webhook.schemes import key_of
from bridge.edges.webhook_secrets import Ring, Secret, WebhookKeyring, read_secrets, write_secrets

GITHUB = partial(key_of, "github")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        self.now_s += 1.0  # a second from look to look
        return self.now_s


def test_a_file_is_written_as_a_whole_for_its_owner_only_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    secrets = [Secret("new"), Secret("old", 1_767_225_600.0)]
    write_secrets(path, secrets)
    assert read_secrets(path) == secrets
    assert path.read_text() == "new\nold until 2026-01-01T00:00:00+00:00\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["secrets"]
    assert "new" not in repr(secrets)


def test_a_change_of_the_file_is_a_change_of_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    ring = Ring(["fixed"], path, GITHUB, Clock())
    assert ring.keys() == (b"fixed",)
    write_secrets(path, [Secret("a")])
    assert ring.keys() == (b"fixed", b"a")
    write_secrets(path, [Secret("b"), Secret("a")])
    assert ring.keys() == (b"fixed", b"b", b"a")
    path.write_text("# a comment\n\nc\n")
    assert ring.keys() == (b"fixed", b"c")
    path.unlink()
    assert ring.keys() == (b"fixed",)


def test_a_secret_runs_out_by_itself(tmp_path: Path) -> None:
    path, clock = tmp_path / "secrets", Clock()
    write_secrets(path, [Secret("new"), Secret("old", 1_003.0)])
    ring = Ring([], path, GITHUB, clock)
    assert [len(ring.keys()) for _ in range(4)] == [2, 2, 1, 1]


def test_a_file_that_makes_no_sense_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text("whsec_YWJj\n")
    ring = Ring([], path, partial(key_of, "standard-webhooks"), Clock())
    assert ring.keys() == (b"abc",)
    for nonsense in ("whsec_!!\n", "whsec_YWJj until tomorrow\n"):
        path.write_text(nonsense)
        assert ring.keys() == (b"abc",)
    path.write_text("whsec_ZGVm\n")
    assert ring.keys() == (b"def",)


def test_an_unknown_webhook_has_no_keys() -> None:
    assert WebhookKeyring({}).keys("nobody") == ()


def test_a_fixed_secret_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="form"):
        Ring(["whsec_!"], None, partial(key_of, "standard-webhooks"), Clock())
