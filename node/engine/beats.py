"""Beats, on their way out and in: how we are seen, and how others are (docs/crypto.md 3.9, docs/bridge.md).

A beat goes out each minute, and at once when what it says changes. Who said to be offline sends a last one,
as a node does that stops, and then none: nobody can tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.chat import commands as c, events
from node.chat.channels import Route
from node.chat.presence import ANSWER_CALM, CALM, NOT_SEEN, SOON, STOPPED, Seen
from node.chat.turn import Turn
from node.clock import earliest
from node.crypto import ephemeral
from node.crypto.channel import presence_channel
from node.crypto.keys import parse_cert
from node.engine.state import State
from node.errors import CryptoFault

BEAT = 1
"""The type of these ephemerals."""
REVEAL_CALM = 1.0
"""Seconds between two changes of somebody that are shown: a peer may send faster than people look."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """How somebody was last shown to our frontends, and when."""

    here: bool = True
    seen: Seen = NOT_SEEN
    at: float = float("-inf")


class Beats:
    """The presence channel, ours and theirs; `met(turn, account)` hears of each sign of life."""

    def __init__(self, state: State, met: Callable[[Turn, bytes], bool]) -> None:
        self.state = state
        self._met = met
        self._newest: dict[bytes, int] = {}
        self._shown: dict[bytes, _Shown] = {}
        self._later: dict[bytes, float] = {}
        """Whom to show otherwise in a moment; like the others, of people whose beats are expected."""
        self._last: tuple[float, int] = (float("-inf"), 0)
        """When our last beat went out, and the time in it."""

    @property
    def deadline(self) -> float | None:
        """When a beat is due, somebody has been silent for too long, or we are seen otherwise."""
        later = self._later.values()
        return earliest(self.state.presence.deadline, self.state.attendance.deadline, *later)

    # -- how we are seen --------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """The node starts."""
        self.state.attendance.begin(now, self.state.me.profile.chosen)
        for number, session in self.state.sessions.items():
            if session.attends:
                self.state.attendance.came(number, now, settled=True)

    def came(self, turn: Turn, session: int) -> None:
        """A frontend attached; one that asks for nothing to be shown is none."""
        if self.state.sessions[session].attends:
            self.state.attendance.came(session, turn.now.mono)
        else:
            self.state.attendance.mistaken(session)
        self._look(turn)

    def went(self, turn: Turn, session: int) -> None:
        """A frontend is gone."""
        self.state.attendance.went(session, turn.now.mono)
        self._look(turn)

    def acted(self, turn: Turn, session: int, command: c.Command) -> None:
        """A frontend asked for something; what it says by itself as it reads along does not count."""
        if isinstance(command, c.Ack):
            return
        started = self.state.sessions.get(session)
        passing = started is not None and started.passing and started.scope != "read"
        now, attendance = turn.now.mono, self.state.attendance
        if attendance.asked(now) if passing else attendance.acted(session, now):
            self._look(turn)

    def _look(self, turn: Turn) -> None:
        if self.state.attendance.look(turn.now.mono):
            self.changed(turn)

    def choose(self, turn: Turn) -> None:
        """The owner said how to be seen, or that no games are welcome now: it is in the profile."""
        attendance, was_hidden = self.state.attendance, self.state.attendance.hidden
        attendance.chosen = self.state.me.profile.chosen
        attendance.look(turn.now.mono)
        self.changed(turn, last=attendance.hidden and not was_hidden)

    def leave(self, turn: Turn) -> None:
        """The owner logged out: offline at once, until a frontend comes or asks for something."""
        self.state.attendance.leave(turn.now.mono)
        self._look(turn)

    def sweep(self, turn: Turn) -> list[bytes]:
        """Look now who has been silent for too long, and how we are seen; returns who is gone since."""
        people = self.state.people.by_account
        before = [account for account in people if self.state.presence.here(account)]
        self.due(turn)
        return [account for account in before if not self.state.presence.here(account)]

    def changed(self, turn: Turn, *, last: bool = False) -> None:
        """Show our own frontends how we are seen, and tell others as soon as it is seemly."""
        self.show(turn, self.state.me.account)
        if last:
            self._post(turn, STOPPED)
        self.state.presence.beat_by(max(turn.now.mono, self._last[0] + CALM))
        self._beat_if_due(turn)

    def soon(self, turn: Turn) -> None:
        """Somebody is there who may not have heard us yet: let them, but nobody makes us beat at will."""
        self.state.presence.beat_by(max(turn.now.mono + SOON, self._last[0] + ANSWER_CALM))

    def due(self, turn: Turn) -> None:
        """Look who is silent, and how we are seen; beat."""
        for account in self.state.presence.expire(turn.now.mono):
            self._reveal(turn, account)
        for account in [one for one, at in self._later.items() if turn.now.mono >= at]:
            del self._later[account]
            self._reveal(turn, account)
        self._look(turn)
        self._beat_if_due(turn)

    def _beat_if_due(self, turn: Turn) -> None:
        if self.state.presence.beat_due(turn.now.mono) and not self.state.attendance.hidden:
            self._post(turn, self.state.seen(self.state.me.account).body)

    def stop(self, turn: Turn) -> None:
        """Say that this node stops, unless it has been saying nothing anyhow."""
        if not self.state.attendance.hidden:
            self._post(turn, STOPPED)

    def _post(self, turn: Turn, body: int) -> None:
        me = self.state.me
        if not me.profile.presence_told:  # a member of large rooms alone beats for nobody
            return
        channel = presence_channel(me.profile.presence_cs)
        after = self._last[1] + 1
        ts_ms = max(turn.mesh_ms, after) if ephemeral.is_timely(after, turn.mesh_ms) else turn.mesh_ms
        self._last = (turn.now.mono, ts_ms)
        inner = ephemeral.seal_presence(
            ephemeral.ephemeral_dm_key(channel.secret),
            me.device_id,
            ts_ms=ts_ms,
            type=BEAT,
            body=body,
            dsk_sk=me.identity.dsk_sk,
            entropy=turn.entropy,
        )
        turn.post(channel, inner, ephemeral=True)

    # -- how others are seen ----------------------------------------------------------------------

    def take(self, turn: Turn, route: Route, inner: bytes) -> bytes | None:
        """Take somebody's beat; raises PeerFault. Returns what it can have changed, as `Inbox.take`."""
        account = route.owner
        person = self.state.people.get(account)
        if person is None or person.cert is None:
            raise CryptoFault("beat of somebody whose device is not known")
        msg = ephemeral.parse_ephemeral(inner)
        cert = parse_cert(person.cert)
        if msg.device16 != cert.device_id:
            raise CryptoFault("beat of another device")
        beat = ephemeral.open_presence(ephemeral.ephemeral_dm_key(route.channel.secret), msg, cert.dsk)
        newest = self._newest.get(account, 0)  # one that mesh time has gone back behind says nothing any more
        old = beat.ts_ms <= newest and ephemeral.is_timely(newest, turn.mesh_ms)
        if old or not ephemeral.is_timely(beat.ts_ms, turn.mesh_ms):
            raise CryptoFault("beat that is late or came before")
        self._newest[account] = beat.ts_ms
        if beat.type != BEAT:
            return b""
        back = self._met(turn, account)
        if not self.state.presence.watches(account):
            return None if back else b""
        before = self.state.presence.seen(account)
        if before is NOT_SEEN and self.state.presence.here(account):
            self._shown.pop(account, None)  # expected anew: whatever frontends were shown is long past
        change = self.state.presence.beat(account, beat.body, turn.now.mono)
        self._reveal(turn, account)
        if (change == "reconnect" or before is NOT_SEEN) and not self.state.people.hides(account):
            self.soon(turn)
        return None if back else b""

    def back(self, turn: Turn, account: bytes) -> None:
        """Somebody is blocked no more: show how they are, to those frontends too that came meanwhile."""
        before = self._shown.get(account, _Shown()).seen
        self._reveal(turn, account)
        if before == self.state.seen(account) != NOT_SEEN:
            self.show(turn, account)

    def _reveal(self, turn: Turn, account: bytes) -> None:
        """Show our frontends what changed of somebody, now or in a moment."""
        if self.state.people.hides(account):
            return
        before, now = self._shown.get(account, _Shown()), turn.now.mono
        here, seen = self.state.presence.here(account), self.state.seen(account)
        if (before.here, before.seen) == (here, seen):
            return
        if now < before.at + REVEAL_CALM:
            self._later[account] = before.at + REVEAL_CALM
            return
        self._shown[account] = _Shown(here, seen, now)
        if here != before.here:
            self._told(turn, account, here=here)
        if seen != before.seen:
            self.show(turn, account)

    def _told(self, turn: Turn, account: bytes, *, here: bool) -> None:
        """Show in every small shared room that somebody is back or gone."""
        people, change = self.state.people, "reconnect" if here else "disconnect"
        kind = events.UserJoin if here else events.UserLeave
        name, user_id = people.username(account), people.user_id(account)
        for room in self.state.rooms.shared(account, small=True):
            turn.tell(kind(username=name, room=room.uuid, user_id=user_id, reason=change))

    def show(self, turn: Turn, account: bytes) -> None:
        """Show how somebody is seen now, ourselves included."""
        people, seen = self.state.people, self.state.seen(account)
        turn.tell(
            events.Presence(
                username=people.username(account),
                user_id=people.user_id(account),
                presence=seen.state.value,
                state=seen.state.value,
                status=self.state.status(account),
                busy=seen.busy,
            )
        )
