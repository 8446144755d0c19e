"""What is checked of every turn of every engine, as it happens: I3, I4 and I10, and who sealed what."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from node import ids
from node.bridge.ports import CommandReceived
from node.chat import commands as c
from node.chat.epochs import ChainRow
from node.chat.room import Room
from node.chat.room_inbox import RoomInbox
from node.chat.turn import unpack_row
from node.clock import day_of
from node.crypto import ratchet, roommsg
from node.crypto.channel import Channel, Inner
from node.crypto.epoch import EpochAnnounce, NewEpoch, parse_announce
from node.crypto.roommsg import Kind, RoomInner
from node.engine.effects import Hold, Persist
from node.errors import PeerFault
from node.mesh.ports import LinkBytes, SendBytes
from node.sim import SimNode, Simulation
from node.store.records import Put, PutEnvelope
from node.tables import Table
from node.wire import envelope
from node.wire.envelope import KEPT, Envelope
from node.wire.payload import Type, decode
from tests.engine.invariants.ledger import Copy, Ledger, Said
from tests.engine.invariants.record import Acting, Recorder

SEND = {"crypto_secretbox": 2, "crypto_sign": 2}
RECEIVE = {"crypto_secretbox_open": 2, "crypto_sign_open": 1, "crypto_sign": 1}
RELAY = {"crypto_sign_open": 1}
LEAF_S = 8 * 86_400
"""Seven days, and one for the clock's grain."""


@dataclass
class Generation:
    """What is remembered of an epoch: when it was announced and as what, the secret of each device's slot."""

    at: float
    room: str
    made: NewEpoch = field(repr=False)
    devices: list[bytes]
    leaves: dict[str, bytes] = field(repr=False)


