"""A backup restored: another device of the same account, which comes back by itself; never a clone."""

from __future__ import annotations

import inspect
import re

import msgspec
import pytest

from node.chat import backup, commands as c, events, expiring, sent_changes
from node.crypto.channel import Inner
from node.engine.restoring import Restorer
from node.sim import EPOCH_MS, CallError, SimNode, SimSession, Simulation
from node.store.records import Shelf
from node.tables import ALL, SHREDDED, Table
from node.wire import envelope
from tests.engine.hostile import engine_of, give, no_late_faults, room_of
from tests.engine.worlds import befriend, invite, joined, texts, trio

TODAY = EPOCH_MS // 86_400_000


def gone(node: SimNode) -> list[bytes]:
    """Take a backup, and lose the machine."""
    records = node.backup()
    node.crash()
    return records


def said(world: Simulation, at: SimNode, to: SimSession, room: str, text: str, seconds: float = 20) -> bool:
    at.call(c.UserMessage(message=text, room=room))
    return world.run_until(lambda: text in texts(to), seconds)


def in_it(world: Simulation, back: SimNode, other: SimNode, room: str, word: str = "") -> None:
    """Both ways, with sessions attached only now."""
    at_back, at_other = back.attach(), other.attach()
    assert said(world, back, at_other, room, f"{word} from {back.name}")
    assert said(world, other, at_back, room, f"{word} from {other.name}")


def both_open(ann: SimNode, bob: SimNode) -> str:
    assert ann.call(c.DmOpen(username="bob")) and bob.call(c.DmOpen(username="ann"))
    return str(ann.call(c.DmOpen(username="bob"))["room"])


def history(node: SimNode, room: str) -> list[str]:
    bodies = [one.body for one in node.store.messages()]
    found = [events.decode_json(body) for body in bodies]
    return [e.message for e in found if isinstance(e, events.UserMessage) and e.room == room]


def codes(session: SimSession) -> list[str]:
    return [event.code for event in session.of(events.Warning)]


@pytest.mark.attack("A37")
def test_a_restored_home_is_another_device_and_is_in_its_room_again_by_itself() -> None:
    world, ann, bob, _, room = trio("back")
    at_ann = ann.attach()
    assert said(world, bob, at_ann, room, "before")
    old = engine_of(bob).state.me
    bobs = world.restore("bobs", gone(bob), peers=["cat"])
    bobs.start()
    me = engine_of(bobs).state.me
    assert me.account == old.account and me.user_id == old.user_id
    assert me.device_id != old.device_id and me.devices.revoked == (old.device_id,)
    assert world.run_until(lambda: room_of(ann).log.roster.by_device(me.device_id) is not None, 30)
    assert room_of(ann).log.roster.by_device(old.device_id) is None
    in_it(world, bobs, ann, room)
    assert history(bobs, room)[0] == "before" and len(history(bobs, room)) == 3
    assert [e.username for e in at_ann.of(events.KeyChanged)] == ["bob"]
    assert codes(at_ann) == ["key_changed"]
    no_late_faults(ann, bobs)


def test_a_restored_home_sends_at_once_if_it_is_asked_to() -> None:
    world, ann, bob, _, room = trio("at once")
    at_ann = ann.attach()
    bobs = world.restore("bobs", gone(bob), peers=["cat"])
    bobs.start()
    world.run(1)
    assert said(world, bobs, at_ann, room, "here already")


def test_direct_messages_work_again_after_a_restore() -> None:
    world, ann, bob, _, _ = trio("direct")
    direct = both_open(ann, bob)
    at_ann = ann.attach()
    assert said(world, bob, at_ann, direct, "before")
    bobs = world.restore("bobs", gone(bob), peers=["cat"])
    bobs.start()
    at_bobs = bobs.attach()
    assert said(world, bobs, at_ann, direct, "after")
    assert said(world, ann, at_bobs, direct, "and back")
    assert history(bobs, direct) == ["before", "after", "and back"]


