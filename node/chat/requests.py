"""Contacts without a link: asking, answering, and the end of it (docs/crypto.md 3.4, docs/bridge.md 2).

Each side wants the other as a contact, or does not; they are contacts while both do. Notes carry what one
side wants now, and their times only rise, so that both come to the same whatever is lost, late or repeated:
what comes with an older time changes nothing, a note says which of ours its author knew, and who goes by
something that is over is told so.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from node.chat import events, trust
from node.chat.incoming import Incoming
from node.chat.notes import Note
from node.chat.people import ASKED, CONTACT, KNOWN, Person
from node.chat.turn import Turn
from node.clock import DAY_MS, day_of
from node.crypto.prekeys import ContactRequest
from node.errors import CryptoFault, DecodeError, Refused
from node.tables import Table

if TYPE_CHECKING:
    from node.chat.contacts import Contacts

MAX_ASKS = 1_000
"""People we wait for; each is asked again every week."""
AGAIN_MS = 7 * DAY_MS
REMINDS = 8
"""Times a day that one person is told again how we stand to them, or the owner that they block, or not."""
REJECTED_DAYS = 30
"""For so long after a rejection further requests of that person are rejected by the node itself."""
BLOCKING: Final = frozenset({Note.BLOCKED, Note.UNBLOCKED})
MAX_DIGITS = 20
"""Of a number of 64 bits."""
MAX_EARLY = 256
"""Requests remembered that were taken back before they came."""


@dataclass(frozen=True)
class Ask:
    """A request of ours that has no answer yet."""

    account: bytes
    message: str = field(repr=False)
    posted_ms: int
    first_ms: int = 0
    """The note's time when it was posted first: what was said without having heard it does not answer it."""


class Requests:
    """Requests both ways; `parted(turn, account)` is told who is no contact any more, or is blocked."""

    def __init__(self, contacts: Contacts) -> None:
        self.contacts, self.people = contacts, contacts.people
        self.incoming = Incoming(contacts.people)
        self.asks: dict[bytes, Ask] = {}
        self._early: OrderedDict[bytes, int] = OrderedDict()
        self.parted: Callable[[Turn, bytes], None] = lambda _turn, _account: None

    def restore(self, key: bytes, data: bytes) -> None:
        """Take a stored row back."""
        if key[:1] == b"q":
            self.asks[key[1:]] = msgspec.msgpack.decode(data, type=Ask)
        else:
            self.incoming.restore(key[1:], data)

    # -- what the owner does ----------------------------------------------------------------------

    def state_of(self, person: Person) -> str:
        """Return `contact`, `requested` or `pending` (by name or by link), `incoming`, or `none`."""
        if person.state == ASKED:
            return "requested" if person.account in self.asks else "pending"
        return "contact" if person.state == CONTACT else "incoming" if self.incoming.of(person) else "none"

    def ask(self, turn: Turn, person: Person, message: str) -> Person:
        """Ask somebody to be a contact; who asks us is accepted, and who was asked is not asked twice."""
        if self.incoming.of(person) is not None:
            return self.accept(turn, person)
        if person.state != KNOWN:
            return person
        if person.intro_pub is None:
            text = f"nothing is known of the device of {person.username}: add their contact link"
            raise Refused("not_a_contact", text, field="username")
        if len(self.asks) >= MAX_ASKS:
            raise Refused("too_many", f"{MAX_ASKS} requests wait for an answer: cancel one first")
        person = self.people.save(turn, replace(person, state=ASKED, refused_day=0, parted=False))
        self._ask(turn, Ask(person.account, message, 0))
        self._tell_state(turn, person)
        return self.people.by_account[person.account]

    def _ask(self, turn: Turn, ask: Ask) -> None:
        self._say(turn, ask.account, Note.ASKED, ask.message)
        first = ask.first_ms or self.people.by_account[ask.account].said_ms
        self.asks[ask.account] = ask = replace(ask, posted_ms=turn.now.wall_ms, first_ms=first)
        turn.put(Table.REQUESTS, b"q" + ask.account, ask)

    def ask_again(self, turn: Turn) -> None:
        """Post requests again that have had no answer for a week."""
        for ask in list(self.asks.values()):
            if turn.now.wall_ms >= ask.posted_ms + AGAIN_MS:
                self._ask(turn, ask)

    def accept(self, turn: Turn, person: Person) -> Person:
        """Be a contact of somebody who asks."""
        self._check_incoming(person)
        person = self.contacts.befriend(turn, person)
        self.contacts.begin(turn, person)
        self._say(turn, person.account, Note.ACCEPTED)
        return self.people.by_account[person.account]

    def reject(self, turn: Turn, person: Person) -> Person:
        """Do not be a contact of somebody who asks, nor be asked by them again for a while."""
        self._check_incoming(person)
        self.forget(turn, person.account)
        person = self.people.save(turn, replace(person, refused_day=day_of(turn.now.wall_ms)))
        self._say(turn, person.account, Note.REJECTED)
        self._tell_state(turn, person)
        return self.people.by_account[person.account]

    def _check_incoming(self, person: Person) -> None:
        if self.incoming.of(person) is None:
            text = f"{person.username} does not ask to be a contact"
            raise Refused("request_not_found", text, field="username")

    def cancel(self, turn: Turn, person: Person) -> Person:
        """Ask somebody no more, whether by name or by their link."""
        if person.state != ASKED:
            raise Refused("request_not_found", f"{person.username} is not being asked", field="username")
        person = self._unwanted(turn, person)
        self._say(turn, person.account, Note.CANCELLED)
        self._tell_state(turn, person)
        return self.people.by_account[person.account]

    def remove(self, turn: Turn, person: Person) -> Person:
        """Be no contact of somebody any more."""
        if person.state != CONTACT:
            raise Refused("not_a_contact", f"{person.username} is no contact", field="username")
        person = self._unwanted(turn, replace(person, parted=True))
        self._say(turn, person.account, Note.REMOVED)
        self._part(turn, person, told=True)
        return self.people.by_account[person.account]

    def _unwanted(self, turn: Turn, person: Person) -> Person:
        """The owner does not want, or ask for, somebody any more."""
        self.contacts.drop_asked(turn, person.account)
        self.forget(turn, person.account)
        return self.people.save(turn, replace(person, state=KNOWN))

    def _part(self, turn: Turn, person: Person, *, told: bool) -> None:
        if told:
            turn.log(events.ContactRemoved(username=person.username, user_id=self._id(person)))
        self.parted(turn, person.account)

    def forget(self, turn: Turn, account: bytes) -> None:
        """Forget the request of somebody, and ours to them."""
        if self.asks.pop(account, None) is not None:
            turn.delete(Table.REQUESTS, b"q" + account)
        self.incoming.forget(turn, account)

    # -- blocking ---------------------------------------------------------------------------------

    def block(self, turn: Turn, person: Person, *, silent: bool) -> Person:
        """Want nothing of somebody any more; their node is told, unless that is to be silent."""
        if person.blocked and (silent or person.blocked == "told"):
            return person
        known = bool(person.blocked)
        person = replace(person, blocked="silent" if silent else "told", blocked_ms=turn.now.wall_ms)
        if person.state == ASKED:
            self._unwanted(turn, person)
            self._say(turn, person.account, Note.CANCELLED)
            person = self.people.by_account[person.account]
        self.forget(turn, person.account)
        person = self.people.save(turn, person)
        if not silent:
            self._say(turn, person.account, Note.BLOCKED)
        if not known:
            self._tell_state(turn, person)
            self.parted(turn, person.account)
        return self.people.by_account[person.account]

    def unblock(self, turn: Turn, person: Person) -> Person:
        """Hear somebody again, from now on."""
        if not person.blocked:
            return person
        told = person.blocked == "told"
        person = self.people.save(turn, replace(person, blocked=""))
        if told:
            self._say(turn, person.account, Note.UNBLOCKED)
        if person.state == CONTACT and self.contacts.dms.sending(person.account) is not None:
            self.contacts.begin(turn, person)
        self._tell_state(turn, person)
        return self.people.by_account[person.account]

    # -- what others tell -------------------------------------------------------------------------

    def noted(self, turn: Turn, note: Note, request: ContactRequest) -> None:
        """Take a note; raises PeerFault with nothing changed."""
        account = request.cert.account
        person = self.people.get(account)
        if request.ts_ms <= self._early.get(account, 0) or (
            person and request.ts_ms <= _newest(person, note)
        ):
            raise CryptoFault("a note that came before, or was taken back")
        knew = 0 if note is Note.ASKED else _heard_of(request.hello)
        if person is None and note is Note.CANCELLED:
            self._cancelled_early(account, request.ts_ms)
            return
        if person is None and note is not Note.ASKED:
            raise CryptoFault("a note of somebody who is not known")
        if person is not None and person.blocked and note in {Note.ASKED, Note.ACCEPTED}:
            raise CryptoFault("a note of somebody who is blocked")
        if self.people.stops(turn, request.cert, request.devices):
            return
        if note is Note.ASKED and (person is None or person.state == KNOWN):
            self.keep(turn, request)
            return
        person = self.contacts.learn(turn, request, dial=note in {Note.ASKED, Note.ACCEPTED})
        at: dict[str, Any] = {"heard_block_ms" if note in BLOCKING else "heard_ms": request.ts_ms}
        self._act(turn, note, self.people.save(turn, replace(person, **at)), knew)

    def _cancelled_early(self, account: bytes, ts_ms: int) -> None:
        self._early[account] = ts_ms
        while len(self._early) > MAX_EARLY:
            self._early.popitem(last=False)

    def _act(self, turn: Turn, note: Note, person: Person, knew: int) -> None:
        ask = self.asks.get(person.account)
        answers = ask is None or knew >= ask.first_ms
        match note:
            case Note.ASKED:
                self._both(turn, person)
            case Note.ACCEPTED if answers:
                self._accepted(turn, person)
            case Note.ACCEPTED:
                return
            case Note.BLOCKED | Note.UNBLOCKED:
                over = note is Note.BLOCKED or (ask is not None and answers)
                self._blocked(turn, person, note is Note.BLOCKED, over=over)
            case Note.REJECTED | Note.REMOVED | Note.CANCELLED:
                self._unwanting(turn, person, note, answers=answers)

    def _both(self, turn: Turn, person: Person) -> None:
        """Somebody asks whom we want too, or have already."""
        if person.state == CONTACT:
            self.remind(turn, person, Note.ACCEPTED)
            return
        person = self.contacts.befriend(turn, person)
        self.contacts.begin(turn, person)
        self._say(turn, person.account, Note.ACCEPTED)

    def _accepted(self, turn: Turn, person: Person) -> None:
        if person.state == ASKED:
            self.contacts.drop_asked(turn, person.account)
            self.contacts.begin(turn, self.contacts.befriend(turn, person))
        elif person.state == KNOWN:
            self.remind(turn, person, Note.REMOVED)

    def _unwanting(self, turn: Turn, person: Person, note: Note, *, answers: bool) -> None:
        """Somebody does not want us, or not any more; `answers`: and knew of our request, if there is one."""
        self.incoming.taken_back(turn, person)
        if person.state == CONTACT:
            person = self._unwanted(turn, person)
            if note is Note.CANCELLED:  # while we accepted: should we have asked too, that is over
                self._say(turn, person.account, note)
            self._part(turn, person, told=not person.blocked)
        elif person.state == ASKED and answers and note is not Note.CANCELLED:
            self._rejected(turn, person)

    def _rejected(self, turn: Turn, person: Person) -> Person:
        person = self._unwanted(turn, person)
        if not person.blocked:
            turn.log(events.ContactRejected(username=person.username, user_id=self._id(person)))
        return person

    def _blocked(self, turn: Turn, person: Person, blocked: bool, *, over: bool) -> None:
        """Somebody blocks us, or no more; `over`: our request to them with it.

        Who blocks no more had it and dropped it, also where that they blocked us is still on its way.
        """
        if blocked:
            self.incoming.taken_back(turn, person)
        if over and person.state == ASKED:
            self._rejected(turn, person)
            self._say(turn, person.account, Note.CANCELLED)
            person = self.people.by_account[person.account]
        if person.blocked_by != blocked:
            person = self.people.save(turn, replace(person, blocked_by=blocked))
            if not person.blocked and self._counted(turn, person):
                self._tell_state(turn, self.people.by_account[person.account])

    def keep(self, turn: Turn, request: ContactRequest) -> None:
        """Keep somebody's request for the owner, one a person; no address of it is dialled.

        Raises:
            CryptoFault: If too many wait, or it is older than what they have said since.
        """
        account, today = request.cert.account, day_of(turn.now.wall_ms)
        known = self.people.get(account)
        if known is not None and request.ts_ms <= known.heard_ms:
            raise CryptoFault("a request that came before, or was taken back")
        if not self.incoming.fits(account):
            raise CryptoFault("too many people wait for an answer already")
        person = self.contacts.learn(turn, request, dial=False)
        person = self.people.save(turn, replace(person, heard_ms=request.ts_ms))
        if person.refused_day and today < person.refused_day + REJECTED_DAYS:
            self.remind(turn, person, Note.REJECTED)
        elif person.parted and request.token is None:  # a session is asked for, as by a contact
            self.remind(turn, person, Note.REMOVED)
        else:
            self.incoming.keep(turn, person, request.hello)

    def expire(self, turn: Turn) -> None:
        """Forget requests of others that are over, and those that nobody repeats any more."""
        self.incoming.expire(turn)

    # -- telling ----------------------------------------------------------------------------------

    def remind(self, turn: Turn, person: Person, note: Note) -> None:
        """Tell somebody again how we stand to them, who seems not to know it; a few times a day at most."""
        if self._counted(turn, person):
            self._say(turn, person.account, note)

    def _counted(self, turn: Turn, person: Person) -> bool:
        """Count what somebody makes us say, or tell the owner, that they could without end."""
        today, (day, count) = day_of(turn.now.wall_ms), person.reminded
        count = count if day == today else 0
        if count < REMINDS:
            self.people.save(turn, replace(person, reminded=(today, count + 1)))
        return count < REMINDS

    def remind_parted(self, turn: Turn, person: Person) -> None:
        """Somebody whom the owner removed goes on as a contact would: tell them again."""
        self.remind(turn, person, Note.REMOVED)

    def _say(self, turn: Turn, account: bytes, note: Note, message: str = "") -> None:
        """Post a note with a time above that of every earlier one; nothing goes to whom nothing may."""
        person = self.people.by_account[account]
        if trust.blocked(person) or person.intro_pub is None:
            return
        ts_ms = max(turn.mesh_ms, person.said_ms + 1)
        self.people.save(turn, replace(person, said_ms=ts_ms))
        hello = message if note is Note.ASKED else str(person.heard_ms)
        self.contacts.tell(turn, person, note, ts_ms, hello)

    def _tell_state(self, turn: Turn, person: Person) -> None:
        """Tell frontends that something between us and somebody is otherwise now."""
        turn.log(
            events.ContactUpdated(
                username=person.username,
                user_id=self._id(person),
                state=self.state_of(person),
                blocked=bool(person.blocked),
                blocked_by=person.blocked_by,
            )
        )

    def _id(self, person: Person) -> str:
        return self.people.user_id(person.account)


def _newest(person: Person, note: Note) -> int:
    """Return the time that a note has to be above."""
    return person.heard_block_ms if note in BLOCKING else person.heard_ms


def _heard_of(hello: str) -> int:
    """Read up to which of our notes somebody had heard us when they said theirs."""
    if not (hello.isascii() and hello.isdigit() and len(hello) <= MAX_DIGITS):
        raise DecodeError("a note that does not say what its author knew")
    return int(hello)
