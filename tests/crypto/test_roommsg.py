"""Room messages: authorship by signature, one key one message, nothing changed opens."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from msgspec import structs

from node.crypto import chain as chains, primitives, roommsg
from node.crypto.chain import MAX_JUMP, AlreadyConsumed, RecvChain, SendChain
from node.crypto.labels import Label
from node.errors import CryptoFault, DecodeError, PeerFault
from node.wire import codec

KEY = b"k" * 32
ROOM, EPOCH, DEVICE, VIEW = b"r" * 16, b"e" * 16, b"d" * 16, b"v" * 16
DSK_PUB, DSK_SK = primitives.ed25519_keypair(b"s" * 32)
DAY = 20_000


def entropy(seed: int = 1) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def seal(
    chain: SendChain, payload: bytes = b"hello", *, room: bytes = ROOM, dsk_sk: bytes = DSK_SK, seed: int = 1
) -> tuple[SendChain, bytes]:
    return roommsg.seal(
        chain,
        kind=roommsg.Kind.MESSAGE,
        room_id=room,
        epoch16=EPOCH,
        device_id=DEVICE,
        view16=VIEW,
        payload=payload,
        dsk_sk=dsk_sk,
        entropy=entropy(seed),
    )


def receive(chain: RecvChain, inner: bytes, dsk_pub: bytes = DSK_PUB) -> tuple[RecvChain, bytes]:
    msg = roommsg.parse(inner)
    roommsg.verify(msg, dsk_pub)
    return roommsg.open_message(chain, msg, day=DAY)


def sealed(count: int) -> list[bytes]:
    chain, inners = SendChain(KEY), []
    for number in range(count):
        chain, inner = seal(chain, b"%d" % number, seed=number)
        inners.append(inner)
    return inners


MESSAGES = sealed(24)


@settings(max_examples=40, deadline=None)
@given(st.permutations(list(range(24))), st.lists(st.integers(0, 23), max_size=10))
def test_any_order_with_duplicates_opens_each_message_exactly_once(
    order: list[int], again: list[int]
) -> None:
    chain, opened = RecvChain(KEY), list[bytes]()
    for number in order + again:
        try:
            chain, payload = receive(chain, MESSAGES[number])
            opened.append(payload)
        except AlreadyConsumed:
            assert b"%d" % number in opened
    assert sorted(opened) == sorted(b"%d" % number for number in range(24))


def test_a_message_carries_its_header_and_the_hash_of_the_one_before() -> None:
    chain, first = seal(SendChain(KEY), b"one")
    chain, second = seal(chain, b"two")
    one, two = roommsg.parse(first), roommsg.parse(second)
    assert one.core == roommsg.Core(roommsg.Kind.MESSAGE, ROOM, EPOCH, DEVICE, 0, bytes(16), VIEW)
    assert (two.core.index, two.core.prev16) == (1, one.hash16)
    assert two.hash16 == chain.prev16 == primitives.digest(Label.INNER, second)[:16]


def test_a_message_has_exactly_the_documented_bytes() -> None:
    _, inner = seal(SendChain(KEY), b"payload", seed=7)
    nonce = entropy(7)(24)
    core = codec.pack([1, 1, ROOM, EPOCH, DEVICE, 0, bytes(16), VIEW])
    seed = primitives.kdf(Label.RCHAIN, KEY, b"\x01", 64)[32:]
    mk = primitives.kdf(Label.RMK, seed, primitives.digest(Label.RHDR, core), 32)
    kc = primitives.kdf(Label.RKC, mk, b"", 32)
    ct = primitives.box_seal(b"payload", nonce, mk)
    sig = primitives.sign(Label.SIGROOM, DSK_SK, core + kc + nonce + ct)
    assert inner == codec.pack([1, core, kc, nonce, ct, sig])


@pytest.mark.attack("A07")
def test_every_flipped_bit_is_refused_and_changes_nothing() -> None:
    before, _ = receive(RecvChain(KEY), MESSAGES[2])
    stored = msgspec.msgpack.encode(before)
    inner = MESSAGES[1]
    for bit in range(len(inner) * 8):
        changed = bytearray(inner)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerFault):
            receive(before, bytes(changed))
    assert msgspec.msgpack.encode(before) == stored
    assert receive(before, inner)[1] == b"1"


def test_a_changed_header_box_or_commitment_does_not_open_even_when_signed_again() -> None:
    msg = roommsg.parse(MESSAGES[0])
    other_core = codec.pack([1, 1, b"x" * 16, EPOCH, DEVICE, 0, bytes(16), VIEW])
    changes: list[dict[str, Any]] = [
        {"core_bytes": other_core},
        {"kc": bytes(32)},
        {"nonce": bytes(24)},
        {"ct": msg.ct[:-1] + bytes([msg.ct[-1] ^ 1])},
    ]
    for change in changes:
        with pytest.raises(CryptoFault):
            roommsg.open_message(RecvChain(KEY), structs.replace(msg, **change), day=DAY)


@pytest.mark.attack("A03")
def test_a_member_who_holds_the_chain_key_cannot_write_in_its_owners_name() -> None:
    _, other_sk = primitives.ed25519_keypair(b"o" * 32)
    _, inner = seal(SendChain(KEY), b"forged", dsk_sk=other_sk)
    with pytest.raises(CryptoFault):
        receive(RecvChain(KEY), inner)


@pytest.mark.attack("A11")
def test_an_index_out_of_bounds_is_refused_before_any_key_work(monkeypatch: pytest.MonkeyPatch) -> None:
    _, inner = seal(SendChain(KEY, MAX_JUMP + 1), b"far")
    _, largest = seal(SendChain(KEY, (1 << 32) - 1), b"last")

    def no_work(_label: bytes, _key: bytes) -> tuple[bytes, bytes]:
        raise AssertionError("stepped")

    monkeypatch.setattr(chains, "step", no_work)
    for far in (inner, largest):
        with pytest.raises(CryptoFault, match="jumps"):
            receive(RecvChain(KEY), far)


def test_used_keys_cannot_be_found_again_in_the_state_kept() -> None:
    chain = RecvChain(KEY)
    for inner in (MESSAGES[0], MESSAGES[4], MESSAGES[2]):
        chain, _ = receive(chain, inner)
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(chain), type=RecvChain)
    seeds = [run.seeds[at : at + 32] for run in restored.skipped for at in range(0, len(run.seeds), 32)]
    key = restored.key
    for _ in range(30):
        key, seed = chains.step(Label.RCHAIN, key)
        seeds.append(seed)
    for number, readable in {0: False, 4: False, 2: False, 1: True, 3: True, 5: True}.items():
        msg = roommsg.parse(MESSAGES[number])
        header = primitives.digest(Label.RHDR, msg.core_bytes)
        assert any(_opens(msg, primitives.kdf(Label.RMK, s, header, 32)) for s in seeds) is readable


def _opens(msg: roommsg.RoomInner, mk: bytes) -> bool:
    try:
        primitives.box_open(msg.ct, msg.nonce, mk)
    except CryptoFault:
        return False
    return True


def test_a_message_costs_one_box_and_one_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for name in ("secretbox", "secretbox_open", "sign", "sign_open"):
        _count(monkeypatch, calls, name)
    _, inner = seal(SendChain(KEY), b"x" * 1024)
    assert calls == {"secretbox": 1, "sign": 1}
    calls.clear()
    assert receive(RecvChain(KEY), inner)[1] == b"x" * 1024
    assert calls == {"secretbox_open": 1, "sign_open": 1}


def _count(monkeypatch: pytest.MonkeyPatch, calls: Counter[str], name: str) -> None:
    real = getattr(primitives, f"_{name}")

    def counted(*args: Any) -> Any:
        calls[name] += 1
        return real(*args)

    monkeypatch.setattr(primitives, f"_{name}", counted)


def test_a_message_adds_a_fixed_number_of_bytes() -> None:
    _, inner = seal(SendChain(KEY, 9_999), b"x" * 1024)
    assert len(inner) - 1024 <= 250


P1305 = (1 << 130) - 5
CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


def _poly_key(key: bytes, nonce: bytes) -> tuple[int, int]:
    """Recover Poly1305's (r, s) of a secretbox from the tags of no block and of one known block."""
    s = int.from_bytes(primitives.box_seal(b"", nonce, key)[:16], "little")
    boxed = primitives.box_seal(bytes(16), nonce, key)
    block = int.from_bytes(boxed[16:], "little") | 1 << 128
    low = (int.from_bytes(boxed[:16], "little") - s) % (1 << 128)
    for lift in range(4):
        r = (low + (lift << 128)) * pow(block, -1, P1305) % P1305
        if r & CLAMP == r:
            return r, s
    raise AssertionError("no clamped r")


