"""First contact and the double ratchet: docs/crypto.md 3.4 and 3.5."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.independent.boxes import box_open, box_seal, seal_open, seal_to
from tests.independent.curves import x25519, x25519_public
from tests.independent.notation import h, holds, kdf, sig
from tests.independent.people import Person
from tests.independent.spelling import read, read_signed, write


def contact_request(
    who: Person, card: list[bytes], rest: list[Any], to: tuple[bytes, bytes], ephemeral: bytes
) -> bytes:
    """`card`: certificate, list, bundle, node record; `rest`: name, token, ts_ms, hello; `to`: AK, intro."""
    body = write([4, *card, *rest])
    signature = sig("req", who.device_seed, body + to[0] + to[1])
    return write([4, seal_to(to[1], body + signature, ephemeral)])


def open_request(reader: Person, inner: bytes) -> list[Any]:
    """Return the fields of a request to `reader`, its own signature verified with the key of its card."""
    _, sealed = read(inner)
    fields, body, (signature,) = read_signed(seal_open(reader.intro_secret, sealed), 1)
    dsk = read_signed(fields[1], 2)[0][2]
    if not holds("req", dsk, body + reader.account + reader.intro, signature):
        raise ValueError("not signed for this reader")
    return list(fields)


def intro(card: list[bytes], rest: list[Any], to_intro: bytes, ephemeral: bytes) -> bytes:
    """`rest`: EK, spk_id, the old session or nil, the first message."""
    return write([5, seal_to(to_intro, write([5, *card, *rest]), ephemeral)])


def open_intro(reader: Person, inner: bytes) -> list[Any]:
    _, sealed = read(inner)
    return list(read(seal_open(reader.intro_secret, sealed)))


def agree(shared: list[bytes], parties: list[Any]) -> tuple[bytes, bytes]:
    """Return (RK0, T); `shared` are the three agreements, `parties` what T holds after its version."""
    transcript = h("x3dht", write([1, *parties]), 64)
    secret = h("x3dhs", b"\xff" * 32 + b"".join(shared), 64)
    return kdf("x3dh", secret, transcript), transcript


def agree_as_initiator(
    who: Person, ek: bytes, peer_cert: bytes, spk: tuple[int, bytes], old: bytes | None
) -> tuple[bytes, bytes]:
    """`peer_cert` is the asker's certificate, `spk` the id and public half of its prekey."""
    account, dsk, dik = read_signed(peer_cert, 2)[0][1:4]
    shared = [x25519(who.dik_secret, spk[1]), x25519(ek, dik), x25519(ek, spk[1])]
    ours = [who.account, who.device_id, who.dik, x25519_public(ek)]
    return agree(shared, [*ours, account, h("dev", dsk + dik)[:16], dik, *spk, old])


def agree_as_responder(who: Person, intro_fields: list[Any], spk_secret: bytes) -> tuple[bytes, bytes]:
    _, cert, _, _, _, ek, spk_id, old, _ = intro_fields
    account, dsk, dik = read_signed(cert, 2)[0][1:4]
    shared = [x25519(spk_secret, dik), x25519(who.dik_secret, ek), x25519(spk_secret, ek)]
    ours = [who.account, who.device_id, who.dik, spk_id, x25519_public(spk_secret)]
    return agree(shared, [account, h("dev", dsk + dik)[:16], dik, ek, *ours, old])


def chain_step(name: str, key: bytes) -> tuple[bytes, bytes]:
    """Return (CK', seed)."""
    both = kdf(name, key, b"\x01", 64)
    return both[:32], both[32:]


@dataclass
class Session:
    """One side of a double ratchet; keeps every skipped seed, for it never gets many."""

    root: bytes
    transcript: bytes
    direction: int
    secret: bytes
    peer: bytes = b""
    sending: bytes = b""
    sent: int = 0
    previous: int = 0
    receiving: bytes = b""
    received: int = 0
    skipped: dict[tuple[bytes, int], bytes] = field(default_factory=dict)

    @classmethod
    def initiator(cls, rk0: bytes, transcript: bytes, spk: bytes, secret: bytes) -> Session:
        made = cls(rk0, transcript, 0, secret, spk)
        made.sending = made._root_step(spk, 0)
        return made

    @classmethod
    def responder(cls, rk0: bytes, transcript: bytes, spk_secret: bytes) -> Session:
        return cls(rk0, transcript, 1, spk_secret)

    def send(self, payload: bytes, nonce: bytes) -> bytes:
        header = write([1, 1, x25519_public(self.secret), self.previous, self.sent])
        self.sending, seed = chain_step("chain", self.sending)
        self.sent += 1
        mk = self._message_key(seed, header, self.direction)
        return write([3, header, kdf("kc", mk, b""), nonce, box_seal(payload, nonce, mk)])

    def receive(self, inner: bytes, fresh: bytes | None) -> bytes:
        """Open a message; `fresh` is our next ratchet secret, for a message that turns the ratchet."""
        _, header, kc, nonce, box = read(inner)
        _, _, peer, previous, index = read(header)
        if (peer, index) not in self.skipped:
            if peer != self.peer or not self.receiving:
                assert fresh is not None, "this message turns the ratchet"
                self._walk(previous)
                self._turn(peer, fresh)
            self._walk(index + 1)
        mk = self._message_key(self.skipped.pop((peer, index)), header, 1 - self.direction)
        if kdf("kc", mk, b"") != kc:
            raise ValueError("not the key committed to")
        return box_open(box, nonce, mk)

    def _walk(self, end: int) -> None:
        for index in range(self.received, end if self.receiving else 0):
            self.receiving, seed = chain_step("chain", self.receiving)
            self.skipped[self.peer, index] = seed
            self.received = index + 1

    def _turn(self, peer: bytes, fresh: bytes) -> None:
        self.peer = peer
        self.receiving, self.received = self._root_step(peer, 1 - self.direction), 0
        self.secret, self.previous, self.sent = fresh, self.sent, 0
        self.sending = self._root_step(peer, self.direction)

    def _root_step(self, peer: bytes, direction: int) -> bytes:
        both = kdf("root", self.root, x25519(self.secret, peer) + bytes([direction]), 64)
        self.root = both[:32]
        return both[32:]

    def _message_key(self, seed: bytes, header: bytes, direction: int) -> bytes:
        return kdf("mk", seed, h("hdr", self.transcript + bytes([direction]) + header))