@pytest.mark.attack("A37")
def test_the_original_that_still_runs_is_told_and_says_nothing_more() -> None:
    world, ann, bob, _, room = trio("clone")
    at_bob, at_ann = bob.attach(), ann.attach()
    bobs = world.restore("bobs", bob.backup(), peers=["cat"])
    bobs.start()
    assert world.run_until(lambda: "device_revoked" in codes(at_bob), 30)
    assert [e.username for e in at_bob.of(events.KeyChanged)] == ["bob"]
    world.run(10)
    assert bob.call(c.NodeStatus())["revoked"] and not bobs.call(c.NodeStatus())["revoked"]
    posted = len(bob.sent_bytes)
    for command in (
        c.UserMessage(message="still me", room=room),
        c.RoomCreate(name="mine"),
        c.MemberRemove(username="ann", room=room),
    ):
        with pytest.raises(CallError) as refused:
            bob.call(command)
        assert refused.value.code == "device_revoked"
    assert bob.call(c.RoomList())["rooms"] and posted
    in_it(world, bobs, ann, room)
    assert not any("from ann" in text for text in texts(at_bob))
    bob.crash()
    bob.start()
    world.run(5)
    with pytest.raises(CallError, match="device_revoked"):
        bob.call(c.UserMessage(message="still me", room=room))
    assert not any("still me" in text for text in texts(at_ann))


def test_a_revoked_original_answers_nobody_and_lets_nobody_in() -> None:
    world, ann, bob, _, room = trio("silent")
    dan, eve = world.add("dan", peers=["cat"]), world.add("eve", peers=["cat"])
    world.run(2)
    link, door = bob.call(c.ContactLinkCreate())["link"], bob.call(c.RoomLinkCreate(room=room))["link"]
    at_bob = bob.attach()
    bobs = world.restore("bobs", bob.backup(), peers=["cat"])
    bobs.start()
    assert world.run_until(lambda: "device_revoked" in codes(at_bob), 30)
    world.run(20)
    bobs.crash()
    ann.crash()

    def own() -> int:
        return sum(one.shelf == Shelf.OWN for one in bob.store._state.held.values())

    eve.call(c.RoomLinkUse(link=door))
    dan.call(c.ContactAdd(link=link))
    world.run(5)
    before = own()
    world.run(4000)
    assert {row["state"] for row in dan.call(c.ContactList())["contacts"]} == {"pending"}
    assert eve.call(c.RoomList())["rooms"] == [] and own() <= before


def test_an_original_that_shares_no_room_is_told_too() -> None:
    world = Simulation("no room")
    world.add("cat")
    bob = world.add("bob", peers=["cat"])
    world.run(2)
    at_bob = bob.attach()
    bobs = world.restore("bobs", bob.backup(), peers=["cat"])
    bobs.start()
    assert world.run_until(lambda: "device_revoked" in codes(at_bob), 30)


@pytest.mark.attack("A37")
def test_what_the_old_device_says_after_all_is_taken_by_nobody() -> None:
    """A copy of the old home that never hears of the restore, as a thief would keep it."""
    world, ann, bob, _, room = trio("thief")
    at_ann = ann.attach()
    bobs = world.restore("bobs", bob.backup(), peers=["cat"])
    world.partition({"bob"}, {"ann", "cat", "bobs"})
    bob.call(c.UserMessage(message="still me", room=room))
    bobs.start()
    world.run(20)
    in_it(world, bobs, ann, room)
    world.heal()
    world.run(90)
    assert "still me" not in texts(at_ann)
    no_late_faults(ann, bobs, bob)


def test_two_homes_restored_from_one_backup_do_not_fight_the_later_one_counts() -> None:
    world, ann, bob, _, room = trio("twice")
    records = gone(bob)
    first = world.restore("first", records, peers=["cat"])
    first.start()
    world.run(20)
    in_it(world, first, ann, room, "one")
    at_first = first.attach()
    second = world.restore("second", records, peers=["cat"])
    second.start()
    assert world.run_until(lambda: "device_revoked" in codes(at_first), 60)
    world.run(20)
    in_it(world, second, ann, room, "two")
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    at_second = second.attach()
    assert said(world, ann, at_second, direct, "which one")


def moved_on(world: Simulation, ann: SimNode, room: str, names: list[str]) -> list[SimNode]:
    """Let people come to a room, each with a new epoch."""
    came = []
    for name in names:
        node = world.add(name, peers=["cat"])
        world.run(2)
        befriend(world, ann, node)
        invite(world, ann, node, room)
        world.run(4)
        came.append(node)
    return came


def test_an_old_backup_of_a_room_that_has_moved_on_comes_back_for_everybody() -> None:
    world, ann, bob, _, room = trio("moved on")
    records = gone(bob)
    dan, eve = moved_on(world, ann, room, ["dan", "eve"])
    for number in range(3):
        ann.call(c.UserMessage(message=f"meanwhile {number}", room=room))
    world.run(5)
    bobs = world.restore("bobs", records, peers=["cat"])
    bobs.start()
    world.run(30)
    for other in (ann, dan, eve):
        in_it(world, bobs, other, room, other.name)
    members = {row["username"] for row in bobs.call(c.RoomGet(room=room))["members"]}
    assert members == {"ann", "bob", "dan", "eve"}
    no_late_faults(ann, dan, eve, bobs)


