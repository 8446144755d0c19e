"""People and a room for benches: keys alone, nothing stored."""

from __future__ import annotations

import os
from dataclasses import dataclass

from node.clock import DAY_MS
from node.crypto import epoch, keys, prekeys
from node.crypto.keys import DeviceCert, DeviceList, Identity
from node.crypto.ops import Leaf
from node.crypto.prekeys import PrekeyBundle, SignedPrekey
from node.crypto.primitives import x25519_public

DAY = 20_000
NOW = DAY * DAY_MS + 1_000


@dataclass(frozen=True, slots=True)
class Member:
    """A person with one device, one prekey and one leaf."""

    keys: Identity
    cert: DeviceCert
    devices: DeviceList
    spk: SignedPrekey
    bundle: PrekeyBundle
    leaf_secret: bytes


def member(number: int) -> Member:
    """Make a person; `number` names the prekey."""
    identity = Identity.generate(os.urandom, DAY)
    cert = keys.make_cert(identity, DAY, DAY + 100)
    devices = keys.make_list(identity, 1, bytes(32), (cert.cert_hash,), (), DAY)
    spk = prekeys.new_prekey(os.urandom, number, DAY)
    return Member(identity, cert, devices, spk, prekeys.make_bundle(identity, 1, spk), os.urandom(32))


class Room:
    """A room of so many members and its first epoch, made by the first of them."""

    def __init__(self, size: int) -> None:
        self.room_id = os.urandom(16)
        self.members = [member(number) for number in range(size)]
        self.devices = [who.keys.device_id for who in self.members]
        self._leaves = [(who.keys.device_id, Leaf(1, x25519_public(who.leaf_secret))) for who in self.members]
        self.new = self.rekey()

    def rekey(self) -> epoch.NewEpoch:
        """Make an epoch for all members."""
        return epoch.create_epoch(
            self.members[0].keys,
            room_id=self.room_id,
            gen=1,
            parents=(),
            heads=(bytes(32),),
            members=self._leaves,
            now_ms=NOW,
            reason=epoch.REASON_CREATE,
            entropy=os.urandom,
        )
