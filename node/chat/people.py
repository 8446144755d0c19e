"""Everybody this node knows: names, certificates, how we stand to them (docs/bridge.md, docs/crypto.md 3.2).

A person is pinned to the highest device list seen; an older list, or another one of the same number, is
refused and told to the owner as `key_changed`. What a newer one with another device does is `trust.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from node import ids
from node.chat import events, names, trust
from node.chat.receipting import Receipting
from node.chat.records import take_record
from node.chat.trust import UNVERIFIED, WARN, Standing, Trust, TrustPolicy
from node.chat.turn import Turn
from node.clock import day_of
from node.crypto import keys, ops
from node.crypto.keys import DeviceCert, DeviceList
from node.errors import CryptoFault, Refused
from node.tables import Table

KNOWN, ASKED, CONTACT = "known", "asked", "contact"
"""A co-member or stranger; someone who was asked, by a link or by name, and has not answered; a contact."""
Block: TypeAlias = Literal["", "told", "silent"]


@dataclass(frozen=True)
class Person:
    """One other account. `cert` and `devices` are raw and verified; None until first heard of."""

    account: bytes
    username: str
    nickname: str = ""
    state: str = KNOWN
    named: bool = True
    intro_pub: bytes | None = None
    cert: bytes | None = None
    devices: bytes | None = None
    list_seq: int = 0
    list_hash: bytes = b""
    node_record: bytes | None = None
    avatar: str | None = None
    status: str | None = None
    presence_cs: bytes | None = field(default=None, repr=False)
    trust: Trust = UNVERIFIED
    policy: TrustPolicy = WARN
    withheld: tuple[bytes, bytes] | None = None
    """The certificate and list of another device, not taken yet: under the policy `strict` alone."""
    told_day: int = 0
    """The day on which the owner was last told of a changed key."""
    bundle: bytes | None = None
    """The newest signed prekey of the pinned device that came to us, raw and verified."""
    profile_ms: int = 0
    """When the profile we have was told; an older one that comes late changes nothing."""
    blocked: Block = ""
    """Whether we want nothing of them any more, and they were told."""
    blocked_ms: int = 0
    """When they were last blocked here, 0 never: of the time since then there may be hidden messages."""
    unseen: bytes | None = field(default=None, repr=False)
    """The newest profile they told while blocked, as it came: shown when they are blocked no more."""
    blocked_by: bool = False
    """They told us that they want nothing of us."""
    said_ms: int = 0
    heard_ms: int = 0
    heard_block_ms: int = 0
    """The times of the newest notes, rising: ours, theirs about being contacts, and about blocking."""
    refused_day: int = 0
    """The day on which the owner last rejected their request, 0 never."""
    parted: bool = False
    """We were contacts, and the owner removed them."""
    reminded: tuple[int, int] = (0, 0)
    """The day on which they were last told again how we stand to them, and how often on it."""


class People:
    """The persons by account and by name.

    `moved(turn, account, revoked)` is told who has another device now, and if the one before was revoked.
    """

    def __init__(self, own_account: bytes, own_name: str) -> None:
        self._own, self._own_name = own_account, own_name
        self._user_ids: dict[bytes, str] = {}
        self.by_account: dict[bytes, Person] = {}
        self._names: dict[str, bytes] = {own_name: own_account}
        self._by_uuid: dict[bytes, bytes] = {keys.user_uuid(own_account): own_account}
        self.strict: set[bytes] = set()
        self.sought: Callable[[str], list[bytes]] = lambda _name: []
        """Whom the owner has found under a name, by a search, and who are not known otherwise."""
        self.blocked: set[bytes] = set()
        self.hid = False
        """Whether anybody was ever blocked here, so that messages may be hidden."""
        self.receipting = Receipting()
        self.moved: Callable[[Turn, bytes, bool], None] = lambda _turn, _account, _revoked: None

    @property
    def own(self) -> bytes:
        """Our own account."""
        return self._own

    def restore(self, person: Person) -> None:
        """Take a stored person back."""
        self._index(person)

    def _index(self, person: Person) -> None:
        self.by_account[person.account] = person
        self._names[person.username] = person.account
        self._by_uuid[keys.user_uuid(person.account)] = person.account
        (self.strict.add if person.policy == trust.STRICT else self.strict.discard)(person.account)
        (self.blocked.add if person.blocked else self.blocked.discard)(person.account)
        self.hid = self.hid or person.blocked_ms > 0

    def save(self, turn: Turn, person: Person) -> Person:
        """Index and store a person; where they were is forgotten if they moved or are close no more."""
        before = self.by_account.get(person.account)
        self._index(person)
        if before is not None and before.node_record is not None and _moved_away(before, person):
            turn.outdated.append(before.node_record)
        if before is not None and before.blocked and not person.blocked and person.node_record is not None:
            take_record(turn, person.node_record, "contact" if person.state == CONTACT else "room")
        turn.put(Table.PEOPLE, person.account, person)
        return person

    def get(self, account: bytes) -> Person | None:
        """Return a person by account key."""
        return self.by_account.get(account)

    def username(self, account: bytes) -> str:
        """Return the name an account has on this node; every account in a roster has one."""
        return self._own_name if account == self._own else self.by_account[account].username

    def known_as(self, account: bytes) -> str | None:
        """Return the name an account has on this node, if it has one."""
        return self.username(account) if account == self._own or account in self.by_account else None

    def owner_of(self, name: str) -> bytes | None:
        """Return the account that has a username, our own included."""
        return self._names.get(name)

    def user_id(self, account: bytes) -> str:
        """Return an account's UUID string."""
        known = self._user_ids.get(account)
        if known is None:
            known = self._user_ids[account] = ids.text(keys.user_uuid(account))
        return known

    def account_of(self, user_id: str) -> bytes | None:
        """Return the account of a user id, None if it is nobody's here."""
        return self._by_uuid.get(ids.parse(user_id))

    def meet(self, turn: Turn, account: bytes, name: str, username: str = "") -> Person:
        """Return the person, made and named when first seen; a first real name replaces `new~xxxx`.

        `username` is what a search has shown them as: it stays, if it is still free.
        """
        person = self.by_account.get(account)
        if person is None:
            if not username or username in self._names:
                username = names.assign(name, account, self._names)
            return self.save(turn, Person(account, username, nickname=name, named=bool(names.clean(name))))
        if not person.named and names.clean(name):
            del self._names[person.username]
            username = names.assign(name, account, self._names)
            return self.save(turn, replace(person, username=username, nickname=name, named=True))
        return person

    def rename(self, turn: Turn, person: Person, new: str) -> Person:
        """The owner gives a person another name; refuses one that is not a name or is taken."""
        if not new or names.clean(new) != new:
            raise Refused("invalid", "a name is 1 to 32 letters, digits, `_`, `.` or `-`", field="new")
        owner = self._names.get(new)
        if owner is not None and owner != person.account:
            raise Refused("name_taken", f"{new} is already the name of somebody else", field="new")
        del self._names[person.username]
        return self.save(turn, replace(person, username=new, named=True))

    def rename_self(self, old: str, new: str) -> None:
        """Index the owner under a new username."""
        self._names.pop(old, None)
        self._names[new] = self._own
        self._own_name = new

    def find(self, name: str) -> bytes:
        """Return the account of a username or user id.

        Raises:
            Refused: `unknown_user` if nobody is called so, `not_a_contact` if only a search has shown them.
        """
        account = self._names.get(name)
        if account is None:
            try:
                account = self._by_uuid.get(ids.parse(name))
            except ValueError:
                account = None
        if account is None:
            account = self._by_mark(name)
        if account is None and self.sought(name):
            raise Refused("not_a_contact", f"send {name} a contact request first", field="username")
        if account is None:
            raise Refused("unknown_user", f"nobody here is called {name}", field="username")
        return account

    def _by_mark(self, name: str) -> bytes | None:
        base, _, mark = name.rpartition("~")
        if not base or len(mark) < 4:
            return None
        everyone = [*self.by_account.values()]
        matches = [p for p in everyone if keys.fingerprint(p.account).startswith(mark)]
        if len(matches) > 1:
            called = [p for p in matches if base in {p.username, names.clean(p.nickname)}]
            matches = called if len(called) == 1 else matches
        if len(matches) > 1:
            candidates = [p.username for p in matches]
            raise Refused("ambiguous_user", "several people match", field="username", candidates=candidates)
        return matches[0].account if matches else None

    def stops(self, turn: Turn, cert: DeviceCert, devices: DeviceList) -> bool:
        """Say whether what a known person's device asks is not to be done, and tell the owner why.

        The list is refused, or the device is kept back until the person is verified again.

        Raises:
            CryptoFault: If the list is not theirs or does not name the certificate.
        """
        person = self.by_account.get(cert.account) or Person(cert.account, "")
        check_card(person, cert, devices)
        standing = trust.judge(person, cert, devices)
        refused = standing in {Standing.REFUSED, Standing.PAST}
        if refused or trust.blocked(person) or (standing is Standing.MOVED and person.policy == trust.STRICT):
            self.pin(turn, person, cert, devices)
            return True
        return False

    def pin(
        self, turn: Turn, person: Person, cert: DeviceCert, devices: DeviceList, *, past: bool = False
    ) -> Person:
        """Take a person's certificate and device list, keep them back, or refuse them and tell the owner.

        `past`: where it came from records what was true once, so that the list before is no cause for alarm.

        Raises:
            CryptoFault: If the list is not theirs or does not name the certificate.
        """
        check_card(person, cert, devices)
        match trust.judge(person, cert, devices):
            case Standing.FIRST | Standing.RENEWED:
                return self.take(turn, person, cert, devices)
            case Standing.MOVED:
                return self._on_move(turn, person, cert, devices)
            case Standing.REFUSED:
                return self._alarm(turn, person, daily=True)
            case Standing.PAST if not past:
                return self._alarm(turn, person, daily=True)
            case _:
                return person

    def take(self, turn: Turn, person: Person, cert: DeviceCert, devices: DeviceList) -> Person:
        """Pin a certificate and list that have been judged."""
        old = trust.device_of(person)
        taken = replace(
            person,
            cert=cert.raw,
            devices=devices.raw,
            intro_pub=cert.intro,
            list_seq=devices.seq,
            list_hash=devices.list_hash,
            withheld=None,
        )
        self.save(turn, taken)
        if old is not None and old != cert.device_id:
            self.moved(turn, person.account, old in devices.revoked)
        return taken

    def _on_move(self, turn: Turn, person: Person, cert: DeviceCert, devices: DeviceList) -> Person:
        now = trust.after_move(person)
        daily = person.state == KNOWN and now == UNVERIFIED
        told = daily and person.told_day == day_of(turn.now.wall_ms)
        person = replace(self._alarm(turn, person, daily=daily), trust=now)
        if person.policy == trust.STRICT:
            return self.save(turn, replace(person, withheld=(cert.raw, devices.raw)))
        if person.policy == trust.WARN and not told:
            text = f"{person.username} uses another device now: compare safety numbers, or ask them"
            turn.tell(events.Warning(code="key_changed", message=text))
        return self.take(turn, person, cert, devices)

    def take_withheld(self, turn: Turn, person: Person) -> Person:
        """Take the device that was kept back, if there is one."""
        if person.withheld is None:
            return person
        cert, devices = person.withheld
        return self.take(turn, person, keys.parse_cert(cert), keys.parse_list(devices))

    def _alarm(self, turn: Turn, person: Person, *, daily: bool) -> Person:
        """Tell the owner of a changed key; at most daily where others could make it happen at will."""
        today = day_of(turn.now.wall_ms)
        if daily and person.told_day == today:
            return person
        turn.log(events.KeyChanged(username=person.username, user_id=self.user_id(person.account)))
        return self.save(turn, replace(person, told_day=today))

    def pin_member(self, turn: Turn, account: bytes, cert: DeviceCert, devices: DeviceList) -> None:
        """Pin what a room's log brings; what is not taken is told, not raised: the log stands."""
        person = self.by_account[account]
        try:
            self.pin(turn, person, cert, devices, past=True)
        except CryptoFault:
            self._alarm(turn, person, daily=True)

    def kept_from(self, accounts: Container[bytes]) -> Person | None:
        """Return somebody among these to whom nothing is sent until they are verified again."""
        those = (self.by_account[account] for account in self.strict if account in accounts)
        return next((person for person in those if trust.blocked(person)), None)

    def hides(self, account: bytes) -> bool:
        """Say whether the owner has blocked somebody: nothing of what they say is shown."""
        return account in self.blocked

    def is_blocked_by(self, account: bytes) -> bool:
        """Say whether somebody told us that they have blocked the owner; of oneself: no."""
        person = self.by_account.get(account)
        return person is not None and person.blocked_by

    def contacts(self) -> list[Person]:
        """Return contacts and those asked, by name."""
        chosen = [p for p in self.by_account.values() if p.state in {ASKED, CONTACT}]
        return sorted(chosen, key=lambda p: p.username)


