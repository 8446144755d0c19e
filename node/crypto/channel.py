"""Who can post where, and open what was posted: channels and the seal of an envelope (docs/crypto.md 3.3).

A channel is a kind and a 32-byte secret. From it come a posting key for each day, whose public half is all
that a relay sees, and one outer key that hides which of the channel's members wrote, what kind of thing,
and any ciphertext inside. The outer seal hides; authority and forward secrecy are the inner's business.
"""

from __future__ import annotations

from enum import IntEnum
from struct import pack
from typing import Final

from node.clock import day_of
from node.crypto.labels import Label
from node.crypto.primitives import (
    NONCE_BYTES,
    Entropy,
    box_open,
    box_seal,
    digest,
    ed25519_keypair,
    kdf,
    pad,
    same,
    sign,
    unpad,
    verify,
)
from node.errors import CryptoFault, DecodeError
from node.wire.envelope import BUCKETS, EPHEMERAL, KEPT, Envelope, bucket_for, head

MAX_INNER_BYTES = BUCKETS[-1] - 1
"""The largest inner of one envelope; anything larger travels as an Object."""
_MAX_CACHED_DAYS = 64
"""A channel listens on at most 37 days (the horizon and tomorrow); the rest is slack for a moving today."""


class ChannelKind(IntEnum):
    """What a channel is for; decides what may be inside its envelopes."""

    ROOM = 1
    DM = 2
    INBOX = 3
    JOIN = 4
    PRESENCE = 5
    DIRECTORY = 6
    ATTACHMENT = 7


class Inner(IntEnum):
    """The first field of every inner: which reader its bytes are for."""

    ROOM_MESSAGE = 1
    ANNOUNCE = 2
    DM = 3
    CONTACT_REQUEST = 4
    INTRO = 5
    JOIN_REQUEST = 6
    OBJECT_PART = 7
    WELCOME = 8
    LISTING = 9
    EPHEMERAL = 10
    OP_WANT = 11
    OPS = 12
    PROFILE_LISTING = 13


INNER_TYPES: Final[dict[ChannelKind, frozenset[int]]] = {
    ChannelKind.ROOM: frozenset({1, 2, 7, 10, 11, 12}),
    ChannelKind.DM: frozenset({3, 7, 10}),
    ChannelKind.INBOX: frozenset({4, 5, 7}),
    ChannelKind.JOIN: frozenset({6, 7, 8}),
    ChannelKind.PRESENCE: frozenset({10}),
    ChannelKind.DIRECTORY: frozenset({9, 7, 13}),
    ChannelKind.ATTACHMENT: frozenset({7}),
}
"""What each kind of channel carries: bytes made for one reader never reach another."""


