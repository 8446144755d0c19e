"""The checks of I11 and I12 notice by themselves what they are for: the code is broken, and they say so.

Each break is one that a mistake could make, and what would refuse it when it is sealed is taken away first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from node import ids
from node.chat.epochs import Epoch, Epochs
from node.chat.room import Room
from node.crypto import epoch
from node.crypto.ops import Remove
from node.tables import Table
from tests.engine.invariants.checks import Checks
from tests.engine.invariants.machine import Invariants
from tests.engine.invariants.seals import Generation, Seals


def no_new_keys(patch: pytest.MonkeyPatch) -> None:
    """A removal makes no epoch, and whichever is newest seals."""
    act = Room.act

    def sending(self: Epochs, roster_hash: bytes, mesh_ms: int) -> Epoch | None:
        usable = [held for held in self.held.values() if self.usable(held, mesh_ms)]
        return min(usable, key=lambda held: (-held.announce.gen, held.row.epoch_id), default=None)

    def lazy(self: Room, turn: Any, body: Any, *, rekey: bool) -> Any:
        return act(self, turn, body, rekey=rekey and not isinstance(body, Remove))

    patch.setattr(Epochs, "sending", sending)
    patch.setattr(Room, "act", lazy)


def slot_for_the_removed(patch: pytest.MonkeyPatch) -> None:
    """The epoch after a removal has a slot for who went."""
    gone: dict[bytes, Any] = {}
    remove, slots, named = Room.remove, Room._slots, epoch.roster_hash

    def removing(self: Room, turn: Any, account: bytes, reason: str) -> Any:
        member = self.log.roster.members[account]
        gone[member.device_id] = self.leaves.of(member)
        return remove(self, turn, account, reason)

    patch.setattr(Room, "remove", removing)
    patch.setattr(Room, "_slots", lambda self: [*slots(self), *gone.items()])
    patch.setattr(epoch, "roster_hash", lambda devices: named([d for d in devices if d not in gone]))


def chains_from_before(patch: pytest.MonkeyPatch) -> None:
    """A newcomer is given the first chains of the epochs before its own."""
    seen: list[bytes] = []
    add = Epochs.add

    def leaking(self: Epochs, turn: Any, announce: bytes, slots: bytes, secrets: Any, *, first: bool) -> Any:
        if first:
            turn.put(Table.OBJECTS, b"leak" + self.room_id, seen)
        else:
            seen.extend(secrets.chains.values())
        return add(self, turn, announce, slots, secrets, first=first)

    patch.setattr(Epochs, "add", leaking)


def one_secret_again(patch: pytest.MonkeyPatch) -> None:
    """An epoch has the secret of the one before: a renewed leaf does not help."""
    secrets: list[bytes] = []
    fresh = epoch._new_secret

    def same(*args: Any) -> bytes:
        secrets.append(fresh(*args))
        return secrets[0]

    patch.setattr(epoch, "_new_secret", same)


def blind(patch: pytest.MonkeyPatch) -> None:
    """Take away what would notice before a thief does: I4 while it seals, and what is lost by it."""

    def made(self: Seals, name: str, room_id: bytes, made: Any, members: Any) -> None:
        leaves = {self.name_of(device): self.run.secret_of[leaf.public] for device, leaf in members}
        devices = sorted(device for device, _ in members)
        self.generations[made.parsed.epoch16] = Generation(
            self.world.time, ids.text(room_id), made, devices, leaves
        )

    patch.setattr(Seals, "_made_epoch", made)
    patch.setattr(Seals, "_sealing", lambda *_: None)
    patch.setattr(Invariants, "nothing_missing", lambda self, _nodes: self.world.run(60))
    for check in ("rosters_agree", "spent_is_gone", "in_causal_order"):
        patch.setattr(Checks, check, lambda *_: None)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Invariants]:
    blind(monkeypatch)
    machine = Invariants()
    yield machine
    machine.network.remove()
    machine.run.remove()


BREAKS = (None, no_new_keys, slot_for_the_removed, chains_from_before, one_secret_again)
WEEK = 8
"""Days after which a leaf is old, and an epoch worn, whatever the grain of a clock."""


@pytest.mark.parametrize("other", ["trying_opens_nothing", "outsiders_open_nothing"])
@pytest.mark.parametrize("broken", BREAKS)
def test_a_thief_is_noticed_by_following_what_was_computed_and_by_trying_every_key(
    broken: Callable[[pytest.MonkeyPatch], None] | None,
    other: str,
    world: Invariants,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Checks, other, lambda *_, **_kw: None)
    if broken is not None:
        broken(monkeypatch)
    world.begin(seed=3, restorable=False)
    for name in ("bob", "ann"):
        world.say(name, 0, 2)
    world.world.run(2)
    if broken is chains_from_before:
        world.invite("ann", "dan", 0, 2.0)
    elif broken is one_secret_again:
        world.steal("bob")
        for name in ("bob", "ann", "bob", "ann"):
            world.days_pass(WEEK // 2)
            world.say(name, 0, 2)
            world.world.run(20)
    else:
        world.remove("ann", "bob", 0)
    world.say("ann", 0, 2)
    if broken is None:
        world.teardown()
        return
    with pytest.raises(AssertionError, match="I11-13"):
        world.teardown()
