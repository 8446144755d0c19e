"""How two people come to share a session: link, request, answer (docs/crypto.md 3.4).

A adds B's link and posts a request on B's inbox; B's node answers by itself if the link's token is live, if
the two are contacts or asked each other, or if they share a room; the answer starts the double ratchet. What
was taken once is refused the next time (`replays.py`), and no session is begun anew too often (`resets.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from node.chat import events, people, trust
from node.chat.contact_links import ContactLinks
from node.chat.dms import Dms, DmSession
from node.chat.me import Me
from node.chat.notes import WITH_ADDRESSES, Note, note_of, token_of
from node.chat.people import ASKED, CONTACT, People, Person
from node.chat.records import take_record
from node.chat.replays import Replays
from node.chat.requests import Requests
from node.chat.resets import RESET_EVERY_MS, Resets
from node.chat.turn import Turn
from node.clock import day_of
from node.crypto import prekeys, ratchet
from node.crypto.channel import dm_channel, inbox_channel
from node.crypto.keys import DeviceCert, DeviceList, parse_cert
from node.crypto.links import ContactLink
from node.crypto.prekeys import Agreement, ContactRequest, Intro, PrekeyBundle
from node.errors import CryptoFault, Refused
from node.tables import Table
from node.wire.payload import Payload, Type, decode

ASK_AGAIN_MS = 7 * 86_400_000
MAX_PEOPLE = 20_000
"""Persons known: beyond that no new ones come by links and requests, only by rooms."""
NO_SESSION = bytes(16)


@dataclass(frozen=True)
class Asked:
    """A request of ours that has no answer yet, posted again weekly; `addresses` are those of the link."""

    account: bytes
    intro_pub: bytes
    token: bytes | None = field(repr=False)
    posted_ms: int
    addresses: tuple[str, ...] = ()


class Contacts:
    """First contact, both ways; `co_member(account, room16 | None)` says whether a room is shared.

    `renewed(turn, person, old)` is told of a session that takes the place of the session `old`.
    """

    def __init__(
        self, me: Me, folk: People, dms: Dms, co_member: Callable[[bytes, bytes | None], bool]
    ) -> None:
        self.me, self.people, self.dms = me, folk, dms
        self._co_member = co_member
        self.links = ContactLinks(me.identity)
        self.replays = Replays()
        self.resets = Resets()
        self.asked: dict[bytes, Asked] = {}
        self.node_record: Callable[[], bytes] = lambda: b""
        self.room_with: Callable[[bytes], bytes | None] = lambda _account: None
        self.shares_small: Callable[[bytes], bool] = lambda _account: False
        self.renewed: Callable[[Turn, Person, bytes], None] = lambda _turn, _person, _old: None
        self.requests: Requests = Requests(self)

    # -- asking -----------------------------------------------------------------------------------

    def add(self, turn: Turn, link: ContactLink, name: str = "") -> Person:
        """Take somebody's link: ask them, unless they are a contact already."""
        if link.account == self.me.account:
            raise Refused("invalid", "this is your own contact link", field="link")
        try:
            people.check_agreeable(link.intro_pub)
        except CryptoFault as fault:
            raise Refused("bad_link", "the key in this link cannot be used", field="link") from fault
        person = self.people.meet(turn, link.account, name)
        if trust.blocked(person):
            raise trust.refusal(person, "link")
        people.check_wanted(person, "link")
        if person.state == CONTACT:
            return person
        self.requests.forget(turn, link.account)
        person = self.people.save(turn, replace(person, state=ASKED, intro_pub=link.intro_pub, parted=False))
        for address in link.addresses:
            turn.addresses.append((address, "contact", None))
        self._ask(turn, Asked(link.account, link.intro_pub, link.token, 0, link.addresses))
        return person

    def addresses(self) -> list[str]:
        """Return what to dial after a start for those who have not answered yet."""
        return [address for asked in self.asked.values() for address in asked.addresses]

    def reach(self, turn: Turn, person: Person, room16: bytes | None) -> None:
        """Ask a contact or co-member for a session, naming the shared room, unless that was done."""
        if trust.blocked(person) or person.blocked:
            return
        if person.account not in self.asked and person.intro_pub is not None:
            self._ask(turn, Asked(person.account, person.intro_pub, room16, 0))

    def _ask(self, turn: Turn, asked: Asked) -> None:
        self._post(turn, asked)
        self.asked[asked.account] = replace(asked, posted_ms=turn.now.wall_ms)
        turn.put(Table.REQUESTS, b"a" + asked.account, self.asked[asked.account])

    def _post(self, turn: Turn, asked: Asked) -> None:
        self._seal(turn, asked, self.node_record(), turn.mesh_ms, "")

    def tell(self, turn: Turn, person: Person, note: Note, ts_ms: int, hello: str = "") -> None:
        """Post a note to somebody; their `intro_pub` is known."""
        assert person.intro_pub is not None
        record = self.node_record() if note in WITH_ADDRESSES else b""
        self._seal(turn, Asked(person.account, person.intro_pub, token_of(note), 0), record, ts_ms, hello)

    def _seal(self, turn: Turn, asked: Asked, record: bytes, ts_ms: int, hello: str) -> None:
        me = self.me
        inner = prekeys.seal_request(
            me.identity,
            cert=me.cert,
            devices=me.devices,
            bundle=me.bundle(turn),
            node_record=record,
            name=me.profile.nickname,
            token=asked.token,
            ts_ms=ts_ms,
            hello=hello,
            to_account=asked.account,
            to_intro=asked.intro_pub,
            entropy=turn.entropy,
        )
        turn.post(inbox_channel(asked.intro_pub), inner)

    def ask_again(self, turn: Turn) -> None:
        """Post requests again that have had no answer for a week."""
        for asked in list(self.asked.values()):
            person = self.people.by_account[asked.account]
            kept_back = trust.blocked(person) or person.blocked
            if turn.now.wall_ms >= asked.posted_ms + ASK_AGAIN_MS and not kept_back:
                self._ask(turn, asked)
        self.requests.ask_again(turn)

    def come_back(self, turn: Turn, old_intro: bytes) -> None:
        """Tell everybody, after a restore, that we are at this device: contacts, and the device of before."""
        for person in self.people.contacts():
            if person.account not in self.requests.asks:
                self.reach(turn, person, None)
        self._post(turn, Asked(self.me.account, old_intro, None, 0))

    def moved(self, turn: Turn, account: bytes, revoked: bool) -> None:
        """Somebody has another device: sessions with the one before, and requests to it, are over."""
        self.dms.retire(turn, account, revoked=revoked)
        self.drop_asked(turn, account)

    def drop_asked(self, turn: Turn, account: bytes) -> None:
        """Ask somebody for a session no more."""
        if self.asked.pop(account, None) is not None:
            turn.delete(Table.REQUESTS, b"a" + account)

    # -- being asked ------------------------------------------------------------------------------

    def on_request(self, turn: Turn, inner: bytes) -> None:
        """Somebody asks: answer by ourselves, or keep the request for the owner. Raises PeerFault."""
        mark = self.replays.mark(inner)
        request = prekeys.open_request(self.me.identity, inner, day_of(turn.now.wall_ms))
        account = request.cert.account
        if account == self.me.account:
            self.me.judge(turn, request.devices)
            return
        known = self.people.get(account)
        people.check_agreeable(request.bundle.spk_pub)
        if known is None and len(self.people.by_account) >= MAX_PEOPLE:
            raise CryptoFault("too many people are known already")
        note = note_of(request.token)
        if note is not None:
            self.requests.noted(turn, note, request)
            return
        if self.people.hides(account):
            raise CryptoFault("a request of somebody who is blocked")
        token = self.links.live(request.token, turn.now.wall_ms)
        shares = request.token is not None and self._co_member(account, request.token)
        wanted = known is not None and (known.state == CONTACT or (known.state == ASKED and not shares))
        friend = token is not None or wanted
        if self.people.stops(turn, request.cert, request.devices):
            return
        if not (friend or shares):
            self.requests.keep(turn, request)
            return
        self.replays.remember(turn, mark)
        person = self.learn(turn, request)
        if token is not None:
            self.links.use(turn, token)
        self._answer(turn, person, request, befriend=friend)

    def learn(self, turn: Turn, request: ContactRequest, *, dial: bool = True) -> Person:
        """Take what a request says of its author; `dial`: their addresses too."""
        record = request.node_record if dial else None
        person = self._learn(turn, request.name, request.cert, request.devices, record)
        return self._keep_bundle(turn, person, request.bundle)

    def _answer(self, turn: Turn, person: Person, request: ContactRequest, *, befriend: bool) -> None:
        """Begin a session with who asks; one they had when they asked is of no use to them any more."""
        standing = self.dms.sending(person.account)
        lost = standing is not None and request.ts_ms > (standing.posted_ms or standing.created_ms)
        old = standing.session_id if standing is not None and lost else None
        if befriend:
            self.befriend(turn, person)
        self._begin(turn, person, request.cert, request.bundle, old)
        self.dms.flush(turn, person.account)
        if old is not None or self.dms.had_other_device(person.account):
            self.renewed(turn, person, old or NO_SESSION)

    def begin(self, turn: Turn, person: Person) -> None:
        """Begin to speak with a new contact: on the session there is, or one on their newest prekey."""
        bundle = self._bundle_of(turn, person)
        if self.dms.sending(person.account) is not None:
            self.dms.send(turn, person.account, self.profile_payload(turn))
        elif bundle is not None and person.cert is not None:
            self._begin(turn, person, parse_cert(person.cert), bundle, None)
            self.dms.flush(turn, person.account)

    def _begin(
        self, turn: Turn, person: Person, cert: DeviceCert, bundle: PrekeyBundle, old: bytes | None
    ) -> None:
        """Begin a session on somebody's prekey and post the intro that tells them."""
        ek_seed = turn.entropy(32)
        agreement = prekeys.agree_as_initiator(
            self.me.identity, ek_seed=ek_seed, peer_cert=cert, peer_bundle=bundle, old_session=old
        )
        state = ratchet.start_initiator(agreement.rk0, agreement.transcript, bundle.spk_pub, turn.entropy)
        session = replace(self._session(turn, person, agreement, state, initiator=True), old=old)
        self.dms.begin(turn, session)
        first = self.dms.seal(turn, self.dms.sessions[session.session_id], self._profile_for(turn, person))
        inner = prekeys.seal_intro(
            self.me.identity,
            cert=self.me.cert,
            devices=self.me.devices,
            bundle=self.me.bundle(turn),
            node_record=self.node_record(),
            ek_seed=ek_seed,
            spk_id=bundle.spk_id,
            old_session=old,
            first_message=first,
            to_intro=cert.intro,
            entropy=turn.entropy,
        )
        turn.post(inbox_channel(cert.intro), inner)

    # -- beginning anew ---------------------------------------------------------------------------

    def reset(self, turn: Turn, person: Person, *, back: bytes | None = None, lost: bool = False) -> bool:
        """Put a new session in the place of one that is out of step, or that a restore has lost.

        At most once an hour and person, else it is noted for later; says whether anything was done. It is
        an intro on their newest prekey, or, if that is not here or has expired, a request, which a
        contact's or co-member's node answers by itself. `back`: the session that they went back to, which
        then is the one replaced; `lost`: they may not have their newest prekey either, so a request it is.
        """
        account = person.account
        if trust.blocked(person) or person.blocked or person.intro_pub is None:
            return False
        held = self.resets.hold(turn, account)
        if held is not None:
            return held
        bundle = self._bundle_of(turn, person)
        if back is not None:
            self.dms.forget(turn, account, None if lost or bundle is None else back)
        standing = self.dms.sending(account)
        if bundle is None or standing is None or person.cert is None:
            room16 = None if person.state == CONTACT else self.room_with(account)
            self._ask(turn, self.asked.get(account) or Asked(account, person.intro_pub, room16, 0))
            return True
        self._begin(turn, person, parse_cert(person.cert), bundle, standing.session_id)
        self.renewed(turn, person, standing.session_id)
        return True

    def resets_due(self, turn: Turn) -> None:
        """Do the resets that had to wait for their hour, and forget those of hours ago."""
        for account in self.resets.take_due(turn):
            self.reset(turn, self.people.by_account[account])

    def _bundle_of(self, turn: Turn, person: Person) -> PrekeyBundle | None:
        """Return somebody's newest prekey if a session can be begun on it today."""
        if person.bundle is None or person.cert is None:
            return None
        try:
            return prekeys.parse_bundle(person.bundle, parse_cert(person.cert), day_of(turn.now.wall_ms))
        except CryptoFault:
            return None

    # -- the answer -------------------------------------------------------------------------------

    def on_intro(self, turn: Turn, inner: bytes) -> tuple[Person, Payload] | None:
        """Somebody answered: start the session; returns who, and their first payload. Raises PeerFault.

        None: the device that answers is not one that the owner trusts. Nobody is accused before `first` has
        opened: a card alone can be copied.
        """
        mark = self.replays.mark(inner)
        intro = prekeys.open_intro(self.me.identity, inner, day_of(turn.now.wall_ms))
        account = intro.cert.account
        person = self.people.get(account)
        expected = account in self.asked or (person is not None and person.state in {CONTACT, ASKED})
        if self.people.hides(account):
            raise CryptoFault("answer of somebody who is blocked")
        if not expected and not self._co_member(account, None):
            raise CryptoFault("answer from somebody we never asked")
        session, payload = self._respond(turn, intro)
        if self.people.stops(turn, intro.cert, intro.devices):
            return None
        self.replays.remember(turn, mark)
        person = self._learn(turn, _name_of(payload), intro.cert, intro.devices, intro.node_record)
        person = self._keep_bundle(turn, person, intro.bundle)
        self.dms.begin(turn, session)
        self.drop_asked(turn, account)
        if person.state == ASKED and account not in self.requests.asks:
            person = self.befriend(turn, person)
        self.dms.send(turn, account, self._profile_for(turn, person))
        self.dms.flush(turn, account)
        if intro.old_session is not None or account in self.resets.last or self.dms.had_other_device(account):
            self.renewed(turn, person, intro.old_session or NO_SESSION)
        return person, payload

    def _respond(self, turn: Turn, intro: Intro) -> tuple[DmSession, Payload]:
        spk = self.me.prekeys.get(intro.spk_id)
        if spk is None:
            raise CryptoFault("answer to a prekey that is gone")
        agreement = prekeys.agree_as_responder(self.me.identity, intro, spk)
        if agreement.session_id in self.dms.sessions:
            raise CryptoFault("session is known already")
        state = ratchet.start_responder(agreement.rk0, agreement.transcript, spk.secret)
        today = day_of(turn.now.wall_ms)
        state, plain = ratchet.decrypt(state, intro.first_message, day=today, entropy=turn.entropy)
        from_person = people.Person(intro.cert.account, "")
        session = self._session(turn, from_person, agreement, state, initiator=False)
        payload = decode(plain)
        posted_ms = min(payload.ts_ms, turn.mesh_ms + RESET_EVERY_MS)
        return replace(session, old=intro.old_session, posted_ms=posted_ms), payload

    def _session(
        self, turn: Turn, person: Person, agreement: Agreement, state: ratchet.Ratchet, *, initiator: bool
    ) -> DmSession:
        secret = dm_channel(agreement.rk0, agreement.transcript).secret
        return DmSession(agreement.session_id, person.account, initiator, turn.now.wall_ms, secret, state)

    # -- what both share --------------------------------------------------------------------------

    def profile_payload(self, turn: Turn) -> Payload:
        """Return the payload that tells another person our nickname and presence channel."""
        presence_cs, profile = self.me.tell_presence(turn), self.me.profile
        body = [profile.nickname, profile.avatar, profile.status, presence_cs]
        return Payload(turn.new_id(), self.me.profile_ms(turn), 0, Type.PROFILE, body)

    def _profile_for(self, turn: Turn, person: Person) -> Payload:
        """Return what begins a session: with presence, unless they merely share a large room with us.

        A member of such a room begins one by asking for it.
        """
        account, profile = person.account, self.me.profile
        close = self.people.by_account[account].state == CONTACT or self.shares_small(account)
        if close and not self.people.hides(account):
            return self.profile_payload(turn)
        body = [profile.nickname, profile.avatar, profile.status, None]
        return Payload(turn.new_id(), self.me.profile_ms(turn), 0, Type.PROFILE, body)

    def _learn(
        self, turn: Turn, name: str, cert: DeviceCert, devices: DeviceList, record: bytes | None
    ) -> Person:
        person = self.people.meet(turn, cert.account, name)
        person = self.people.pin(turn, person, cert, devices)
        if record and take_record(turn, record, "contact"):
            person = self.people.save(turn, replace(person, node_record=record))
        return person

    def _keep_bundle(self, turn: Turn, person: Person, bundle: PrekeyBundle) -> Person:
        """Keep a prekey that may be begun a session on: the one with the highest number of the device."""
        if trust.device_of(person) != bundle.device_id:
            return person
        if person.bundle is not None and not prekeys.newer(bundle, person.bundle):
            return person
        try:
            people.check_agreeable(bundle.spk_pub)
        except CryptoFault:
            return person
        return self.people.save(turn, replace(person, bundle=bundle.raw))

    def befriend(self, turn: Turn, person: Person) -> Person:
        """Somebody is a contact from now on."""
        person = self.people.by_account[person.account]
        if person.state == CONTACT:
            return person
        person = self.people.save(turn, replace(person, state=CONTACT, refused_day=0, parted=False))
        self.requests.forget(turn, person.account)
        user_id = self.people.user_id(person.account)
        turn.log(events.ContactAdded(username=person.username, user_id=user_id))
        return person

    def expire(self, turn: Turn) -> None:
        """Forget requests and intros that could not be told twice any more."""
        self.replays.expire(turn)
        self.requests.expire(turn)


def _name_of(payload: Payload) -> str:
    return str(payload.body[0]) if payload.type is Type.PROFILE else ""
