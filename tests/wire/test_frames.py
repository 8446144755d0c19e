"""Frames: one spelling each, everything else a DecodeError."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings, strategies as st

from node.errors import DecodeError
from node.wire import codec, frame_bytes, frames, manifest
from node.wire.frames import (
    Batch,
    Beacon,
    Credit,
    Days,
    Fetch,
    Frame,
    Gone,
    Goodbye,
    Graft,
    Hello,
    IHave,
    Leave,
    NegEnd,
    NegMsg,
    NegOpen,
    Offer,
    Part,
    PeerExchange,
    Ping,
    Pong,
    Prune,
    Push,
    Tail,
    Unknown,
    Want,
)

ENVELOPE = bytes(range(256)) * 2 + bytes(147)
ID = b"i" * 16
CORPUS: list[Frame] = [
    Hello(0, b"12345678", ("ws://a:1", "wss://b"), frozenset({"relay", "hold"}), 65_519, 5, 1 << 41, 200),
    Hello(7, b"12345678", (), frozenset(), 65_519, 0, 0, 0),
    Push(0, ENVELOPE),
    Push(127, bytes(147 + 32_768)),
    IHave(((ID, 0), (b"j" * 16, 127))),
    Want((ID,) * 256),
    Days(1, ()),
    Days(2, ((20_000, 5, ID), (20_001, 1 << 31, ID))),
    Tail(3, 20_000, 20_000 * 86_400_000, ID),
    Batch(0, (ENVELOPE, ENVELOPE), True),
    Batch(9, (), False),
    Credit(1, 1 << 20),
    Gone((ID,)),
    Ping(1 << 41),
    Pong(0),
    Goodbye(Leave.DUPLICATE, 60),
    Graft(ID),
    Graft(None),
    Prune(60),
    NegOpen(1, 20_000, b"a"),
    NegMsg(1, 20_000, bytes(61_440)),
    NegEnd(2, 20_001, b""),
    PeerExchange(None),
    PeerExchange(()),
    PeerExchange((b"record",) * 16),
    Fetch(b"o" * 32, 3),
    Part(b"o" * 32, 3, bytes(24_576)),
    Part(b"o" * 32, 0, b""),
    Offer(((b"o" * 32, 1), (b"p" * 32, 1_056_768))),
    Offer(((b"o" * 32, 24_576),) * 64),
    Beacon(0, b"b" * 8),
    Beacon(65_535, b"c" * 8),
]


@pytest.mark.parametrize("frame", CORPUS, ids=lambda f: type(f).__name__)
def test_a_frame_survives_the_wire(frame: Frame) -> None:
    assert frame_bytes.decode(frame_bytes.encode(frame)) == frame


def test_push_is_canonical_msgpack_although_it_is_read_without_it() -> None:
    for hop in (0, 1, 127):
        assert frame_bytes.encode_push(hop, ENVELOPE) == codec.pack([1, hop, ENVELOPE])
    assert frame_bytes.encode_push(500, ENVELOPE) == codec.pack([1, 127, ENVELOPE])
    assert frame_bytes.pushed_ms(frame_bytes.encode_push(3, ENVELOPE)) == int.from_bytes(
        ENVELOPE[2:10], "big"
    )


@given(st.integers(1, 256), st.integers(0, 300), st.binary(max_size=6), st.integers(0, 5_200))
def test_ihave_is_read_without_msgpack_as_msgpack_reads_it(
    count: int, cut: int, noise: bytes, place: int
) -> None:
    """Announcements, whole, cut short and with other bytes in any place, read both ways."""
    whole = frame_bytes.encode(IHave(tuple((bytes([n % 256]) * 16, n % 128) for n in range(count))))
    place %= len(whole)
    for data in (
        whole,
        whole[: len(whole) - cut % len(whole)],
        whole[:place] + noise + whole[place + len(noise) :],
    ):
        assert _read(data, by_msgpack=False) == _read(data, by_msgpack=True)
    assert isinstance(_read(whole, by_msgpack=False), IHave)
    if count < 16:
        longer = whole[:2] + b"\xdc" + count.to_bytes(2, "big") + whole[3:]
        assert _read(longer, by_msgpack=False) == "DecodeError"


def _read(data: bytes, *, by_msgpack: bool) -> Frame | str:
    with pytest.MonkeyPatch.context() as patch:
        if by_msgpack:
            patch.setattr(frame_bytes, "_entries", lambda _data: None)
        try:
            return frame_bytes.decode(data)
        except DecodeError as fault:
            return type(fault).__name__


def test_the_bytes_of_each_frame_are_as_documented() -> None:
    assert frame_bytes.encode(Want((ID,))).hex() == "9205" + "91" + "c410" + ID.hex()
    assert frame_bytes.encode(Credit(1, 256)).hex() == "930c01cd0100"
    assert frame_bytes.encode(Batch(0, (), False)).hex() == "940b009000"
    assert frame_bytes.encode(Goodbye(Leave.FULL, 60)).hex() == "9313033c"
    assert frame_bytes.encode(Tail(1, 2, 3, ID)).hex() == "9507010203c410" + ID.hex()


@pytest.mark.parametrize("number", [22, 64, 1 << 31])
def test_numbers_of_a_later_version_are_ignored(number: int) -> None:
    assert frame_bytes.decode(codec.pack([number, b"whatever", [1, 2]])) == Unknown(number)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        [],
        [b"x"],
        [-1],
        [5, []],
        [5, [ID] * 257],
        [5, [ID[:15]]],
        [1, 128, ENVELOPE],
        [1, 0, b"short"],
        [2, [[ID]]],
        [6, 1, [[2, 1, ID], [1, 1, ID]]],
        [6, 1, [[2, 1, ID], [2, 1, ID]]],
        [6, 1, [[2, -1, ID]]],
        [6, 1, [[day, 1, ID] for day in range(41)]],
        [11, 0, [ENVELOPE], 2],
        [11, 0, [b"short"], 0],
        [12, 0, 0],
        [12, 0, (1 << 20) + 1],
        [17, -1],
        [0, 2, 0, b"12345678", [], 0, 65_519, 0, 0, 0],
        [0, 1, 0, b"12345678", [], 0, 1_000, 0, 0, 0],
        [0, 1, 0, b"12345678", ["x" * 255] * 4, 0, 65_519, 0, 0, 0],
        [0, 1, 0, b"12345678", ["x"] * 5, 0, 65_519, 0, 0, 0],
    ],
)
def test_what_is_not_a_frame_is_refused(value: codec.Value) -> None:
    with pytest.raises(DecodeError):
        frame_bytes.decode(codec.pack(value))


def test_a_frame_with_a_second_spelling_is_refused() -> None:
    assert frame_bytes.decode(bytes([0x92, 17, 5])) == Ping(5)
    for spelling in (bytes([0x92, 17, 0xCC, 5]), bytes([0xDC, 0, 2, 17, 5]), bytes([0x92, 17, 5, 0])):
        with pytest.raises(DecodeError):
            frame_bytes.decode(spelling)


def test_a_batch_has_no_more_bytes_of_envelopes_than_the_page_says() -> None:
    full = Batch(1, (bytes(32_915), bytes(28_525)), more=False)
    assert frame_bytes.decode(frame_bytes.encode(full)) == full
    with pytest.raises(DecodeError):
        frame_bytes.decode(frame_bytes.encode(Batch(1, (bytes(32_915), bytes(28_526)), more=False)))


@pytest.mark.mesh_attack("N05")
def test_an_oversized_frame_is_refused_before_it_is_read() -> None:
    with pytest.raises(DecodeError):
        frame_bytes.decode(codec.pack([99, bytes(frames.MAX_FRAME_BYTES)]))


@pytest.mark.mesh_attack("N05")
def test_ten_thousand_mutations_decode_or_fail_in_one_way() -> None:
    rng = random.Random(20)
    raws = [frame_bytes.encode(frame) for frame in CORPUS]
    for _ in range(10_000):
        raw = bytearray(rng.choice(raws)[: rng.choice([40, 700, 40_000])])
        for _ in range(rng.randrange(1, 4)):
            match rng.randrange(3):
                case 0:
                    raw[rng.randrange(len(raw))] = rng.randrange(256)
                case 1:
                    del raw[rng.randrange(len(raw)) :][:3]
                case _:
                    spot = rng.randrange(len(raw) + 1)
                    raw[spot:spot] = rng.randbytes(rng.randrange(1, 4))
            raw = raw or bytearray(b"\x00")
        try:
            frame = frame_bytes.decode(bytes(raw))
        except DecodeError:
            continue
        if not isinstance(frame, Unknown | Goodbye | Hello):
            assert frame_bytes.encode(frame) == bytes(raw)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_decode_or_fail_in_one_way(data: bytes) -> None:
    with suppress(DecodeError):
        frame_bytes.decode(data)


def test_roles_that_we_do_not_know_are_left_out() -> None:
    assert frames.unpack_roles(0xFF) == frozenset({"relay", "hold"})
    assert frames.pack_roles(frozenset({"hold", "other"})) == 2


@pytest.mark.parametrize(
    "fields",
    [
        [15, b"o" * 32, 43],
        [15, b"o" * 31, 0],
        [16, b"o" * 32, 43, b""],
        [16, b"o" * 32, 0, bytes(24_577)],
        [20, []],
        [20, [[b"o" * 32, 0]]],
        [20, [[b"o" * 32, 1_056_769]]],
        [20, [[b"o" * 31, 1]]],
        [20, [[b"o" * 32, 1]] * 65],
    ],
    ids=lambda fields: str(fields)[:20],
)
def test_what_no_block_can_have_is_malformed(fields: list[object]) -> None:
    with pytest.raises(DecodeError):
        frame_bytes.decode(codec.pack(fields))


def test_a_block_of_the_largest_attachment_fits() -> None:
    assert manifest.block_bytes(manifest.MAX_SEALED) == frames.MAX_BLOCK_BYTES
    assert frames.MAX_OFFERED == manifest.MAX_BLOCKS and frames.MAX_PART_BYTES == manifest.PART_BYTES
