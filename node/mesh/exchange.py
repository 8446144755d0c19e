"""What passes between live links: new envelopes on, missing ones asked for (docs/protocol.md 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeAlias, assert_never

from node.clock import Instant, earliest
from node.mesh.gossip import FRESH_MS, Gossip, Verdict
from node.mesh.holding import Holding
from node.mesh.hops import Hops
from node.mesh.index import ID_BYTES, Index
from node.mesh.meshclock import MeshClock
from node.mesh.neighbour import Neighbour
from node.mesh.parts import PartFrame, Parts
from node.mesh.ports import InStep, MeshEffect, SyncFinished
from node.mesh.spreading import Overdue, Spreading, Unasked
from node.mesh.sync import EVERYTHING, Sync
from node.mesh.turns import Turns
from node.mesh.wants import Wants
from node.wire import frame_bytes
from node.wire.envelope import Envelope, parse
from node.wire.frames import (
    Batch,
    Beacon,
    Credit,
    Days,
    Fetch,
    Gone,
    Graft,
    IHave,
    NegEnd,
    NegMsg,
    NegOpen,
    Offer,
    Part,
    Prune,
    Push,
    Tail,
    Want,
)

SETTLE_MS = 5_000
"""What is younger is still on its way by gossip, and left out of the regular rounds of sync."""
ASKS_AT_ONCE = 3
"""WANTs that one frame of a peer brings about; what it gives back to many others is asked for in a moment."""
ASK_SOON = 0.005

GossipFrame: TypeAlias = Push | IHave | Graft | Prune | Beacon
CatchUp: TypeAlias = Want | Days | Tail | NegOpen | NegMsg | NegEnd | Batch | Credit | Gone | PartFrame


class Exchange:
    """Moves envelopes between the live links in `near`; effects go to the list it shares with the mesh."""

    def __init__(
        self,
        index: Index,
        verify: Callable[[Envelope], None],
        near: dict[int, Neighbour],
        clock: MeshClock,
        effects: list[MeshEffect],
        *,
        salt: int,
        hops: Hops,
        now: Instant,
    ) -> None:
        self.wants = Wants()
        self.holding = Holding()
        self._turns = Turns()
        self._index = index
        self._gossip = Gossip(index, verify, now=now.mono)
        self.spreading = Spreading(
            self._gossip, near, clock, effects, wants=self.wants, holding=self.holding, salt=salt, hops=hops
        )
        self.parts = Parts(near, effects)
        self._ask_soon: set[int] = set()
        self._ask_at: float | None = None
        self._near = near
        self._clock = clock
        self._effects = effects

    def opened(self, near: Neighbour, now: Instant) -> None:
        """A link is in use from now on."""
        assert near.sync is not None
        self.parts.opened(near, now)
        self.wants.opened(near.link.number)
        self.spreading.opened(near.link.number, now)
        near.sync.turns = self._turns
        near.sync.answers.at_hand = self.spreading.at_hand
        if sum(other.link.live for other in self._near.values()) == 1:
            self._turns.alone(self._index.newest_before(self._clock.mesh_ms(now)))

    @property
    def deadline(self) -> float | None:
        """When something is overdue."""
        mine = self.wants.deadline, self.holding.deadline, self.parts.deadline
        return earliest(self.spreading.deadline, self._ask_at, *mine)

    @property
    def waits(self) -> bool:
        """Whether something that was announced is waited or asked for."""
        return bool(len(self.wants) or self.spreading.awaits)

    def publish(self, env: Envelope, now: Instant, *, watched: bool = False) -> None:
        """Send an envelope of our own, and ask for a `watched` one who has it."""
        self.spreading.publish(env, now, watched=watched)

    def on_gossip(self, near: Neighbour, frame: GossipFrame, now: Instant) -> None:
        """Take a frame of gossip; raises PeerFault for an envelope that is malformed or not genuine."""
        match frame:
            case Push():
                if self.spreading.on_push(near, frame, now):
                    self._ask({near.link.number}, now)
            case IHave():
                self._on_ihave(near, frame, now)
            case Graft():
                self.spreading.on_graft(near, frame, now)
            case Prune():
                self.spreading.on_prune(near, frame, now)
            case Beacon():
                self.spreading.on_beacon(near, frame, now)
            case _:
                assert_never(frame)

    def on_catch_up(self, near: Neighbour, frame: CatchUp, now: Instant) -> None:
        """Take a frame of sync or of asking by id; raises PeerFault, Unasked if it has no place."""
        sync = near.sync
        assert sync is not None
        match frame:
            case Want():
                _demand(sync.answers.on_want(self.spreading.on_want(near, frame.ids)), "too many WANTs")
            case Days():
                self.ask_on(now)  # before it is asked itself: a turn that is over now is another's
                self._index.expire(self._clock.mesh_ms(now))
                until_ms = self._clock.mesh_ms(now) - SETTLE_MS if sync.finished_once else EVERYTHING
                _demand(sync.on_days(frame, until_ms=until_ms, now=now.mono), "DAYS out of turn")
                if sync.equal_ms is not None:
                    self._effects.append(InStep(near.link.node_key, near.holds, sync.equal_ms))
            case Tail():
                _demand(sync.answers.on_tail(frame), "TAIL of no round")
            case NegOpen() | NegMsg() | NegEnd():
                self._on_comparison(near, sync, frame, now)
            case Batch():
                self._on_batch(near, frame, now)
            case Credit():
                sync.answers.on_credit(frame.session, frame.nbytes)
            case Gone():
                self._ask(self.wants.gone(near.link.number, frame.ids), now)
            case Fetch() | Part() | Offer():
                self.parts.on_frame(near, frame, now)
            case _:
                assert_never(frame)
        self.finish(near, now)

    def _on_comparison(
        self, near: Neighbour, sync: Sync, frame: NegOpen | NegMsg | NegEnd, now: Instant
    ) -> None:
        _demand(sync.on_comparison(frame, now=now.mono), "a comparison out of turn")
        needs, sync.answers.needs = sync.answers.needs, []
        self._want(near, [eid[:ID_BYTES] for eid in needs if not self._gossip.knows(eid[:ID_BYTES])], now)

    def _on_ihave(self, near: Neighbour, frame: IHave, now: Instant) -> None:
        wanted = self.spreading.on_ihave(near, frame.ids, now)
        if wanted:
            self._want(near, wanted, now)

    def _want(self, near: Neighbour, prefixes: Iterable[bytes], now: Instant) -> None:
        """Ask a peer for what it has and is not here; what does not fit, the next round finds."""
        assert near.sync is not None
        noted = [self.wants.announced(near.link.number, prefix) for prefix in prefixes]
        if not all(noted):
            near.sync.wish(until_ms=EVERYTHING)
        self._ask({near.link.number}, now)

    def _on_batch(self, near: Neighbour, frame: Batch, now: Instant) -> None:
        number, sync = near.link.number, near.sync
        assert sync is not None
        expected = self.wants.expects(number)
        _demand(sync.on_batch(frame, expected=expected, now=now.mono), "BATCH that nobody asked for")
        before = len(self._index)
        try:
            for raw in frame.envelopes:
                self._on_held_envelope(near, parse(raw), now)
        finally:
            if len(self._index) > before:
                self.wants.moved(number, now=now.mono)
                sync.brought(frame, now=now.mono)
            if not frame.session and not frame.more:
                self._ask({number} | self.wants.answered(number), now)
            if frame.session and not frame.more:
                self.ask_on(now)

    def ask_on(self, now: Instant) -> None:
        """A day can be asked for: of whoever waits longest since it was asked for one."""
        waiting = [
            (self._turns.asked_at(number), number, near.sync)
            for number, near in self._near.items()
            if near.sync is not None and near.sync.put_off
        ]
        for _, number, sync in sorted(waiting, key=lambda one: one[:2]):
            sync.ask_later(now=now.mono)
            self.finish(self._near[number], now)

    def _on_held_envelope(self, near: Neighbour, env: Envelope, now: Instant) -> None:
        """Take an envelope that a peer held for us: checked like any other, then announced."""
        near.link.copies += 1
        prefix, mesh_ms = env.eid[:ID_BYTES], self._clock.mesh_ms(now)
        self.wants.arrived(prefix)
        if self._gossip.judge(env, mesh_ms=mesh_ms, pushed=False, now=now.mono) is not Verdict.NEW:
            return
        self.spreading.on_held(near, env, fresh=mesh_ms - env.ts_ms < FRESH_MS, now=now)

    def closed(self, number: int, now: Instant) -> None:
        """A link is gone: what it was asked for, others are asked for."""
        self.holding.closed(number)
        self.parts.closed(number, now)
        self._turns.closed(number)
        self.spreading.closed(number, now)
        self._ask(self.wants.closed(number), now)
        self.ask_on(now)

    def on_deadline(self, now: Instant) -> Overdue:
        """Pass on the WANTs of links that do not answer, and let gossip do what is due."""
        touched = self.wants.overdue(now=now.mono)
        for number in sorted(touched):
            near = self._near.get(number)
            if near is not None:
                self._turns.tried(near.link.node_key).failed()
                self.finish(near, now)
        self.parts.due(now)
        found = self.spreading.on_deadline(now)
        self._ask(touched | found.ask | self._take_put_off(), now, most=None)
        if found.broke:
            self._compare_without(found.broke, now)
        return found

    def _compare_without(self, liars: set[int], now: Instant) -> None:
        """What was announced and withheld, somebody else may have: find out by sync."""
        for number, near in self._near.items():
            if near.sync is not None and number not in liars:
                near.sync.wish(until_ms=self._clock.mesh_ms(now) - SETTLE_MS)
                near.sync.poll(now=now.mono)

    def end_rounds(self, due: Iterable[Neighbour], now: Instant) -> None:
        """Give up the rounds of sync that do not move, and ask for the days that are free by now."""
        for near in due:
            self.finish(near, now)
        self.ask_on(now)

    def finish(self, near: Neighbour, now: Instant) -> None:
        """Report the rounds of sync over a link that have ended."""
        number = near.link.number
        if near.sync is not None:
            for answered in near.sync.finish(idle=self.wants.idle(number), now=now.mono):
                self._effects.append(SyncFinished(number, answered))

    def _take_put_off(self) -> set[int]:
        numbers, self._ask_soon, self._ask_at = self._ask_soon, set(), None
        return numbers

    def _ask(self, numbers: set[int], now: Instant, *, most: int | None = ASKS_AT_ONCE) -> None:
        for number in sorted(numbers):
            near = self._near.get(number)
            if near is None:
                continue
            for ids in islice(self.wants.to_ask(number, now=now.mono), most):
                near.link.send_control(frame_bytes.encode(Want(ids)))
                most = None if most is None else most - 1
            if most == 0:
                self._ask_soon.add(number)
                self._ask_at = now.mono + ASK_SOON


def _demand(kept: bool, otherwise: str) -> None:
    if not kept:
        raise Unasked(otherwise)
