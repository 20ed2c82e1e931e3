"""Who may steer."""

import pytest

from bridge.core.control.access import MAX_ADDRESSES, FailedLogins, may_command

USERS = ("operator", "night-shift")


@pytest.mark.parametrize(
    ("user_id", "may"),
    [
        ("bridge", True),
        ("operator", True),
        ("night-shift", True),
        ("backend", False),
        ("Bridge", False),
        ("", False),
        (None, False),
    ],
)
def test_the_bridges_own_user_and_those_of_control_users_may(user_id: str | None, may: bool) -> None:
    assert may_command(user_id, "bridge", USERS) is may


def test_without_a_name_of_its_own_nobody_is_it() -> None:
    assert may_command("", "", ()) is False
    assert may_command(None, "", ("",)) is False


def test_ten_wrong_tokens_a_minute_and_an_address_has_to_wait() -> None:
    logins = FailedLogins()
    for second in range(9):
        logins.failed("192.0.2.1", 100.0 + second)
    assert logins.wait_s("192.0.2.1", 109.0) == 0
    logins.failed("192.0.2.1", 109.0)
    assert logins.wait_s("192.0.2.1", 110.0) == 50.0
    assert logins.wait_s("192.0.2.2", 110.0) == 0, "another address is another matter"
    assert logins.wait_s("192.0.2.1", 160.0) == 0, "the first of the ten is a minute old"
    logins.failed("192.0.2.1", 160.0)
    assert logins.wait_s("192.0.2.1", 160.5) == 0.5


def test_addresses_that_fail_are_remembered_up_to_a_number() -> None:
    logins = FailedLogins(most=1)
    for number in range(MAX_ADDRESSES + 1):
        logins.failed(f"a{number}", 0.0)
    assert logins.wait_s("a0", 1.0) == 0
    assert logins.wait_s("a1", 1.0) > 0
    assert logins.wait_s(f"a{MAX_ADDRESSES}", 1.0) > 0
