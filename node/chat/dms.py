"""Direct sessions: which double ratchet speaks to whom, and what waits for one (docs/crypto.md 3.4, 3.5).

Of the sessions with somebody one is sent on; the others can be read for a horizon and are then dropped with
their keys. Which one it is follows from what both sides know, so that both choose the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from node.chat.behind import PATIENCE
from node.chat.channels import Route
from node.chat.large import Large
from node.chat.outbox import Outbox
from node.chat.turn import Turn, pack_row
from node.clock import DAY_MS, HORIZON_DAYS, day_of
from node.crypto import ratchet
from node.crypto.channel import Channel, ChannelKind
from node.crypto.ratchet import Ratchet
from node.errors import CryptoFault, Refused
from node.tables import Table
from node.wire.payload import SAYING, Payload, Type, days_needed, decode, without_words

MAX_SESSIONS = 5
"""Sessions kept a peer: the live one, and those a reset or a crossed first contact left behind."""
READ_ONLY_MS = HORIZON_DAYS * DAY_MS
"""How long a session that was replaced can be read: nothing sent on it before is under way longer."""
MAX_QUEUED = 200
"""Direct payloads that wait for somebody's first answer."""


@dataclass(frozen=True)
class DmSession:
    """One double ratchet with one account; `initiator` says whether we began it.

    `retired`: it is with a device that the account no longer uses; nothing is sent on it any more. `old`: the
    session it came to replace. `posted_ms`: when the other began it, by its first message, 0 if we did; who
    knows our inbox could set the envelope's time. `replaced_ms`: since when it is not the one to send on.
    `heard_ms`: when the other posted the newest that opened, by its own word, 0 before. `forgotten`: the
    other one does not have it any more.
    """

    session_id: bytes
    account: bytes
    initiator: bool
    created_ms: int
    channel_secret: bytes = field(repr=False)
    ratchet: Ratchet = field(repr=False)
    retired: bool = False
    old: bytes | None = None
    posted_ms: int = 0
    replaced_ms: int | None = None
    heard_ms: int = 0
    forgotten: bool = False

    @property
    def began_ms(self) -> int:
        """When whoever began it did so, by their own clock."""
        return self.posted_ms or self.created_ms

    @property
    def watch_day(self) -> int:
        """The first day on which something can have been posted on its channel."""
        return day_of(min(self.created_ms, self.posted_ms or self.created_ms))


@dataclass(frozen=True)
class Queued:
    """A payload that waits for a session with `account`."""

    account: bytes
    number: int
    payload: bytes = field(repr=False)