def test_the_first_words_of_who_is_back_reach_those_who_came_meanwhile() -> None:
    """They hold none of the channels on which it came back: somebody who holds both joins them."""
    world, ann, bob, _, room = trio("meanwhile")
    records = gone(bob)
    (dan,) = moved_on(world, ann, room, ["dan"])
    bobs = world.restore("bobs", records, peers=["cat"])
    bobs.start()
    world.run(40)
    assert {m["username"] for m in bobs.call(c.RoomGet(room=room))["members"]} == {"ann", "bob", "dan"}
    assert said(world, bobs, dan.attach(), room, "first words")


def test_an_old_backup_whose_owner_had_signed_more_since_comes_back_all_the_same() -> None:
    """Its first op has the number of one that it cannot know: both count, for each device counts its own."""
    void = 0
    for seed in (f"fork {number}" for number in range(5)):
        world, ann, bob, _, room = trio(seed)
        records = bob.backup()
        dan = world.add("dan", peers=["cat"])
        world.run(2)
        befriend(world, bob, dan)
        invite(world, bob, dan, room)
        world.run(4)
        bob.crash()
        bobs = world.restore("bobs", records, peers=["cat"])
        world.partition({"bobs"}, {"ann", "cat", "dan"})
        bobs.start()
        world.run(20)
        world.heal()
        world.run(300)
        me, log = engine_of(bobs).state.me, room_of(ann).log
        assert log.roster.by_device(me.device_id) is not None, seed
        void += any(not log.applied(op.op_id) for op in log.ops_in_order() if op.device_id == me.device_id)
        at_bobs, at_ann, at_dan = bobs.attach(), ann.attach(), dan.attach()
        assert said(world, ann, at_bobs, room, "from ann"), seed
        assert said(world, bobs, at_ann, room, "from bob") and said(world, bobs, at_dan, room, "dan?"), seed
        names = {row["username"] for row in ann.call(c.RoomGet(room=room))["members"]}
        assert names == {"ann", "bob", "dan"}
    assert void == 0


def test_a_room_whose_members_were_all_away_has_its_restored_member_when_they_come() -> None:
    world, ann, bob, _, room = trio("away")
    records = gone(bob)
    ann.crash()
    bobs = world.restore("bobs", records, peers=["cat"])
    bobs.start()
    world.run(30)
    bobs.call(c.UserMessage(message="anybody there", room=room))
    world.run(5)
    ann.start()
    at_ann = ann.attach(resume=None)
    world.run(30)
    assert "anybody there" in texts(at_ann)
    in_it(world, bobs, ann, room)


@pytest.mark.parametrize("step", range(1, 12))
def test_a_kill_anywhere_in_the_first_start_of_a_restored_home_does_no_harm(step: int) -> None:
    world, ann, bob, _, room = trio("killed")
    bobs = world.restore("bobs", gone(bob), peers=["cat"])
    bobs.effects_left = step
    bobs.start()
    world.run(12)
    if not bobs.up:
        bobs.effects_left = None
        bobs.start()
    bobs.effects_left = step
    world.run(12)
    if not bobs.up:
        bobs.start()
    bobs.effects_left = None
    world.run(30)
    in_it(world, bobs, ann, room)
    direct = both_open(ann, bobs)
    in_it(world, bobs, ann, direct, "direct")


def test_two_members_who_both_restored_find_each_other_again() -> None:
    world, ann, bob, _, room = trio("both")
    records = gone(bob), gone(ann)
    bobs, anns = (world.restore(n, r, peers=["cat"]) for n, r in zip(("bobs", "anns"), records, strict=True))
    bobs.start()
    anns.start()
    world.run(120)
    in_it(world, bobs, anns, room)


def test_an_invite_that_waited_and_a_contact_that_was_asked_survive_a_restore() -> None:
    world, ann, bob, _, _ = trio("asked")
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    link = dan.call(c.ContactLinkCreate())["link"]
    dan.crash()
    bob.call(c.ContactAdd(link=link))
    other = ann.call(c.RoomCreate(name="another"))["room"]
    ann.call(c.UserInvite(target="bob", room=other))
    world.run(3)
    bobs = world.restore("bobs", gone(bob), peers=["cat"])
    bobs.start()
    dan.start()
    session = bobs.attach()
    assert world.run_until(lambda: bool(session.of(events.UserInvite)), 30)
    bobs.call(c.UserInviteResponse(response="accept"), session)
    assert world.run_until(lambda: joined(session, other, "bob"), 30)
    world.run(10)
    states = {row["username"]: row["state"] for row in bobs.call(c.ContactList())["contacts"]}
    assert states == {"ann": "contact", "dan": "contact"}


