"""Who may change a message: only its author its words; an admin too may delete it (docs/bridge.md 2).

What counts is the room's log as the change's author knew it, so that every member finds the same, however
roles have changed since.
"""

from __future__ import annotations

from node.chat.room import Room
from node.crypto.ops import Role
from node.errors import CryptoFault
from node.wire.payload import CHANGES, Payload, Type


def may_moderate(room: Room, account: bytes, view16: bytes) -> bool:
    """Say whether an account was an admin, or the creator, for who knew an op and all before it."""
    view = room.log.op(view16)
    member = None if view is None else room.log.roster_at((view.op_id,)).members.get(account)
    return member is not None and member.role >= Role.ADMIN


def check(room: Room, account: bytes, payload: Payload, view16: bytes) -> None:
    """Raise CryptoFault for a change, new or given again, that its author had no right to."""
    kind, body = payload.type, payload.body
    if kind is Type.RESENT and len(body) == 4:
        kind, body = Type(body[2]), body[3]
    if kind is Type.DELETE and body[1] != account and not may_moderate(room, account, view16):
        raise CryptoFault("a message deleted by somebody who has no right to")


def change_in(payload: Payload) -> Payload | None:
    """Return the change that a payload is or gives again, None if it is neither."""
    if payload.type in CHANGES:
        return payload
    if payload.type is Type.RESENT and len(payload.body) == 4:
        return Payload(payload.mid, payload.ts_ms, payload.lamport, Type(payload.body[2]), payload.body[3])
    return None
