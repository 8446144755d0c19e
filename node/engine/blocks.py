"""Attachments above 1 MiB between domain, mesh and folder: who may have them, what is here for peers.

The domain says what it wants, the mesh fetches and asks for what peers want, the folder has the bytes
(docs/protocol.md section 10). A relay also holds blocks of others, and knows them by their names alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from node.chat.attachment_record import READY
from node.chat.filing import (
    BlockHeld,
    BlockResult,
    BlocksSwept,
    BlockWritten,
    DropBlock,
    HoldBlock,
    PeerOrder,
    ReadSlice,
    Seek,
    SeekNoMore,
    Settled,
    Share,
    SliceRead,
    SweepBlocks,
)
from node.chat.turn import Turn, unpack_row
from node.clock import DAY_MS, Instant
from node.crypto import noderec
from node.crypto.attachment import bids, object_of
from node.engine.state import State
from node.errors import PeerFault
from node.mesh.depot import QUOTA, Depot, Held
from node.mesh.limits import may_be_named
from node.mesh.mesh import Mesh
from node.mesh.ports import (
    BlockCame,
    BlockFact,
    BlockOrder,
    BlockTaken,
    DropBlocks,
    OfferBlocks,
    Offered,
    PartsRead,
    PeerDown,
    PeerUp,
    ReadParts,
    SeekBlocks,
)
from node.store.records import Loaded
from node.tables import Table
from node.wire.frames import MAX_PART_BYTES
from node.wire.manifest import Manifest

ROW = b"B"
"""Begins the key of a row about a block that is held for others."""
MAX_ADDRESSES = 8
"""Where one attachment is looked for."""
MAX_SHARED = 32
"""Attachments offered to a relay that has just been linked, the newest of the last day."""
MAX_PLACES = 131_072
"""Blocks of our own whose places are known: 2 GiB have fewer, and finding them anew takes up to a second."""
MAX_HOLDERS = 256
"""Node keys of members that may have one."""
_LINK_BYTES = 8
"""An errand for a relay is named by the number of the link; ours by the 32 bytes of an attachment's name."""


