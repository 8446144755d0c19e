"""The generations of keys of one room: which are held, which one seals, what each device's chain is at.

Chains of devices that have not spoken are one sealed row an epoch; a device gets a row of its own with its
first message, and leaves the shared one, so that no row can derive what was already opened
(docs/crypto.md 3.7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from msgspec import structs

from node.chat.channels import Route
from node.chat.sent import SentRow
from node.chat.slots import Slots
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS, day_of
from node.crypto import chain as chains, epoch as epochs
from node.crypto.chain import RecvChain, SendChain, Skipped
from node.crypto.channel import Channel, ChannelKind
from node.crypto.epoch import EpochAnnounce, EpochSecrets
from node.crypto.labels import Label
from node.errors import CryptoFault
from node.tables import Table
from node.values import Value

LIFE_DAYS = 14
"""An epoch older than this is not sealed under; it is renewed long before (`node.chat.renewal`)."""
MAX_MESSAGES = 20_000
"""Messages one device seals under one epoch: who is much behind can still jump over all of them."""
SAVE_MESSAGES, SAVE_BYTES = 256, 4 * 1024 * 1024
"""How coarsely it is stored what went under an epoch."""
MAX_PARENTS = 4
MAX_GENERATION = 1 << 31
"""Of the epoch one enters by: half of what the format holds, so that others can follow it."""
MAX_EPOCHS = 400
"""Epochs held a room, about ten a day: fewer than a cut can list, so that who makes them can be put out."""
MAX_SKIPPED = 20_000
"""Seeds of messages that have not come, kept in all of a room's epochs: 640 KB."""


IDLE_EACH = 32
"""Devices, about, whose first keys share a row: it is written anew whenever one of them speaks first."""


@dataclass(frozen=True)
class EpochRow:
    """What is stored of an epoch beside its chains; `first` marks the one a newcomer joined with.

    `shared_by` is the device that gave it, if it was not opened here; it is `proven` once that is borne out.
    """

    room_id: bytes
    epoch_id: bytes
    announce: bytes
    devices: tuple[bytes, ...]
    first: bool
    received_ms: int
    channel_secret: bytes = field(repr=False)
    ephemeral_key: bytes = field(repr=False)
    shared_by: bytes = b""
    proven: bool = True


class ChainRow(Value, frozen=True):
    """One device's chain in one epoch: ours as `send`, another's as `recv`, or a skipped `run` of it.

    `hash16` and `view16` are of the message with the highest index: what the next one has to follow. `sent`,
    of our own, are the ids of our newest messages.
    """

    room_id: bytes
    epoch16: bytes
    device_id: bytes
    send: SendChain | None = None
    recv: RecvChain | None = None
    run: Skipped | None = None
    hash16: bytes = b""
    view16: bytes = b""
    sent: SentRow | None = None


@dataclass(frozen=True)
class IdleRow:
    """First chain keys of the devices that have not spoken in an epoch, or of a share of them."""

    room_id: bytes
    epoch16: bytes
    keys: dict[bytes, bytes] = field(repr=False)


