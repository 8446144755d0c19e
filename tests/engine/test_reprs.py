"""What must not be told: whatever opens something stands in no repr (docs/crypto.md, I8)."""

from __future__ import annotations

from node.chat import commands as c
from node.chat.contacts import Asked
from node.chat.dms import Queued
from node.chat.invites import OFFERED, Invite
from node.store.records import Delete, Put
from node.wire.payload import Payload, Type

SECRET = b"0123456789abcdef" * 2


def test_what_opens_a_room_or_a_channel_stands_in_no_repr() -> None:
    payload = Payload(b"m" * 16, 1, 1, Type.PROFILE, ["ann", None, None, SECRET])
    those = (
        Invite(b"i" * 16, b"r" * 16, SECRET, True, b"a" * 32, "club", "room", "{}", 1, OFFERED),
        payload,
        Queued(b"a" * 32, 1, payload.encode()),
        Asked(b"a" * 32, b"p" * 32, SECRET[:16], 1),
        c.RoomLinkUse(link=SECRET.decode()),
        c.ContactAdd(link=SECRET.decode()),
        Put("settings", b"token" + SECRET[:16], SECRET),
        Delete("settings", b"token" + SECRET[:16]),
    )
    for thing in those:
        assert "0123456789abcdef" not in repr(thing), type(thing).__name__
