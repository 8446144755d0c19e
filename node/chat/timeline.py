"""The order in which one room's messages are shown: causal, and never silent about a hole.

A message names the newest messages its author had seen (`refs`). It is shown after all of them; one whose
references are not all known is held back until they come, or until the mesh has plainly been asked for them
(docs/bridge.md section 3, "`seq` order is causal").
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from node import ids
from node.clock import earliest
from node.crypto.labels import Label
from node.crypto.primitives import digest
from node.values import Value
from node.wire.payload import MAX_REFS, Payload, Words

MAX_KNOWN = 20_000
"""Message ids remembered a room; an older reference is looked up in the store."""
MAX_FRONTIER = 64
"""Heads kept; a room forks only while people write at once."""
MAX_WAITING = 1_000
"""Messages held back a room; the oldest is then shown with its gap."""
GAP_AFTER_SYNC = 10.0
"""Seconds after enough peers had nothing more to give."""
GAP_AFTER_LINK = 60.0
"""Seconds with a link, whatever the peers say."""
ENOUGH_PEERS = 2
MAX_LAMPORT = 1 << 62
"""Far above what honest counting reaches, below what the format holds: nobody can count us out of it."""
MAX_AHEAD_MS = 60_000
"""How far in the future a message may seem to be: its author's clock is its own, our frontends are ours."""


PAST: Final = b"past"
"""Known as the author of what somebody else says was before our time."""


class Item(Value, frozen=True):
    """One opened message on its way to the frontends."""

    mid: bytes
    epoch16: bytes
    account: bytes
    ts_ms: int
    lamport: int
    text: str
    kind: str
    reply_to: bytes | None
    refs: tuple[bytes, ...]
    gap: bool = False
    earlier: int = 0
    """How many of the `refs`, the last ones, are of earlier epochs: a newcomer cannot have had them."""
    ttl_s: int | None = None
    mentions: tuple[bytes, ...] = ()
    attachment: bytes | None = None

    @classmethod
    def of(
        cls,
        mid: bytes,
        epoch16: bytes,
        account: bytes,
        payload: Payload,
        refs: tuple[bytes, ...],
        *,
        words: Words | None = None,
        ts_ms: int | None = None,
        earlier: int = 0,
    ) -> Item:
        """Return what a payload says; `words` and `ts_ms` stand for its own where those do not count."""
        said = Words.of(payload.body) if words is None else words
        return cls(
            mid,
            epoch16,
            account,
            payload.ts_ms if ts_ms is None else ts_ms,
            payload.lamport,
            said.text,
            said.kind,
            said.reply_to,
            refs,
            earlier=earlier,
            ttl_s=said.ttl_s,
            mentions=said.mentions,
            attachment=said.attachment,
        )

    @property
    def words(self) -> Words:
        """The body it came with."""
        return Words(self.text, self.kind, self.reply_to, self.ttl_s, self.mentions, self.attachment)


@dataclass(kw_only=True)
class Patience:
    """How long something that is missing is waited for: until the mesh has plainly been asked for it."""

    synced: set[int] = field(default_factory=set)
    short: float | None = None
    long: float | None = None

    def moment(self, progress: float) -> float | None:
        """Return when it is over: the short clock stands while messages keep coming."""
        if self.short is None or self.long is None:
            return self.long
        return min(self.long, max(self.short, progress + GAP_AFTER_SYNC))

    def peer_finished(self, link: int, *, linked: int, now: float) -> None:
        """A sync with one peer ended without more to give: start the shorter clock when enough have."""
        self.synced.add(link)
        if len(self.synced) >= min(ENOUGH_PEERS, max(1, linked)):
            self.short = now + GAP_AFTER_SYNC if self.short is None else self.short
            self.long = now + GAP_AFTER_LINK if self.long is None else self.long

    def link_up(self, now: float) -> None:
        """There is a link again: the long clock starts now, if it stood still."""
        if self.long is None:
            self.long = now + GAP_AFTER_LINK


@dataclass(eq=False)
class _Waiting(Patience):
    item: Item
    missing: set[bytes]
    place: int


def copy_of(mid: bytes, account: bytes) -> bytes:
    """Return the id under which an account's message is shown whose own id is somebody else's here."""
    return ids.uuid8(digest(Label.COPY, account + mid))


def shown_ms(ts_ms: int, mesh_ms: int) -> int:
    """Return the time to show for a message whose author says `ts_ms`."""
    return min(ts_ms, mesh_ms + MAX_AHEAD_MS)


