"""I11 to I13 by execution: every string of a stolen state, tried on what must stay closed to it.

`attacker.py` follows only what somebody in the run has computed. Here nothing is believed of the run but the
outer layer, which is given away: each 32 bytes of the state are tried as message key, seed and chain key of
any of the next STEPS steps, as leaf on every slot, and as what a slot holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from node.crypto import chain, epoch
from node.crypto.epoch import EpochAnnounce
from node.crypto.labels import Label
from node.crypto.primitives import box_open, dh, digest, kdf
from node.crypto.roommsg import RoomInner
from node.errors import CryptoFault
from node.wire import codec

STEPS = 24
"""How far every string is walked as a chain key."""


class Brute:
    """Tries one stolen state."""

    def __init__(self, known: Iterable[bytes]) -> None:
        self.keys = [key for key in known if len(key) == 32]
        self._seeds = [*self.keys]
        for key in self.keys:
            self._walk(key)

    def _walk(self, key: bytes) -> None:
        for _ in range(STEPS):
            key, seed = chain.step(Label.RCHAIN, key)
            self._seeds.append(seed)

    def learn_chains(
        self, announce: EpochAnnounce, secrets: Iterable[bytes], devices: Sequence[bytes]
    ) -> None:
        """Go on with what slots have held, of this epoch or another, as the secret of this one."""
        for es in secrets:
            for device in devices:
                self._walk(chain.first_chain(es, announce.epoch_id, device))

    def opened(self, announce: EpochAnnounce, slots: bytes, devices: Sequence[bytes]) -> list[bytes]:
        """Try every string as a leaf's private half on every slot; return what those hold that open."""
        salted = announce.salt + announce.commitment + announce.room_id
        boxes: list[Any] = codec.unpack(slots)
        found = []
        for key in self.keys:
            try:
                shared = dh(key, announce.ek_pub)
            except CryptoFault:
                continue
            for device, (leaf_id, box) in zip(sorted(devices), boxes, strict=False):
                try:
                    slot = epoch._slot_key(shared, salted, device, leaf_id, announce.ek_pub)
                    found.append(box_open(box, bytes(24), slot))
                except CryptoFault:
                    continue
        return found

    def opens(self, msg: RoomInner) -> bytes | None:
        """Return the plaintext of a room message if anything tried is its key."""
        bound = digest(Label.RHDR, msg.core_bytes)
        for tried in self._seeds:
            key = kdf(Label.RMK, tried, bound, 32)
            if kdf(Label.RKC, key, b"", 32) == msg.kc:
                return box_open(msg.ct, msg.nonce, key)
        for key in self.keys:
            if kdf(Label.RKC, key, b"", 32) == msg.kc:
                return box_open(msg.ct, msg.nonce, key)
        return None
