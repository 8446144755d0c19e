"""An attachment's stream and parts: whole and as the manifest says, or refused (A30)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from node.crypto.attachment import (
    READ_BYTES,
    AttachmentSealer,
    block_names,
    check_block,
    id_of,
    object_of,
    opened,
    part,
    read_part,
)
from node.errors import PeerFault
from node.sim_session import stream
from node.wire import codec
from node.wire.manifest import CHUNK_BYTES, MAX_GOSSIPED, PART_BYTES, Manifest, parse


def seal(content: bytes, seed: str = "", *, step: int = 50_000) -> tuple[Manifest, bytes]:
    sealer = AttachmentSealer(stream(seed))
    pieces = [sealer.add(content[at : at + step]) for at in range(0, len(content), step)]
    raw = b"".join([*pieces, sealer.finish()])
    return sealer.manifest("tea.png", "image/png", block_names(len(raw), iter([raw]))), raw


def unseal(manifest: Manifest, raw: bytes) -> bytes:
    return b"".join(opened(manifest, (raw[at : at + READ_BYTES] for at in range(0, len(raw), READ_BYTES))))


CONTENT = bytes(range(256)) * 800
MANIFEST, RAW = seal(CONTENT)
PIECES = [RAW[at : at + PART_BYTES] for at in range(0, len(RAW), PART_BYTES)]


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, MAX_GOSSIPED, MAX_GOSSIPED + 1, 3_000_000]
)
def test_what_is_sealed_opens_again_however_it_came_in(size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    manifest, raw = seal(content)
    assert parse(manifest.encode()) == manifest
    assert unseal(manifest, raw) == content
    assert manifest == seal(content, step=777)[0]
    assert manifest.gossiped == (size <= MAX_GOSSIPED)
    assert sum(manifest.span(index)[1] for index in range(len(manifest.blocks))) == len(raw)


@pytest.mark.attack("A30")
@pytest.mark.parametrize(
    "changed",
    [
        RAW[:-1],
        RAW[: len(RAW) // 2],
        RAW[:40],
        b"",
        RAW + b"\0",
        RAW + RAW[-60:],
        PIECES[1] + PIECES[0] + b"".join(PIECES[2:]),
        seal(CONTENT[::-1])[1],
        seal(CONTENT, "other key")[1],
    ],
    ids=[
        "byte short",
        "half",
        "in its head",
        "nothing",
        "longer",
        "end twice",
        "swapped",
        "other",
        "other key",
    ],
)
def test_cut_grown_swapped_and_exchanged_streams_are_refused(changed: bytes) -> None:
    with pytest.raises(PeerFault):
        unseal(MANIFEST, changed)


@pytest.mark.attack("A30")
@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_refused(at: int, by: int) -> None:
    changed = RAW[:at] + bytes([RAW[at] ^ by]) + RAW[at + 1 :]
    with pytest.raises(PeerFault):
        unseal(MANIFEST, changed)
    index = at // PART_BYTES
    with pytest.raises(PeerFault):
        check_block(MANIFEST, index, changed[index * PART_BYTES :][:PART_BYTES])


@pytest.mark.attack("A30")
@pytest.mark.parametrize("key", ["size", "chunks", "hash", "key"])
def test_a_stream_that_is_not_what_its_manifest_says_is_refused(key: str) -> None:
    wrong = {"size": MANIFEST.size - 1, "chunks": MANIFEST.chunks - 1, "hash": bytes(32), "key": bytes(32)}
    with pytest.raises(PeerFault):
        unseal(replace(MANIFEST, **{key: wrong[key]}), RAW)


@pytest.mark.attack("A30")
def test_a_part_is_taken_only_in_its_place_and_as_the_manifest_says() -> None:
    for index, data in enumerate(PIECES):
        assert read_part(MANIFEST, part(MANIFEST, index, data)) == (index, data)
    name, count = object_of(MANIFEST), len(PIECES)
    for fields in (
        [7, name, 1, count, PIECES[0]],
        [7, name, count, count, PIECES[0]],
        [7, name, 0, count + 1, PIECES[0]],
        [7, name, 0, count, PIECES[0][:-1]],
        [7, name, 0, count, PIECES[0] + b"x"],
        [7, bytes(32), 0, count, PIECES[0]],
        [8, name, 0, count, PIECES[0]],
        [7, name, 0, count, b""],
        [7, name, 0, count],
    ):
        with pytest.raises(PeerFault):
            read_part(MANIFEST, codec.pack(fields))


def test_the_id_is_of_the_content_and_its_key_and_not_of_what_a_message_calls_it() -> None:
    assert id_of(MANIFEST) == id_of(replace(MANIFEST, name="../../x", type="text/html"))
    for other in (
        replace(MANIFEST, key=bytes(32)),
        replace(MANIFEST, channel=bytes(32)),
        replace(MANIFEST, hash=bytes(32)),
        replace(MANIFEST, blocks=MANIFEST.blocks[::-1]),
    ):
        assert id_of(other) != id_of(MANIFEST)


def test_no_secret_is_in_a_repr() -> None:
    assert repr(MANIFEST.key) not in repr(MANIFEST)
    assert repr(MANIFEST.channel) not in repr(MANIFEST)
