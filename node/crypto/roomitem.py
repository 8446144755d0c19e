"""A room message with its key: what a room with history keeps and gives to newcomers (docs/crypto.md 3.10).

    item = [core, kc, nonce24, ct, sig, mk]

The first five are what the author signed, and kc commits to mk; so an item can be withheld but not changed or
made up. The key says who may read, as ever; who wrote it is said by the signature alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.crypto import roommsg
from node.crypto.labels import Label
from node.crypto.primitives import (
    BOX_OVERHEAD,
    KEY_BYTES,
    NONCE_BYTES,
    SIG_BYTES,
    box_open,
    kdf,
    same,
)
from node.crypto.roommsg import MAX_BYTES, MAX_CORE_BYTES, TYPE, RoomInner
from node.errors import CryptoFault
from node.wire import codec
from node.wire.codec import array, blob, blob_upto
from node.wire.payload import MAX_ITEM_BYTES

_ITEM = array(
    blob_upto(MAX_CORE_BYTES, least=1),
    blob(KEY_BYTES),
    blob(NONCE_BYTES),
    blob_upto(MAX_BYTES, least=BOX_OVERHEAD),
    blob(SIG_BYTES),
    blob(KEY_BYTES),
)


@dataclass(frozen=True, slots=True)
class RoomItem:
    """One parsed item: the message as it was sent, and its 32-byte key `mk`."""

    msg: RoomInner
    mk: bytes = field(repr=False)


def make_item(msg: RoomInner, mk: bytes) -> bytes:
    """Return the canonical bytes of a message with its key."""
    return codec.pack([msg.core_bytes, msg.kc, msg.nonce, msg.ct, msg.sig, mk])


def parse_item(data: bytes) -> RoomItem:
    """Read an item; nothing is verified yet. Raises DecodeError."""
    *fields, mk = codec.decode(data, _ITEM, max_bytes=MAX_ITEM_BYTES)
    return RoomItem(roommsg.parse(codec.pack([TYPE, *fields])), mk)


def open_item(item: RoomItem, dsk_pub: bytes) -> bytes:
    """Return the payload, once the device of this signing key has been found to have written it.

    Raises:
        CryptoFault: If it has not, if the key is not the one committed to, or does not open the box.
    """
    roommsg.verify(item.msg, dsk_pub)
    if not same(kdf(Label.RKC, item.mk, b"", 32), item.msg.kc):
        raise CryptoFault("message key is not the one committed to")
    return box_open(item.msg.ct, item.msg.nonce, item.mk)
