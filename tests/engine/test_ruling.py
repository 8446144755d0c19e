"""Those above others rule a room: roles, name and topic, who may invite, its end."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.crypto.ops import Delete, Role, RoleChange
from node.sim import CallError, SimNode, SimSession, Simulation
from node.wire.payload import Payload, Type
from tests.engine.hostile import engine_of, no_late_faults, post, room_inner, room_of, sending, text
from tests.engine.worlds import befriend, invite, texts, trio


def roles(node: SimNode, room: str) -> dict[str, str]:
    return {m["username"]: m["role"] for m in node.call(c.RoomGet(room=room))["members"]}


def quartet(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode, str]:
    """Ann made the room, bob and cat came by invites."""
    world, ann, bob, cat, room = trio(seed)
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(4)
    return world, ann, bob, cat, room


def updates(session: SimSession) -> list[events.RoomUpdated]:
    return session.of(events.RoomUpdated)


def test_a_role_that_is_given_is_seen_by_all_and_carries_its_rights() -> None:
    world, ann, bob, cat, room = quartet("roles")
    seen = [node.attach() for node in (ann, bob, cat)]
    given = ann.call(c.MemberRole(room=room, username="bob", role="admin"))
    assert given == {"room": room, "username": "bob", "role": "admin"}
    world.run(2)
    assert [[(e.username, e.role) for e in updates(s)] for s in seen] == [[("bob", "admin")]] * 3
    bob.call(c.MemberRole(room=room, username="cat", role="member"))
    world.run(2)
    assert roles(ann, room) == roles(cat, room) == {"ann": "creator", "bob": "admin", "cat": "member"}


@pytest.mark.parametrize(
    ("by", "whom", "role", "code"),
    [
        ("bob", "ann", "member", "forbidden"),
        ("bob", "cat", "admin", "forbidden"),
        ("bob", "bob", "member", "forbidden"),
        ("ann", "ann", "member", "forbidden"),
        ("ann", "nobody", "member", "unknown_user"),
    ],
)
def test_a_role_is_changed_and_given_only_from_above(by: str, whom: str, role: str, code: str) -> None:
    world, ann, bob, cat, room = quartet("from above")
    ann.call(c.MemberRole(room=room, username="bob", role="admin"))
    world.run(2)
    before, seq = roles(ann, room), world.nodes[by].store.last_seq
    command = c.MemberRole(room=room, username=whom, role=role)  # type: ignore[arg-type]
    with pytest.raises(CallError, match=code):
        world.nodes[by].call(command)
    world.run(2)
    assert roles(ann, room) == before
    assert world.nodes[by].store.last_seq == seq


def test_name_topic_and_rule_of_inviting_reach_everybody_and_survive_a_crash() -> None:
    world, ann, bob, cat, room = quartet("update")
    seen = bob.attach()
    command = c.RoomUpdate(room=room, name="den", topic="tea", invite="admins")
    facts = {"name": "den", "topic": "tea", "invite": "admins", "history": "none"}
    assert ann.call(command) == {"room": room, **facts}
    ann.crash()
    ann.start()
    world.run(5)
    bob.crash()
    bob.start()
    for node in (ann, bob, cat):
        found = node.call(c.RoomGet(room=room))
        assert (found["name"], found["topic"], found["invite"]) == ("den", "tea", "admins")
    assert {e.topic for e in updates(seen)} >= {"tea"}
    assert {e.invite for e in updates(seen)} >= {"admins"}
    before = ann.store.last_seq
    ann.call(command)
    assert ann.store.last_seq == before
    ann.call(c.RoomUpdate(room=room, topic=""))
    assert ann.call(c.RoomGet(room=room))["topic"] == ""
    with pytest.raises(CallError, match="invalid"):
        ann.call(c.RoomUpdate(room=room))
    with pytest.raises(CallError, match="invalid"):
        ann.call(c.RoomUpdate(room=room, invite="nobody"))
    for forbidden in (c.RoomUpdate(room=room, name="bobs"), c.RoomDelete(room=room)):
        with pytest.raises(CallError, match="forbidden"):
            bob.call(forbidden)


def test_whom_an_invite_admits_under_admins_may_not_invite() -> None:
    world, ann, bob, cat, room = trio("admins")
    ann.call(c.RoomUpdate(room=room, invite="admins"))
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(4)
    assert roles(ann, room)["cat"] == "member"
    befriend(world, cat, world.add("dan", peers=["cat"]))
    with pytest.raises(CallError, match="forbidden"):
        cat.call(c.UserInvite(target="dan", room=room))
    ann.call(c.MemberRole(room=room, username="cat", role="greeter"))
    world.run(2)
    cat.call(c.UserInvite(target="dan", room=room))


def test_a_deleted_room_is_silent_and_keeps_what_was_said() -> None:
    world, ann, bob, cat, room = quartet("delete")
    befriend(world, bob, world.add("dan", peers=["cat"]))
    offered = bob.attach()
    bob.call(c.UserInvite(target="dan", room=room))
    ann.call(c.UserMessage(room=room, message="kept"))
    world.run(2)
    seen = [node.attach() for node in (ann, bob)]
    assert ann.call(c.RoomDelete(room=room)) == {"room": room}
    world.run(2)
    assert [[e.room for e in s.of(events.RoomDeleted)] for s in seen] == [[room]] * 2
    assert [e.response for e in offered.of(events.InviteResult)][-1:] == ["cancelled"]
    bob.crash()
    bob.start()
    for command in (
        c.UserMessage(room=room, message="x"),
        c.UserInvite(target="dan", room=room),
        c.RoomUpdate(room=room, name="x"),
        c.RoomDelete(room=room),
        c.MemberRole(room=room, username="cat", role="member"),
    ):
        for node in (ann, bob):
            befriended = node is bob or not isinstance(command, c.UserInvite)
            with pytest.raises(CallError, match="room_deleted" if befriended else "unknown_user"):
                node.call(command)
    assert bob.call(c.RoomGet(room=room))["deleted"]
    sent = len(bob.store.load().envelopes)
    bob.call(c.UserLeave(room=room))
    with pytest.raises(CallError, match="room_not_found"):
        bob.call(c.RoomGet(room=room))
    assert len(bob.store.load().envelopes) == sent
    no_late_faults(ann, bob, cat)


def test_what_is_sent_by_somebody_who_knows_of_the_end_is_not_shown() -> None:
    world, ann, bob, cat, room = quartet("after the end")
    seen = ann.attach()
    world.partition(["ann"], ["bob", "cat"])
    bob.call(c.UserMessage(room=room, message="did not know"))
    ann.call(c.RoomDelete(room=room))
    world.heal()
    world.run(30)
    assert room_of(bob).log.deleted
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "does know")))
    world.run(3)
    assert texts(seen) == ["did not know"]
    no_late_faults(ann)


@pytest.mark.parametrize("body", [Delete(), RoleChange(b"", Role.ADMIN)])
def test_a_greeter_that_signs_what_it_may_not_changes_nothing(body: Delete | RoleChange) -> None:
    world, ann, bob, cat, room = quartet("may not")
    if isinstance(body, RoleChange):
        body = RoleChange(bob.setup.identity.account, Role.ADMIN)
    log = room_of(bob).log
    op = log.next_op(bob.setup.identity, body, ts_ms=bob.now().wall_ms)
    before, rows = roles(ann, room), dict(ann.store.load().rows["ops"])
    carrier = Payload(bob.setup.entropy(16), bob.now().wall_ms, 0, Type.OP, op.raw)
    post(bob, sending(bob).channel, room_inner(bob, carrier))
    world.run(3)
    assert not room_of(ann).log.deleted
    assert roles(ann, room) == before
    assert ann.store.load().rows["ops"] == rows
    assert engine_of(ann).late_faults == 0
