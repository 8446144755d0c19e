"""Chance that can be repeated: everything a simulation draws comes from its seed, in one order."""

from __future__ import annotations

from array import array
from collections.abc import MutableSequence, Sequence
from hashlib import blake2b, shake_256
from typing import Any, TypeVar

_BLOCK = 1 << 16
"""Bytes made at once: a draw is then a slice, and costs a fraction of a microsecond."""
_ALL = 1 << 32

Item = TypeVar("Item")


class Dice:
    """A stream of bytes and numbers from a seed; called with a size it is an entropy source."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._block = 0
        self._bytes, self._spot = b"", 0
        self._numbers: array[int] = array("I")

    def __call__(self, size: int) -> bytes:
        """Return the next `size` bytes, at most 64 KiB."""
        end = self._spot + size
        if end > len(self._bytes):
            self._bytes, self._spot, end = self._made(), 0, size
        drawn = self._bytes[self._spot : end]
        self._spot = end
        return drawn

    def random(self) -> float:
        """Return the next number in [0, 1)."""
        if not self._numbers:
            self._numbers.frombytes(self._made())
        return self._numbers.pop() / _ALL

    def between(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.random()

    def below(self, count: int) -> int:
        """Return a whole number in [0, count)."""
        return int(self.random() * count)

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """Put the items in another order."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]

    def some(self, items: Sequence[Item], count: int) -> list[Item]:
        """Return `count` of the items, or all if there are fewer."""
        drawn = list(items)
        self.shuffle(drawn)
        return drawn[:count]

    def _made(self) -> bytes:
        self._block += 1
        return shake_256(self._seed + self._block.to_bytes(8, "big")).digest(_BLOCK)


def fixed(seed: str, *numbers: int) -> float:
    """Return a number in [0, 1) that belongs to these numbers, whenever it is asked for."""
    text = f"{seed} {numbers}".encode()
    return int.from_bytes(blake2b(text, digest_size=4).digest(), "big") / _ALL