class Epoch:
    """One generation as it is held in memory."""

    def __init__(self, row: EpochRow) -> None:
        self.row = row
        self.announce: EpochAnnounce = epochs.parse_announce(row.announce)
        self.epoch16 = row.epoch_id[:16]
        self.channel = Channel(ChannelKind.ROOM, row.channel_secret)
        self.devices = frozenset(row.devices)
        self.idle: dict[bytes, bytes] = {}
        self.idle_whole = False
        """All first keys are in one row yet, as they once were stored."""
        self.recv: dict[bytes, RecvChain] = {}
        self.send: SendChain | None = None
        self.last: dict[bytes, tuple[bytes, bytes]] = {}
        self.claims: dict[bytes, bytes] = {}
        """Of one that was given: who has given it, a device each, with which channel's secret."""
        self.messages = self.volume = 0
        """What went under it, of all senders, in messages and sealed bytes."""

    @property
    def route(self) -> Route:
        """The channel's entry in the routing table."""
        return Route(self.channel, self.row.room_id, self.epoch16)

    def chain_of(self, device_id: bytes) -> RecvChain | None:
        """Return where a device's chain stands, or None if the epoch does not hold the device."""
        chain = self.recv.get(device_id)
        if chain is None and device_id in self.idle:
            chain = RecvChain(self.idle[device_id])
        return chain

    @property
    def idle_rows(self) -> int:
        """In how many rows the first keys are stored: one in a small room."""
        return max(1, len(self.devices) // IDLE_EACH)

    @property
    def born_ms(self) -> int:
        """When it was made; not later than it came, so that nobody's word keeps it in use for ever."""
        return min(self.announce.created_ms, self.row.received_ms)

    def highest(self, device_id: bytes) -> int:
        """Return the highest index accepted from a device, -1 if none."""
        chain = self.recv.get(device_id)
        return -1 if chain is None else chain.next_index - 1


class Epochs:
    """All epochs one room still holds keys of."""

    def __init__(self, room_id: bytes, device_id: bytes) -> None:
        self.room_id = room_id
        self.device_id = device_id
        self.held: dict[bytes, Epoch] = {}
        self.slots = Slots(room_id)
        self.skipped = 0
        self.made = 0
        """How many epochs have come since the start."""
        self.version = 0
        """Counts every epoch that comes or goes."""
        self._ordered: tuple[int, list[Epoch]] = (0, [])

    def restore(self, row: EpochRow) -> Epoch:
        """Take a stored epoch back; its chains follow."""
        held = Epoch(row)
        self.held[held.epoch16] = held
        self.version += 1
        return held

    def restore_chains(self, rows: list[ChainRow]) -> None:
        """Take the stored chains back, each with its skipped runs."""
        runs: dict[tuple[bytes, bytes], list[Skipped]] = {}
        for row in rows:
            if row.run is not None:
                runs.setdefault((row.epoch16, row.device_id), []).append(row.run)
        for row in rows:
            held = self.held.get(row.epoch16)
            if held is None:
                continue
            if row.send is not None:
                held.send = row.send
            if row.recv is not None:
                own = tuple(runs.get((row.epoch16, row.device_id), ()))
                held.recv[row.device_id] = chains.joined(row.recv, own)
                held.last[row.device_id] = (row.hash16, row.view16)
                self.skipped += held.recv[row.device_id].skipped_count

    def restore_idle(self, key: bytes, row: IdleRow) -> None:
        """Take the stored first keys of idle chains back; `key` is their row's."""
        held = self.held.get(row.epoch16)
        if held is not None:
            held.idle.update(row.keys)
            held.idle_whole |= held.idle_rows > 1 and key == b"idle" + row.epoch16

    def add(self, turn: Turn, announce: bytes, slots: bytes, secrets: EpochSecrets, *, first: bool) -> Epoch:
        """Hold a new epoch: store it, start our chain, watch its channel."""
        row = EpochRow(
            self.room_id,
            secrets.epoch_id,
            announce,
            tuple(secrets.chains),
            first,
            turn.now.wall_ms,
            secrets.channel_secret,
            secrets.ephemeral_key,
        )
        held = self._hold(turn, row, {d: key for d, key in secrets.chains.items() if d != self.device_id})
        held.send = SendChain(secrets.chains[self.device_id])
        self.save_send(turn, held)
        self.slots.keep(turn, held.epoch16, slots)
        return held

    def _hold(self, turn: Turn, row: EpochRow, idle: dict[bytes, bytes]) -> Epoch:
        held = self.restore(row)
        held.idle = idle
        self.made += 1
        turn.put(Table.EPOCHS, self.room_id + held.epoch16, row)
        self._save_idle(turn, held)
        turn.watch.append((held.route, day_of(min(held.announce.created_ms, turn.mesh_ms))))
        self._bound(turn, held)
        return held

    # -- given by another (epoch_shares) ----------------------------------------------------------

    def add_shared(self, turn: Turn, row: EpochRow, given: dict[bytes, RecvChain]) -> Epoch:
        """Hold an epoch as another gave it, to read alone: where we stood in it ourselves is not known."""
        fresh = {d: chain.key for d, chain in given.items() if chain == RecvChain(chain.key)}
        held = self._hold(turn, row, fresh)
        for device_id, chain in given.items():
            if device_id not in fresh:
                self.save_recv(turn, held, device_id, chain, (b"", b""))
        return held

    def prove(self, turn: Turn, held: Epoch) -> None:
        """What was given of an epoch is borne out: others count on it from here."""
        held.row = replace(held.row, proven=True)
        turn.put(Table.EPOCHS, self.room_id + held.epoch16, held.row)

    def disown(self, turn: Turn, held: Epoch, secret: bytes) -> None:
        """Erase what was given of an epoch, for its channel's secret is known from elsewhere.

        If that is another, nobody could hear of what we made on top of it, which goes as well.
        """
        for other in list(self.held.values()):
            own = other.announce.creator_device == self.device_id
            if own and held.row.channel_secret != secret and held.epoch16 in other.announce.parents:
                self._forget(turn, other)
        self._forget(turn, held)

    def _bound(self, turn: Turn, newest: Epoch) -> None:
        """Let epochs go when there are too many: the oldest of the device that made the most."""
        while len(self.held) > MAX_EPOCHS:
            made = Counter(held.announce.creator_device for held in self.held.values())
            others = [held for held in self.held.values() if held is not newest]
            going = min(others, key=lambda h: (-made[h.announce.creator_device], h.row.received_ms))
            self._forget(turn, going)

    def count(self, turn: Turn, held: Epoch, size: int) -> None:
        """One message of `size` sealed bytes went under an epoch."""
        before = (held.messages // SAVE_MESSAGES, held.volume // SAVE_BYTES)
        held.messages, held.volume = held.messages + 1, held.volume + size
        if before != (held.messages // SAVE_MESSAGES, held.volume // SAVE_BYTES):
            key = b"volume" + self.room_id + held.epoch16
            turn.put(Table.OBJECTS, key, [held.messages, held.volume])

    def restore_count(self, epoch16: bytes, messages: int, volume: int) -> None:
        """Take the stored count back."""
        if epoch16 in self.held:
            self.held[epoch16].messages, self.held[epoch16].volume = messages, volume

    def save_send(self, turn: Turn, held: Epoch, sent: SentRow | None = None) -> None:
        """Store our own chain of an epoch, and what we sent with it last."""
        row = ChainRow(self.room_id, held.epoch16, self.device_id, send=held.send, sent=sent)
        turn.put(Table.CHAINS, held.epoch16 + self.device_id, row)

    def save_recv(
        self, turn: Turn, held: Epoch, device_id: bytes, chain: RecvChain, last: tuple[bytes, bytes]
    ) -> None:
        """Move a device's chain on: its own row, and out of the shared one at its first message.

        `last` is (hash16, view16) of the message that moved it.
        """
        before = held.recv.get(device_id) or RecvChain(b"")
        chain = self._within(before, chain)
        held.recv[device_id] = chain
        if chain.next_index > before.next_index:
            held.last[device_id] = last
        if not held.row.proven and held.row.shared_by != device_id and last[0]:
            self.prove(turn, held)
        key = held.epoch16 + device_id
        fresh, gone = chains.changed(before, chain)
        for run in fresh:
            row = ChainRow(self.room_id, held.epoch16, device_id, run=run)
            turn.put(Table.CHAINS, key + run.first.to_bytes(4, "big"), row)
        for first in gone:
            turn.delete(Table.CHAINS, key + first.to_bytes(4, "big"))
        if held.idle.pop(device_id, None) is not None:
            self._save_idle(turn, held, device_id)
        hash16, view16 = held.last.get(device_id, (b"", b""))
        row = ChainRow(self.room_id, held.epoch16, device_id, recv=chain.head, hash16=hash16, view16=view16)
        turn.put(Table.CHAINS, key, row)

    def consume(self, turn: Turn, held: Epoch, device_id: bytes, index: int) -> None:
        """A message came otherwise than in its envelope: give its key up, so that it is not read again."""
        chain = held.chain_of(device_id)
        try:
            if chain is not None:
                after = chains.seek(Label.RCHAIN, chain, index, day=day_of(turn.now.wall_ms))[0]
                self.save_recv(turn, held, device_id, after, (b"", held.last.get(device_id, (b"", b""))[1]))
        except CryptoFault:
            return

    def _within(self, before: RecvChain, chain: RecvChain) -> RecvChain:
        """Keep fewer skipped seeds of a chain if the room has too many of them."""
        if not (chain.skipped or before.skipped):
            return chain
        grown = chain.skipped_count - before.skipped_count
        if grown > 0 and self.skipped + grown > MAX_SKIPPED:
            most = max(0, MAX_SKIPPED - self.skipped + before.skipped_count)
            chain = structs.replace(chain, skipped=chains.newest(chain.skipped, most))
        self.skipped += chain.skipped_count - before.skipped_count
        return chain

    def _save_idle(self, turn: Turn, held: Epoch, device_id: bytes | None = None) -> None:
        """Store the first keys: the row that had this device's, or all rows."""
        keys = _idle_keys(held)
        chosen = range(len(keys))
        if held.idle_whole:
            turn.delete(Table.CHAINS, b"idle" + held.epoch16)
            held.idle_whole = False
        elif device_id is not None:
            chosen = range(device_id[0] % len(keys), device_id[0] % len(keys) + 1)
        shares: dict[int, dict[bytes, bytes]] = {at: {} for at in chosen}
        for device, first in held.idle.items():
            share = shares.get(device[0] % len(keys))
            if share is not None:
                share[device] = first
        for at, share in shares.items():
            turn.put(Table.CHAINS, keys[at], IdleRow(self.room_id, held.epoch16, share))

    def sending(self, roster_hash: bytes, mesh_ms: int) -> Epoch | None:
        """Return the epoch to seal under: today's roster, not expired, highest gen, smallest id."""
        if self._ordered[0] != self.version:
            newest = sorted(self.held.values(), key=lambda held: (-held.announce.gen, held.row.epoch_id))
            self._ordered = self.version, newest
        current = (held for held in self._ordered[1] if held.announce.roster_hash == roster_hash)
        return next((held for held in current if self.usable(held, mesh_ms)), None)

    def usable(self, held: Epoch, mesh_ms: int) -> bool:
        """Say whether an epoch is neither too old nor used too much to seal under."""
        young = mesh_ms < min(held.announce.expires_ms, held.born_ms + LIFE_DAYS * DAY_MS)
        return young and held.send is not None and held.send.index < MAX_MESSAGES

    def tips(self, devices: Iterable[bytes] = ()) -> list[Epoch]:
        """Return the epochs that no other held one descends from, newest generation first.

        One that was given supersedes none of ours: its channel may be one of which nobody else knows. Of too
        many those by which most of `devices` are reached, for a member can make any number at old heads.
        """
        sure = [held for held in self.held.values() if held.row.proven] or list(self.held.values())
        given = {epoch16 for epoch16, held in self.held.items() if held.row.shared_by}
        parents = {p for h in sure for p in h.announce.parents if p in given or not h.row.shared_by}
        tips = [held for held in sure if held.epoch16 not in parents]
        tips.sort(key=lambda held: (-held.announce.gen, held.row.epoch_id))
        found: list[Epoch] = []
        missed = set(devices)
        while tips and len(found) < MAX_PARENTS:
            best = max(tips, key=lambda h: (len(missed & h.devices), bool(missed) and not h.row.shared_by))
            tips.remove(best)
            found.append(best)
            missed -= best.devices
        return found

    def retire(self, turn: Turn) -> None:
        """Erase what was superseded a horizon ago, and which nobody sealed under for as long.

        Not sooner, however old it is: after a long silence two members renew it beside each other, and each
        hears of the other's epoch on this one alone. Who has not heard of the next seals on for its life.
        """
        limit = turn.now.wall_ms - HORIZON_DAYS * DAY_MS
        sure = [held for held in self.held.values() if held.row.proven]
        superseded = {p for held in sure if held.row.received_ms < limit for p in held.announce.parents}
        for held in [self.held[epoch16] for epoch16 in superseded & self.held.keys()]:
            if held.row.received_ms < limit - LIFE_DAYS * DAY_MS:
                self._forget(turn, held)

    def _forget(self, turn: Turn, held: Epoch) -> None:
        """Erase an epoch with every key that came of it."""
        epoch16 = held.epoch16
        del self.held[epoch16]
        self.slots.forget(turn, epoch16)
        self.version += 1
        turn.delete(Table.EPOCHS, self.room_id + epoch16)
        for key in {b"idle" + epoch16, *_idle_keys(held)}:
            turn.delete(Table.CHAINS, key)
        turn.delete(Table.OBJECTS, b"volume" + self.room_id + epoch16)
        for device_id in held.devices:
            turn.delete(Table.CHAINS, epoch16 + device_id)
        for device_id, chain in held.recv.items():
            self.skipped -= chain.skipped_count
            for run in chain.skipped:
                turn.delete(Table.CHAINS, epoch16 + device_id + run.first.to_bytes(4, "big"))
        turn.unwatch.append((int(ChannelKind.ROOM), self.room_id, epoch16))

    def cut_of(
        self, device_id: bytes, *, more: dict[bytes, int] | None = None
    ) -> list[tuple[bytes, bytes, int]]:
        """Return [(device, epoch16, highest index)] of what was accepted from a device, sorted.

        Where a chain stands in an epoch that was given is the giver's word: nothing there is in the cut.
        """
        cut = []
        for epoch16, held in sorted(self.held.items()):
            if device_id == self.device_id and held.send is not None:
                index = held.send.index - 1 + (more or {}).get(epoch16, 0)
            else:
                index = -1 if held.row.shared_by else held.highest(device_id)
            if index >= 0 or held.announce.creator_device == device_id:
                cut.append((device_id, epoch16, index))
        return cut


def _idle_keys(held: Epoch) -> list[bytes]:
    """Return the keys of the rows with an epoch's first keys, by the first byte of a device's id."""
    if held.idle_rows == 1:
        return [b"idle" + held.epoch16]
    return [b"idle" + held.epoch16 + bytes([at]) for at in range(held.idle_rows)]
