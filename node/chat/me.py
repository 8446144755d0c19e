"""The owner of this node: identity, certificate, prekeys, leaves, profile (docs/crypto.md 3.2, 3.4, 3.7)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from node import ids
from node.chat import events
from node.chat.announcements import Own
from node.chat.attendance import Chosen
from node.chat.turn import Turn, check_body
from node.clock import HORIZON_DAYS, Instant, day_of
from node.crypto import keys, prekeys
from node.crypto.keys import DeviceCert, DeviceList, Identity
from node.crypto.ops import Leaf
from node.crypto.prekeys import PrekeyBundle, SignedPrekey
from node.crypto.primitives import Entropy, x25519_public
from node.tables import Table
from node.wire.payload import Type

PREKEY_DAYS = 7
"""A signed prekey is renewed weekly; its private half is kept a horizon longer."""
LEAF_DAYS = 7
"""A leaf this old is renewed with the next message in its room (docs/crypto.md 3.7)."""
CERT_DAYS = 3650
"""A certificate outlives any planned key change; device renewal comes with several devices."""


@dataclass(frozen=True)
class Profile:
    """What this person tells others of themselves; `presence_cs` opens their presence channel.

    `presence_told`: somebody was handed it, so beats there are heard. `chosen` and `busy` are what the owner
    said with `presence_set`; `listed`: the directory has us; `told_ms`: when this was said, by mesh time.
    """

    username: str
    nickname: str
    avatar: str | None = None
    status: str | None = None
    presence_cs: bytes = field(default=b"", repr=False)
    presence_ms: int = 0
    presence_stale: bool = False
    presence_told: bool = True
    chosen: Chosen = ""
    busy: bool = False
    listed: bool = False
    told_ms: int = 0


@dataclass(frozen=True)
class SelfRow:
    """The stored half of `Me`."""

    cert: bytes
    devices: bytes
    profile: Profile
    bundle_seq: int
    next_leaf: int
    created_ms: int
    replaced: bytes | None = None
    """The account's list that another device signed, which does not name this one: we are out."""


@dataclass(frozen=True)
class LeafRow:
    """A leaf's private half; erased a horizon after it was replaced."""

    leaf_id: int
    public: bytes
    created_day: int
    secret: bytes = field(repr=False)
    replaced_day: int | None = None


