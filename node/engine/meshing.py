"""What the mesh's facts mean to the rest of the node: envelopes that came, links that came and went.

What the mesh orders of the shell passes through unchanged (docs/architecture.md, "One message").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from node.chat import events
from node.chat.turn import Turn
from node.clock import Instant, day_of
from node.crypto.channel import ChannelKind
from node.engine import sessions
from node.engine.aside import Aside, parted
from node.engine.chores import Chores
from node.engine.desk import Desk
from node.engine.effects import Effect, Hold, ReadChannel
from node.engine.replay import Replay
from node.mesh.ports import (
    Arrived,
    BlockCame,
    ClockSkew,
    Cloned,
    InStep,
    LinkBytes,
    LinkDrained,
    MeshEffect,
    Offered,
    PeerDown,
    PeerUp,
    ReadParts,
    SendBytes,
    SyncFinished,
    Taken,
)
from node.store.records import Write
from node.wire.envelope import KEPT, Envelope

COMMON = frozenset({ChannelKind.DIRECTORY, ChannelKind.ATTACHMENT})
"""Channels whose envelopes have no shelf of their own: what of them counts is kept elsewhere."""


def onward(effects: list[MeshEffect]) -> tuple[list[Effect], list[MeshEffect]]:
    """Part what need not wait for a commit from the rest: PUSHes that the mesh passed on by itself.

    What was sealed after something that waits, on the same link, waits with it: a link opens in order.
    """
    first: list[Effect] = []
    rest: list[MeshEffect] = []
    waiting: set[int] = set()
    for effect in effects:
        if isinstance(effect, SendBytes):
            if effect.pushes and effect.link not in waiting:
                first.append(effect)
                continue
            waiting.add(effect.link)
        rest.append(effect)
    return first, rest


class Meshing:
    """Takes the mesh's effects; `open_sealed` lets the domain have an envelope of ours."""

    def __init__(
        self,
        desk: Desk,
        chores: Chores,
        replay: Replay,
        open_sealed: Callable[[Turn, Envelope], None],
    ) -> None:
        self._desk = desk
        self._chores = chores
        self._replay = replay
        self._open = open_sealed
        self._told_connectivity: str | None = None
        self.aside = Aside()
        self._brought: dict[int | None, tuple[bytes, bool]] = {}

    def carried(self, event: LinkBytes | LinkDrained, now: Instant) -> tuple[list[Effect], list[MeshEffect]]:
        """Let the mesh have what passes on a link: what is to be done at once, or else what it all comes to.

        Most of it concerns nobody but the links, or brings what is for others.
        """
        mesh, channels = self._desk.mesh, self._desk.state.channels
        channels.roll(day_of(mesh.mesh_time_ms(now)))
        effects, first = mesh.handle(event, now=now), self.aside.deadline is None
        apart = parted(effects)
        if apart is not None:
            frames, arrived = apart
            ours = any(channels.find(one.envelope.rk) is not None for one in arrived)
            if not ours and self.aside.put(arrived, now=now.mono):
                self._note_who(arrived, first=first)
                return [*frames], []
        return [], self.aside.empty() + effects

    def _note_who(self, arrived: Iterable[Arrived], *, first: bool) -> None:
        """Remember who brought what is set aside now: their link may be gone when it is put on a shelf."""
        if first:
            self._brought.clear()
        for one in arrived:
            if one.link not in self._brought:
                self._brought[one.link] = self._desk.mesh.brought_by(one.link)

    def claiming(self, readings: Iterable[ReadChannel]) -> list[Effect]:
        """Return readings of channels that have become ours, after what makes ours what was held of them."""
        effects: list[Effect] = []
        for reading in readings:
            if reading.channel[0] not in COMMON:
                dated = self._desk.state.channels.dated(reading.channel)
                effects.append(Hold(self._desk.shelving.claim(reading.channel, dated)))
            effects.append(reading)
        return effects

    def take(self, turn: Turn, effect: MeshEffect, writes: list[Write], after: list[Effect]) -> None:
        """Put what an effect of the mesh causes into the turn, into `writes`, or `after` them."""
        desk = self._desk
        match effect:
            case Arrived():
                self._arrived(turn, effect, writes, after)
            case PeerUp():
                self._peer_up(turn, effect)
            case PeerDown():
                self._chores.touched(b"")
                desk.blocks.peer_down(effect)
                turn.tell(events.PeerDown(peer=effect.node_key.hex(), reason=effect.reason))
                self._tell_connectivity(turn)
            case SyncFinished():
                self._sync_finished(turn, effect)
            case Taken() | InStep():
                self._chores.touched(b"")
                desk.inbox.receipts.peer_has(turn, effect)
            case ReadParts() | BlockCame() | Offered():
                self._chores.touched(b"")
                desk.blocks.take(turn, effect)
            case ClockSkew(offset_s):
                turn.tell(sessions.clock_skew(offset_s))
            case Cloned():
                turn.tell(sessions.cloned())
            case _:
                after.append(effect)

    def _arrived(self, turn: Turn, effect: Arrived, writes: list[Write], after: list[Effect]) -> None:
        sealed, shelving = effect.envelope, self._desk.shelving
        routes = self._desk.state.channels.find_all(sealed.rk)
        if all(route.channel.kind in COMMON for route in routes):  # everybody's, like a stranger's
            if sealed.kind == KEPT:
                now = turn.now.mono
                key, known = self._desk.mesh.brought_by(effect.link)
                if not key:
                    key, known = self._brought.get(effect.link, (b"", False))
                orders = shelving.hold(sealed, key, known=known, now=now)
                after += map(Hold, orders)
        elif sealed.kind == KEPT:
            writes += shelving.keep(sealed, routes[0].key)
        if routes:
            self._open(turn, sealed)

    def _peer_up(self, turn: Turn, effect: PeerUp) -> None:
        desk = self._desk
        self._chores.touched(None)
        for room in self._timelines():
            room.link_up(turn.now.mono)
        desk.inbox.whereabouts.keep_view(turn)
        if len(desk.mesh.peers(turn.now)) == 1:
            desk.inbox.beats.soon(turn)
        desk.inbox.receipts.link_up(turn.now.mono)
        desk.blocks.peer_up(turn, effect)
        way: Literal["in", "out"] = "out" if effect.outbound else "in"
        turn.tell(events.PeerUp(peer=effect.node_key.hex(), address=effect.address, direction=way))
        self._tell_connectivity(turn)

    def _sync_finished(self, turn: Turn, effect: SyncFinished) -> None:
        desk, link = self._desk, effect.link
        self._chores.touched(None)
        linked = len(desk.mesh.peers(turn.now))
        desk.inbox.receipts.synced(turn.now.mono)
        if effect.missing_answered:  # who did not answer has not said that nothing is missing
            finished = desk.state.behind.peer_finished(link, linked=linked, now=turn.now.mono)
            desk.after += self._replay.orders(finished)
            for room in self._timelines():
                room.peer_finished(link, linked=linked, now=turn.now.mono)
        self._tell_connectivity(turn)

    def _timelines(self) -> list[Any]:
        rooms = self._desk.state.rooms
        inboxes = rooms.inboxes.values()
        return [
            *(inbox.room.timeline for inbox in inboxes),
            *(inbox.healing for inbox in inboxes),
            *(direct.timeline for direct in rooms.direct.values()),
        ]

    def _tell_connectivity(self, turn: Turn) -> None:
        state = self._desk.mesh.connectivity
        if state != self._told_connectivity:
            self._told_connectivity = state
            turn.tell(events.Connectivity(state=state))