class Channel:
    """One channel: seals inners into envelopes, opens and verifies envelopes of its own.

    Holds the secret, the outer key and the posting keys of the days in use; nothing else changes in it.
    """

    __slots__ = ("_days", "_outer", "kind", "secret")

    def __init__(self, kind: ChannelKind, secret: bytes) -> None:
        assert len(secret) == 32
        self.kind = kind
        self.secret = secret
        self._outer = kdf(Label.OUTER, secret, b"", 32)
        self._days: dict[int, tuple[bytes, bytes]] = {}

    def __repr__(self) -> str:
        return f"Channel({self.kind.name})"

    def rk(self, day: int) -> bytes:
        """Return the public posting key (32 bytes) of one day: the routing key its envelopes carry."""
        return self._posting(day)[0]

    def seal(
        self, inner: bytes, *, ts_ms: int, ttl_days: int, ephemeral: bool = False, entropy: Entropy
    ) -> bytes:
        """Return the raw envelope around `inner` (at most 32,767 bytes): one box, one signature.

        `ts_ms` is mesh time; `ttl_days` is 1 to 35, and 0 for an ephemeral one.
        """
        assert inner_type(inner) in INNER_TYPES[self.kind]
        rk, secret = self._posting(day_of(ts_ms))
        nonce = entropy(NONCE_BYTES)
        body = nonce + box_seal(pad(inner, bucket_for(len(inner))), nonce, self._outer)
        front = head(EPHEMERAL if ephemeral else KEPT, ts_ms, ttl_days, rk)
        return front + sign(Label.ENV, secret, front + body) + body

    def open(self, env: Envelope) -> bytes:
        """Return the inner of an envelope whose signature was already checked.

        Raises:
            CryptoFault: If it is another channel's, another day's, or does not open.
            DecodeError: If its inner is not of a type this kind of channel carries.
        """
        if not same(env.rk, self.rk(day_of(env.ts_ms))):
            raise CryptoFault("an envelope posted under another channel's or day's key")
        inner = unpad(box_open(env.body[NONCE_BYTES:], env.body[:NONCE_BYTES], self._outer))
        if inner_type(inner) not in INNER_TYPES[self.kind]:
            raise DecodeError(f"an inner that a {self.kind.name} channel does not carry")
        return inner

    def verify(self, env: Envelope) -> None:
        """Check the signature as a member can: sign again and compare, which costs a third of verifying.

        Raises:
            CryptoFault: If the posting key is not that of the envelope's day, or the signature is wrong.
        """
        rk, secret = self._posting(day_of(env.ts_ms))
        if not same(env.rk, rk):
            raise CryptoFault("an envelope posted under another channel's or day's key")
        if not same(sign(Label.ENV, secret, env.signed), env.sig):
            verify_envelope(env)

    def _posting(self, day: int) -> tuple[bytes, bytes]:
        keys = self._days.get(day)
        if keys is None:
            if len(self._days) >= _MAX_CACHED_DAYS:
                self._days.clear()
            keys = ed25519_keypair(kdf(Label.POST, self.secret, pack(">I", day), 32))
            self._days[day] = keys
        return keys


def verify_envelope(env: Envelope) -> None:
    """Check the signature as a stranger must; raises CryptoFault."""
    verify(Label.ENV, env.rk, env.signed, env.sig)


def inner_type(inner: bytes) -> int:
    """Return the type of an inner without unpacking it; raises DecodeError.

    Every inner is a short msgpack array that starts with a small integer: two bytes tell.
    """
    if len(inner) < 2 or not 0x91 <= inner[0] <= 0x9F or inner[1] > 0x7F:
        raise DecodeError("an inner that does not begin with its type")
    return inner[1]


def room_channel(epoch_secret: bytes, epoch_id: bytes) -> Channel:
    """The channel of one room epoch: its devices post and open."""
    return Channel(ChannelKind.ROOM, kdf(Label.CHAN, epoch_secret, epoch_id, 32))


def dm_channel(rk0: bytes, transcript: bytes) -> Channel:
    """The channel of one direct session, from its first root key and 64-byte transcript hash."""
    return Channel(ChannelKind.DM, kdf(Label.CHANDM, rk0, transcript, 32))


def inbox_channel(intro_pub: bytes) -> Channel:
    """The inbox of an account: whoever knows its intro key can post; the content is sealed to that key."""
    return Channel(ChannelKind.INBOX, digest(Label.INBOX, intro_pub))


def join_channel_secret(invite_seed: bytes) -> bytes:
    """Return the 32-byte secret of an invite's join channel, which the invite op shares with greeters."""
    return kdf(Label.JOIN, invite_seed, b"", 32)


def join_channel(join_cs: bytes) -> Channel:
    """The join channel of an invite, from its own secret."""
    return Channel(ChannelKind.JOIN, join_cs)


def presence_channel(cs: bytes) -> Channel:
    """The presence channel of an account, from the random secret it handed out."""
    return Channel(ChannelKind.PRESENCE, cs)


def directory_channel(network: bytes) -> Channel:
    """The directory of a network: everyone who knows the 32-byte network id posts and opens."""
    return Channel(ChannelKind.DIRECTORY, digest(Label.DIR, network))


def network_id(secret: bytes | None) -> bytes:
    """Return the 32-byte id of the network that shares `secret`; of the public one for None."""
    return digest(Label.NET, secret if secret is not None else bytes(32))
