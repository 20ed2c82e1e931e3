"""Why the broker does not take a message: kinds by reply code, and what each means for whoever publishes."""

import pytest

from bridge.core.broker.publish_refusal import RefusalKind, of_reply_code


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (311, RefusalKind.IMPOSSIBLE),
        (403, RefusalKind.FORBIDDEN),
        (404, RefusalKind.MISSING),
        (406, RefusalKind.IMPOSSIBLE),
        (501, RefusalKind.IMPOSSIBLE),
        (541, RefusalKind.IMPOSSIBLE),
    ],
)
def test_a_reply_code_that_is_about_a_message_has_a_kind_and_keeps_the_brokers_words(
    code: int, kind: RefusalKind
) -> None:
    refusal = of_reply_code(code, "the broker's words")
    assert refusal is not None
    assert (refusal.kind, refusal.error) == (kind, f"the broker refused it ({code}): the broker's words")


@pytest.mark.parametrize("code", [None, 0, 200, 320, 504, 530])
def test_a_reply_code_that_is_about_no_message_blames_none(code: int | None) -> None:
    assert of_reply_code(code, "forced") is None


def test_what_may_pass_and_what_closes_the_channel_each_time() -> None:
    passes = {kind for kind in RefusalKind if kind.passes}
    assert passes == {RefusalKind.NACKED, RefusalKind.UNROUTED, RefusalKind.FORBIDDEN, RefusalKind.LOST}
    closes = {kind for kind in RefusalKind if kind.closes}
    assert closes == {RefusalKind.FORBIDDEN, RefusalKind.MISSING, RefusalKind.IMPOSSIBLE}