# -- what is in it --------------------------------------------------------------------------------


def test_every_table_is_decided_on() -> None:
    assert backup.KEPT.keys() | backup.LEFT_OUT == ALL
    assert not backup.KEPT.keys() & backup.LEFT_OUT and SHREDDED <= backup.LEFT_OUT


def test_each_kind_of_what_waits_either_goes_in_or_stays_behind() -> None:
    goes = {b"t", b"d", b"m", b"Mx"}
    stays = {b"p", b"b", b"e", b"n", b"o", b"g", b"s", b"Ms", b"u", b"U", b"y", b"A", b"h", b"x"}
    source = inspect.getsource(Restorer._waiting) + inspect.getsource(Restorer._healing)
    known = {kind.encode() for kind in re.findall(r'key\[:1\] == b"(\w)"', source)}
    assert known | {expiring.ROW, sent_changes.ROW} == goes | stays
    for kind in goes | stays:
        assert (backup.kept(Table.PENDING, kind + bytes(48), b"row") is not None) == (kind in goes)


def secrets_of(value: object) -> set[bytes]:
    """Return every byte string of 32 bytes and more in a stored row."""
    match value:
        case bytes():
            return {value} if len(value) >= 32 else set()
        case dict():
            return set().union(*(secrets_of(part) for pair in value.items() for part in pair))
        case list() | tuple():
            return set().union(*(secrets_of(part) for part in value))
        case _:
            return set()


@pytest.mark.attack("A37")
@pytest.mark.attack("A12")
def test_no_chain_ratchet_prekey_leaf_or_device_key_is_in_a_backup() -> None:
    world, ann, bob, _, room = trio("secrets")
    direct = both_open(ann, bob)
    for number in range(3):
        for at in (ann, bob):
            at.call(c.UserMessage(message=f"{number}", room=room))
            at.call(c.UserMessage(message=f"{number}", room=direct))
        world.run(2)
    bob.call(c.TokenCreate(name="page", scope="chat"))
    loaded, me = bob.store.load(), engine_of(bob).state.me.identity
    public = {*(m.leaf.public for m in room_of(bob).log.roster.members.values())}
    public |= {engine_of(ann).state.me.account}
    public |= {leaf.public for leaf in engine_of(bob).state.me.leaves.values()}
    hidden = {me.device_seed, me.dsk_sk, me.dik_secret, me.intro_secret, me.node_seed, me.node_sk}
    for table in SHREDDED | {Table.TOKENS}:
        for row in loaded.rows[table].values():
            hidden |= secrets_of(msgspec.msgpack.decode(row))
    for session in engine_of(bob).state.dms.sessions.values():
        hidden.add(session.channel_secret)
    hidden |= {held.row.ephemeral_key for held in room_of(bob).epochs.held.values()}
    hidden -= public
    whole = b"".join(bob.backup())
    assert len(hidden) > 20
    assert [secret.hex() for secret in hidden if secret in whole] == []
    assert me.account_seed in whole
    kept = {held.row.channel_secret for held in room_of(bob).epochs.held.values()}
    assert all(secret in whole for secret in kept)


def test_an_epoch_that_overtakes_the_op_that_brings_its_maker_is_read_again() -> None:
    world, ann, bob, _, _ = trio("overtaken")
    bobs = world.restore("bobs", gone(bob))
    world.partition({"bobs"}, {"ann", "cat"})
    bobs.start()
    world.run(20)
    epochs = room_of(bobs).epochs.held.values()
    old = {held.channel.rk(day): held.channel for held in epochs for day in (TODAY, TODAY + 1)}
    sent = [envelope.parse(one.raw) for one in bobs.store._state.held.values() if one.rk in old]
    by_kind = {old[one.rk].open(one)[1]: one for one in sent}
    assert {Inner.OPS, Inner.ANNOUNCE} <= by_kind.keys()
    give(ann, [by_kind[Inner.ANNOUNCE]])
    assert len(room_of(ann).epochs.held) == 2
    give(ann, [by_kind[Inner.OPS]])
    device = engine_of(bobs).state.me.device_id
    made = [h for h in room_of(bobs).epochs.held.values() if device in h.devices]
    assert world.run_until(lambda: made[0].epoch16 in room_of(ann).epochs.held, 120)
    no_late_faults(ann)
