"""What edits, deletions and reactions make of a message, the same in whatever order they come.

An edit counts if it is newer, by (lamport, time, id, words), than the one that counted so far; a deletion
ends all change. A reaction is a register of (person, emoji), of which the newest write counts; of a person
the newest MAX_EACH registers are kept, of a message the newest MAX_REGISTERS. Each is a join of what came, so
two nodes that have had the same show the same (docs/crypto.md 3.8, "Changes").

A stored message is the JSON of its event and, if it was changed, a line with what decides between changes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET

from node.chat import events
from node.chat.people import People
from node.wire.payload import Payload, Type

LIKE: Final = "\N{THUMBS UP SIGN}"
"""The reaction that frontends which only know likes set."""
MAX_EACH = 8
"""Reactions of one person to one message, those taken back included: who sets another loses the oldest."""
MAX_REGISTERS = 512
"""Reactions to one message: about 60 KB beside it."""
MAX_SHOWN = 16
"""Different emoji that an event lists, the most frequent."""
MAX_NAMED = 8
"""People that it names beside each: with as many emoji 8 KB, of 200 messages in a history 1.6 MB."""

Stamp: TypeAlias = tuple[int, int, bytes]
"""(lamport, ts_ms, mid) of a change, by which the newer of two counts."""


@dataclass(frozen=True, slots=True)
class Register:
    """Whether a person reacts with an emoji, as they said last."""

    lamport: int
    ts_ms: int
    mid: bytes
    account: bytes
    emoji: str
    on: bool

    @property
    def order(self) -> tuple[int, int, bytes, bytes, str, bool]:
        """What says which of two registers is newer; no two are alike."""
        return self.lamport, self.ts_ms, self.mid, self.account, self.emoji, self.on


@dataclass(frozen=True, slots=True)
class Marks:
    """What decides between changes of one message: the edit that counts, and the reactions."""

    edit: Stamp | None = None
    registers: tuple[Register, ...] = ()


UNMARKED: Final = Marks()
"""Those of a message that nothing has changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a message: by whom, and what; `type` None: its time to live is over."""

    by: bytes
    author: bytes
    target: bytes
    stamp: Stamp
    type: Type | None
    text: str = field(default="", repr=False)
    mentions: tuple[bytes, ...] = ()
    emoji: str = ""
    on: bool = False

    @property
    def name(self) -> bytes:
        """What names a change for everybody: its id and who made it; who copies the id hides nothing."""
        return self.stamp[2] + self.by

    @classmethod
    def of(cls, by: bytes, payload: Payload) -> Change:
        """Return the change that somebody's payload asks for."""
        stamp = (payload.lamport, payload.ts_ms, payload.mid)
        body = payload.body
        if payload.type is Type.EDIT:
            return cls(by, by, body[0], stamp, Type.EDIT, text=body[1], mentions=tuple(body[2]))
        if payload.type is Type.DELETE:
            return cls(by, body[1], body[0], stamp, Type.DELETE)
        return cls(by, body[1], body[0], stamp, Type.REACTION, emoji=body[2], on=bool(body[3]))


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the history as it is now."""

    event: events.UserMessage
    marks: Marks = UNMARKED


_marks = msgspec.msgpack.Decoder(Marks)


def read(body: bytes | None) -> Message | None:
    """Return a stored message, None if it is none."""
    if body is None:
        return None
    shown, _, marks = body.partition(b"\n")
    try:
        event = events.decode_json(shown)
        known = _marks.decode(marks) if marks else Marks()
    except msgspec.MsgspecError:
        return None
    return Message(event, known) if isinstance(event, events.UserMessage) else None


def write(message: Message) -> bytes:
    """Return what is stored of a message."""
    return events.encode_json(message.event) + line(message)


def line(message: Message) -> bytes:
    """Return the line that is stored after a message's event; none for one that nothing has changed."""
    return b"" if message.marks == UNMARKED else b"\n" + msgspec.msgpack.encode(message.marks)


def applied(people: People, message: Message, change: Change) -> Message:
    """Return the message after a change by somebody who may; the same object if nothing is different."""
    if message.event.deleted is True:
        return message
    match change.type:
        case Type.EDIT:
            return _edited(people, message, change)
        case Type.REACTION:
            return _reacted(people, message, change)
        case _:
            return Message(_tombstone(message.event))


def _tombstone(event: events.UserMessage) -> events.UserMessage:
    """Return what is left of a message: that there was one, by whom, when."""
    gone: Any = {"message": "", "attachment": None, "deleted": True, "reactions": UNSET, "edited": UNSET}
    gone |= {"edited_ms": UNSET, "mentions": UNSET, "mentioned": UNSET, "remote": UNSET, "expires_ms": UNSET}
    return msgspec.structs.replace(event, **gone)


def _edited(people: People, message: Message, change: Change) -> Message:
    event, last = message.event, message.marks.edit
    if last is not None and (*last, event.message) >= (*change.stamp, change.text):
        return message
    edited = msgspec.structs.replace(
        event,
        message=change.text,
        edited=True,
        edited_ms=change.stamp[1],
        mentions=shown_mentions(people, change.mentions),
        mentioned=True if people.own in change.mentions else UNSET,
    )
    return Message(edited, replace(message.marks, edit=change.stamp))


def _reacted(people: People, message: Message, change: Change) -> Message:
    new = Register(*change.stamp, change.by, change.emoji, change.on)
    before = {(one.account, one.emoji): one for one in message.marks.registers}
    old = before.get((new.account, new.emoji))
    if old is not None and old.order >= new.order:
        return message
    before[new.account, new.emoji] = new
    mine = sorted((one for one in before.values() if one.account == new.account), key=lambda one: one.order)
    for over in mine[: max(0, len(mine) - MAX_EACH)]:
        del before[over.account, over.emoji]
    kept = tuple(sorted(before.values(), key=lambda one: one.order)[-MAX_REGISTERS:])
    if kept == message.marks.registers:
        return message
    event = msgspec.structs.replace(message.event, reactions=_shown_reactions(people, kept) or UNSET)
    return Message(event, replace(message.marks, registers=kept))


def reacts(message: Message, account: bytes, emoji: str) -> bool:
    """Say whether somebody reacts to a message with an emoji."""
    return any(r.on and (r.account, r.emoji) == (account, emoji) for r in message.marks.registers)


def _shown_reactions(people: People, registers: tuple[Register, ...]) -> list[events.Reacted]:
    on = [one for one in registers if one.on]
    count = Counter(one.emoji for one in on)
    shown = sorted(count, key=lambda emoji: (-count[emoji], emoji))[:MAX_SHOWN]
    return [
        events.Reacted(
            emoji=emoji,
            count=count[emoji],
            users=shown_mentions(people, [one.account for one in on if one.emoji == emoji][:MAX_NAMED]) or [],
            mine=any(one.emoji == emoji and one.account == people.own for one in on),
        )
        for emoji in shown
    ]


def shown_mentions(
    people: People, accounts: tuple[bytes, ...] | list[bytes]
) -> list[events.Mention] | msgspec.UnsetType:
    """Return how people are shown that a message names; whom we do not know has an id alone."""
    return [
        events.Mention(user_id=people.user_id(one), username=people.known_as(one) or UNSET)
        for one in accounts
    ] or UNSET