def salamander(key1: bytes, key2: bytes, rng: random.Random) -> tuple[bytes, bytes]:
    """Return (nonce, box of 48 bytes) that opens under both keys."""
    while True:
        nonce = rng.randbytes(24)
        (r1, s1), (r2, s2) = _poly_key(key1, nonce), _poly_key(key2, nonce)
        tag = rng.getrandbits(128)
        a1, a2 = (tag - s1) % (1 << 128), (tag - s2) % (1 << 128)
        over = pow(r1 * r2 * (r1 - r2), -1, P1305)
        c1 = (a1 * r2 - a2 * r1) * over % P1305
        c2 = (a2 * r1 * r1 - a1 * r2 * r2) * over % P1305
        if c1 >> 128 == 1 and c2 >> 128 == 1:
            low = (1 << 128) - 1
            return nonce, b"".join(n.to_bytes(16, "little") for n in (tag, c1 & low, c2 & low))


@pytest.mark.attack("A08")
def test_a_box_that_opens_under_two_keys_opens_for_one_reader_only() -> None:
    core = codec.pack([1, 1, ROOM, EPOCH, DEVICE, 0, bytes(16), VIEW])
    header, keys = primitives.digest(Label.RHDR, core), (b"1" * 32, b"2" * 32)
    mks = [primitives.kdf(Label.RMK, chains.step(Label.RCHAIN, k)[1], header, 32) for k in keys]
    nonce, ct = salamander(mks[0], mks[1], random.Random(5))
    assert primitives.box_open(ct, nonce, mks[0]) != primitives.box_open(ct, nonce, mks[1])

    kc = primitives.kdf(Label.RKC, mks[0], b"", 32)
    sig = primitives.sign(Label.SIGROOM, DSK_SK, core + kc + nonce + ct)
    inner = codec.pack([1, core, kc, nonce, ct, sig])
    assert len(receive(RecvChain(keys[0]), inner)[1]) == 32
    with pytest.raises(CryptoFault, match="committed"):
        receive(RecvChain(keys[1]), inner)


@pytest.mark.attack("A12")
def test_a_send_chain_rolled_back_still_draws_another_nonce() -> None:
    _, one = seal(SendChain(KEY), b"one", seed=1)
    _, two = seal(SendChain(KEY), b"two", seed=2)
    assert roommsg.parse(one).core == roommsg.parse(two).core
    assert roommsg.parse(one).nonce != roommsg.parse(two).nonce


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        roommsg.parse(data)


def test_an_unknown_kind_or_an_oversized_message_is_a_decode_error() -> None:
    msg = roommsg.parse(MESSAGES[0])
    core = codec.pack([1, 9, ROOM, EPOCH, DEVICE, 0, bytes(16), VIEW])
    with pytest.raises(DecodeError, match="shape"):
        roommsg.parse(codec.pack([1, core, msg.kc, msg.nonce, msg.ct, msg.sig]))
    with pytest.raises(DecodeError):
        roommsg.parse(codec.pack([1, msg.core_bytes, msg.kc, msg.nonce, bytes(33_000), msg.sig]))


def test_a_send_chain_survives_storage() -> None:
    chain, _ = seal(SendChain(KEY))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(chain), type=SendChain) == chain
