"""Every signed structure against every label and every later version, signed by the right key each time."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import node
from node.crypto import joining
from node.crypto.labels import REGISTRY, Label
from node.crypto.primitives import ed25519_keypair, kdf, seal_open, seal_to, sign
from node.errors import CryptoFault, PeerFault
from node.wire.codec import pack, unpack
from tests.chat.room_samples import NOW
from tests.crypto.all_artefacts import HANDSHAKE, vouched
from tests.crypto.artefacts import (
    ADA,
    ADA_BUNDLE,
    BEN,
    INNERS,
    INVITE_SK,
    NEW_EPOCH,
    OP,
    PARTS,
    RECORD,
    ROOM,
    K,
)

DSK = ADA.keys.dsk_sk
REQUEST = seal_open(BEN.keys.intro_secret, BEN.keys.intro_pub, unpack(INNERS["contact request"].raw)[1])
JOIN = unpack(INNERS["join request"].raw)[1]
LISTING = unpack(INNERS["listing"].raw)[1]
PROFILE = unpack(INNERS["profile listing"].raw)[1]
MESSAGE = unpack(INNERS["room message"].raw)
_POSTING = ed25519_keypair(kdf(Label.POST, K, (20_000).to_bytes(4, "big"), 32))[1]
_HEAD, _REST = PARTS["envelope"].raw[:43], PARTS["envelope"].raw[107:]


@dataclass(frozen=True)
class Signed:
    """A signed body, how to sign it under any label with the right key, and its reader.

    `version` is where the body says which version or kind it is; None if what is signed does not say.
    """

    label: str
    body: bytes
    make: Callable[[bytes, bytes], bytes]
    read: Callable[[bytes], object]
    version: int | None = 1


def trailing(secret: bytes) -> Callable[[bytes, bytes], bytes]:
    return lambda label, body: body + sign(label, secret, body)


def certified(label: bytes, body: bytes) -> bytes:
    """Both signatures under `label`."""
    return body + sign(label, ADA.keys.account_sk, body) + sign(label, DSK, body)


def half_certified(label: bytes, body: bytes) -> bytes:
    """The device's signature under `label`, the account's as it should be."""
    return body + sign(Label.DEVCERT, ADA.keys.account_sk, body) + sign(label, DSK, body)


def asked(label: bytes, body: bytes) -> bytes:
    signature = sign(label, DSK, body + BEN.account + BEN.keys.intro_pub)
    return pack([4, seal_to(BEN.keys.intro_pub, body + signature, K)])


def invited(label: bytes, body: bytes) -> bytes:
    claim = joining._claim(ROOM, ADA.account, ADA.device, ADA.leaf, NOW)
    rest = body + sign(label, INVITE_SK, claim)
    return pack([6, rest + sign(Label.JOINREQ, DSK, rest)])


def joined(label: bytes, body: bytes) -> bytes:
    return pack([6, body + sign(label, DSK, body)])


def listed(label: bytes, body: bytes) -> bytes:
    return pack([9, body + sign(label, BEN.keys.dsk_sk, body)])


def introduced(label: bytes, body: bytes) -> bytes:
    return pack([13, body + sign(label, DSK, body)])


def spoken(label: bytes, core: bytes) -> bytes:
    _, _, kc, nonce, ct, _ = MESSAGE
    return pack([1, core, kc, nonce, ct, sign(label, DSK, core + kc + nonce + ct)])


def enveloped(label: bytes, head: bytes) -> bytes:
    return head + sign(label, _POSTING, head + _REST) + _REST


def beaten(name: str) -> Signed:
    number, epoch16, device16, nonce, ct, _ = unpack(INNERS[name].raw)
    body = epoch16 + device16 + nonce + ct

    def make(label: bytes, signed: bytes) -> bytes:
        return pack([number, epoch16, device16, nonce, ct, sign(label, DSK, signed)])

    return Signed("sigeph", body, make, INNERS[name].read, None)


def part(label: str, name: str, raw: bytes, secret: bytes) -> Signed:
    return Signed(label, raw[:-64], trailing(secret), PARTS[name].read)


SIGNED = {
    "certificate": Signed("devcert", ADA.cert.raw[:-128], certified, PARTS["certificate"].read),
    "certificate by its device": Signed(
        "devcert", ADA.cert.raw[:-128], half_certified, PARTS["certificate"].read
    ),
    "device list": part("devlist", "device list", ADA.devices.raw, ADA.keys.account_sk),
    "prekey bundle": part("prekey", "prekey bundle", ADA_BUNDLE.raw, DSK),
    "contact request": Signed("req", REQUEST[:-64], asked, INNERS["contact request"].read),
    "op": part("op", "op", OP.raw, DSK),
    "announce": part("epsig", "announce", NEW_EPOCH.announce, DSK),
    "room message": Signed("sigroom", MESSAGE[1], spoken, INNERS["room message"].read),
    "room ephemeral": beaten("room ephemeral"),
    "presence": beaten("presence ephemeral"),
    "join request, by the invite": Signed("invite", JOIN[:-128], invited, INNERS["join request"].read),
    "join request, by the device": Signed("joinreq", JOIN[:-64], joined, INNERS["join request"].read),
    "listing": Signed("listing", LISTING[:-64], listed, INNERS["listing"].read),
    "profile listing": Signed("pres", PROFILE[:-64], introduced, INNERS["profile listing"].read),
    "envelope": Signed("env", _HEAD, enveloped, PARTS["envelope"].read, 0),
    "node record": part("noderec", "node record", RECORD, ADA.keys.node_sk),
    "node key": Signed(
        "nodekey", b"", lambda label, _body: vouched(label), HANDSHAKE["handshake message 3"].read, None
    ),
}


@pytest.mark.attack("A26")
@pytest.mark.parametrize("name", SIGNED)
def test_a_structure_signed_by_its_own_key_under_another_label_is_refused(name: str) -> None:
    kind = SIGNED[name]
    kind.read(kind.make(REGISTRY[kind.label], kind.body))
    for label in REGISTRY.keys() - {kind.label}:
        with pytest.raises(CryptoFault):
            kind.read(kind.make(REGISTRY[label], kind.body))


@pytest.mark.attack("A26")
def test_every_label_that_anything_is_signed_under_is_among_these() -> None:
    used = {label for function, label in labelled_calls() if function in FAMILIES["signature"]}
    assert used == {kind.label for kind in SIGNED.values()}


@pytest.mark.attack("A25")
@pytest.mark.parametrize("name", [name for name, kind in SIGNED.items() if kind.version is not None])
def test_a_well_signed_structure_of_any_other_version_is_refused(name: str) -> None:
    kind = SIGNED[name]
    at = kind.version
    assert at is not None
    for version in set(range(0x80)) - {kind.body[at]}:
        changed = kind.body[:at] + bytes([version]) + kind.body[at + 1 :]
        with pytest.raises(PeerFault):
            kind.read(kind.make(REGISTRY[kind.label], changed))


# -- how the sources use labels ---------------------------------------------------------------------

FAMILIES = {
    "signature": {"sign", "verify", "verify_signature"},
    "hash": {"digest", "LongDigest", "sha512"},
    "key": {"kdf", "begun_kdf", "step", "seek", "close"},
}


@cache
def labelled_calls() -> tuple[tuple[str, str], ...]:
    """Return (function, label) of every call in the sources whose first argument is or begins with one."""
    return tuple(find_calls())


def find_calls() -> Iterator[tuple[str, str]]:
    for path in Path(node.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            function = (
                call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            )
            for label in labels_in(call.args[0]):
                yield function, label


def labels_in(argument: ast.AST) -> Iterator[str]:
    """Yield the labels that an argument is or begins with; calls inside it speak for themselves."""
    if isinstance(argument, ast.BinOp):
        yield from labels_in(argument.left)
    elif isinstance(argument, ast.Attribute) and getattr(argument.value, "id", "") == "Label":
        yield argument.attr.lower()


def test_a_label_serves_signatures_or_hashes_or_keys_and_never_two_of_them() -> None:
    calls = set(labelled_calls())
    assert {function for function, _ in calls} == set().union(*FAMILIES.values())
    labels = {family: {lb for fn, lb in calls if fn in names} for family, names in FAMILIES.items()}
    assert sum(map(len, labels.values())) == len(set().union(*labels.values()))


def test_every_mention_of_a_label_is_in_such_a_call() -> None:
    mentions = sum(
        path.read_text("utf-8").count("Label.")
        for path in Path(node.__file__).parent.rglob("*.py")
        if path.name != "labels.py"
    )
    assert mentions == len(labelled_calls())