class Blocks:
    """The married parts; `orders` is what the mesh is to do next."""

    def __init__(self, state: State, mesh: Mesh, own_record: Callable[[], bytes], *, relay: bool) -> None:
        self.depot = Depot(QUOTA if relay else 0)
        self.orders: list[BlockOrder] = []
        self._state, self._mesh, self._own_record = state, mesh, own_record
        self._relays: dict[bytes, str] = {}
        """Where those that this node has dialled can be reached, by their keys."""
        self._places: dict[bytes, tuple[bytes, int, int]] | None = None

    def restore(self, loaded: Loaded) -> None:
        """Take back what is held for others."""
        rows = [(key[1:], value) for key, value in loaded.rows[Table.PENDING].items() if key[:1] == ROW]
        known = [(name, unpack_row(value, Held)) for name, value in rows]
        for name, held in sorted(known, key=_since):
            self.depot.restore(name, held)

    def starting(self, turn: Turn) -> None:
        """Have what is held compared with what should be."""
        for name in [] if self.depot.quota else list(self.depot.held):  # a relay once
            self._drop(turn, name)
        turn.files.append(SweepBlocks(frozenset(self.depot.held)))

    # -- what the domain wants --------------------------------------------------------------------

    def order(self, turn: Turn, order: PeerOrder) -> None:
        """Do what the domain wants of peers."""
        match order:
            case Seek(name, manifest, blocks, rooms):
                holders, addresses = self._who(turn, manifest, rooms)
                self.orders.append(SeekBlocks(name, blocks, holders, addresses))
            case SeekNoMore(name):
                self.orders.append(DropBlocks(name))
            case Settled(block):
                self.orders.append(BlockTaken(block))
            case Share(manifest):
                self._located(manifest)
                self.orders.append(OfferBlocks(_offer(manifest)))
            case _:
                assert_never(order)

    def _who(
        self, turn: Turn, manifest: Manifest, rooms: tuple[bytes, ...]
    ) -> tuple[frozenset[bytes], tuple[str, ...]]:
        """Return keys of the nodes that should have it, and where they and relays may be dialled."""
        keys, addresses = set[bytes](), dict[str, None]()
        for raw in (*manifest.holders, *self._records_of_members(rooms)):
            try:
                record = noderec.parse_record(raw, Instant(turn.now.mono, turn.mesh_ms))
            except PeerFault:
                continue
            if record.node_key != self._mesh.node_key and len(keys) < MAX_HOLDERS:
                keys.add(record.node_key)
                addresses.update(dict.fromkeys(record.addresses))
        ours = set(noderec.parse_record(self._own_record(), turn.now).addresses)
        known = [a for a in (*manifest.relays, *addresses) if a not in ours and may_be_named(a)]
        return frozenset(keys), tuple(dict.fromkeys(known))[:MAX_ADDRESSES]

    def _records_of_members(self, rooms: tuple[bytes, ...]) -> list[bytes]:
        state = self._state
        found = []
        for person in state.people.by_account.values():
            if person.node_record is None or state.people.hides(person.account):
                continue  # who is blocked is not to learn where we are
            if any(self._is_in(person.account, room) for room in rooms):
                found.append(person.node_record)
        return found

    def _is_in(self, account: bytes, room: bytes) -> bool:
        rooms = self._state.rooms
        if room in rooms.direct:
            return rooms.direct[room].peer == account
        inbox = rooms.inboxes.get(room)
        return inbox is not None and inbox.room.is_member(account)

    def told(self, manifest: Manifest) -> Manifest:
        """Return a manifest that says who has it: this node, whoever it had it from, and our relays."""
        records = (self._own_record(), *manifest.holders)
        return manifest.held_by(tuple(dict.fromkeys(records)), tuple(self._relays.values()))

    # -- what the mesh brings ---------------------------------------------------------------------

    def take(self, turn: Turn, fact: BlockFact) -> None:
        """Take what came of an errand, or what a peer wants."""
        match fact:
            case BlockCame(errand, name, data):
                if len(errand) == _LINK_BYTES:
                    self._hold(turn, fact)
                elif not self._state.attachments.fetched.came(turn, errand, name, data):
                    self.orders.append(BlockTaken(name))
            case Offered(link, key, offered):
                self._offered(link, key, offered)
            case ReadParts():
                self._read(turn, fact)
            case _:
                assert_never(fact)

    def _read(self, turn: Turn, asked: ReadParts) -> None:
        start, size = asked.index * MAX_PART_BYTES, asked.count * MAX_PART_BYTES
        held = self.depot.held.get(asked.block)
        name, offset, whole = self._place(asked.block) if held is None else (asked.block, 0, held.size)
        if start >= whole:
            self.orders.append(PartsRead(asked.ticket, None))
            return
        span = min(size, whole - start)
        turn.files.append(ReadSlice(asked.ticket, name, offset + start, span, held=held is not None))

    def _located(self, manifest: Manifest) -> None:
        """Note where one more lies; those that were erased go when there are too many."""
        if self._places is not None and len(self._places) < MAX_PLACES:
            self._places.update(_places(manifest))
        else:
            self._places = None

    def _place(self, block: bytes) -> tuple[bytes, int, int]:
        """Return (file, offset, bytes) of a block of an attachment that is here; nothing if there is none."""
        if self._places is None:
            self._places = {}
            for record in self._state.attachments.records.values():
                if record.state == READY:
                    self._places.update(_places(record.parsed))
        return self._places.get(block, (b"", 0, 0))

    # -- what a relay holds for others ------------------------------------------------------------

    def _offered(self, link: int, key: bytes, offered: tuple[tuple[bytes, int], ...]) -> None:
        wanted = self.depot.willing(offered, key)
        if wanted:
            self.orders.append(SeekBlocks(link.to_bytes(_LINK_BYTES, "big"), wanted, only=link))

    def _hold(self, turn: Turn, came: BlockCame) -> None:
        """Keep a block for others; the row goes first, and again at a start if a crash took the file."""
        held = Held(len(came.data), turn.now.wall_ms, came.node_key)
        going = self.depot.keep(came.name, held)
        if going is None:
            self.orders.append(BlockTaken(came.name))
            return
        for old in going:
            self._drop(turn, old)
        turn.put(Table.PENDING, ROW + came.name, held)
        turn.files.append(HoldBlock(came.name, came.data))

    def answered(self, turn: Turn, result: BlockResult) -> None:
        """Go on with what the folder answered."""
        match result:
            case SliceRead(ticket, data):
                self.orders.append(PartsRead(ticket, data))
            case BlockWritten():
                self._state.attachments.answered(turn, result)
            case BlockHeld(name, kept):
                self.orders.append(BlockTaken(name))
                if not kept:
                    self._drop(turn, name)
            case BlocksSwept(missing):
                for name in missing:
                    self._drop(turn, name)
            case _:
                assert_never(result)

    def peer_up(self, turn: Turn, effect: PeerUp) -> None:
        """Offer a relay what was named lately."""
        if "relay" not in effect.roles:
            return
        if effect.outbound:
            self._relays[effect.node_key] = effect.address
        since_ms, fresh = turn.now.wall_ms - DAY_MS, list[Manifest]()
        for record in reversed(self._state.attachments.records.values()):
            if record.state == READY and record.named and record.since_ms > since_ms:
                manifest = record.parsed
                if not manifest.gossiped and len(fresh) < MAX_SHARED:
                    fresh.append(manifest)
        self.orders += [OfferBlocks(_offer(manifest), effect.node_key) for manifest in fresh]

    def peer_down(self, effect: PeerDown) -> None:
        """A node is linked no more."""
        self._relays.pop(effect.node_key, None)

    def expire(self, turn: Turn) -> None:
        """Hold no longer what was held for a day."""
        for name in self.depot.expired(turn.now.wall_ms):
            self._drop(turn, name)

    def _drop(self, turn: Turn, name: bytes) -> None:
        self.depot.drop(name)
        turn.delete(Table.PENDING, ROW + name)
        turn.files.append(DropBlock(name))


def _since(row: tuple[bytes, Held]) -> int:
    return row[1].since_ms


def _offer(manifest: Manifest) -> tuple[tuple[bytes, int], ...]:
    return tuple((name, manifest.span(index)[1]) for index, name in enumerate(bids(manifest)))


def _places(manifest: Manifest) -> dict[bytes, tuple[bytes, int, int]]:
    """Return where each block of an attachment lies: (file, offset, bytes)."""
    if manifest.gossiped:
        return {}
    name = object_of(manifest)
    return {bid: (name, *manifest.span(index)) for index, bid in enumerate(bids(manifest))}
