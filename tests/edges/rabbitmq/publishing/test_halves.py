"""The search for the message that closes a channel: in few rounds, in order, and nobody else is blamed."""

from dataclasses import dataclass, field

import pytest

from bridge.core.broker.publish_refusal import PublishRefusal, RefusalKind
from bridge.edges.rabbitmq.publishing.frames import FrameEncoder
from bridge.edges.rabbitmq.publishing.publisher_channel import Pending, PublisherChannel
from tests.support.rig import Receipts, outgoing

TOO_LARGE = PublishRefusal(RefusalKind.IMPOSSIBLE, "406")
FRAME = 131_072


@dataclass
class Owner:
    """Keeps what it is told, in order."""

    taken: list[str] = field(default_factory=list)
    blamed: list[str] = field(default_factory=list)

    def settled(self, over: list[Pending], refusal: PublishRefusal | None, unrouted: set[str]) -> None:
        (self.taken if refusal is None else self.blamed).extend(message.message_id for message, _, _ in over)

    def pump(self, publisher_channel: PublisherChannel) -> None:
        """Whoever plays the broker asks for the next batch."""

    def cleared(self) -> None:
        """There are no suspects any more."""

    def broken(self, reason: str) -> None:
        raise AssertionError(reason)


def rounds(channel: PublisherChannel, culprits: set[str]) -> int:
    """Play a broker that closes the channel over each of the culprits, until nothing waits; how often it was asked."""
    number = 0
    while channel.waiting or channel.flying:
        number += 1
        if channel.encoder is None:
            channel.encoder, channel.first_tag = FrameEncoder(1, FRAME), 1
        channel.batch(0.0, lambda *_: None)
        flies = [pending[0].message_id for pending in channel.flying if pending is not None]
        if culprits.intersection(flies):
            channel.closed(TOO_LARGE, "406")
        else:
            channel.confirmed(0, multiple=True, acked=True)
    return number


@pytest.mark.parametrize("at", [{0}, {2_000}, {3_999}, {5, 6}, {1, 1_000, 3_998}, set(range(10, 15))])
def test_culprits_among_thousands_are_found_in_few_rounds(at: set[int]) -> None:
    owner, receipts = Owner(), Receipts()
    channel = PublisherChannel(owner, 0)
    names = [f"m{number}" for number in range(4_000)]
    culprits = {f"m{number}" for number in at}
    channel.waiting.extend((outgoing(name), receipts, 2) for name in names)
    assert rounds(channel, culprits) <= 40 * (len(culprits) + 1)
    assert owner.blamed == [name for name in names if name in culprits]
    assert owner.taken == [name for name in names if name not in culprits], "in order"
    assert not channel.one_by_one
