"""Many ids of one length in one run of bytes: an object and a slot for each would take five times as much.

What a peer can make us remember is mostly ids, and M4 bounds it (docs/protocol.md section 11).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Packed:
    """A queue of items of `width` bytes each."""

    __slots__ = ("_data", "_width")

    def __init__(self, width: int, items: Iterable[bytes] = ()) -> None:
        self._width = width
        self._data = bytearray().join(items)

    def __len__(self) -> int:
        return len(self._data) // self._width

    def __iter__(self) -> Iterator[bytes]:
        for spot in range(0, len(self._data), self._width):
            yield bytes(self._data[spot : spot + self._width])

    def append(self, item: bytes) -> None:
        """Put one item at the end."""
        self._data += item

    def extend(self, items: Iterable[bytes]) -> None:
        """Put items at the end."""
        self._data += b"".join(items)

    def take(self, count: int) -> tuple[bytes, ...]:
        """Remove and return the first items, as many as there are up to `count`."""
        taken = tuple(Packed(self._width, (bytes(self._data[: count * self._width]),)))
        del self._data[: count * self._width]
        return taken

    def put_back(self, items: Iterable[bytes]) -> None:
        """Put items in front of all others."""
        self._data[:0] = b"".join(items)