class Dms:
    """Every direct session of this node; `kept_from(account)` says whether nothing may go to somebody now."""

    def __init__(self, own_account: bytes) -> None:
        self._own = own_account
        self.sessions: dict[bytes, DmSession] = {}
        self._of: dict[bytes, dict[bytes, None]] = {}
        self._channels: dict[bytes, Channel] = {}
        self.queue: dict[bytes, list[Queued]] = {}
        self.large = Large()
        self._number = 0
        self.outbox = Outbox()
        self.kept_from: Callable[[bytes], bool] = lambda _account: False

    def restore(self, session: DmSession) -> Route:
        """Take a stored session back; return the channel to watch."""
        self.sessions[session.session_id] = session
        self._of.setdefault(session.account, {})[session.session_id] = None
        channel = Channel(ChannelKind.DM, session.channel_secret)
        self._channels[session.session_id] = channel
        return Route(channel, session.account, session.session_id)

    def restore_queued(self, queued: Queued) -> None:
        """Take a stored waiting payload back."""
        self.queue.setdefault(queued.account, []).append(queued)
        self.queue[queued.account].sort(key=lambda q: q.number)
        self._number = max(self._number, queued.number)

    def begin(self, turn: Turn, session: DmSession) -> None:
        """Start to use a new session: store it, watch its channel, let the oldest of too many go."""
        route = self.restore(session)
        self._save(turn, session)
        turn.watch.append((route, session.watch_day))
        self.settle(turn, session.account)

    def settle(self, turn: Turn, account: bytes) -> None:
        """Note which sessions have been replaced, and drop those whose time is over or that are too many."""
        now, chosen = turn.now.wall_ms, self.sending(account)
        for session in self.of(account):
            since = None if session is chosen else session.replaced_ms or now
            if since != session.replaced_ms:
                self._save(turn, replace(session, replaced_ms=since))
        replaced = [s for s in self.of(account) if s.replaced_ms is not None]
        replaced.sort(key=lambda s: (-(s.replaced_ms or 0), -s.created_ms))
        kept = MAX_SESSIONS - (len(replaced) < len(self.of(account)))
        for at, session in enumerate(replaced):
            if at >= kept or now >= (session.replaced_ms or 0) + READ_ONLY_MS:
                self._drop(turn, session)

    def expire(self, turn: Turn) -> None:
        """Drop the sessions that were replaced a horizon ago, and forget what was sent before that."""
        for account in list(self._of):
            self.settle(turn, account)
        self.outbox.expire(turn)

    def of(self, account: bytes) -> list[DmSession]:
        """Return the sessions with an account."""
        return [self.sessions[name] for name in self._of.get(account, ())]

    def had_other_device(self, account: bytes) -> bool:
        """Say whether there were sessions with a device that the account no longer uses."""
        return any(session.retired for session in self.of(account))

    def sending(self, account: bytes) -> DmSession | None:
        """Return the session to send on: one that no other replaces, of several the one most resets deep.

        Then the one that the smaller account key began: both sides find the same. Of those that one side
        began only the newest counts: an older one may be a repetition of an old answer.
        """
        those = (s for s in self.of(account) if not (s.retired or s.forgotten))
        usable = {s.session_id: s for s in those if s.ratchet.can_send}
        replaced = {s.old for s in usable.values()}

        def rank(session: DmSession) -> tuple[int, bool, int]:
            beginner = self._own if session.initiator else account
            return _depth(usable, session), beginner == min(self._own, account), session.created_ms

        newest = {s.initiator: s for s in sorted(usable.values(), key=lambda s: s.began_ms)}
        latest = [session for session in newest.values() if session.session_id not in replaced]
        return max(latest or newest.values(), key=rank, default=None)

    def retire(self, turn: Turn, account: bytes, *, revoked: bool) -> None:
        """Send nothing more on the sessions of now: the account has another device.

        What was sent on them and is still on its way can be read, unless the device was revoked.
        """
        for session in self.of(account):
            if revoked:
                self._drop(turn, session)
            else:
                self._save(turn, replace(session, retired=True))
        self.settle(turn, account)
        self.outbox.moved(turn, account)

    def forget(self, turn: Turn, account: bytes, but: bytes | None = None) -> None:
        """Send nothing more on the sessions with somebody who has gone back to an older one, `but`.

        If there is none to take its place at once, not on that one either: it is as old as what they were put
        back to, and what is said waits for the next.
        """
        for session in self.of(account):
            if session.session_id != but:
                self._save(turn, replace(session, forgotten=True))
        self.settle(turn, account)

    def _drop(self, turn: Turn, session: DmSession) -> None:
        self.large.drop(turn, session.session_id)
        del self.sessions[session.session_id], self._channels[session.session_id]
        del self._of[session.account][session.session_id]
        turn.delete(Table.RATCHETS, session.session_id)
        turn.unwatch.append((int(ChannelKind.DM), session.account, session.session_id))

    def seal(self, turn: Turn, session: DmSession, payload: Payload) -> bytes:
        """Encrypt one payload on a session whose state moves with it; returns the inner bytes."""
        before = session.ratchet
        state, inner = ratchet.encrypt(before, payload.encode(), turn.entropy)
        self._save(turn, replace(session, ratchet=state))
        place = (session.session_id, before.dh_public, before.sent)
        self.outbox.sent(turn, session.account, place, payload)
        return inner

    def send(self, turn: Turn, account: bytes, payload: Payload) -> bool:
        """Send a payload to an account, or queue it; says whether that is all there is to do.

        What this node says by itself waits while nothing may go to them, and what is too much of it is lost.
        """
        if self.kept_from(account):
            if len(self.queue.get(account, ())) < MAX_QUEUED:
                self._enqueue(turn, account, payload)
            return True
        session = self.sending(account)
        if session is None:
            self._enqueue(turn, account, payload)
            return False
        inner = self.seal(turn, session, payload)
        sealed = turn.post(self._channels[session.session_id], inner, ttl_days=days_needed(payload))
        if payload.type is Type.TEXT:
            turn.carried[payload.mid] = (account, sealed.eid)
        return True

    def send_large(self, turn: Turn, account: bytes, what: Type, body: object) -> bool:
        """Send a body of up to MAX_CONTENT bytes as an Object; False, and nothing sent, if none can go now.

        It does not wait in the queue: whoever sends so much knows how to make it again.
        """
        session = None if self.kept_from(account) else self.sending(account)
        if session is None:
            return False
        channel = self._channels[session.session_id]
        self.large.send(
            turn,
            what,
            body,
            say=lambda payload: turn.post(channel, self.seal(turn, session, payload)),
            post=lambda part: turn.post(channel, part),
        )
        return True

    def check_room(self, account: bytes) -> None:
        """Refuse a text to somebody for whom too much waits already."""
        if self.sending(account) is None and len(self.queue.get(account, ())) >= MAX_QUEUED:
            raise Refused("too_many", "too much waits for this person's first answer", retryable=True)

    def _enqueue(self, turn: Turn, account: bytes, payload: Payload) -> None:
        waiting = self.queue.setdefault(account, [])
        self._number += 1
        queued = Queued(account, self._number, payload.encode())
        waiting.append(queued)
        turn.put(Table.PENDING, b"d" + account + queued.number.to_bytes(8, "big"), queued)

    def unsay(self, turn: Turn, account: bytes, mid: bytes) -> None:
        """Take the words of a message, and of its edits, out of what waits for somebody or was sent."""
        waiting = self.queue.get(account, [])
        for at, queued in enumerate(waiting):
            wordless = without_words(decode(queued.payload), mid)
            if wordless is not None:
                waiting[at] = replace(queued, payload=wordless.encode())
                turn.put(Table.PENDING, b"d" + account + queued.number.to_bytes(8, "big"), waiting[at])
        self.outbox.unsay(turn, account, mid)

    def flush(self, turn: Turn, account: bytes) -> None:
        """Send what waited for the first session with an account."""
        for queued in self.queue.pop(account, []):
            turn.delete(Table.PENDING, b"d" + account + queued.number.to_bytes(8, "big"))
            payload = decode(queued.payload)
            turn.freed.add(payload.mid)
            self.send(turn, account, payload)

    def expire_queue(self, turn: Turn, limit_ms: int) -> list[tuple[bytes, bytes]]:
        """Give up what was said before `limit_ms` and still waits; return (account, message id) of texts."""
        gone: list[tuple[bytes, bytes]] = []
        for account, waiting in list(self.queue.items()):
            for queued in list(waiting):
                payload = decode(queued.payload)
                if payload.type in SAYING and payload.ts_ms < limit_ms:
                    waiting.remove(queued)
                    turn.delete(Table.PENDING, b"d" + account + queued.number.to_bytes(8, "big"))
                    gone += [(account, payload.mid)] if payload.type is Type.TEXT else []
        return gone

    def open(self, turn: Turn, session_id: bytes, inner: bytes) -> tuple[DmSession, Payload] | None:
        """Decrypt one inner of a session; nothing changes unless it opens. Raises PeerFault.

        None: it is too far ahead to be opened yet, and the turn says so.
        """
        session = self.sessions.get(session_id)
        if session is None:
            raise CryptoFault("session is gone")
        if turn.patient and ratchet.ahead(session.ratchet, inner) > PATIENCE:
            turn.behind.append((int(ChannelKind.DM), session.account, session_id))
            return None
        today = day_of(turn.now.wall_ms)
        state, plain = ratchet.decrypt(session.ratchet, inner, day=today, entropy=turn.entropy)
        payload = decode(plain)
        heard_ms = max(session.heard_ms, turn.posted_ms)
        self._save(turn, replace(session, ratchet=state, heard_ms=heard_ms))
        return session, payload

    def _save(self, turn: Turn, session: DmSession) -> None:
        self.sessions[session.session_id] = session
        turn.rows[(Table.RATCHETS, session.session_id)] = pack_row(session)


def _depth(sessions: dict[bytes, DmSession], session: DmSession) -> int:
    """Return how many sessions here this one replaces, one after the other."""
    depth, at = 0, session
    while at.old is not None and at.old in sessions:
        depth, at = depth + 1, sessions[at.old]
    return depth
