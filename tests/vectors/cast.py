"""Who plays in the vectors, and where their randomness comes from: seeded, so that every run is the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

from node.clock import DAY_MS, Instant
from node.crypto import keys, noderec, prekeys
from node.crypto.keys import DeviceCert, DeviceList, Identity
from node.crypto.ops import Leaf
from node.crypto.prekeys import PrekeyBundle, SignedPrekey
from node.crypto.primitives import x25519_public

TODAY = 20_000
NOW = TODAY * DAY_MS + 43_200_000
NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")


class Tape:
    """An entropy source for one purpose: a keyed counter; `drawn` is what it gave, in order."""

    def __init__(self, purpose: str) -> None:
        self._key = purpose.encode()
        self.drawn: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        self.drawn.append(blake2b(len(self.drawn).to_bytes(4), key=self._key, digest_size=size).digest())
        return self.drawn[-1]


def fixed(purpose: str, size: int = 32) -> bytes:
    """Return bytes that stand for something random."""
    return Tape(purpose)(size)


@dataclass(frozen=True)
class Actor:
    """One person with one device, a prekey and a leaf."""

    name: str
    identity: Identity
    cert: DeviceCert
    devices: DeviceList
    prekey: SignedPrekey
    bundle: PrekeyBundle
    record: bytes
    leaf: Leaf
    leaf_secret: bytes

    @property
    def account(self) -> bytes:
        return self.identity.account

    @property
    def device(self) -> bytes:
        return self.identity.device_id

    @property
    def card(self) -> list[bytes]:
        """What a request, an intro and a join request carry."""
        return [self.cert.raw, self.devices.raw, self.bundle.raw, self.record]


@cache
def actor(name: str) -> Actor:
    tape, number = Tape(name), NAMES.index(name) + 1
    identity = Identity.generate(tape, TODAY)
    cert = keys.make_cert(identity, TODAY, TODAY + 3650)
    devices = keys.make_list(identity, 1, bytes(32), [cert.cert_hash], [], TODAY)
    prekey = prekeys.new_prekey(tape, number, TODAY)
    bundle = prekeys.make_bundle(identity, 1, prekey)
    record = noderec.make_record(
        identity.node_seed,
        addresses=(f"wss://{name}.example:4433",),
        roles=frozenset({"hold"}),
        seq=number,
        now=Instant(0.0, NOW),
    )
    secret = tape(32)
    leaf = Leaf(number * 1_000_003, x25519_public(secret))
    return Actor(name, identity, cert, devices, prekey, bundle, record, leaf, secret)


def hexed(value: Any) -> Any:
    """Write bytes as text, `0x` and hex, wherever they are."""
    match value:
        case bytes():
            return "0x" + value.hex()
        case dict():
            return {key: hexed(item) for key, item in value.items()}
        case list() | tuple():
            return [hexed(item) for item in value]
        case _:
            return value
