"""Direct sessions: which double ratchet speaks to whom, and what waits for one (docs/crypto.md 3.4, 3.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from node.chat.behind import PATIENCE
from node.chat.channels import Route
from node.chat.turn import Turn, pack_row
from node.clock import day_of
from node.crypto import ratchet
from node.crypto.channel import Channel, ChannelKind
from node.crypto.ratchet import Ratchet
from node.errors import CryptoFault, Refused
from node.tables import Table
from node.wire.payload import Payload, decode

MAX_SESSIONS = 5
"""Sessions kept a peer: the live one, and those a reset or a crossed first contact left behind."""
MAX_QUEUED = 200
"""Direct payloads that wait for somebody's first answer."""


@dataclass(frozen=True)
class DmSession:
    """One double ratchet with one account; `initiator` says whether we began it.

    `retired`: it is with a device that the account no longer uses; nothing is sent on it any more.
    """

    session_id: bytes
    account: bytes
    initiator: bool
    created_ms: int
    channel_secret: bytes = field(repr=False)
    ratchet: Ratchet = field(repr=False)
    retired: bool = False


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
        self._channels: dict[bytes, Channel] = {}
        self.queue: dict[bytes, list[Queued]] = {}
        self._number = 0
        self.kept_from: Callable[[bytes], bool] = lambda _account: False

    def restore(self, session: DmSession) -> Route:
        """Take a stored session back; return the channel to watch."""
        self.sessions[session.session_id] = session
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
        turn.watch.append((route, day_of(session.created_ms)))
        mine = sorted(self.of(session.account), key=lambda s: s.created_ms)
        for old in mine[:-MAX_SESSIONS]:
            self._drop(turn, old)

    def of(self, account: bytes) -> list[DmSession]:
        """Return the sessions with an account."""
        return [s for s in self.sessions.values() if s.account == account]

    def sending(self, account: bytes) -> DmSession | None:
        """Return the session to send on: begun by the smaller account key, then the newest."""
        usable = [s for s in self.of(account) if s.ratchet.can_send and not s.retired]

        def rank(session: DmSession) -> tuple[bool, int]:
            beginner = self._own if session.initiator else account
            return beginner == min(self._own, account), session.created_ms

        return max(usable, key=rank, default=None)

    def retire(self, turn: Turn, account: bytes, *, revoked: bool) -> None:
        """Send nothing more on the sessions of now: the account has another device.

        What was sent on them and is still on its way can be read, unless the device was revoked.
        """
        for session in self.of(account):
            if revoked:
                self._drop(turn, session)
            else:
                self._save(turn, replace(session, retired=True))

    def _drop(self, turn: Turn, session: DmSession) -> None:
        del self.sessions[session.session_id], self._channels[session.session_id]
        turn.delete(Table.RATCHETS, session.session_id)
        turn.unwatch.append((int(ChannelKind.DM), session.account, session.session_id))

    def seal(self, turn: Turn, session: DmSession, payload: Payload) -> bytes:
        """Encrypt one payload on a session whose state moves with it; returns the inner bytes."""
        state, inner = ratchet.encrypt(session.ratchet, payload.encode(), turn.entropy)
        self._save(turn, replace(session, ratchet=state))
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
        turn.post(self._channels[session.session_id], inner)
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

    def flush(self, turn: Turn, account: bytes) -> None:
        """Send what waited for the first session with an account."""
        for queued in self.queue.pop(account, []):
            turn.delete(Table.PENDING, b"d" + account + queued.number.to_bytes(8, "big"))
            self.send(turn, account, decode(queued.payload))

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
        self._save(turn, replace(session, ratchet=state))
        return session, payload

    def _save(self, turn: Turn, session: DmSession) -> None:
        self.sessions[session.session_id] = session
        turn.rows[(Table.RATCHETS, session.session_id)] = pack_row(session)
