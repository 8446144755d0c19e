"""Canonical msgpack: one value has one spelling, and nothing else is read.

Five types only: nil, int, bin, str, array. Whatever is read must pack back to the same bytes, so two
nodes can never read one byte string differently (docs/protocol.md section 1). A `Shape` says what an array
must look like; `decode` refuses everything else before any of it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import call
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import msgpack
import msgspec
from msgspec import Meta

from node import values
from node.errors import DecodeError

T = TypeVar("T")
U32: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 32)]
U63: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Blob16: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
Blob24: TypeAlias = Annotated[bytes, Meta(min_length=24, max_length=24)]
Blob32: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Blob64: TypeAlias = Annotated[bytes, Meta(min_length=64, max_length=64)]
"""Fields of a `Record`."""

Value: TypeAlias = int | bytes | str | Sequence[Any] | None
"""What can be packed: sequences hold values again."""
Shape: TypeAlias = Callable[[Any], bool]
"""Says whether one decoded value is acceptable."""

_encoder = msgspec.msgpack.Encoder()

MAX_DEPTH = 8
"""The deepest of our structures nests five arrays; a bomb nests thousands."""
MAX_BYTES = 4 * 1024 * 1024
"""The largest reassembled Object; every caller passes a smaller limit where it knows one."""


def pack(value: Value | Record) -> bytes:
    """Return the canonical msgpack bytes of `value`."""
    return _encoder.encode(value)


def unpack(data: bytes, *, max_bytes: int = MAX_BYTES, max_items: int = -1) -> Any:
    """Read one canonical msgpack value; `max_items` is the length of the longest array, if there is a limit.

    Raises:
        DecodeError: If `data` is over `max_bytes`, not msgpack, of another type, too deep or not canonical.
    """
    if len(data) > max_bytes:
        raise DecodeError(f"over {max_bytes} bytes")
    try:
        value = msgpack.unpackb(
            data, use_list=True, raw=False, max_map_len=0, max_ext_len=0, max_array_len=max_items
        )
    except (ValueError, RecursionError, msgpack.UnpackException) as exc:
        raise DecodeError("not msgpack") from exc
    _check_types(value, 0)
    if pack(value) != data:
        raise DecodeError("not canonical")
    return value


def decode(data: bytes, shape: Shape, *, max_bytes: int = MAX_BYTES) -> list[Any]:
    """Read one canonical array of the given shape; raises DecodeError."""
    value = unpack(data, max_bytes=max_bytes)
    if not shape(value):
        raise DecodeError("fields are not of the expected shape")
    return list(value)


class Record(values.Value, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of an array whose fields are written down as a class's, in their order; a `tag` is its first."""


class Layout(Generic[T]):
    """Reads one kind of record as `decode` reads a shape, in one step: for what every message is made of.

    What a record has of type Any is the caller's to check.
    """

    def __init__(self, kind: type[T], *, max_bytes: int) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._max_bytes = max_bytes

    def decode(self, data: bytes) -> T:
        """Read one record; raises DecodeError."""
        if len(data) > self._max_bytes:
            raise DecodeError(f"over {self._max_bytes} bytes")
        try:
            record = self._decoder.decode(data)
            canonical = _encoder.encode(record) == data
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as exc:
            raise DecodeError("not msgpack, or fields are not of the expected shape") from exc
        if not canonical:
            raise DecodeError("not canonical")
        return record


_SCALARS = frozenset({bytes, int, str, type(None)})


def _check_types(value: object, depth: int) -> None:
    if not isinstance(value, list):
        if type(value) not in _SCALARS:
            raise DecodeError(f"type {type(value).__name__} is not used")
        return
    if depth >= MAX_DEPTH:
        raise DecodeError("nested too deep")
    if not _SCALARS.issuperset(map(type, value)):
        for item in value:
            if type(item) not in _SCALARS:
                _check_types(item, depth + 1)


def array(*fields: Shape) -> Shape:
    """An array of exactly these fields."""
    count = len(fields)
    return lambda value: isinstance(value, list) and len(value) == count and all(map(call, fields, value))


def many(item: Shape, most: int, *, least: int = 0) -> Shape:
    """An array of `least` to `most` items of one shape."""
    return lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(item, value))


def literal(number: int) -> Shape:
    """Exactly this integer: a version or a kind."""
    return lambda value: type(value) is int and value == number


def uint(bits: int) -> Shape:
    """An unsigned integer of at most `bits` bits."""
    limit = 1 << bits
    return lambda value: type(value) is int and 0 <= value < limit


def blob(size: int) -> Shape:
    """Exactly `size` bytes."""
    return lambda value: type(value) is bytes and len(value) == size


def blob_upto(most: int, *, least: int = 0) -> Shape:
    """From `least` to `most` bytes."""
    return lambda value: type(value) is bytes and least <= len(value) <= most


def string(most: int, *, least: int = 0) -> Shape:
    """A string of `least` to `most` bytes of UTF-8."""
    return lambda value: type(value) is str and least <= len(value.encode()) <= most


def nil(value: Any) -> bool:
    """Nil and nothing else: a field reserved for later."""
    return value is None


def optional(field: Shape) -> Shape:
    """Nil or the field."""
    return lambda value: value is None or field(value)
