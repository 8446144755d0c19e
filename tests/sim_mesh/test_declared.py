from __future__ import annotations

import random

from hypothesis import given, strategies as st

from node.crypto.channel import network_id
from node.crypto.handshake import Handshake, LinkKeys, make_link_keys
from node.crypto.securing import Secure, Securing
from node.sim_mesh.declared import DeclaredHandshake, Tally, Watched, emptied
from node.wire.frame_bytes import decode, encode, encode_push
from node.wire.frames import Batch, Days, Gone, Graft, IHave, Number, Ping, Prune, Tail, Unknown, Want

IDS = st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=256)
RAW = bytes(range(43, 107)).rjust(107, b"\1") + bytes(552)
EVERY_KIND = [
    encode_push(3, RAW),
    encode(IHave(((bytes(16), 1),))),
    encode(Want((bytes(16),))),
    encode(Graft(bytes(16))),
    encode(Prune(60)),
    encode(Days(3, ((20_000, 4, bytes(16)),))),
    encode(Tail(3, 20_000, 5, bytes(16))),
    encode(Batch(3, (RAW, RAW), False)),
    encode(Gone((bytes(16),))),
    encode(Ping(1)),
]


def keys(seed: int) -> LinkKeys:
    rng = random.Random(seed)
    return make_link_keys(rng.randbytes(32), network_id=network_id(None), psk=None, entropy=rng.randbytes)


def shaken(secure: Secure, other: Secure | None = None) -> tuple[Securing, Securing, list[int], int]:
    """Both sides of a finished handshake, the sizes of its messages, and the entropy that it took."""
    drawn = 0

    def entropy(size: int) -> bytes:
        nonlocal drawn
        drawn += size
        return bytes([7]) * size

    one = secure(keys(1), initiator=True, entropy=entropy)
    two = (other or secure)(keys(2), initiator=False, entropy=entropy)
    sizes = []
    for writer, reader in ((one, two), (two, one), (one, two)):
        assert writer.writes_next
        assert not reader.writes_next
        message = writer.write()
        sizes.append(len(message))
        reader.read(message)
    assert one.done
    assert two.done
    return one, two, sizes, drawn


def test_a_declared_handshake_tells_keys_in_messages_of_the_real_sizes_for_the_same_entropy() -> None:
    real, declared = shaken(Handshake), shaken(DeclaredHandshake)
    assert declared[2:] == real[2:]
    for one, two, *_ in (real, declared):
        assert (one.peer, two.peer) == (keys(2).node_pub, keys(1).node_pub)
        assert len(one.split()[0].seal(b"frame")) == 5 + 16


def test_what_was_sealed_is_opened_at_the_other_end_whichever_box_it_is() -> None:
    for real in (True, False):
        watched = Watched(Tally(), lambda _sig: None, real=real, drops=False)
        one, two, *_ = shaken(watched)
        (to_two, from_two), (to_one, from_one) = one.split(), two.split()
        for frame in EVERY_KIND:
            assert from_one.open(to_two.seal(frame)) == frame
            assert from_two.open(to_one.seal(frame)) == frame


def test_frames_and_envelopes_are_counted_on_honest_links() -> None:
    tally, seen = Tally(), list[bytes]()
    one, two, *_ = shaken(Watched(tally, seen.append, real=False, drops=False))
    sealing, opening = one.split()[0], two.split()[1]
    for frame in EVERY_KIND:
        opening.open(sealing.seal(frame))
    assert seen == [RAW[43:59]] * 3
    assert {Number(number).name: n for number, n in enumerate(tally.frames) if n} == {
        Number(frame[1]).name: 1 for frame in EVERY_KIND
    }
    assert tally.ids == 3


@given(IDS)
def test_the_ids_of_a_frame_are_counted_by_its_size(ids: list[bytes]) -> None:
    for frame in (IHave(tuple((one, 127) for one in ids)), Want(tuple(ids))):
        tally = Tally()
        tally.count(encode(frame))
        assert tally.ids == len(ids)


def test_a_graft_without_an_id_counts_none() -> None:
    tally = Tally()
    tally.count(encode(Graft(None)))
    assert tally.ids == 0


def test_a_sybil_neither_pushes_nor_announces_nor_has_anything_and_is_not_malformed() -> None:
    assert [decode(emptied(frame)) for frame in EVERY_KIND] == [
        Unknown(255), Unknown(255), *map(decode, EVERY_KIND[2:5]), Days(3, ()), *map(decode, EVERY_KIND[6:])
    ]  # fmt: skip
    tally = Tally()
    sybil, honest = Watched(tally, None, real=True, drops=True), Watched(tally, None, real=True, drops=False)
    one, two, *_ = shaken(sybil, honest)
    assert two.split()[1].open(one.split()[0].seal(EVERY_KIND[0])) == encode(Unknown(255))
    assert one.split()[1].open(two.split()[0].seal(EVERY_KIND[0])) == EVERY_KIND[0]