class Seals:
    """Looks at every turn; `generations` and the ledger's texts grow with what is sealed."""

    def __init__(self, world: Simulation, run: Recorder, ledger: Ledger) -> None:
        self.world, self.run, self.ledger = world, run, ledger
        self.generations: dict[bytes, Generation] = {}
        self.counted: Counter[str] = Counter()
        self.shares: dict[bytes, list[tuple[str, bytes]]] = defaultdict(list)
        """By epoch: who gave it, and to whom, each with the ratchet key of theirs that it went under."""
        self._places: set[tuple[bytes, bytes, int]] = set()
        self._days: dict[int, tuple[int, dict[bytes, Channel]]] = {}
        run.after.append(self.look)
        run.made_epoch, run.sealing = self._made_epoch, self._sealing

    # -- opening what anybody sealed --------------------------------------------------------------

    def open(self, env: Envelope) -> tuple[Channel, bytes]:
        """Return the channel and the inner of any envelope that a node of this run made."""
        day = day_of(env.ts_ms)
        count, by_rk = self._days.get(day, (0, {}))
        if env.rk not in by_rk:
            channels = list(self.run.channels.values())
            by_rk.update((channel.rk(day), channel) for channel in channels[count:])
            self._days[day] = (len(channels), by_rk)
        channel = by_rk[env.rk]
        return channel, channel.open(env)

    def name_of(self, device: bytes) -> str:
        """Return whose device it is."""
        return next(n.name for n in self.world.nodes.values() if n.setup.identity.device_id == device)

    # -- one turn ---------------------------------------------------------------------------------

    def look(self, acting: Acting) -> None:
        """Check what a turn gave out, before any of it is carried out."""
        node = self.world.nodes[acting.name]
        self._persist_first(acting)
        for env in acting.published:
            if env.kind == KEPT:
                channel, inner = self.open(env)
                if inner[1] == Inner.ROOM_MESSAGE:
                    self._room(acting, node, roommsg.parse(inner))
                elif inner[1] == Inner.DM:
                    self._dm(node, channel, inner)
        self._count(acting, node)

    def _persist_first(self, acting: Acting) -> None:
        places = [at for at, effect in enumerate(acting.effects) if isinstance(effect, Persist)]
        first = acting.effects[: places[0]] if places else []
        passed_on = all(
            isinstance(effect, Hold) or (isinstance(effect, SendBytes) and effect.pushes) for effect in first
        )
        assert len(places) <= 1 and passed_on, "I3: something goes before it is stored"
        kept = {env.eid for env in acting.published if env.kind == KEPT}
        assert kept <= {write.eid for write in _writes(acting) if isinstance(write, PutEnvelope)}, (
            "I3: an envelope leaves that is not stored"
        )

    def _room(self, acting: Acting, node: SimNode, msg: RoomInner) -> None:
        core = msg.core
        if core.device16 != node.setup.identity.device_id:
            return
        key = core.epoch16 + core.device16
        rows = [
            w.value for w in _writes(acting) if isinstance(w, Put) and (w.table, w.key) == (Table.CHAINS, key)
        ]
        chain = unpack_row(rows[-1], ChainRow).send if rows else None
        assert chain is not None and chain.index > core.index, "I3: an index is used before it is stored"
        room = _room_of(node, core.room)
        boxed = self.run.by_ct[msg.ct]
        place = core.epoch16, core.device16, core.index
        before = place in self._places
        self._places.add(place)
        if core.kind is not Kind.MESSAGE:
            return
        payload = decode(boxed.plain)
        if payload.type is Type.RESENT and payload.body[2] is not None:
            self._resent(self.ledger.said[payload.body[2][0]], room, core.epoch16, boxed.key)
        if payload.type is Type.TEXT:
            said = self.ledger.said[payload.body[0]]
            said.epoch16 = core.epoch16
            said.twice = before
            said.roster = frozenset(self.name_of(device) for device in room.log.roster.devices)
            leaf = room.leaves.of(room.log.roster.members[node.setup.identity.account])
            age_s = self.world.time - self.run.born[leaf.public]
            assert age_s < LEAF_S, "I13: speaks on with a leaf that should have been renewed"
            self._sealed(said, boxed.key, boxed.at)

    def _share(
        self, giver: str, account: bytes, announce: EpochAnnounce, publics: tuple[bytes, bytes]
    ) -> None:
        """I4: keys of an epoch are given to those alone whom its roster names."""
        taker = next(n.name for n in self.world.nodes.values() if n.setup.identity.account == account)
        assert taker in self.generations[announce.epoch16].leaves, "I4: an epoch given to whom it is not for"
        self.shares[announce.epoch16] += zip((giver, taker), publics, strict=True)

    def _resent(self, said: Said, room: Room, epoch16: bytes, key: bytes) -> None:
        """I11, I12: what is sealed again goes to those alone who could read it the first time."""
        readers = {self.name_of(device) for device in room.epochs.held[epoch16].devices}
        first = self.generations[said.epoch16].leaves.keys()
        assert readers <= first, f"I12: {said.text!r} sealed again for {readers - first}"
        said.copies.append(Copy(key, epoch16, frozenset(readers)))

    def _sealed(self, said: Said, key: bytes, at: float) -> None:
        said.key, said.sealed_at = key, at

    def _made_epoch(self, name: str, room_id: bytes, made: NewEpoch, members: Any) -> None:
        """I4: the slots of an epoch are for exactly the roster as its maker sees it at that moment."""
        node = self.world.nodes[name]
        if room_id in _inboxes(node):
            devices = {device for device, _ in members}
            assert devices == _room_of(node, room_id).log.roster.devices.keys(), (
                "I4: slots for other than the roster"
            )
        leaves = {self.name_of(device): self.run.secret_of[leaf.public] for device, leaf in members}
        ordered = sorted(device for device, _ in members)
        self.generations[made.parsed.epoch16] = Generation(
            self.world.time, ids.text(room_id), made, ordered, leaves
        )

    def _sealing(self, name: str, room_id: bytes, epoch16: bytes, kind: Kind) -> None:
        """I4: nothing but an op, which somebody may be the subject of, is sealed for who is out."""
        node = self.world.nodes[name]
        if kind is Kind.MESSAGE:
            room = _room_of(node, room_id)
            inside = room.log.roster.devices.keys()
            assert room.epochs.held[epoch16].devices <= inside, (
                "I4: sealed for somebody who is not in the room"
            )

    def _dm(self, node: SimNode, channel: Channel, inner: bytes) -> None:
        msg = ratchet._parse(inner)
        boxed = self.run.by_ct[msg.box]
        payload = decode(boxed.plain)
        if payload.type not in {Type.TEXT, Type.EPOCH_SHARE}:
            return
        assert node.engine is not None
        sessions = node.engine.state.dms.sessions.values()
        session = next(s for s in sessions if s.channel_secret == channel.secret)
        state = session.ratchet
        if payload.type is Type.EPOCH_SHARE:
            self._share(node.name, session.account, parse_announce(payload.body[1]), (msg.peer, state.peer))
            return
        said = self.ledger.said[payload.body[0]]
        said.publics = (msg.peer, state.peer)
        self._sealed(said, boxed.key, boxed.at)

    # -- what it cost -----------------------------------------------------------------------------

    def _count(self, acting: Acting, node: SimNode) -> None:
        """I10: whatever the size of the room, one text costs what docs/crypto.md 3.8 says."""
        event, calls = acting.event, dict(acting.calls)
        one = len(acting.published) == 1 and not acting.accepted
        if isinstance(event, CommandReceived) and isinstance(event.command, c.UserMessage) and one:
            if self._text(acting.published[0]):
                assert calls == SEND, f"I10: sending took {calls}"
                self.counted["send"] += 1
        elif isinstance(event, LinkBytes) and not acting.published and len(acting.accepted) == 1:
            self._count_arrival(acting, node, acting.accepted[0], calls)

    def _count_arrival(self, acting: Acting, node: SimNode, env: Envelope, calls: dict[str, int]) -> None:
        assert node.engine is not None
        if node.engine.state.channels.find(env.rk) is None:
            assert calls == RELAY, f"I10: relaying took {calls}"
            self.counted["relay"] += 1
        elif self._text(env) and sum(_is_chain(w) for w in _writes(acting)) == 1:
            assert calls == RECEIVE, f"I10: receiving took {calls}"
            self.counted["receive"] += 1

    def _text(self, env: Envelope) -> bool:
        """Say whether it is a text to a room, sealed by one of the nodes."""
        if env.eid not in self.run.honest:
            return False
        _, inner = self.open(env)
        if inner[1] != Inner.ROOM_MESSAGE:
            return False
        boxed = self.run.by_ct[roommsg.parse(inner).ct]
        payload = decode(boxed.plain)
        return payload.type is Type.TEXT and payload.leaf is None

    # -- all that was ever sent -------------------------------------------------------------------

    def room_messages(self) -> list[RoomInner]:
        """Return every room message of which an envelope was stored anywhere."""
        found = []
        for raw in self.run.envelopes.values():
            try:
                _, inner = self.open(envelope.parse(raw))
                if inner[1] == Inner.ROOM_MESSAGE:
                    found.append(roommsg.parse(inner))
            except PeerFault:  # what the test itself forged
                continue
        return found


def _writes(acting: Acting) -> tuple[Any, ...]:
    return next((effect.writes for effect in acting.effects if isinstance(effect, Persist)), ())


def _is_chain(write: Any) -> bool:
    if not isinstance(write, Put) or write.table != Table.CHAINS or write.key.startswith(b"idle"):
        return False
    return unpack_row(write.value, ChainRow).recv is not None


def _inboxes(node: SimNode) -> dict[bytes, RoomInbox]:
    return {} if node.engine is None else node.engine.state.rooms.inboxes


def _room_of(node: SimNode, room_id: bytes) -> Room:
    return _inboxes(node)[room_id].room
