"""What one member gives another of an epoch that it could not open itself (docs/crypto.md 3.7).

    share = [1, announce || SIG, CS, eph key, [[dev16, index, CK], ...], [[dev16, index, seed], ...]]

Chains are given from where the giver stands; what it has erased it cannot give. A share is believed as far as
the announce in it is signed: roster, generation and heads are judged as of an announce that comes by itself.
The secret behind it was dropped long ago, so nothing proves the keys. Wrong ones open nothing, and nobody is
read as an author for them. So an epoch from a share is never sealed under, and counts for nothing until a
message by another than its giver has opened under it, or a second member has given the same channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from node.chat.epochs import MAX_GENERATION, MAX_MESSAGES, Epoch, EpochRow
from node.chat.room import Room
from node.chat.roster import Roster
from node.chat.turn import Turn
from node.clock import day_of
from node.crypto import chain as chains, epoch as epochs
from node.crypto.chain import RecvChain, Skipped
from node.crypto.epoch import EpochAnnounce
from node.errors import CryptoFault
from node.wire.payload import MAX_SEEDS

MAX_INDEX = 2 * MAX_MESSAGES
"""Of a chain that is given: nobody seals much more than MAX_MESSAGES under one epoch."""
MAX_AHEAD = 1_000
"""How far the generation of a shared epoch may be above all that we hold."""


class UnknownHeads(CryptoFault):
    """The announce of a share follows ops that are not here; `heads` are their ids."""

    def __init__(self, heads: tuple[bytes, ...]) -> None:
        super().__init__("share of an epoch whose heads are not here")
        self.heads = heads


@dataclass(frozen=True)
class Share:
    """A share that holds as far as that can be told; changes nothing yet."""

    announce: EpochAnnounce
    roster: Roster
    channel_secret: bytes = field(repr=False)
    ephemeral_key: bytes = field(repr=False)
    chains: dict[bytes, RecvChain] = field(repr=False)


def share_of(held: Epoch, own: bytes, asker: bytes) -> list[Any]:
    """Return what we can give of an epoch to one of its devices: all chains as they stand but its own."""
    given: list[Any] = []
    seeds: list[Any] = []
    for device in sorted(held.devices - {asker}):
        if device == own:
            if held.send is not None:
                given.append([device, held.send.index, held.send.key])
            continue
        chain = held.chain_of(device)
        if chain is not None:
            given.append([device, chain.next_index, chain.key])
            seeds += [[device, index, seed] for index, seed in _seeds(chain)]
    row = held.row
    return [1, row.announce, row.channel_secret, row.ephemeral_key, given, seeds[-MAX_SEEDS:]]


def _seeds(chain: RecvChain) -> list[tuple[int, bytes]]:
    size = chains.SEED_BYTES
    return [
        (run.first + at // size, run.seeds[at : at + size])
        for run in chain.skipped
        for at in range(0, len(run.seeds), size)
    ]


def judge(turn: Turn, room: Room, body: Sequence[Any]) -> Share:
    """Judge a share by our own log.

    Raises:
        PeerFault: If its announce is not one that the room could have; nothing was changed.
    """
    _, raw, secret, ephemeral, given, seeds = body
    announce = epochs.parse_announce(raw)
    author = room.log.device(announce.creator_device)
    if announce.room_id != room.room_id or author is None:
        raise CryptoFault("share of another room, or of an epoch by nobody of it")
    epochs.verify_announce(announce, author.dsk)
    missing = tuple(head for head in announce.heads if not room.log.knows(head))
    if missing:
        raise UnknownHeads(missing)
    roster = room.log.roster_at(announce.heads)
    own = room.me.device_id
    if epochs.roster_hash(roster.devices) != announce.roster_hash or own not in roster.devices:
        raise CryptoFault("share of an epoch for another roster")
    if roster.by_device(announce.creator_device) is None:
        raise CryptoFault("share of an epoch by somebody who was not a member")
    if not room.log.allows(announce.creator_device, announce.epoch16, -1, announce.heads):
        raise CryptoFault("share of an epoch made after its author was removed or left")
    _check_generation(room, announce)
    day = day_of(turn.now.wall_ms)
    return Share(announce, roster, secret, ephemeral, _chains(roster, own, given, seeds, day))


def _check_generation(room: Room, announce: EpochAnnounce) -> None:
    held = room.epochs.held
    known = {epoch16: one.announce.gen for epoch16, one in held.items()}
    epochs.check_generation(announce, known)
    after = [one.announce.gen for one in held.values() if announce.epoch16 in one.announce.parents]
    if any(gen <= announce.gen for gen in after):
        raise CryptoFault("share of an epoch whose generation is not before those after it")
    if announce.gen > (max(known.values()) + MAX_AHEAD if known else MAX_GENERATION):
        raise CryptoFault("share of an epoch of a generation far ahead")


def _chains(
    roster: Roster, own: bytes, given: Sequence[Any], seeds: Sequence[Any], day: int
) -> dict[bytes, RecvChain]:
    found: dict[bytes, RecvChain] = {}
    for device, index, key in given:
        if device not in roster.devices or device in found:
            raise CryptoFault("share with a chain of nobody, or two of one device")
        if index > MAX_INDEX:
            raise CryptoFault("share with a chain that nobody can have come so far with")
        found[device] = RecvChain(key, index)
    runs: dict[bytes, dict[int, bytes]] = {}
    for device, index, seed in seeds:
        if device not in found or index >= found[device].next_index:
            raise CryptoFault("share with a seed that is not before its chain")
        runs.setdefault(device, {})[index] = seed
    for device, one in runs.items():
        skipped = tuple(Skipped(index, day, one[index]) for index in sorted(one))
        found[device] = structs.replace(found[device], skipped=skipped)
    found.pop(own, None)
    return found


def take(turn: Turn, room: Room, share: Share, giver: bytes) -> bool:
    """Hold what a member's device gave; returns whether the epoch is sure: proven, or given alike twice.

    Of two that contradict each other the later stays, unless something has opened under the earlier: members
    are asked in turn, and the right channel has messages. But who gives can speak on a channel of its own:
    two members who agree count for more, and anybody's word for more than that of the epoch's maker.
    """
    held = room.epochs.held.get(share.announce.epoch16)
    claims, alike = {giver: share.channel_secret}, False
    if held is not None:
        if held.row.proven:
            return True
        if held.row.shared_by != giver and held.row.channel_secret == share.channel_secret:
            room.epochs.prove(turn, held)
            return True
        if held.row.shared_by == giver:
            return False
        alike = any(s == share.channel_secret for who, s in held.claims.items() if who != giver)
        claims = {**held.claims, giver: share.channel_secret}
        opened = any(hash16 for hash16, _ in held.last.values())
        if opened and not alike and held.row.shared_by != share.announce.creator_device:
            held.claims = claims
            return False
        room.epochs.disown(turn, held, share.channel_secret)
    row = EpochRow(
        room.room_id,
        share.announce.epoch_id,
        share.announce.raw,
        tuple(sorted(share.roster.devices)),
        False,
        turn.now.wall_ms,
        share.channel_secret,
        share.ephemeral_key,
        shared_by=giver,
        proven=alike,
    )
    room.epochs.add_shared(turn, row, share.chains).claims = claims
    return alike
