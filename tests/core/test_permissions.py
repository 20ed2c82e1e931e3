"""Each operation of a person's commands says which permission its role lacks."""

import re

import pytest

from bridge.core.delivery.rate_limits import LIMITS
from bridge.core.delivery.reconcile import Blind
from bridge.core.permissions import GET_CONVERSATION, GET_MESSAGE, NEEDED, lacks, nothing_listed


def test_every_permission_is_of_an_operation_that_there_is() -> None:
    assert NEEDED.keys() <= LIMITS.keys()
    assert all(re.match(r"[A-Z][A-Za-z]+:[A-Z][A-Za-z]+", permission) for permission in NEEDED.values())


@pytest.mark.parametrize("operation", NEEDED)
def test_a_refusal_and_an_empty_list_name_the_permission(operation: str) -> None:
    assert lacks(operation) == f"the role lacks {NEEDED[operation]}"
    assert lacks(operation) in nothing_listed(operation)


def test_an_operation_without_a_permission_of_its_own_lacks_some() -> None:
    assert lacks("sign-in") == "the role lacks a permission"


def test_what_is_not_shown_names_its_permission() -> None:
    assert f"{GET_CONVERSATION} is missing" in Blind.CONVERSATIONS.words
    assert f"{GET_MESSAGE} is missing" in Blind.MESSAGES.words
