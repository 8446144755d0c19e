"""The bytes of negentropy V1: messages that compare two ordered sets of ids, a range at a time.

A message covers all of time: ranges follow each other without a gap, each has an upper bound that is not in
it, and what comes after the last is left out. Which ranges to send is decided in `node.mesh.ranges`
(docs/protocol.md section 6, after the specification in hoytech/negentropy, docs/negentropy-protocol-v1.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from node.errors import DecodeError

VERSION = 0x61
ID_BYTES = 32
FINGERPRINT_BYTES = 16
INFINITY = (1 << 64) - 1
"""The time after all others."""
SKIP, FINGERPRINT, ID_LIST = range(3)

Bound: TypeAlias = tuple[int, bytes]
"""(ts, beginning of an id): sorts before every (ts, id) that it does not come after."""
END: Bound = (INFINITY, b"")
_MAX_VARINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class Range:
    """What is said of the ids before `bound` and not before the last range's: the sum of them, or each.

    Neither, and there is nothing more to say of them.
    """

    bound: Bound
    fingerprint: bytes | None = None
    ids: tuple[bytes, ...] | None = None


def varint(number: int) -> bytes:
    """Base 128, most significant digit first, the top bit set on all but the last."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


class Writer:
    """One message as it grows; `len` is its bytes so far."""

    def __init__(self) -> None:
        self._out = bytearray((VERSION,))
        self._at = 0

    def __len__(self) -> int:
        return len(self._out)

    def add(self, said: Range) -> None:
        """Append a range; its bound comes after that of the last."""
        ts, beginning = said.bound
        self._out += varint(0 if ts == INFINITY else ts - self._at + 1)
        self._out += varint(len(beginning)) + beginning
        self._at = ts
        if said.fingerprint is not None:
            self._out.append(FINGERPRINT)
            self._out += said.fingerprint
        elif said.ids is not None:
            self._out.append(ID_LIST)
            self._out += varint(len(said.ids)) + b"".join(said.ids)
        else:
            self._out.append(SKIP)

    def message(self) -> bytes:
        """Return the bytes."""
        return bytes(self._out)


def write(ranges: list[Range]) -> bytes:
    """Return a message of these ranges."""
    writer = Writer()
    for said in ranges:
        writer.add(said)
    return writer.message()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._spot = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._spot

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise DecodeError("a negentropy message that is cut short")
        self._spot += size
        return self._data[self._spot - size : self._spot]

    def varint(self) -> int:
        data, spot, number = self._data, self._spot, 0
        for place in range(spot, min(len(data), spot + _MAX_VARINT_BYTES)):
            number = number << 7 | data[place] & 0x7F
            if data[place] < 0x80:
                if data[spot] == 0x80 or number > INFINITY:
                    break
                self._spot = place + 1
                return number
        raise DecodeError("a varint that is not one")


def count_ranges(message: bytes) -> int:
    """Return how many ranges a message has, up to where it goes wrong: far less work than to read it."""
    spot, found, size = 1, 0, len(message)
    try:
        while spot < size:
            while message[spot] >= 0x80:
                spot += 1
            spot += 2 + message[spot + 1]  # past the time and the beginning of an id, of fewer than 128 bytes
            mode, spot = message[spot], spot + 1
            if mode == FINGERPRINT:
                spot += FINGERPRINT_BYTES
            elif mode == ID_LIST:
                ids = 0
                while message[spot] >= 0x80:
                    ids, spot = (ids << 7 | message[spot] & 0x7F) & 0xFFFF, spot + 1
                spot += 1 + ID_BYTES * (ids << 7 | message[spot])
            found += 1
    except IndexError:
        pass
    return found


def read(message: bytes) -> list[Range]:
    """Parse a peer's message.

    Raises:
        DecodeError: If it is of another version, cut short, or its ranges do not ascend.
    """
    reader = _Reader(message)
    if reader.take(1)[0] != VERSION:
        raise DecodeError("not negentropy V1")
    found: list[Range] = []
    before: Bound = (0, b"")
    while reader.left:
        if before[0] == INFINITY:
            raise DecodeError("a range after the last")
        bound = _read_bound(reader, before[0])
        if bound < before:
            raise DecodeError("ranges out of order")
        found.append(_read_range(reader, bound))
        before = bound
    return found


def _read_bound(reader: _Reader, at: int) -> Bound:
    step = reader.varint()
    ts = INFINITY if step == 0 else at + step - 1
    size = reader.varint()
    if size > ID_BYTES or (ts >= INFINITY and (step or size)):
        raise DecodeError("a bound that is none")
    return ts, reader.take(size)


def _read_range(reader: _Reader, bound: Bound) -> Range:
    match reader.varint():
        case 0:
            return Range(bound)
        case 1:
            return Range(bound, fingerprint=reader.take(FINGERPRINT_BYTES))
        case 2:
            data = reader.take(reader.varint() * ID_BYTES)
            return Range(bound, ids=tuple(data[at : at + ID_BYTES] for at in range(0, len(data), ID_BYTES)))
        case _:
            raise DecodeError("a negentropy range of an unknown mode")
