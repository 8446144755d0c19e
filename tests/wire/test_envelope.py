"""The outside of an envelope: one size a bucket, one spelling, nothing else read."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given, strategies as st

from node.clock import DAY_MS, HORIZON_DAYS
from node.errors import DecodeError
from node.wire import envelope
from node.wire.envelope import BUCKETS, EPHEMERAL, HEADER_BYTES, KEPT, MAX_BYTES, MAX_TS_MS, OVERHEAD

RK = bytes(range(32))
SIG = bytes(range(64))


def raw(*, kind: int = KEPT, ts_ms: int = 5 * DAY_MS, ttl: int = 35, bucket: int = 512) -> bytes:
    return envelope.head(kind, ts_ms, ttl, RK) + SIG + b"\xaa" * (bucket + 40)


def test_the_sizes_are_those_of_the_protocol() -> None:
    assert (HEADER_BYTES, OVERHEAD, MAX_BYTES) == (107, 147, 32_915)


def test_every_field_is_found_again() -> None:
    data = raw(ts_ms=1_700_000_000_123, ttl=7)
    env = envelope.parse(data)
    assert (env.kind, env.ts_ms, env.ttl_days) == (KEPT, 1_700_000_000_123, 7)
    assert (env.rk, env.sig, env.body) == (RK, SIG, data[HEADER_BYTES:])
    assert env.eid == blake2b(data, digest_size=32).digest()
    assert env.expires_ms == 1_700_000_000_123 + 7 * DAY_MS


def test_the_signature_covers_everything_but_itself() -> None:
    data = raw()
    assert envelope.parse(data).signed == data[:43] + data[107:]


@pytest.mark.parametrize("bucket", BUCKETS)
def test_an_envelope_of_each_bucket_is_read(bucket: int) -> None:
    assert len(envelope.parse(raw(bucket=bucket)).body) == bucket + 40


@pytest.mark.attack("A28")
@pytest.mark.parametrize(
    "size", [0, 106, 107, 146, 147, 147 + 511, 147 + 513, 147 + 3000, MAX_BYTES + 1, 1 << 20]
)
def test_a_size_of_no_bucket_is_refused(size: int) -> None:
    with pytest.raises(DecodeError):
        envelope.parse((raw() + bytes(size))[:size] if size < 700 else raw() + bytes(size - len(raw())))


@pytest.mark.parametrize(
    ("kind", "ttl"), [(0, 0), (0, 36), (0, 255), (1, 1), (1, 35), (2, 0), (2, 5), (255, 1)]
)
def test_a_kind_and_ttl_that_do_not_fit_are_refused(kind: int, ttl: int) -> None:
    data = bytearray(raw())
    data[1], data[10] = kind, ttl
    with pytest.raises(DecodeError):
        envelope.parse(bytes(data))


@pytest.mark.parametrize(("kind", "ttl"), [(KEPT, 1), (KEPT, HORIZON_DAYS), (EPHEMERAL, 0)])
def test_a_kind_and_ttl_that_fit_are_read(kind: int, ttl: int) -> None:
    assert envelope.parse(raw(kind=kind, ttl=ttl)).kind == kind


@pytest.mark.attack("A25")
@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(DecodeError):
        envelope.parse(bytes([version]) + raw()[1:])


def test_a_time_beyond_every_day_number_is_refused() -> None:
    data = raw(ts_ms=MAX_TS_MS)
    assert envelope.parse(data).ts_ms == MAX_TS_MS
    with pytest.raises(DecodeError):
        envelope.parse(data[:2] + (MAX_TS_MS + 1).to_bytes(8) + data[10:])


@given(st.integers(0, BUCKETS[-1] - 1))
def test_a_bucket_is_the_smallest_with_room_for_padding(size: int) -> None:
    bucket = envelope.bucket_for(size)
    assert bucket > size
    assert all(other <= size for other in BUCKETS if other < bucket)


@given(st.binary(max_size=700))
def test_junk_is_refused_by_type(data: bytes) -> None:
    with pytest.raises(DecodeError):
        envelope.parse(data)  # 659 random bytes would need version, kind, ttl and time to be right


def test_a_repr_shows_no_content() -> None:
    assert "xaa" not in repr(envelope.parse(raw()))
