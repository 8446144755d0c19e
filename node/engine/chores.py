"""What time alone brings about: what is due in each part of the node, and hourly what has expired."""

from __future__ import annotations

from node.chat.turn import Turn
from node.clock import day_of, earliest
from node.engine import comebacks
from node.engine.deadlines import Deadlines
from node.engine.desk import Desk
from node.engine.effects import Hold
from node.engine.replay import Replay
from node.engine.whereabouts import Whereabouts

HOUSEKEEPING = 3600.0
"""Seconds between looks at what has expired."""
LOOK_AGAIN = 1.0
"""Seconds from one look at everything that may be due to the next, if the node wakes at all."""


class Chores:
    """Does what is due; `deadline` says when there is next something."""

    def __init__(self, desk: Desk, replay: Replay, whereabouts: Whereabouts, now: float) -> None:
        self.desk, self.replay, self.whereabouts = desk, replay, whereabouts
        self._housekeeping = now
        self._looked = now
        self._conversing = Deadlines(desk.state)
        self._soon: float | None = None
        self._known = False

    def touched(self, conversation: bytes | None) -> None:
        """Something may have changed in one room or direct room, or, if None, in any of them."""
        self._known = False
        self._conversing.touched(conversation)

    @property
    def deadline(self) -> float | None:
        """The least of the deadlines of all parts but the mesh; kept while nothing touches them."""
        if not self._known:
            self._soon, self._known = self._least(), True
        return self._soon

    def is_due(self, now: float) -> bool:
        """Whether one of them wanted to be looked at by now."""
        return _is_due(self.deadline, now)

    def _least(self) -> float | None:
        state, inbox = self.desk.state, self.desk.inbox
        return earliest(
            inbox.announcing.deadline,
            state.invites.deadline,
            inbox.greeting.deadline,
            inbox.newcomers.deadline,
            inbox.standing_in.deadline,
            inbox.signals.typing.deadline,
            inbox.receipts.deadline,
            state.readings.deadline,
            inbox.listings.deadline,
            inbox.beats.deadline,
            state.behind.deadline,
            state.changing.expiring.deadline,
            state.mending.deadline,
            state.returning.deadline,
            state.attachments.deadline,
            self.desk.shelving.deadline,
            self.whereabouts.deadline,
            self._housekeeping,
            self._conversing.deadline,
            *state.introductions.values(),
        )

    def woke(self, turn: Turn) -> None:
        """Do what is due; once a second also what no deadline tells, as what expires by the wall clock."""
        now = turn.now.mono
        is_due = self.is_due(now)
        if is_due:
            self.touched(None)
        if is_due or now >= self._looked + LOOK_AGAIN:
            self._looked = now
            self.due(turn)

    def due(self, turn: Turn) -> None:
        """Do what is due: invites, beats, held-back messages, and hourly what has expired."""
        state, inbox, now = self.desk.state, self.desk.inbox, turn.now.mono
        self.desk.after += self.replay.orders(state.behind.due(now))
        self.desk.inviting.due(turn)
        inbox.greet_due(turn)
        inbox.upkeep.due(turn)
        inbox.newcomers.due(turn)
        inbox.standing_in.due(turn)
        inbox.listings.due(turn)
        inbox.announcing.due(turn)
        inbox.introductions_due(turn)
        state.contacts.resets_due(turn)
        state.mending.ask(turn)
        state.changing.due(turn)
        inbox.signals.typing.expire(turn)
        state.attachments.due(turn)
        self.desk.after += [Hold(order) for order in self.desk.shelving.due(now=now)]
        inbox.receipts.due(turn)
        inbox.reading.due(turn)
        if inbox.receipts.compare_due(now):
            self.desk.mesh.compare(turn.now)
        comebacks.due(self.desk, turn)
        if _is_due(self.whereabouts.deadline, now):
            self.whereabouts.look(turn)
        inbox.beats.due(turn)
        self._conversations(turn)
        if now >= self._housekeeping:
            self._housekeeping = now + HOUSEKEEPING
            self._keep_house(turn)

    def _conversations(self, turn: Turn) -> None:
        """Show, ask and answer what rooms and direct rooms have been waiting with."""
        rooms, now = self.desk.state.rooms, turn.now.mono
        for inbox in rooms.inboxes.values():
            if _is_due(inbox.healing.deadline, now):
                inbox.healing.due(turn)
            if _is_due(inbox.room.timeline.deadline, now):
                inbox.healing.expire(turn)
            if _is_due(inbox.exchange.deadline, now):
                inbox.exchange_due(turn)
        for direct in rooms.direct.values():
            if _is_due(direct.deadline, now):
                direct.expire(turn)

    def _keep_house(self, turn: Turn) -> None:
        """Renew what is old and erase what has expired."""
        state, inbox = self.desk.state, self.desk.inbox
        state.channels.roll(day_of(turn.mesh_ms))
        state.contacts.ask_again(turn)
        state.joins.ask_again(turn)
        inbox.renew_presence(turn)
        self.whereabouts.look(turn)
        self.whereabouts.keep_view(turn)
        state.me.expire_prekeys(turn)
        state.me.expire_leaves(turn)
        state.contacts.expire(turn)
        state.dms.large.expire(turn)
        state.dms.expire(turn)
        state.attachments.expire(turn)
        self.desk.blocks.expire(turn)
        self.desk.inviting.forget(turn)
        state.notices.expire(turn)
        state.announcements.expire(turn)
        inbox.receipts.expire(turn)
        inbox.listings.look(turn)
        state.changing.expire(turn)
        state.nonces.expire(turn)
        for one in state.rooms.inboxes.values():
            one.room.epochs.retire(turn)
            one.room.sent.expire(turn)
            one.room.sent_changes.expire(turn)
            inbox.greeting.refresh(turn, one.room, anyhow=True)


def _is_due(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline
