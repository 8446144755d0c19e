"""Direct sessions that are out of step, and what was lost on them (docs/crypto.md 3.4 and 3.5, "Healing").

Who can post on a session's channel holds the session's secret: what does not open there is ours or the
other one's. Nothing that both sides did right fails to open when it first comes, so one of them has been put
back to an earlier state: a new session takes the place of this one, each side tells what it has, and what the
other lacks is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from msgspec import structs

from node.chat import events
from node.chat.contacts import Contacts
from node.chat.direct import direct_id
from node.chat.dms import Dms, DmSession
from node.chat.messages import stored_message
from node.chat.outbox import Heard, Sent
from node.chat.people import People, Person
from node.chat.resets import RESET_EVERY_MS
from node.chat.turn import Turn
from node.clock import earliest
from node.crypto import chain, ratchet
from node.errors import CryptoFault
from node.wire.payload import MAX_RANGES, Payload, Type

Places: TypeAlias = tuple[tuple[bytes, int, int], ...]
"""Places in chains as (ratchet key, first, end)."""
TWICE_WITHIN = 600.0
"""Seconds within which two messages that are only too far ahead make a session out of step."""
ASK_AFTER = 8.0
"""Seconds for which what was jumped over is waited for: less than a held-back message waits at least."""
MAX_ASKED = 6
"""Times we ask for the same places, each time after twice as long."""
CLOCK_SLACK_MS = 60_000
"""How far the other one's clock may step back without looking as if it had forgotten a session of ours."""
ALONG = 16
"""Newest payloads that go out with a reset without being asked for: what has had no answer yet."""
TOLD_AN_HOUR = 6
"""Times an hour that we tell somebody what we have: their beginning sessions makes us send no more."""


@dataclass
class _Ask:
    """The places jumped over in a session, how often they were asked for, and when they are next."""

    places: Places
    due: float
    tries: int = 0


class Mending:
    """Notices sessions out of step, and sends again what was lost; `stale(payload)`: it is not to be.

    `whole(payload)` is what was kept with its words put back, None if they are not known any more.
    """

    def __init__(self, own_account: bytes, people: People, dms: Dms, contacts: Contacts) -> None:
        self._own = own_account
        self.people, self.dms, self.contacts = people, dms, contacts
        self.heard = Heard()
        self.stale: Callable[[Payload], bool] = lambda _payload: False
        self.whole: Callable[[Payload], Payload | None] = lambda payload: payload
        self._asks: dict[bytes, _Ask] = {}
        self._far: dict[bytes, float] = {}
        self._told: dict[bytes, tuple[float, int]] = {}
        contacts.renewed = self.renewed

    # -- noticing ---------------------------------------------------------------------------------

    def open(self, turn: Turn, session_id: bytes, inner: bytes) -> tuple[DmSession, Payload] | None:
        """Decrypt one inner of a session, or see why it does not open; None: there is nothing to read.

        Raises:
            PeerFault: If it does not open, and nothing follows from that.
        """
        try:
            opened = self.dms.open(turn, session_id, inner)
        except CryptoFault:
            session = self.dms.sessions.get(session_id)
            if session is None or not self._troubled(turn, session, inner):
                raise
            return None
        if opened is not None:
            self._went_back(turn, opened[0])
        if opened is not None:
            self._look(turn, session_id)
        return opened

    def _troubled(self, turn: Turn, session: DmSession, inner: bytes) -> bool:
        """Say whether something was done about a message that does not open."""
        if turn.again or session.retired or ratchet.sent_here(session.ratchet, inner):
            return False
        if session.replaced_ms is not None:
            return self._went_back(turn, session)
        if ratchet.ahead(session.ratchet, inner) > chain.MAX_JUMP and not self._twice(turn, session):
            return False
        return self._reset(turn, session.account)

    def _reset(self, turn: Turn, account: bytes) -> bool:
        return self.contacts.reset(turn, self.people.by_account[account])

    def _twice(self, turn: Turn, session: DmSession) -> bool:
        before = self._far.get(session.session_id)
        self._far = {name: at for name, at in self._far.items() if name in self.dms.sessions}
        self._far[session.session_id] = turn.now.mono
        return before is not None and turn.now.mono - before < TWICE_WITHIN

    def _went_back(self, turn: Turn, session: DmSession) -> bool:
        """See whether somebody goes on with a replaced session, as if there were no other; reset it then.

        They began the one in use, or had used it, or have had an hour to hear of it. If it was ours, they may
        not have the prekey any more that another of ours would be begun on.
        """
        current = self.dms.sending(session.account)
        if turn.again or session.retired or session.replaced_ms is None or current is None:
            return False
        known, lost = current.posted_ms, current.initiator
        if lost and current.heard_ms:
            known = current.heard_ms + CLOCK_SLACK_MS
        elif lost:
            known = current.created_ms + RESET_EVERY_MS
        if session.session_id == current.session_id or not turn.posted_ms > known > 0:
            return False
        person = self.people.by_account[session.account]
        return self.contacts.reset(turn, person, back=session.session_id, lost=lost)

    # -- after a reset ----------------------------------------------------------------------------

    def renewed(self, turn: Turn, person: Person, old: bytes) -> None:
        """A session was replaced: tell the owner and the other side, and say again what had no answer."""
        account, now = person.account, turn.now.mono
        since, count = self._told.get(account, (now, 0))
        if now - since >= 3600.0:
            since, count = now, 0
        self._told[account] = (since, count + 1)
        if count >= TOLD_AN_HOUR:
            return
        replaced = self.dms.sessions.get(old)
        if count == 0 and replaced is not None and not replaced.retired:
            text = f"the encrypted session with {person.username} was out of step and has been renewed"
            turn.tell(events.Warning(code="session_renewed", message=text))
        have = self.heard.newest(account)
        self._tell(turn, account, [old, [], have])
        chosen = self.dms.sending(account)
        recent = {sent.mid for sent in self.dms.outbox.of(account)[-ALONG:]}
        seen = self.dms.outbox.seen.get(account, 0)
        self.again(
            turn,
            account,
            lambda sent: sent.mid in recent and sent.number > seen and _elsewhere(sent, chosen),
        )

    def _tell(self, turn: Turn, account: bytes, body: list[Any]) -> None:
        self.dms.send(turn, account, Payload(turn.new_id(), turn.mesh_ms, 0, Type.NACK, body))

    # -- asking -----------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When something that was jumped over is asked for."""
        return earliest(*(ask.due for ask in self._asks.values() if ask.tries < MAX_ASKED))

    def _look(self, turn: Turn, session_id: bytes) -> None:
        """Note what a session has jumped over, if that has changed."""
        session = self.dms.sessions.get(session_id)
        places = () if session is None else ratchet.missing(session.ratchet)
        ask = self._asks.get(session_id)
        if not places:
            self._asks.pop(session_id, None)
        elif ask is None:
            self._asks[session_id] = _Ask(places, turn.now.mono + ASK_AFTER)
        elif ask.places != places:
            ask.places, ask.tries = places, 0
            ask.due = min(max(ask.due, turn.now.mono), turn.now.mono + ASK_AFTER)

    def ask(self, turn: Turn) -> None:
        """Ask for what was jumped over and has not come by now."""
        for session_id, ask in list(self._asks.items()):
            session = self.dms.sessions.get(session_id)
            if session is None or session.retired:
                del self._asks[session_id]
            elif ask.due <= turn.now.mono and ask.tries < MAX_ASKED:
                ask.tries += 1
                ask.due = turn.now.mono + ASK_AFTER * 2.0**ask.tries
                ranges = [list(place) for place in ask.places[-MAX_RANGES:]]
                if self._can_send(session.account):
                    self._tell(turn, session.account, [session_id, ranges, None])

    # -- being asked ------------------------------------------------------------------------------

    def asked(self, turn: Turn, account: bytes, payload: Payload) -> tuple[bytes, ...]:
        """Somebody tells what they lack, or have: send the rest again; returns the ids of what they have."""
        if len(payload.body) == 1:
            names = frozenset(payload.body[0])
            self.again(turn, account, lambda sent: sent.mid in names)
            return ()
        if len(payload.body) != 3:  # that would be one of a room
            return ()
        session16, ranges, have = payload.body
        chosen = self.dms.sending(account)
        here = None if have is None else frozenset(have)

        def wanted(sent: Sent) -> bool:
            session, key, n = sent.place
            if session == session16 and any(key == dh and low <= n < end for dh, low, end in ranges):
                return True
            return here is not None and sent.mid not in here and _elsewhere(sent, chosen)

        self.again(turn, account, wanted)
        return tuple(have or ())

    def again(self, turn: Turn, account: bytes, wanted: Callable[[Sent], bool]) -> None:
        """Send again what is wanted; texts when the store has said what their words are."""
        outbox = self.dms.outbox
        outbox.want(turn, account, wanted)
        texts = []
        for sent, payload in outbox.due(account):
            whole = self.whole(payload)
            if payload.type is Type.TEXT:
                texts.append(sent.mid)
            elif whole is None or self.stale(payload):
                outbox.drop(turn, sent)
            elif self._can_send(account):
                self.dms.send(turn, account, whole)
        if texts:
            turn.fetches.append((direct_id(self._own, account), tuple(texts)))

    def read(self, turn: Turn, account: bytes, bodies: Mapping[bytes, bytes | None]) -> None:
        """The words of texts that are to be sent again; what is not in the store any more is forgotten."""
        if not self._can_send(account):
            return
        for sent, payload in self.dms.outbox.due(account):
            if payload.type is not Type.TEXT or sent.mid not in bodies:
                continue
            body = bodies[sent.mid]
            if body is None:
                self.dms.outbox.drop(turn, sent)
                continue
            event = stored_message(body)
            words = "" if event is None else event.message
            self.dms.send(turn, account, structs.replace(payload, body=[words, *payload.body[1:]]))

    def _can_send(self, account: bytes) -> bool:
        return self.dms.sending(account) is not None and not self.dms.kept_from(account)

    def unsent(self) -> list[tuple[bytes, tuple[bytes, ...]]]:
        """Return what a start has to read: the texts that were to be sent again when we stopped."""
        return [
            (direct_id(self._own, account), tuple(sent.mid for sent, _ in self.dms.outbox.due(account)))
            for account in self.dms.outbox.waiting()
        ]


def _elsewhere(sent: Sent, chosen: DmSession | None) -> bool:
    """Say whether a payload was sent on another session than the one in use: there it will come by itself."""
    return chosen is None or sent.place[0] != chosen.session_id