def check_card(person: Person, cert: DeviceCert, devices: DeviceList) -> None:
    """Raise CryptoFault unless the list is theirs and names the device, and its keys can be agreed with."""
    if cert.account != person.account or devices.account != person.account:
        raise CryptoFault("certificate or device list of another account")
    if cert.cert_hash not in devices.cert_hashes or cert.device_id in devices.revoked:
        raise CryptoFault("device is not in its account's list")
    for key in (cert.intro, cert.dik):
        check_agreeable(key)


def check_wanted(person: Person, field: str) -> None:
    """Refuse to send to somebody of whom we want nothing, or who wants nothing of us."""
    if person.blocked:
        text = f"you have blocked {person.username}: unblock them first"
        raise Refused("blocked", text, field=field, by="you")
    if person.blocked_by:
        text = f"{person.username} wants no messages, invites or requests from you"
        raise Refused("blocked", text, field=field, by="them")


def check_agreeable(public: bytes) -> None:
    """Raise CryptoFault for a key with which nothing can be agreed, before anything depends on it."""
    ops.check_leaf(ops.Leaf(0, public))


def _moved_away(before: Person, after: Person) -> bool:
    parted = before.state == CONTACT and after.state != CONTACT
    return before.node_record != after.node_record or parted or (not before.blocked and bool(after.blocked))
