"""The double ratchet: every message once in any order, nothing changed opens, old state reads nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from node.crypto import chain as chains, primitives, ratchet
from node.crypto.chain import MAX_JUMP, MAX_SKIPPED
from node.crypto.labels import Label
from node.crypto.ratchet import AlreadyConsumed, Ratchet
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire import codec

RK0, TRANSCRIPT = b"0" * 32, b"t" * 64
DAY = 20_000


def entropy(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def pair(seed: int = 1) -> tuple[Ratchet, Ratchet]:
    draw = entropy(seed)
    secret = draw(32)
    alice = ratchet.start_initiator(RK0, TRANSCRIPT, primitives.x25519_public(secret), draw)
    return alice, ratchet.start_responder(RK0, TRANSCRIPT, secret)


def settled(seed: int = 1) -> tuple[Ratchet, Ratchet]:
    """Return both sides after one message each way."""
    (alice, bob), draw = pair(seed), entropy(seed + 1)
    alice, inner = ratchet.encrypt(alice, b"hi", draw)
    bob, _ = ratchet.decrypt(bob, inner, day=DAY, entropy=draw)
    bob, inner = ratchet.encrypt(bob, b"ho", draw)
    alice, _ = ratchet.decrypt(alice, inner, day=DAY, entropy=draw)
    return alice, bob


def send_many(state: Ratchet, count: int, draw: Callable[[int], bytes]) -> tuple[Ratchet, list[bytes]]:
    inners = []
    for number in range(count):
        state, inner = ratchet.encrypt(state, b"%d" % number, draw)
        inners.append(inner)
    return state, inners


def dump(state: Ratchet) -> bytes:
    return msgspec.msgpack.encode(state)


def stored(state: Ratchet) -> Ratchet:
    return msgspec.msgpack.decode(dump(state), type=Ratchet)


def test_a_conversation_opens_in_both_directions_across_storage() -> None:
    (alice, bob), draw = pair(), entropy(2)
    for turn in range(12):
        alice, inner = ratchet.encrypt(stored(alice), b"a%d" % turn, draw)
        bob, payload = ratchet.decrypt(stored(bob), inner, day=DAY, entropy=draw)
        assert payload == b"a%d" % turn
        for reply in range(turn % 3):
            bob, inner = ratchet.encrypt(bob, b"b%d" % reply, draw)
            alice, payload = ratchet.decrypt(alice, inner, day=DAY, entropy=draw)
            assert payload == b"b%d" % reply
    assert stored(alice) == alice
    assert alice.session16 == bob.session16 == TRANSCRIPT[:16]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_any_order_and_duplication_opens_each_message_exactly_once(seed: int) -> None:
    rng, draw = random.Random(seed), entropy(seed + (1 << 40))
    sides = dict(zip("ab", settled(seed), strict=True))
    flying: dict[str, list[tuple[bytes, bytes]]] = {"a": [], "b": []}
    sent: dict[str, list[bytes]] = {"a": [], "b": []}
    got: dict[str, list[bytes]] = {"a": [], "b": []}
    passed: dict[str, list[bytes]] = {"a": [], "b": []}

    def deliver(to: str, at: int) -> None:
        inner, text = flying[to].pop(at)
        sides[to], payload = ratchet.decrypt(sides[to], inner, day=DAY, entropy=draw)
        assert payload == text
        got[to].append(payload)
        passed[to].append(inner)

    for number in range(40):
        side, other = rng.choice(["ab", "ba"])
        text = b"%s%d" % (side.encode(), number)
        sides[side], inner = ratchet.encrypt(sides[side], text, draw)
        flying[other].append((inner, text))
        sent[other].append(text)
        for to in "ab":
            if flying[to] and rng.random() < 0.4:
                deliver(to, rng.randrange(len(flying[to])))
            if passed[to] and rng.random() < 0.2:
                with pytest.raises(AlreadyConsumed):
                    ratchet.decrypt(sides[to], rng.choice(passed[to]), day=DAY, entropy=draw)
    for to in "ab":
        while flying[to]:
            deliver(to, rng.randrange(len(flying[to])))
        assert sorted(got[to]) == sorted(sent[to])
        assert sides[to].skipped_count == 0


@pytest.mark.attack("A07")
@pytest.mark.parametrize("turning", [False, True])
def test_every_flipped_bit_is_refused_and_changes_nothing(turning: bool) -> None:
    (alice, bob), draw = settled(), entropy(3)
    if not turning:
        alice, first = ratchet.encrypt(alice, b"first", draw)
        bob, _ = ratchet.decrypt(bob, first, day=DAY, entropy=draw)
    alice, inner = ratchet.encrypt(alice, b"exact", draw)
    before = dump(bob)
    for bit in range(len(inner) * 8):
        changed = bytearray(inner)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerFault):
            ratchet.decrypt(bob, bytes(changed), day=DAY, entropy=draw)
    assert dump(bob) == before
    assert ratchet.decrypt(bob, inner, day=DAY, entropy=draw)[1] == b"exact"


@pytest.mark.attack("A10")
def test_our_own_message_sent_back_is_refused() -> None:
    (alice, bob), draw = settled(), entropy(3)
    alice, inner = ratchet.encrypt(alice, b"mine", draw)
    with pytest.raises(CryptoFault, match="own message"):
        ratchet.decrypt(alice, inner, day=DAY, entropy=draw)
    bob, _ = ratchet.decrypt(bob, inner, day=DAY, entropy=draw)
    bob, reply = ratchet.encrypt(bob, b"yours", draw)
    alice, _ = ratchet.decrypt(alice, reply, day=DAY, entropy=draw)
    with pytest.raises(CryptoFault):
        ratchet.decrypt(alice, inner, day=DAY, entropy=draw)


def test_the_direction_alone_changes_the_message_key() -> None:
    (alice, bob), draw = pair(), entropy(3)
    _, inner = ratchet.encrypt(alice, b"x", draw)
    assert ratchet.decrypt(bob, inner, day=DAY, entropy=draw)[1] == b"x"
    with pytest.raises(CryptoFault):
        ratchet.decrypt(replace(bob, initiator=True), inner, day=DAY, entropy=draw)


@pytest.mark.attack("A15")
def test_another_transcript_opens_nothing() -> None:
    (alice, bob), draw = pair(), entropy(3)
    _, inner = ratchet.encrypt(alice, b"x", draw)
    with pytest.raises(CryptoFault):
        ratchet.decrypt(replace(bob, transcript=b"u" * 64), inner, day=DAY, entropy=draw)


@pytest.mark.attack("A08")
def test_a_commitment_to_another_key_is_refused_though_the_box_opens() -> None:
    (alice, bob), draw = settled(), entropy(3)
    _, inner = ratchet.encrypt(alice, b"x", draw)
    _, header, _, nonce, box = codec.unpack(inner)
    forged = codec.pack([3, header, primitives.kdf(Label.KC, b"2" * 32, b"", 32), nonce, box])
    with pytest.raises(CryptoFault, match="committed"):
        ratchet.decrypt(bob, forged, day=DAY, entropy=draw)


def test_the_first_message_has_exactly_the_documented_bytes() -> None:
    secret, draw = b"p" * 32, entropy(9)
    spk = primitives.x25519_public(secret)
    alice = ratchet.start_initiator(RK0, TRANSCRIPT, spk, draw)
    _, inner = ratchet.encrypt(alice, b"first", draw)
    again = entropy(9)
    dhs, nonce = again(32), again(24)
    both = primitives.kdf(Label.ROOT, RK0, primitives.dh(dhs, spk) + b"\0", 64)
    seed = primitives.kdf(Label.CHAIN, both[32:], b"\x01", 64)[32:]
    header = codec.pack([1, 1, primitives.x25519_public(dhs), 0, 0])
    mk = primitives.kdf(Label.MK, seed, primitives.digest(Label.HDR, TRANSCRIPT + b"\0" + header), 32)
    kc = primitives.kdf(Label.KC, mk, b"", 32)
    assert inner == codec.pack([3, header, kc, nonce, primitives.box_seal(b"first", nonce, mk)])


def forged(state: Ratchet, peer: bytes, previous: int, index: int) -> bytes:
    header = codec.pack([1, 1, peer, previous, index])
    return codec.pack([3, header, bytes(32), bytes(24), bytes(16)])


@pytest.mark.attack("A11")
def test_an_impossible_jump_is_refused_before_any_key_work(monkeypatch: pytest.MonkeyPatch) -> None:
    _, bob = settled()
    other = primitives.x25519_public(b"n" * 32)

    def no_work(*_args: object) -> tuple[bytes, bytes]:
        raise AssertionError("worked")

    monkeypatch.setattr(chains, "step", no_work)
    monkeypatch.setattr(ratchet, "dh", no_work)
    for peer, previous, index in (
        (bob.peer, 0, 1 + MAX_JUMP + 1),
        (bob.peer, 0, (1 << 32) - 1),
        (other, 1, MAX_JUMP + 1),
        (other, 1 + MAX_JUMP + 1, 0),
        (other, 0, 0),
    ):
        with pytest.raises(CryptoFault):
            ratchet.decrypt(bob, forged(bob, peer, previous, index), day=DAY, entropy=entropy(1))


@pytest.mark.attack("A13")
def test_a_low_order_ratchet_key_is_a_crypto_fault() -> None:
    _, bob = settled()
    with pytest.raises(CryptoFault):
        ratchet.decrypt(bob, forged(bob, bytes(32), 1, 0), day=DAY, entropy=entropy(1))


def test_skipped_messages_open_for_35_days_across_a_turn_and_no_longer() -> None:
    (alice, bob), draw = settled(), entropy(3)
    alice, inners = send_many(alice, 5, draw)
    bob, _ = ratchet.decrypt(bob, inners[2], day=DAY, entropy=draw)
    bob, reply = ratchet.encrypt(bob, b"r", draw)
    alice, _ = ratchet.decrypt(alice, reply, day=DAY, entropy=draw)
    alice, later = ratchet.encrypt(alice, b"later", draw)
    bob, _ = ratchet.decrypt(bob, later, day=DAY + 1, entropy=draw)
    assert bob.skipped_count == 4
    assert ratchet.decrypt(bob, inners[0], day=DAY + 35, entropy=draw)[1] == b"0"
    assert ratchet.decrypt(bob, inners[4], day=DAY + 36, entropy=draw)[1] == b"4"
    _, last = ratchet.encrypt(alice, b"last", draw)
    aged, _ = ratchet.decrypt(bob, last, day=DAY + 37, entropy=draw)
    assert aged.skipped_count == 0
    for inner in inners:
        with pytest.raises(AlreadyConsumed):
            ratchet.decrypt(aged, inner, day=DAY + 37, entropy=draw)


def test_a_late_message_of_an_old_chain_is_refused_once_its_seed_has_expired() -> None:
    (alice, bob), draw = settled(), entropy(3)
    alice, inners = send_many(alice, 2, draw)
    bob, _ = ratchet.decrypt(bob, inners[1], day=DAY, entropy=draw)
    bob, reply = ratchet.encrypt(bob, b"r", draw)
    alice, _ = ratchet.decrypt(alice, reply, day=DAY, entropy=draw)
    alice, later = ratchet.encrypt(alice, b"later", draw)
    bob, _ = ratchet.decrypt(bob, later, day=DAY, entropy=draw)
    assert ratchet.decrypt(bob, inners[0], day=DAY + 35, entropy=draw)[1] == b"0"
    with pytest.raises(AlreadyConsumed):
        ratchet.decrypt(bob, inners[0], day=DAY + 36, entropy=draw)


def test_a_session_keeps_a_bounded_number_of_skipped_seeds() -> None:
    (alice, bob), draw = settled(), entropy(3)
    for _ in range(3):
        alice, inners = send_many(alice, 1_500, draw)
        bob, _ = ratchet.decrypt(bob, inners[-1], day=DAY, entropy=draw)
        bob, reply = ratchet.encrypt(bob, b"r", draw)
        alice, _ = ratchet.decrypt(alice, reply, day=DAY, entropy=draw)
    assert bob.skipped_count <= MAX_SKIPPED + ratchet.MAX_OLD_SKIPPED
    alice, inners = send_many(replace(alice, sent=0), 1, draw)
    bob, _ = ratchet.decrypt(bob, inners[0], day=DAY, entropy=draw)
    assert chains.count(sum((entry.skipped for entry in bob.old), ())) == ratchet.MAX_OLD_SKIPPED
    assert bob.old[-1].skipped[-1].end == 1_499


def test_the_state_kept_after_a_message_cannot_open_it_again() -> None:
    (alice, bob), draw = settled(), entropy(3)
    alice, inners = send_many(alice, 4, draw)
    states = []
    for number in (0, 3, 1):
        bob, _ = ratchet.decrypt(bob, inners[number], day=DAY, entropy=draw)
        states.append(stored(bob))
    assert bob.recv is not None
    seeds = [run.seeds[at : at + 32] for run in bob.recv.skipped for at in range(0, len(run.seeds), 32)]
    for start in (bob.recv.key, bob.send_key, bob.root):
        key = start
        for _ in range(10):
            key, seed = chains.step(Label.CHAIN, key)
            seeds.append(seed)
    opened = [number for number in range(4) if any(_opens(bob, inners[number], s) for s in seeds)]
    assert opened == [2]


def _opens(state: Ratchet, inner: bytes, seed: bytes) -> bool:
    _, header, _, nonce, box = codec.unpack(inner)
    bound = primitives.digest(Label.HDR, state.transcript + b"\0" + header)
    try:
        primitives.box_open(box, nonce, primitives.kdf(Label.MK, seed, bound, 32))
    except CryptoFault:
        return False
    return True


def test_a_stolen_state_reads_nothing_after_a_round_trip() -> None:
    (alice, bob), draw = settled(), entropy(3)
    alice, one = ratchet.encrypt(alice, b"one", draw)
    stolen = stored(bob)
    bob, _ = ratchet.decrypt(bob, one, day=DAY, entropy=draw)
    bob, two = ratchet.encrypt(bob, b"two", draw)
    alice, _ = ratchet.decrypt(alice, two, day=DAY, entropy=draw)
    alice, three = ratchet.encrypt(alice, b"three", draw)
    stolen, _ = ratchet.decrypt(stolen, one, day=DAY, entropy=entropy(99))
    with pytest.raises(CryptoFault):
        ratchet.decrypt(stolen, three, day=DAY, entropy=entropy(99))
    assert ratchet.decrypt(bob, three, day=DAY, entropy=draw)[1] == b"three"


def test_the_initial_secret_is_erased_once_both_sides_have_spoken() -> None:
    alice, bob = settled()
    for state in (alice, bob):
        assert RK0 not in dump(state)
    _, fresh = pair()
    assert fresh.dh_secret not in dump(bob)


def test_replays_from_many_turns_ago_are_refused() -> None:
    (alice, bob), draw = settled(), entropy(3)
    old: list[bytes] = []
    for _ in range(ratchet.MAX_PAST + 5):
        alice, inner = ratchet.encrypt(alice, b"a", draw)
        old.append(inner)
        bob, _ = ratchet.decrypt(bob, inner, day=DAY, entropy=draw)
        bob, reply = ratchet.encrypt(bob, b"b", draw)
        alice, _ = ratchet.decrypt(alice, reply, day=DAY, entropy=draw)
    for inner in old:
        with pytest.raises(CryptoFault):
            ratchet.decrypt(bob, inner, day=DAY, entropy=draw)
    with pytest.raises(AlreadyConsumed):
        ratchet.decrypt(bob, old[-ratchet.MAX_PAST], day=DAY, entropy=draw)
    assert len(dump(bob)) < 700


def test_a_young_session_is_a_small_row_and_shows_no_secret() -> None:
    alice, _ = settled()
    assert len(dump(alice)) < 500
    for secret in (alice.root, alice.dh_secret, alice.send_key):
        assert repr(secret)[2:-1] not in repr(alice)


def test_a_batch_is_sorted_by_ratchet_key_and_number_with_the_malformed_last() -> None:
    (alice, _), draw = settled(), entropy(3)
    _, inners = send_many(alice, 300, draw)
    shuffled = [*inners, b"junk"]
    random.Random(4).shuffle(shuffled)
    assert sorted(shuffled, key=ratchet.sort_key) == [*inners, b"junk"]
    assert ratchet.sort_key(inners[7]) == (alice.dh_public, 7)


def test_a_responder_cannot_send_before_it_has_received() -> None:
    alice, bob = pair()
    assert alice.can_send
    assert not bob.can_send
    with pytest.raises(AssertionError):
        ratchet.encrypt(bob, b"x", entropy(1))


def test_an_unusable_prekey_is_a_crypto_fault() -> None:
    with pytest.raises(CryptoFault):
        ratchet.start_initiator(RK0, TRANSCRIPT, bytes(32), entropy(1))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=250))
def test_random_bytes_are_a_decode_error(data: bytes) -> None:
    _, bob = pair()
    with pytest.raises(DecodeError):
        ratchet.decrypt(bob, data, day=DAY, entropy=entropy(1))


def test_a_first_message_that_claims_an_earlier_chain_is_refused() -> None:
    (alice, bob), draw = pair(), entropy(3)
    _, inner = ratchet.encrypt(replace(alice, previous=1), b"x", draw)
    with pytest.raises(CryptoFault, match="previous"):
        ratchet.decrypt(bob, inner, day=DAY, entropy=draw)


@pytest.mark.attack("A12")
def test_a_state_put_back_seals_other_words_under_the_same_key_but_never_under_the_same_nonce(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, _ = settled()
    kept, draw = dump(alice), entropy(7)
    sealed: list[tuple[bytes, bytes]] = []
    seal = ratchet.box_seal

    def noted(plain: bytes, nonce: bytes, key: bytes) -> bytes:
        sealed.append((key, nonce))
        return seal(plain, nonce, key)

    monkeypatch.setattr(ratchet, "box_seal", noted)
    for number in range(50):
        ratchet.encrypt(msgspec.msgpack.decode(kept, type=Ratchet), b"%d" % number, draw)
    assert len({key for key, _ in sealed}) == 1, "the place was used again"
    assert len(set(sealed)) == 50


def test_a_state_knows_its_own_messages_their_places_and_what_was_jumped_over() -> None:
    (alice, bob), draw = settled(), entropy(8)
    before = alice
    alice, inners = send_many(alice, 5, draw)
    assert [ratchet.position(inner) for inner in inners] == [(alice.dh_public, n) for n in range(5)]
    assert all(ratchet.sent_here(alice, inner) for inner in inners)
    assert not any(ratchet.sent_here(before, inner) for inner in inners)
    assert ratchet.missing(bob) == ()
    for inner in (inners[1], inners[4]):
        bob, _ = ratchet.decrypt(bob, inner, day=DAY, entropy=draw)
    assert ratchet.missing(bob) == ((alice.dh_public, 0, 1), (alice.dh_public, 2, 4))
    bob, _ = ratchet.decrypt(bob, inners[0], day=DAY, entropy=draw)
    assert ratchet.missing(bob) == ((alice.dh_public, 2, 4),)
