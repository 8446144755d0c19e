"""How two nodes prove their keys to each other and agree on a link's keys (docs/protocol.md section 3).

Noise `XX_25519_ChaChaPoly_BLAKE2b`, and `XXpsk3` where the network has a secret (The Noise Protocol
Framework, revision 34). The static X25519 key lives as long as the process and is vouched for inside the
handshake by the node key: Ed25519, not the account key, so that a link tells no one whose node it is.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from node.crypto.labels import Label
from node.crypto.primitives import (
    KEY_BYTES,
    SIG_BYTES,
    Entropy,
    aead_open,
    aead_seal,
    dh,
    ed25519_keypair,
    plain_digest,
    sign,
    verify,
    x25519_public,
)
from node.crypto.securing import Secure, Securing
from node.errors import CryptoFault, DecodeError

PROLOGUE = b"gossamer/1"
TAG_BYTES = 16
REKEY_AFTER = 1 << 16
"""Messages in one direction under one key: a stolen key then opens little; no clock is needed."""
PROOF_BYTES = KEY_BYTES + SIG_BYTES
_HASH_BYTES = 64
_MAX_NONCE = (1 << 64) - 1
_PLAIN_NAME = b"Noise_XX_25519_ChaChaPoly_BLAKE2b"
_PSK_NAME = b"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b"
_PATTERN = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


@dataclass(frozen=True, slots=True)
class LinkKeys:
    """What a node brings to every handshake: its node key, the process' static key, and the proof of it.

    `static` is 32 secret bytes, `proof` the node key and its signature over network id and static key.
    `secure` begins handshakes in the place of `Handshake`, in simulations.
    """

    node_pub: bytes
    static: bytes = field(repr=False)
    static_pub: bytes
    proof: bytes
    network_id: bytes
    psk: bytes | None = field(repr=False)
    secure: Secure | None = field(default=None, repr=False)

    def begin(self, *, initiator: bool, entropy: Entropy) -> Securing:
        """Begin the handshake of a new link."""
        return (self.secure or Handshake)(self, initiator=initiator, entropy=entropy)


def make_link_keys(
    node_seed: bytes, *, network_id: bytes, psk: bytes | None, entropy: Entropy, secure: Secure | None = None
) -> LinkKeys:
    """Draw the static key of this process and sign it with the node key (32-byte seed)."""
    assert psk is None or len(psk) == KEY_BYTES
    node_pub, node_secret = ed25519_keypair(node_seed)
    static = entropy(KEY_BYTES)
    static_pub = x25519_public(static)
    proof = node_pub + sign(Label.NODEKEY, node_secret, network_id + static_pub)
    return LinkKeys(node_pub, static, static_pub, proof, network_id, psk, secure)


class Cipher:
    """One direction of a link: a key and a counter; rekeys itself after every 2^16 messages."""

    __slots__ = ("_key", "_nonce")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._nonce = 0

    def seal(self, plain: bytes, ad: bytes = b"") -> bytes:
        """Seal the next message; 16 bytes longer."""
        boxed = aead_seal(plain, ad, _nonce(self._nonce), self._key)
        self._advance()
        return boxed

    def open(self, boxed: bytes, ad: bytes = b"") -> bytes:
        """Open the next message; raises CryptoFault and changes nothing."""
        plain = aead_open(boxed, ad, _nonce(self._nonce), self._key)
        self._advance()
        return plain

    def _advance(self) -> None:
        self._nonce += 1
        if self._nonce % REKEY_AFTER == 0:
            self._key = aead_seal(bytes(KEY_BYTES), b"", _nonce(_MAX_NONCE), self._key)[:KEY_BYTES]


def _nonce(counter: int) -> bytes:
    return bytes(4) + counter.to_bytes(8, "little")


class Noise:
    """One side of the XX pattern with opaque payloads: write and read in turn, then `split`."""

    def __init__(
        self, *, initiator: bool, prologue: bytes, psk: bytes | None, static: bytes, ephemeral: bytes
    ) -> None:
        self.initiator = initiator
        self.step = 0
        self.remote_static = b""
        self._psk = psk
        self._static, self._ephemeral = static, ephemeral
        self._remote_ephemeral = b""
        name = _PLAIN_NAME if psk is None else _PSK_NAME
        self._hash = name.ljust(_HASH_BYTES, b"\0")
        self._chain = self._hash
        self._cipher: Cipher | None = None
        self._mix_hash(prologue)

    @property
    def done(self) -> bool:
        """Whether all three messages have passed."""
        return self.step == len(_PATTERN)

    @property
    def writes_next(self) -> bool:
        """Whether the next message is ours to write."""
        return not self.done and (self.step % 2 == 0) == self.initiator

    def write(self, payload: bytes) -> bytes:
        """Return the next handshake message around `payload`."""
        assert self.writes_next
        out = bytearray()
        for part in _PATTERN[self.step]:
            if part == "e":
                public = x25519_public(self._ephemeral)
                out += public
                self._mix_ephemeral(public)
            elif part == "s":
                out += self._seal(x25519_public(self._static))
            else:
                self._mix_dh(part)
        self._mix_psk()
        out += self._seal(payload)
        self.step += 1
        return bytes(out)

    def read(self, message: bytes) -> bytes:
        """Read the peer's next message and return its payload; raises PeerFault and is then unusable."""
        assert not self.done and not self.writes_next
        rest = message
        for part in _PATTERN[self.step]:
            if part == "e":
                self._remote_ephemeral, rest = _take(rest, KEY_BYTES)
                self._mix_ephemeral(self._remote_ephemeral)
            elif part == "s":
                boxed, rest = _take(rest, KEY_BYTES + TAG_BYTES)
                self.remote_static = self._open(boxed)
            else:
                self._mix_dh(part)
        self._mix_psk()
        payload = self._open(rest)
        self.step += 1
        return payload

    def split(self) -> tuple[Cipher, Cipher]:
        """Return the ciphers of the link as (ours to seal with, ours to open with)."""
        assert self.done
        first, second = (Cipher(key[:KEY_BYTES]) for key in _hkdf(self._chain, b"", 2))
        return (first, second) if self.initiator else (second, first)

    def _mix_hash(self, data: bytes) -> None:
        self._hash = plain_digest(self._hash + data, _HASH_BYTES)

    def _mix_key(self, material: bytes) -> None:
        self._chain, key = _hkdf(self._chain, material, 2)
        self._cipher = Cipher(key[:KEY_BYTES])

    def _mix_ephemeral(self, public: bytes) -> None:
        self._mix_hash(public)
        if self._psk is not None:
            self._mix_key(public)  # Noise 9.2: with a psk the ephemeral keys randomise the first keys too

    def _mix_dh(self, part: str) -> None:
        ours, theirs = (part[0], part[1]) if self.initiator else (part[1], part[0])
        secret = self._ephemeral if ours == "e" else self._static
        public = self._remote_ephemeral if theirs == "e" else self.remote_static
        self._mix_key(dh(secret, public))

    def _mix_psk(self) -> None:
        if self._psk is not None and self.step == len(_PATTERN) - 1:
            self._chain, extra, key = _hkdf(self._chain, self._psk, 3)
            self._mix_hash(extra)
            self._cipher = Cipher(key[:KEY_BYTES])

    def _seal(self, plain: bytes) -> bytes:
        boxed = plain if self._cipher is None else self._cipher.seal(plain, self._hash)
        self._mix_hash(boxed)
        return boxed

    def _open(self, boxed: bytes) -> bytes:
        plain = boxed if self._cipher is None else self._cipher.open(boxed, self._hash)
        self._mix_hash(boxed)
        return plain


