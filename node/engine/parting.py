"""What changes beside a person when they are no contact any more, or blocked (docs/crypto.md 3.3).

They have the secret of our presence channel, so it is renewed, as when somebody leaves a room; we hear theirs
no more, unless a small room that both are in hears it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from node.chat.turn import Turn
from node.crypto.channel import ChannelKind
from node.wire.payload import Type

if TYPE_CHECKING:
    from node.engine.inbox import Inbox


UPKEEP: Final = frozenset({Type.EPOCH_WANT, Type.EPOCH_SHARE, Type.HISTORY_WANT, Type.NACK})
"""What is taken even of somebody who is blocked, for rooms that both are in: nobody is shown any of it."""


def part(inbox: Inbox, turn: Turn, account: bytes) -> None:
    """Hide from somebody when we are here, from today on, and stop to look whether they are."""
    state = inbox.state
    inbox.somebody_left(turn)
    inbox.renew_presence(turn)
    person = state.people.by_account[account]
    if person.blocked or state.rooms.shared(account, small=True):
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
