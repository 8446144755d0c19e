"""The only module that touches libsodium: hashes, boxes, signatures, agreement; all under labels.

BLAKE2b (RFC 7693) by hashlib is the only hash and KDF; X25519 (RFC 7748), Ed25519 (RFC 8032),
XSalsa20-Poly1305 (NaCl) and ChaCha20-Poly1305 (RFC 8439, for the link alone)
and its secretstream by libsodium. One verifier for
Ed25519 on every node: verifiers disagree on edge cases, and a replicated log that two nodes judge
differently forks (docs/crypto.md 3.1). Whatever a peer can make libsodium raise comes out as CryptoFault.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import blake2b
from typing import TypeAlias

from nacl import bindings as sodium
from nacl._sodium import ffi as _ffi, lib as _lib  # type: ignore[import-not-found]  # made by a C compiler
from nacl.exceptions import CryptoError

from node.errors import CryptoFault

Entropy: TypeAlias = Callable[[int], bytes]
"""Returns that many random bytes; given by the shell, seeded in tests and in the simulator."""

KEY_BYTES = 32
SIG_BYTES = 64
NONCE_BYTES = 24
AEAD_NONCE_BYTES = 12
BOX_OVERHEAD = 16
SEAL_OVERHEAD = 48
_NULL = _ffi.NULL
_room = _ffi.new_allocator(should_clear_after_alloc=False)
_sign, _sign_open = _lib.crypto_sign, _lib.crypto_sign_open
_secretbox, _secretbox_open = _lib.crypto_secretbox_easy, _lib.crypto_secretbox_open_easy
"""What every message needs several times goes straight to libsodium: the binding's checks and copies, of what
is checked and fixed here, cost more than some of the calls."""
_SIZE = "a key or a nonce of a wrong size"
"""Never of what a peer sent, which is measured before; but libsodium would read past its end."""
STREAM_OVERHEAD = sodium.crypto_secretstream_xchacha20poly1305_ABYTES


def digest(label: bytes, data: bytes, size: int = 32) -> bytes:
    """H(l, x): BLAKE2b of `data` under `label`, 32 bytes unless told (H64 is the same with 64)."""
    return blake2b(data, digest_size=size, person=label).digest()


def kdf(label: bytes, key: bytes, data: bytes, size: int) -> bytes:
    """KDF(l, k, i, n): keyed BLAKE2b, at most 64 bytes out, key at most 64 bytes."""
    return blake2b(data, digest_size=size, key=key, person=label).digest()


def begun_kdf(label: bytes, key: bytes, data: bytes) -> blake2b:
    """Return KDF(l, k, i, 32) of what begins with `data`: copy it, add the rest, take its digest."""
    return blake2b(data, digest_size=KEY_BYTES, key=key, person=label)


class LongDigest:
    """H(l, x) of something that comes in pieces."""

    def __init__(self, label: bytes) -> None:
        self._hash = blake2b(digest_size=32, person=label)

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        self._hash.update(piece)

    def value(self) -> bytes:
        """Return the 32 bytes of what was added so far."""
        return self._hash.digest()


def plain_digest(data: bytes, size: int = 32) -> bytes:
    """Unlabelled BLAKE2b, for the envelope id and Noise alone, whose definitions have no label."""
    return blake2b(data, digest_size=size).digest()


same: Callable[[bytes, bytes], bool] = hmac.compare_digest
"""Compares in constant time."""


def ed25519_keypair(seed: bytes) -> tuple[bytes, bytes]:
    """Return (public 32, secret 64) of a 32-byte seed."""
    public, secret = sodium.crypto_sign_seed_keypair(seed)
    return bytes(public), bytes(secret)


def sign(label: bytes, secret: bytes, data: bytes) -> bytes:
    """SIG(l, sk, x): 64 bytes, Ed25519 over `l || H64(l, x)`; `secret` is the 64-byte form."""
    if len(secret) != 2 * KEY_BYTES:
        raise ValueError(_SIZE)
    message = label + digest(label, data, 64)
    signed = _room("unsigned char[]", SIG_BYTES + len(message))
    _sign(signed, _NULL, message, len(message), secret)
    return bytes(_ffi.buffer(signed, SIG_BYTES))


def verify(label: bytes, public: bytes, data: bytes, signature: bytes) -> None:
    """Raise CryptoFault unless `signature` is SIG(label, ., data) by `public`."""
    verify_raw(public, label + digest(label, data, 64), signature)


def verify_raw(public: bytes, message: bytes, signature: bytes) -> None:
    """Plain Ed25519 as libsodium judges it; raises CryptoFault. Everything but test vectors uses `verify`."""
    if len(signature) != SIG_BYTES or len(public) != KEY_BYTES:
        raise CryptoFault("signature or key of a wrong size")
    signed = signature + message
    if _sign_open(_NULL, _NULL, signed, len(signed), public):
        raise CryptoFault("signature does not verify")


def x25519_public(secret: bytes) -> bytes:
    """Return the X25519 public key of 32 secret bytes."""
    return bytes(sodium.crypto_scalarmult_base(secret))


def dh(secret: bytes, public: bytes) -> bytes:
    """X25519; raises CryptoFault for a low-order point or an all-zero result (RFC 7748 6.1).

    The sizes are checked here because the binding does not, and would read past the end of a short key.
    """
    if len(secret) != KEY_BYTES or len(public) != KEY_BYTES:
        raise CryptoFault("a key of a wrong size")
    try:
        return bytes(sodium.crypto_scalarmult(secret, public))
    except (CryptoError, ValueError, TypeError) as exc:
        raise CryptoFault("unusable public key") from exc


def box_seal(plain: bytes, nonce: bytes, key: bytes) -> bytes:
    """XSalsa20-Poly1305 under a 32-byte key and a 24-byte nonce; 16 bytes longer than `plain`."""
    if len(nonce) != NONCE_BYTES or len(key) != KEY_BYTES:
        raise ValueError(_SIZE)
    boxed = _room("unsigned char[]", len(plain) + BOX_OVERHEAD)
    _secretbox(boxed, plain, len(plain), nonce, key)
    return bytes(_ffi.buffer(boxed))


def box_open(boxed: bytes, nonce: bytes, key: bytes) -> bytes:
    """Open what `box_seal` made; raises CryptoFault."""
    if len(boxed) < BOX_OVERHEAD or len(nonce) != NONCE_BYTES or len(key) != KEY_BYTES:
        raise CryptoFault("a box, a nonce or a key of a wrong size")
    plain = _room("unsigned char[]", len(boxed) - BOX_OVERHEAD)
    if _secretbox_open(plain, boxed, len(boxed), nonce, key):
        raise CryptoFault("box does not open")
    return bytes(_ffi.buffer(plain))


def seal_to(public: bytes, plain: bytes, ephemeral_seed: bytes) -> bytes:
    """NaCl sealed box with an injected 32-byte ephemeral secret, used once; 48 bytes longer than `plain`.

    Byte compatible with crypto_box_seal: `epk || box(plain, BLAKE2b-192(epk || pk), pk, esk)`.
    """
    epk = x25519_public(ephemeral_seed)
    nonce = plain_digest(epk + public, NONCE_BYTES)
    try:
        shared = sodium.crypto_box_beforenm(public, ephemeral_seed)
        return epk + bytes(sodium.crypto_box_afternm(plain, nonce, shared))
    except (CryptoError, ValueError, TypeError) as exc:
        raise CryptoFault("unusable public key") from exc


def seal_open(secret: bytes, public: bytes, sealed: bytes) -> bytes:
    """Open a NaCl sealed box; raises CryptoFault."""
    try:
        return bytes(sodium.crypto_box_seal_open(sealed, public, secret))
    except (CryptoError, ValueError, TypeError) as exc:
        raise CryptoFault("sealed box does not open") from exc


def aead_seal(plain: bytes, aad: bytes, nonce12: bytes, key: bytes) -> bytes:
    """ChaCha20-Poly1305 (RFC 8439); only the Noise link uses it, for every frame."""
    if len(nonce12) != AEAD_NONCE_BYTES or len(key) != KEY_BYTES:
        raise ValueError(_SIZE)
    boxed = _room("unsigned char[]", len(plain) + BOX_OVERHEAD)
    _lib.crypto_aead_chacha20poly1305_ietf_encrypt(
        boxed, _NULL, plain, len(plain), aad, len(aad), _NULL, nonce12, key
    )
    return bytes(_ffi.buffer(boxed))


def aead_open(boxed: bytes, aad: bytes, nonce12: bytes, key: bytes) -> bytes:
    """Open what `aead_seal` made; raises CryptoFault."""
    if len(nonce12) != AEAD_NONCE_BYTES or len(key) != KEY_BYTES:
        raise ValueError(_SIZE)
    if len(boxed) < BOX_OVERHEAD:
        raise CryptoFault("link box does not open")
    plain = _room("unsigned char[]", len(boxed) - BOX_OVERHEAD)
    if _lib.crypto_aead_chacha20poly1305_ietf_decrypt(
        plain, _NULL, _NULL, boxed, len(boxed), aad, len(aad), nonce12, key
    ):
        raise CryptoFault("link box does not open")
    return bytes(_ffi.buffer(plain))


_PUSH_FINAL = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_PUSH_MESSAGE = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE


class StreamSeal:
    """The writing end of a secretstream under a 32-byte key and an injected 24-byte header.

    `init_push` draws the header inside libsodium; `init_pull` makes the very same state from one that is
    given (a test compares the two), so that entropy stays an argument.
    """

    def __init__(self, key: bytes, header: bytes) -> None:
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)
        self._open = True

    def seal(self, piece: bytes, *, last: bool) -> bytes:
        """Seal the next piece, 17 bytes longer; nothing follows the last."""
        assert self._open
        self._open = not last
        tag = _PUSH_FINAL if last else _PUSH_MESSAGE
        return bytes(sodium.crypto_secretstream_xchacha20poly1305_push(self._state, piece, None, tag))


class StreamOpen:
    """The reading end of a secretstream."""

    def __init__(self, key: bytes, header: bytes) -> None:
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def open(self, sealed: bytes) -> tuple[bytes, bool]:
        """Open the next piece; returns it, and whether it is the last. Raises CryptoFault."""
        try:
            piece, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(self._state, sealed, None)
        except (CryptoError, ValueError, TypeError) as exc:
            raise CryptoFault("chunk does not open") from exc
        if tag not in {_PUSH_FINAL, _PUSH_MESSAGE}:
            raise CryptoFault("chunk with a tag that is not used")
        return bytes(piece), tag == _PUSH_FINAL


def argon2id(passphrase: bytes, salt16: bytes, *, passes: int, memory_bytes: int) -> bytes:
    """Argon2id (RFC 9106) to 32 bytes."""
    return bytes(
        sodium.crypto_pwhash_alg(
            32, passphrase, salt16, passes, memory_bytes, sodium.crypto_pwhash_ALG_ARGON2ID13
        )
    )


def pad(data: bytes, size: int) -> bytes:
    """ISO/IEC 7816-4 padding to exactly `size` bytes; `size` must exceed `len(data)`."""
    assert len(data) < size
    return data + b"\x80" + bytes(size - len(data) - 1)


def unpad(data: bytes) -> bytes:
    """Take ISO/IEC 7816-4 padding off; raises CryptoFault when there is none."""
    end = data.rfind(b"\x80")
    if end < 0 or data[end + 1 :] != bytes(len(data) - end - 1):
        raise CryptoFault("no padding")
    return data[:end]