class Me:
    """Own keys and profile."""

    def __init__(self, identity: Identity, row: SelfRow) -> None:
        self.identity = identity
        self.row = row
        self.cert: DeviceCert = keys.parse_cert(row.cert)
        self.devices: DeviceList = keys.parse_list(row.devices)
        self.prekeys: dict[int, SignedPrekey] = {}
        self.leaves: dict[int, LeafRow] = {}
        self.announced: dict[bytes, Own] = {}
        """What we announced, by message id."""
        self._said_ms = 0
        """The newest time at which somebody was told our profile since the start."""

    @classmethod
    def create(cls, identity: Identity, name: str, nickname: str, now: Instant, entropy: Entropy) -> Me:
        """Make the public half of a new identity: certificate, device list, profile."""
        today = day_of(now.wall_ms)
        cert = keys.make_cert(identity, today, today + CERT_DAYS)
        devices = keys.make_list(identity, 1, bytes(32), (cert.cert_hash,), (), today)
        profile = Profile(name, nickname, presence_cs=entropy(32), presence_told=False)
        return cls(identity, SelfRow(cert.raw, devices.raw, profile, 0, 1, now.wall_ms))

    @property
    def account(self) -> bytes:
        """The account key, 32 bytes."""
        return self.identity.account

    @property
    def device_id(self) -> bytes:
        """The device's id, 16 bytes."""
        return self.identity.device_id

    @property
    def profile(self) -> Profile:
        """What others are told."""
        return self.row.profile

    @property
    def user_id(self) -> str:
        """The account's UUID, as frontends see it."""
        return ids.text(keys.user_uuid(self.account))

    @property
    def replaced(self) -> bool:
        """Whether the account goes on at another device, as after a restore: this one says nothing more."""
        return self.row.replaced is not None

    def judge(self, turn: Turn, devices: DeviceList) -> None:
        """Take note of a list of our own account; the owner is told, once, of one without this device."""
        if self.replaced or devices.account != self.account or devices.seq <= self.devices.seq:
            return
        if self.cert.cert_hash in devices.cert_hashes:
            return
        self.row = replace(self.row, replaced=devices.raw)
        self.save(turn)
        turn.log(events.KeyChanged(username=self.profile.username, user_id=self.user_id))
        text = "this account was restored at another device: this one is revoked and sends nothing more"
        turn.tell(events.Warning(code="device_revoked", message=text))

    def save(self, turn: Turn) -> None:
        """Write the stored half."""
        turn.put(Table.SELF, b"me", self.row)

    def set_profile(self, turn: Turn, profile: Profile) -> None:
        """Change what others are told; refuses what they could not read."""
        shown, old = (profile.nickname, profile.avatar, profile.status), self.row.profile
        if shown != (old.nickname, old.avatar, old.status):
            check_body(Type.PROFILE, [*shown, None], field_name="status")
        if (*shown, profile.presence_cs) != (old.nickname, old.avatar, old.status, old.presence_cs):
            told_ms = max(turn.mesh_ms, old.told_ms + 1, self._said_ms + 1)
            profile = replace(profile, told_ms=told_ms)
        self.row = replace(self.row, profile=profile)
        self.save(turn)

    def profile_ms(self, turn: Turn) -> int:
        """Return the time to tell our profile with: it never goes back, as mesh time may."""
        self._said_ms = max(turn.mesh_ms, self.profile.told_ms)
        return self._said_ms

    def tell_presence(self, turn: Turn) -> bytes:
        """Return the secret of our presence channel, to be handed to somebody: from here on we beat there."""
        if not self.profile.presence_told:
            self.set_profile(turn, replace(self.profile, presence_told=True))
        return self.profile.presence_cs

    def bundle(self, turn: Turn) -> PrekeyBundle:
        """Return the current signed prekey, renewing it when it is a week old."""
        today = day_of(turn.now.wall_ms)
        newest = max(self.prekeys.values(), key=lambda key: key.spk_id, default=None)
        if newest is None or newest.created_day + PREKEY_DAYS <= today:
            newest = prekeys.new_prekey(turn.entropy, 1 if newest is None else newest.spk_id + 1, today)
            self.prekeys[newest.spk_id] = newest
            turn.put(Table.PREKEYS, newest.spk_id.to_bytes(4, "big"), newest)
            self.row = replace(self.row, bundle_seq=self.row.bundle_seq + 1)
            self.save(turn)
        return prekeys.make_bundle(self.identity, self.row.bundle_seq, newest)

    def new_leaf(self, turn: Turn) -> Leaf:
        """Make a leaf key pair for a room's slots."""
        secret = turn.entropy(32)
        leaf_id = self.row.next_leaf
        row = LeafRow(leaf_id, x25519_public(secret), day_of(turn.now.wall_ms), secret)
        self.leaves[leaf_id] = row
        turn.put(Table.LEAVES, leaf_id.to_bytes(4, "big"), row)
        self.row = replace(self.row, next_leaf=leaf_id + 1)
        self.save(turn)
        return Leaf(leaf_id, row.public)

    def leaf_is_old(self, turn: Turn, leaf_id: int) -> bool:
        """Say whether a leaf of ours has been in use for a week."""
        row = self.leaves.get(leaf_id)
        return row is not None and row.created_day + LEAF_DAYS <= day_of(turn.now.wall_ms)

    def retire_leaf(self, turn: Turn, leaf_id: int) -> None:
        """A leaf is not in use any more: its private half goes a horizon later."""
        row = self.leaves.get(leaf_id)
        if row is None or row.replaced_day is not None:
            return
        self.leaves[leaf_id] = replace(row, replaced_day=day_of(turn.now.wall_ms))
        turn.put(Table.LEAVES, leaf_id.to_bytes(4, "big"), self.leaves[leaf_id])

    def leaf_secrets(self) -> dict[int, bytes]:
        """Return every private leaf half that is still kept, by leaf id."""
        return {leaf_id: row.secret for leaf_id, row in self.leaves.items()}

    def expire_prekeys(self, turn: Turn) -> None:
        """Erase prekeys whose time and horizon are over."""
        today = day_of(turn.now.wall_ms)
        for spk_id, key in list(self.prekeys.items()):
            if key.erase_day <= today:
                del self.prekeys[spk_id]
                turn.delete(Table.PREKEYS, spk_id.to_bytes(4, "big"))

    def expire_leaves(self, turn: Turn) -> None:
        """Erase the private halves of leaves that were replaced a horizon ago."""
        today = day_of(turn.now.wall_ms)
        for leaf_id, row in list(self.leaves.items()):
            if row.replaced_day is not None and row.replaced_day + HORIZON_DAYS < today:
                del self.leaves[leaf_id]
                turn.delete(Table.LEAVES, leaf_id.to_bytes(4, "big"))