class Timeline:
    """Causal hold-back of one room."""

    def __init__(self) -> None:
        self.known: OrderedDict[bytes, bytes] = OrderedDict()
        self.frontier: OrderedDict[bytes, bytes] = OrderedDict()
        self.own_last: tuple[bytes, bytes] | None = None
        self.lamport = 0
        self.waiting: OrderedDict[bytes, _Waiting] = OrderedDict()
        self._held = 0
        self._blocked: dict[bytes, dict[bytes, _Waiting]] = {}
        """By the reference that is missing, what waits for it: to free one costs nothing for the others."""
        self._ready: list[_Waiting] = []
        self.progress = -GAP_AFTER_SYNC

    @property
    def deadline(self) -> float | None:
        """When the next held-back message is shown with its gap."""
        return earliest(*(entry.moment(self.progress) for entry in self.waiting.values()))

    def seen(self, mid: bytes) -> bool:
        """Say whether this message id was shown or is being held back."""
        return mid in self.known or mid in self.waiting

    def rename(self, mid: bytes, account: bytes) -> bytes | None:
        """Return the id to show a message under, or None if its author has sent this one before.

        Only (author, mid) names a message: who copies another's id gets one of their own, so that the
        original is not suppressed.
        """
        first = self.author_of(mid)
        if first is None:
            return mid
        if first in {account, b""}:
            return None
        other = copy_of(mid, account)
        return None if self.seen(other) else other

    def assume(self, mids: tuple[bytes, ...]) -> None:
        """Wait for none of these, told to a newcomer to be from before its time; what comes is shown."""
        for mid in mids:
            self._remember(mid, PAST)

    def note(self, mid: bytes, account: bytes) -> None:
        """Take a message id as shown that came otherwise: given to us as newcomers."""
        self._remember(mid, account)

    def compose(self, epoch16: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...], int]:
        """Return (refs of this epoch, refs of earlier ones, lamport) for a message about to be sealed."""
        heads = list(self.frontier.items())
        if self.own_last is not None and self.own_last not in heads:
            heads.append(self.own_last)
        newest = heads[-MAX_REFS:]
        here = tuple(mid for mid, epoch in newest if epoch == epoch16)
        before = tuple(mid for mid, epoch in newest if epoch != epoch16)
        return here, before, self.lamport + 1

    def offer(self, item: Item, *, now: float, linked: int) -> list[Item]:
        """Take one opened message; return what can now be shown, in order (possibly nothing yet)."""
        missing = {ref for ref in item.refs if ref not in self.known}
        if not missing:
            self.progress = now
            return self._show([item])
        self._hold(item, missing, long=now + GAP_AFTER_LINK if linked else None)
        if len(self.waiting) > MAX_WAITING:
            oldest = next(iter(self.waiting.values()))
            return self._show([self._release(oldest)])
        return []

    def hold(self, item: Item) -> None:
        """Take a held-back message back after a start; its clock stands still until there is a link."""
        self._hold(item, {ref for ref in item.refs if ref not in self.known})

    def unknown(self, item: Item) -> tuple[bytes, ...]:
        """Return the references of `item` that are neither shown nor waiting."""
        return tuple(ref for ref in item.refs if not self.seen(ref))

    def learn(self, mids: tuple[bytes, ...]) -> list[Item]:
        """Message ids turned out to be in the store already; return what that frees."""
        for mid in mids:
            self._remember(mid, b"")
        return self._show(self._freed())

    def peer_finished(self, link: int, *, linked: int, now: float) -> None:
        """A sync with one peer ended without more to give: start the shorter clock when enough have."""
        for entry in self.waiting.values():
            entry.peer_finished(link, linked=linked, now=now)

    def link_up(self, now: float) -> None:
        """There is a link again: the long clock of everything held back starts now, if it stood still."""
        for entry in self.waiting.values():
            entry.link_up(now)

    def expire(self, now: float) -> list[Item]:
        """Return what has waited long enough, marked `gap`, and what that frees."""
        moments = [(entry, entry.moment(self.progress)) for entry in self.waiting.values()]
        due = [entry for entry, moment in moments if moment is not None and moment <= now]
        return self._show([self._release(entry) for entry in due])

    def healed(self, item: Item) -> list[Item]:
        """A message that was given up is here after all, in its place; return what that frees."""
        self._remember(item.mid, item.account)
        return self._show(self._freed())

    def author_of(self, mid: bytes) -> bytes | None:
        """Return who sent a message that was shown or waits: empty if not known any more, None if neither."""
        if mid in self.waiting:
            return self.waiting[mid].item.account
        return None if self.known.get(mid) == PAST else self.known.get(mid)

    def sent(self, item: Item) -> None:
        """Record an own message: it is shown at once."""
        self._mark(item)
        self.own_last = (item.mid, item.epoch16)

    def _hold(self, item: Item, missing: set[bytes], *, long: float | None = None) -> None:
        if item.mid in self.waiting:
            self._release(self.waiting[item.mid])
        self._held += 1
        entry = self.waiting[item.mid] = _Waiting(item, missing, self._held, long=long)
        for ref in missing:
            self._blocked.setdefault(ref, {})[item.mid] = entry
        if not missing:
            self._ready.append(entry)

    def _release(self, entry: _Waiting) -> Item:
        self.waiting.pop(entry.item.mid, None)
        for ref in entry.missing:
            del self._blocked[ref][entry.item.mid]
            if not self._blocked[ref]:
                del self._blocked[ref]
        return structs.replace(entry.item, gap=True)

    def _freed(self) -> list[Item]:
        """Return what waits for nothing any more, in the order in which it came."""
        ready, self._ready = sorted(self._ready, key=lambda entry: entry.place), []
        items = [entry.item for entry in ready if self.waiting.get(entry.item.mid) is entry]
        for item in items:
            del self.waiting[item.mid]
        return items

    def _show(self, ready: list[Item]) -> list[Item]:
        shown: list[Item] = []
        queue = list(ready)
        while queue:
            for item in queue:
                self._mark(item)
                shown.append(item)
            queue = self._freed() if self.waiting else []
        return shown

    def _mark(self, item: Item) -> None:
        self._remember(item.mid, item.account)
        for ref in item.refs:
            self.frontier.pop(ref, None)
        self.frontier[item.mid] = item.epoch16
        while len(self.frontier) > MAX_FRONTIER:
            self.frontier.popitem(last=False)
        self.lamport = max(self.lamport, min(item.lamport, MAX_LAMPORT))

    def _remember(self, mid: bytes, account: bytes) -> None:
        self.known[mid] = account
        while len(self.known) > MAX_KNOWN:
            self.known.popitem(last=False)
        for entry in self._blocked.pop(mid, {}).values():
            entry.missing.discard(mid)
            if not entry.missing:
                self._ready.append(entry)