def _take(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise DecodeError("a handshake message that is too short")
    return data[:size], data[size:]


def _hkdf(chain: bytes, material: bytes, outputs: int) -> list[bytes]:
    """HKDF of Noise 4.3 with HMAC-BLAKE2b-512."""
    mac: Callable[[bytes, bytes], bytes] = lambda key, data: hmac.digest(key, data, blake2b)  # noqa: E731
    key = mac(chain, material)
    made: list[bytes] = []
    for number in range(1, outputs + 1):
        made.append(mac(key, (made[-1] if made else b"") + bytes([number])))
    return made


class Handshake:
    """One side of a link's handshake, node keys included; `peer` is the proven key once it is known."""

    def __init__(self, keys: LinkKeys, *, initiator: bool, entropy: Entropy) -> None:
        self._keys = keys
        self.peer: bytes | None = None
        self._noise = Noise(
            initiator=initiator,
            prologue=PROLOGUE + keys.network_id,
            psk=keys.psk,
            static=keys.static,
            ephemeral=entropy(KEY_BYTES),
        )

    @property
    def done(self) -> bool:
        """Whether the link's keys are agreed and the peer's key is proven."""
        return self._noise.done

    @property
    def writes_next(self) -> bool:
        """Whether the next message is ours."""
        return self._noise.writes_next

    def write(self) -> bytes:
        """Return our next message: 32, 192, 160 bytes; the first is 48 where there is a network secret."""
        return self._noise.write(b"" if self._noise.step == 0 else self._keys.proof)

    def read(self, message: bytes) -> None:
        """Take the peer's next message.

        Raises:
            DecodeError: If it is too short or carries what it should not.
            CryptoFault: If it is of another network, or the node key does not vouch for the static key.
        """
        first = self._noise.step == 0
        payload = self._noise.read(message)
        if first:
            if payload:
                raise DecodeError("a first handshake message with a payload")
            return
        if len(payload) != PROOF_BYTES:
            raise DecodeError("a handshake without the proof of a node key")
        node_key, signature = payload[:KEY_BYTES], payload[KEY_BYTES:]
        verify(Label.NODEKEY, node_key, self._keys.network_id + self._noise.remote_static, signature)
        self.peer = node_key

    def split(self) -> tuple[Cipher, Cipher]:
        """Return the ciphers of the link as (ours to seal with, ours to open with)."""
        if self.peer is None:
            raise CryptoFault("the peer has not proven its key")
        return self._noise.split()
