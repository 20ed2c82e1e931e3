"""A filter in memory that tells in which runs of the ledger's past a key may be, and mostly: in none.

Few events are known already, and asking a large table for each that is not would cost more than all else that the
ledger does. The filter is a Bloom filter whose bits stand side by side: a byte holds one bit of each of 8 groups of
runs, so that HASHES looks tell of all 8 at once. 8 groups are a shelf; the first shelf is small, each further one twice
as large, up to MAX_PLACES. It takes 3 bytes a key, and is wrong about one key in some hundreds.

A shelf whose runs are all gone goes with them. Nothing else is ever taken out.
"""

from collections.abc import Iterable

GROUPS, HASHES = 8, 6
MIN_PLACES, MAX_PLACES = 1 << 21, 1 << 24
"""The smallest shelf takes a run of 2 ** 16 keys in each group."""
PLACES_PER_KEY = 24
MAX_RUNS = 32
"""Runs in one group: where the filter is right, so many are asked at most."""


class Shelf:
    """Eight groups of runs."""

    def __init__(self, places: int) -> None:
        self.runs: list[list[int]] = [[]]
        self._mask = places - 1
        self._bits = bytearray(places)
        self._keys = 0

    @property
    def places(self) -> int:
        return len(self._bits)

    def begin(self, run: int, entries: int) -> bool:
        """Take in a further run with so many keys; False where there is no room."""
        group = self.runs[-1]
        if group and ((self._keys + entries) * PLACES_PER_KEY > self.places or len(group) >= MAX_RUNS):
            if len(self.runs) == GROUPS:
                return False
            self.runs.append([])
            self._keys = 0
        self._keys += entries
        self.runs[-1].append(run)
        return True

    def add(self, keys: Iterable[bytes]) -> None:
        """Keys of the run that was begun last."""
        bits, mask, bit = self._bits, self._mask, 1 << len(self.runs) - 1
        for key in keys:
            number = int.from_bytes(key, "little")
            for shift in SHIFTS:
                bits[number >> shift & mask] |= bit

    def groups(self, number: int) -> int:
        """The groups that may have the key of this number, as bits."""
        bits, mask, groups = self._bits, self._mask, 255
        for shift in SHIFTS:
            groups &= bits[number >> shift & mask]
            if not groups:
                break
        return groups


SHIFTS = tuple(range(0, HASHES * 20, 20))
"""The bits of a key (of 128 random ones) from which each place is read on."""


class KeyFilter:
    """All shelves, the newest last."""

    def __init__(self) -> None:
        self._shelves: list[Shelf] = []

    def begin(self, run: int, entries: int) -> None:
        """Take in a further run with so many keys, of a higher number than all others."""
        if not self._shelves or not self._shelves[-1].begin(run, entries):
            places = min(MAX_PLACES, 2 * self._shelves[-1].places) if self._shelves else MIN_PLACES
            self._shelves.append(Shelf(places))
            self._shelves[-1].begin(run, entries)

    def add(self, keys: Iterable[bytes]) -> None:
        """Keys of the run that was begun last."""
        self._shelves[-1].add(keys)

    def forget(self, run: int) -> None:
        """The run is gone."""
        for shelf in self._shelves:
            for group in shelf.runs:
                if run in group:
                    group.remove(run)
        self._shelves = [shelf for shelf in self._shelves if any(shelf.runs)]

    def runs(self, key: bytes) -> list[int]:
        """The runs that may have the key, mostly none."""
        number = int.from_bytes(key, "little")
        candidates: list[int] = []
        for shelf in self._shelves:
            groups = shelf.groups(number)
            if groups:
                for index, runs in enumerate(shelf.runs):
                    if groups >> index & 1:
                        candidates += runs
        return candidates
