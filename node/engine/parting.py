"""What changes beside a person when they are no contact any more, or blocked (docs/crypto.md 3.3).

They have the secret of our presence channel, so it is renewed, as when somebody leaves a room; we hear theirs
no more, unless a small room that both are in hears it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from node.chat.people import CONTACT
from node.chat.turn import Turn
from node.crypto.channel import ChannelKind
from node.wire.payload import Payload, Type, decode

if TYPE_CHECKING:
    from node.engine.inbox import Inbox
    from node.engine.state import State


UPKEEP: Final = frozenset({Type.EPOCH_WANT, Type.EPOCH_SHARE, Type.HISTORY_WANT, Type.NACK})
"""What is taken even of somebody who is blocked, for rooms that both are in: nobody is shown any of it."""

KEPT: Final = UPKEEP | {Type.PROFILE}
"""And what they show of themselves, of which the newest is kept for when they are blocked no more."""


def keep_unseen(state: State, turn: Turn, account: bytes, payload: Payload) -> None:
    """Keep what somebody who is blocked shows of themselves now: nobody is shown it."""
    person = state.people.by_account[account]
    old = None if person.unseen is None else decode(person.unseen)
    if old is None or old.ts_ms <= payload.ts_ms:
        *shown, presence_cs = payload.body
        body = [*shown, presence_cs or (None if old is None else old.body[3])]
        bare = Payload(payload.mid, payload.ts_ms, 0, Type.PROFILE, body)
        state.people.save(turn, replace(person, unseen=bare.encode()))


def heard_again(inbox: Inbox, turn: Turn, account: bytes) -> None:
    """Somebody is blocked no more: show them as they are by now."""
    person = inbox.state.people.by_account[account]
    if person.unseen is not None:
        inbox.state.people.save(turn, replace(person, unseen=None))
        inbox.on_profile(turn, account, decode(person.unseen))
    inbox.introduce_to(turn, account)
    inbox.beats.back(turn, account)


def part(inbox: Inbox, turn: Turn, account: bytes) -> None:
    """Hide from somebody when we are here, from today on, and stop to look whether they are."""
    state = inbox.state
    inbox.somebody_left(turn, ())
    inbox.renew_presence(turn)
    let_go(state, turn, account)


def let_go(state: State, turn: Turn, account: bytes) -> None:
    """Look no more whether somebody is there, unless they are a contact or in a small room with us."""
    person = state.people.get(account)
    if person is None or person.state == CONTACT or person.blocked:
        return
    if state.rooms.shared(account, small=True):
        return
    state.presence.forget(account)
    if person.presence_cs:
        turn.unwatch.append((int(ChannelKind.PRESENCE), account, person.presence_cs[:8]))
        state.people.save(turn, replace(person, presence_cs=None))


def silenced(inbox: Inbox, turn: Turn, account: bytes) -> bool:
    """Say whether what somebody writes to us directly is dropped: they are nobody to us.

    Who is nobody any more and does not know it is told so again.
    """
    state = inbox.state
    person = state.people.by_account[account]
    if state.may_talk(account):
        return False
    if person.parted:
        state.contacts.requests.remind_parted(turn, person)
    return True
