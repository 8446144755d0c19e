"""Contents sealed in chunks: nothing can be cut off, moved, repeated, added or changed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, strategies as st
from nacl import bindings as sodium

from node.crypto import primitives, stream
from node.crypto.primitives import StreamSeal
from node.crypto.stream import CHUNK_BYTES, HEAD_BYTES, Opener, Sealer
from node.errors import CryptoFault, PeerFault

KEY = b"k" * 32
PIECES = [b"one", b"two" * 9, b"three"]


def sealed(pieces: list[bytes], *, key: bytes = KEY, context: bytes = b"c", seed: int = 1) -> list[bytes]:
    """Return head, each chunk, and the end."""
    sealer = Sealer(key, context, Random(seed).randbytes)
    return [sealer.head, *(sealer.add(piece) for piece in pieces), sealer.finish()]


def opened(raw: bytes, *, key: bytes = KEY, context: bytes = b"c", step: int = 1 << 20) -> list[bytes]:
    opener = Opener(key, context, raw[:HEAD_BYTES])
    body = raw[HEAD_BYTES:]
    found = [piece for at in range(0, len(body), step) for piece in opener.feed(body[at : at + step])]
    opener.close()
    return found


def refused(raw: bytes) -> bool:
    try:
        opened(raw)
    except PeerFault:
        return True
    return False


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=6), st.integers(1, 300))
def test_what_was_sealed_comes_back_however_it_is_fed(pieces: list[bytes], step: int) -> None:
    assert opened(b"".join(sealed(pieces)), step=step) == pieces


def test_an_injected_header_gives_the_state_that_libsodium_draws_itself() -> None:
    theirs = sodium.crypto_secretstream_xchacha20poly1305_state()
    header = sodium.crypto_secretstream_xchacha20poly1305_init_push(theirs, KEY)
    ours = StreamSeal(KEY, header)
    for piece in PIECES:
        pushed = sodium.crypto_secretstream_xchacha20poly1305_push(theirs, piece)
        assert ours.seal(piece, last=False) == pushed
    final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
    assert ours.seal(b"", last=True) == sodium.crypto_secretstream_xchacha20poly1305_push(
        theirs, b"", None, final
    )


def test_a_chunk_of_the_largest_size_goes_and_none_above() -> None:
    assert opened(b"".join(sealed([bytes(CHUNK_BYTES)]))) == [bytes(CHUNK_BYTES)]
    with pytest.raises(AssertionError):
        sealed([bytes(CHUNK_BYTES + 1)])
    huge = b"".join(sealed([])[:1]) + b"\xff" * 4
    assert refused(huge + bytes(64))


@pytest.mark.attack("A30")
def test_a_stream_cut_off_anywhere_is_refused() -> None:
    whole = b"".join(sealed(PIECES))
    assert all(refused(whole[:size]) for size in range(len(whole)))


@pytest.mark.attack("A30")
def test_chunks_moved_repeated_left_out_or_added_are_refused() -> None:
    head, one, two, three, end = sealed(PIECES)
    other = sealed(PIECES, seed=2)
    orders = [
        (two, one, three, end),
        (one, one, two, three, end),
        (one, three, end),
        (one, two, end),
        (end,),
        (one, two, three),
        (one, two, three, end, end),
        (one, two, three, end, one),
        (one, two, three, end, b"\0"),
        (one, two, other[3], end),
        (one, two, three, other[4]),
    ]
    assert all(refused(head + b"".join(order)) for order in orders)
    assert not refused(head + one + two + three + end)


@pytest.mark.attack("A30")
@pytest.mark.attack("A07")
def test_every_flipped_bit_of_a_stream_is_refused() -> None:
    whole = b"".join(sealed(PIECES))
    for bit in range(8 * len(whole)):
        harmed = whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :]
        assert refused(harmed), bit


@pytest.mark.attack("A30")
def test_an_end_that_does_not_say_what_came_before_it_is_refused_though_it_opens() -> None:
    sealer = Sealer(KEY, b"c", Random(1).randbytes)
    made = [sealer.head, sealer.add(b"one")]
    sealer._count.add(b"more")
    assert refused(b"".join(made) + sealer.finish())


@pytest.mark.attack("A24")
def test_a_stream_of_another_key_or_context_is_refused_by_its_commitment() -> None:
    whole = b"".join(sealed(PIECES))
    for key, context in ((b"j" * 32, b"c"), (KEY, b"d")):
        with pytest.raises(CryptoFault, match="under another key"):
            opened(whole, key=key, context=context)


@pytest.mark.attack("A24")
def test_what_opens_under_our_stream_key_is_refused_without_our_commitment() -> None:
    """The cipher alone commits to no key: a stream is ours by the commitment, before any chunk."""
    header = b"h" * 24
    key, commitment = stream._keys(KEY, header, b"c")
    push = StreamSeal(key, header)
    chunk = push.seal(b"planted", last=False)
    foreign = primitives.kdf(b"x" * 16, b"another" + KEY[7:], header, 32)
    framed = len(chunk).to_bytes(4, "big") + chunk
    assert Opener(KEY, b"c", header + commitment).feed(framed).__next__() == b"planted"
    with pytest.raises(CryptoFault, match="under another key"):
        Opener(KEY, b"c", header + foreign)


def test_the_same_content_twice_looks_different() -> None:
    assert sealed(PIECES, seed=1)[1] != sealed(PIECES, seed=2)[1]
