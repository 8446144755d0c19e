"""Our own messages, sealed by this device and not known here: the store was put back to an older copy.

A chain that goes on from there would seal under indexes that the others have had, and nobody would read it.
So it takes its place after the newest message of ours that comes back (docs/crypto.md 3.8).
"""

from __future__ import annotations

from dataclasses import replace

from node.chat.epochs import Epoch
from node.chat.room import Room
from node.chat.turn import Turn
from node.clock import day_of
from node.crypto import roommsg
from node.crypto.chain import RecvChain, SendChain
from node.crypto.ops import Leaf, check_leaf
from node.crypto.roommsg import RoomInner
from node.errors import CryptoFault
from node.wire.payload import Payload, decode


def opened(turn: Turn, room: Room, held: Epoch, msg: RoomInner) -> tuple[RecvChain, Payload]:
    """Return (our chain after a message of ours that it has not sealed yet, what was in it).

    Raises:
        PeerFault: If we know it, or did not seal it.
    """
    chain = held.send
    if (msg.core.room, msg.core.epoch16) != (room.room_id, held.epoch16):
        raise CryptoFault("message of another room or epoch")
    if chain is None or msg.core.index < chain.index:
        raise CryptoFault("own message came back")
    roommsg.verify(msg, room.me.identity.dsk_pub)
    day = day_of(turn.now.wall_ms)
    after, plain = roommsg.open_message(RecvChain(chain.key, chain.index), msg, day=day)
    payload = decode(plain)
    if payload.leaf is not None:
        check_leaf(Leaf(*payload.leaf))
    return after, payload


def go_on(turn: Turn, room: Room, held: Epoch, after: RecvChain, *, payload: Payload, hash16: bytes) -> None:
    """Go on after that message; a leaf that it named is not here any more, and its number is taken."""
    held.send = SendChain(after.key, after.next_index, hash16)
    room.epochs.save_send(turn, held)
    if payload.leaf is not None and payload.leaf[0] >= room.me.row.next_leaf:
        room.me.row = replace(room.me.row, next_leaf=payload.leaf[0] + 1)
        room.me.save(turn)
        room.leaves.save(turn, room.me.device_id, Leaf(*payload.leaf))
