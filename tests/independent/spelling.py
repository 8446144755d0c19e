"""The one spelling of a structure: nil, integers from 0, bytes, strings, arrays; msgpack's shortest forms."""

from __future__ import annotations

from typing import Any

WIDTHS = (1, 2, 4, 8)


def write(value: Any) -> bytes:
    match value:
        case None:
            return b"\xc0"
        case int() if value < 128:
            return bytes([value])
        case int():
            return _sized(0xCC, WIDTHS, value)
        case bytes():
            return _sized(0xC4, WIDTHS[:3], len(value)) + value
        case str():
            raw = value.encode()
            return (bytes([0xA0 | len(raw)]) if len(raw) < 32 else _sized(0xD9, WIDTHS[:3], len(raw))) + raw
        case list() | tuple():
            size = len(value)
            head = bytes([0x90 | size]) if size < 16 else _sized(0xDC, WIDTHS[1:3], size)
            return head + b"".join(map(write, value))
        case _:
            raise TypeError(type(value))


def read(data: bytes) -> Any:
    """Read one value; what would be written otherwise, or has something behind it, is refused."""
    value, end = _read(data, 0)
    if end != len(data) or write(value) != data:
        raise ValueError("not the one spelling")
    return value


def read_signed(data: bytes, signatures: int) -> tuple[list[Any], bytes, list[bytes]]:
    """Return (fields, body, signatures) of a body with signatures of 64 bytes behind it."""
    cut = len(data) - 64 * signatures
    return read(data[:cut]), data[:cut], [data[at : at + 64] for at in range(cut, len(data), 64)]


def _sized(first: int, widths: tuple[int, ...], number: int) -> bytes:
    for step, width in enumerate(widths):
        if number >> 8 * width == 0:
            return bytes([first + step]) + number.to_bytes(width)
    raise ValueError("too large")


def _read(data: bytes, at: int) -> tuple[Any, int]:
    kind = data[at]
    at += 1
    if kind < 0x80:
        return kind, at
    if kind & 0xF0 == 0x90:
        return _array(data, at, kind & 15)
    if kind & 0xE0 == 0xA0:
        return data[at : at + (kind & 31)].decode(), at + (kind & 31)
    if kind == 0xC0:
        return None, at
    for first, widths in ((0xC4, WIDTHS[:3]), (0xCC, WIDTHS), (0xD9, WIDTHS[:3]), (0xDC, WIDTHS[1:3])):
        if 0 <= kind - first < len(widths):
            width = widths[kind - first]
            number, at = int.from_bytes(data[at : at + width]), at + width
            if first == 0xCC:
                return number, at
            if first == 0xDC:
                return _array(data, at, number)
            raw = data[at : at + number]
            return (raw if first == 0xC4 else raw.decode()), at + number
    raise ValueError(f"a value of kind {kind:#x}")


def _array(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, at = _read(data, at)
        items.append(item)
    return items, at
