"""Attachments between nodes, part by part: what of it is frames, links and time (docs/protocol.md 10).

`fetching` decides whom to ask, `giving` what is sent when. What is on disk is the engine's: blocks go to it
when their hash holds, and parts that peers ask for are read by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, assert_never

from node.clock import Instant, earliest
from node.mesh.fetching import Fetching, errand_for
from node.mesh.giving import Giving
from node.mesh.limits import asks_more
from node.mesh.neighbour import Neighbour
from node.mesh.ports import (
    BlockCame,
    BlockOrder,
    BlockTaken,
    CloseLink,
    Dial,
    DropBlocks,
    MeshEffect,
    OfferBlocks,
    Offered,
    PartsRead,
    ReadParts,
    SeekBlocks,
)
from node.mesh.spreading import Unasked
from node.wire.frame_bytes import encode
from node.wire.frames import Fetch, Offer, Part

PARTS_AT_ONCE = 2
"""PARTs made before a catch-up gets its turn."""
PartFrame: TypeAlias = Fetch | Part | Offer


class Parts:
    """Moves parts between the live links in `near`; effects go to the list it shares with the mesh."""

    def __init__(self, near: dict[int, Neighbour], effects: list[MeshEffect]) -> None:
        self._near = near
        self._effects = effects
        self._fetching = Fetching()
        self._giving = Giving()
        self.is_friend: Callable[[Neighbour], bool] = lambda _near: False

    @property
    def deadline(self) -> float | None:
        """When to be looked at."""
        return earliest(self._fetching.deadline, self._giving.deadline)

    def visiting(self, address: str) -> bool:
        """Whether an address is dialled to fetch something."""
        return address in self._fetching.visits

    def _in_use(self, near: Neighbour) -> bool:
        """Whether a peer is a relay of our choice: anybody who dials us can say that it is one."""
        return near.relays and (near.link.outbound or self.is_friend(near))

    def opened(self, near: Neighbour, now: Instant) -> None:
        """A link is live."""
        link, relay = near.link, self._in_use(near)
        self._fetching.opened(link.number, link.node_key, link.address, relay=relay, now=now.mono)
        self._giving.opened(link.number, trusted=near.trusted)

    def closed(self, number: int, now: Instant) -> None:
        """A link is gone."""
        self._fetching.closed(number, now=now.mono)
        self._giving.closed(number)

    def dial_failed(self, address: str, now: Instant) -> None:
        """A dial came to nothing."""
        self._fetching.visits.ended(address, now=now.mono)

    def order(self, order: BlockOrder, now: Instant) -> None:
        """Take what the engine decided or read."""
        match order:
            case SeekBlocks(errand, blocks, holders, addresses, only):
                made = errand_for(errand, blocks, holders=holders, addresses=addresses, only=only)
                self._fetching.seek(made, now=now.mono)
            case DropBlocks(errand):
                self._fetching.drop(errand, now=now.mono)
            case BlockTaken(name):
                near = self._near.get(self._fetching.taken(name, now=now.mono) or -1)
                if near is not None:
                    self._ask(near, now)
            case PartsRead(ticket, data):
                near = self._near.get(self._giving.on_read(ticket, data) or -1)
                if near is not None:
                    near.link.touch()
            case OfferBlocks(blocks, key):
                for near in self._near.values():
                    if near.link.live and self._in_use(near) and key in {None, near.link.node_key}:
                        near.link.send_bulk(encode(Offer(blocks)))
            case _:
                assert_never(order)

    def on_frame(self, near: Neighbour, frame: PartFrame, now: Instant) -> None:
        """Take a frame; raises PeerFault for false parts, Unasked for what has no place."""
        number = near.link.number
        match frame:
            case Fetch():
                if not self._giving.on_fetch(number, frame):
                    raise Unasked("too many FETCHes")
                near.link.touch()
            case Part():
                came = self._fetching.on_part(number, frame, now=now.mono)
                if came is not None:
                    self._effects.append(BlockCame(came.errand, came.name, came.data, near.link.node_key))
                self._ask(near, now)
            case Offer():
                self._effects.append(Offered(number, near.link.node_key, frame.blocks))
            case _:
                assert_never(frame)

    def _ask(self, near: Neighbour, now: Instant) -> None:
        for fetch in self._fetching.ask(near.link.number, now=now.mono):
            near.link.send_control(encode(fetch))

    def pump(self, near: Neighbour, now: Instant) -> bool:
        """Read and send what a peer asked for, as far as its link takes it; True if it takes some."""
        number, sent = near.link.number, False
        if not self._giving.owes(number):
            return False  # as most links, at all times
        for _ in range(PARTS_AT_ONCE):
            part = self._giving.next(number, now=now.mono) if near.link.bulk_room else None
            if part is None:
                break
            near.link.send_bulk(encode(part))
            sent = True
        read = self._giving.read(number)
        if read is not None:
            self._effects.append(ReadParts(read.ticket, read.block, read.index, read.count))
        return sent

    def due(self, now: Instant) -> None:
        """Ask and dial anew, and leave the links that were dialled for this alone."""
        self._giving.due(now=now.mono)
        if self._fetching.deadline is None or now.mono < self._fetching.deadline:
            return
        leaving = self._fetching.visits.to_leave(now=now.mono)
        self._effects += [Dial(one, asks_more(one)) for one in self._fetching.due(now=now.mono)]
        for number in self._fetching.numbers:
            self._ask(self._near[number], now)
        self._effects += [CloseLink(number, "nothing more to fetch") for number in leaving]
