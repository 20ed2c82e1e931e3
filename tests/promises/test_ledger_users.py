"""Known users: what every ledger promises of them."""

from dataclasses import replace

from bridge.core.event.user import KnownUser
from tests.promises.ledgers import Tellable, World

FAR_S = 4_000_000_000.0
ADA = KnownUser("ad" * 32, "user-1", FAR_S, 1_000.5)


async def kept(ledger: Tellable, *known: KnownUser) -> None:
    """What is known is written with what is asked next."""
    for one in known:
        ledger.keep_user(one)
    await ledger.claim("e1", bytes(32))


async def test_who_is_kept_is_found_until_that_has_run_out(ledger: Tellable) -> None:
    assert await ledger.find_user(ADA.digest, FAR_S - 1) is None
    bob = replace(ADA, digest="b0" * 32, user_id="user-2")
    await kept(ledger, ADA, bob)
    assert await ledger.find_user(ADA.digest, FAR_S - 1) == ADA
    assert await ledger.find_user(bob.digest, FAR_S - 1) == bob
    assert await ledger.find_user(ADA.digest, FAR_S) is None
    assert await ledger.find_user("00" * 32, FAR_S - 1) is None


async def test_of_two_words_the_later_one_holds(ledger: Tellable) -> None:
    later = replace(ADA, user_id="user-9", until_s=FAR_S + 1, created_s=0.0)
    await kept(ledger, ADA, later)
    assert await ledger.find_user(ADA.digest, FAR_S - 1) == later


async def test_only_the_user_that_was_refused_is_forgotten(ledger: Tellable) -> None:
    await kept(ledger, ADA)
    ledger.drop_user(replace(ADA, user_id="user-8"))
    assert await ledger.find_user(ADA.digest, FAR_S - 1) == ADA
    ledger.drop_user(ADA)
    assert await ledger.find_user(ADA.digest, FAR_S - 1) is None
    await kept(ledger, ADA)
    assert await ledger.find_user(ADA.digest, FAR_S - 1) == ADA


async def test_every_process_knows_and_while_the_ledger_is_away_nothing_is_kept(world: World) -> None:
    one = await world.process()
    await kept(one, ADA)
    await world.end(one)
    two = await world.process()
    assert await two.find_user(ADA.digest, FAR_S - 1) == ADA
