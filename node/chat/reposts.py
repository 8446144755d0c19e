"""Announces posted again for members who were away when they came (docs/crypto.md 3.7).

An announce is an envelope like any other: 35 days later, or sooner where holders are short of room, it is
gone. A member that missed it goes on under the epoch before. Whoever sees that posts the announces it lacks
once more, in fresh envelopes: the announce and its slots are those that were signed then.

A member can make us post what it has itself, no more: an announce goes once in an hour, a device is helped
once in an hour, and who hears an announce posted again leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.chat.epochs import Epoch
from node.chat.objects import inners
from node.chat.room import MEMBER, Room
from node.chat.turn import Turn
from node.clock import earliest
from node.crypto import epoch as epochs

LATE_MS = 60_000
"""After this an announce has reached whoever is there: what is sealed under the epoch before shows a lack."""
JITTER = 10.0
"""Seconds over which those who could help spread, so that mostly one does."""
HUSH = 3600.0
"""Seconds in which an announce is not posted again, and a device not helped again."""
AT_ONCE_BYTES = 256 * 1024
"""Posted in one go; what is beyond follows a second later."""
BETWEEN = 1.0
SURE_MS = 600_000
"""An announce that came just now came from the mesh: who comes back finds it there too."""
OVERLAP_MS = 6 * 3_600_000 + LATE_MS
"""How much older than it seems what was last heard of somebody may be: it is stored as coarsely."""


@dataclass(slots=True)
class _Due:
    moment: float
    devices: set[bytes] = field(default_factory=set)


class Reposts:
    """Who in one room lacks which announces, and when we post them again; nothing of it is stored."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._due: dict[bytes, _Due] = {}
        self._hushed: dict[bytes, float] = {}
        self._helped: dict[bytes, float] = {}

    @property
    def deadline(self) -> float | None:
        """When the next announce is to be posted."""
        return earliest(*(due.moment for due in self._due.values()))

    # -- who lacks what ---------------------------------------------------------------------------

    def spoke(self, turn: Turn, held: Epoch, device_id: bytes, ts_ms: int) -> None:
        """A device posted on `held`, a message or an epoch: it may not know what superseded that."""
        if not any(held.epoch16 in other.announce.parents for other in self.room.epochs.held.values()):
            return
        known = self._known(device_id)
        late = min(ts_ms, turn.mesh_ms) - LATE_MS
        lacks = [e for e in self._after(held, device_id) if e.epoch16 not in known and e.born_ms < late]
        self._help(turn, device_id, lacks)

    def returned(self, turn: Turn, account: bytes, since_ms: int) -> None:
        """An account was silent from `since_ms` until now: it may lack every epoch made meanwhile."""
        member = self.room.log.roster.members.get(account)
        if member is None:
            return
        device, known = member.device_id, self._known(member.device_id)
        lacks = [
            held
            for held in self.room.epochs.held.values()
            if since_ms - OVERLAP_MS <= held.row.received_ms < turn.now.wall_ms - SURE_MS
            and device in held.devices
            and held.epoch16 not in known
        ]
        self._help(turn, device, lacks)

    def _known(self, device_id: bytes) -> set[bytes]:
        """Return what a device has shown to hold: where it spoke, what it made, and what came before."""
        held = self.room.epochs.held
        shown = [
            one.epoch16
            for one in held.values()
            if one.announce.creator_device == device_id or one.highest(device_id) >= 0
        ]
        known: set[bytes] = set()
        while shown:
            epoch16 = shown.pop()
            if epoch16 in held and epoch16 not in known:
                known.add(epoch16)
                shown += held[epoch16].announce.parents
        return known

    def _after(self, first: Epoch, device_id: bytes) -> list[Epoch]:
        """Return the epochs a device comes to from `first`, each announced on one before it."""
        reached, after = {first.epoch16}, []
        for held in sorted(self.room.epochs.held.values(), key=lambda one: one.announce.gen):
            if device_id in held.devices and reached.intersection(held.announce.parents):
                reached.add(held.epoch16)
                after.append(held)
        return after

    def _help(self, turn: Turn, device_id: bytes, lacks: list[Epoch]) -> None:
        now = turn.now.mono
        member = self.room.log.roster.by_device(device_id)
        if member is None or member.account == self.room.me.account or self.room.state != MEMBER:
            return
        wanted = [held.epoch16 for held in lacks if self._can(held, now)]
        if not wanted or self._helped.get(device_id, now) > now:
            return
        self._helped = {device: until for device, until in self._helped.items() if until > now}
        self._helped[device_id] = now + HUSH
        moment = now + int.from_bytes(turn.entropy(2), "big") / 65_536 * JITTER
        for epoch16 in wanted:
            self._due.setdefault(epoch16, _Due(moment)).devices.add(device_id)

    def _can(self, held: Epoch, now: float) -> bool:
        return held.epoch16 in self.room.epochs.slots.kept and self._hushed.get(held.epoch16, now) <= now

    # -- posting ----------------------------------------------------------------------------------

    def seen(self, turn: Turn, under: Epoch, epoch16: bytes, slots: bytes) -> None:
        """An announce that we hold was posted again on the channel of `under`.

        With the slots that are its own it is done for those who read there, if that is a parent: anybody can
        copy it to where nobody looks.
        """
        held = self.room.epochs.held[epoch16]
        if self.room.epochs.slots.kept.get(epoch16) != slots or under.epoch16 not in held.announce.parents:
            return
        due = self._due.get(epoch16)
        lacking = held.devices & self.room.log.roster.devices.keys() if due is None else due.devices
        lacking = {device for device in lacking if device not in under.devices}
        if due is not None:
            due.devices = lacking
        if not lacking:
            self._hush(epoch16, turn.now.mono)

    def _hush(self, epoch16: bytes, now: float) -> None:
        self._due.pop(epoch16, None)
        self._hushed = {one: until for one, until in self._hushed.items() if until > now}
        self._hushed[epoch16] = now + HUSH

    def due(self, turn: Turn) -> None:
        """Post what it is time for, oldest generation first, unless it is known to be there by now."""
        now, size = turn.now.mono, 0
        ready = [epoch16 for epoch16, due in self._due.items() if due.moment <= now]
        held = self.room.epochs.held
        if self.room.state != MEMBER:
            self._due.clear()
            return
        for epoch16 in [one for one in ready if one not in held]:
            del self._due[epoch16]
        for one in sorted((held[e] for e in ready if e in held), key=lambda one: one.announce.gen):
            if size > AT_ONCE_BYTES:
                self._due[one.epoch16].moment = now + BETWEEN
                continue
            devices = self._due.pop(one.epoch16).devices
            lacking = [device for device in devices if one.epoch16 not in self._known(device)]
            if lacking:
                size += self._post(turn, one, lacking[0])

    def _post(self, turn: Turn, one: Epoch, device_id: bytes) -> int:
        """Post one announce on an epoch before it that the device holds; returns its size."""
        epochs_ = self.room.epochs
        slots = epochs_.slots.kept.get(one.epoch16)
        parents = [epochs_.held[p] for p in one.announce.parents if p in epochs_.held]
        under = next((parent for parent in parents if device_id in parent.devices), None)
        if slots is None or under is None:
            return 0
        inner = epochs.announce_inner(one.row.announce, slots)
        for part in inners(inner):
            turn.post(under.channel, part)
        self._hush(one.epoch16, turn.now.mono)
        return len(inner)
