"""Changes of messages by who has no right to them, of what is not there, and in numbers."""

from __future__ import annotations

import pytest

from node import ids
from node.chat import commands as c, events
from node.chat.changing import MAX_WAITING
from node.chat.turn import Turn
from node.sim import SimNode
from node.wire.payload import Payload, Type
from tests.engine.hostile import (
    direct,
    engine_of,
    give,
    inbox_of,
    no_late_faults,
    post,
    room_inner,
    room_of,
    sending,
    still_talk,
    turn_of,
)
from tests.engine.test_changes import history, say
from tests.engine.worlds import befriend, invite, trio

LIKE = "\N{THUMBS UP SIGN}"


def account(node: SimNode) -> bytes:
    return node.setup.identity.account


def change(node: SimNode, kind: Type, body: list[object], **fields: object) -> Payload:
    turn: Turn = turn_of(node)
    more = {"mid": turn.new_id(), "ts_ms": turn.mesh_ms, "lamport": 99, **fields}
    return Payload(type=kind, body=body, **more)  # type: ignore[arg-type]  # as the test wants it


def send(node: SimNode, payload: Payload) -> None:
    post(node, sending(node).channel, room_inner(node, payload))


def waiting(node: SimNode) -> int:
    return sum(len(room.changes) for room in engine_of(node).state.changing._rooms.values())


@pytest.mark.attack("A03")
def test_another_members_edit_and_deletion_change_nothing_anywhere() -> None:
    world, ann, bob, cat, room = trio("forged changes")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(5)
    mid = say(ann, room, "ann's")
    world.run(2)
    seen = ann.attach()
    send(bob, change(bob, Type.EDIT, [ids.parse(mid), "bob's", [], None]))
    send(bob, change(bob, Type.DELETE, [ids.parse(mid), account(bob)]))
    world.run(5)
    send(bob, change(bob, Type.DELETE, [ids.parse(mid), account(ann)]))
    world.run(5)
    for node in (ann, cat):
        assert [m.message for m in history(node, room)] == ["ann's"]
    assert not seen.of(events.MessageEdited) and not seen.of(events.MessageDeleted)
    no_late_faults(ann, cat)


def test_a_member_below_admin_may_not_delete_whatever_view_it_claims() -> None:
    world, ann, bob, _, room = trio("claimed view")
    mid = say(ann, room, "ann's")
    world.run(2)
    old = room_of(bob).log.view16
    ann.call(c.MemberRole(room=room, username="bob", role="admin"))
    world.run(2)
    ann.call(c.MemberRole(room=room, username="bob", role="member"))
    world.run(2)
    for view16 in (old, room_of(bob).log.view16):
        inner = room_inner(bob, change(bob, Type.DELETE, [ids.parse(mid), account(ann)]), view16=view16)
        post(bob, sending(bob).channel, inner)
        world.run(2)
    assert [m.message for m in history(ann, room)] == ["ann's"]
    no_late_faults(ann)


@pytest.mark.attack("A09")
def test_an_edit_that_is_replayed_does_nothing_twice_nor_undoes_the_next() -> None:
    world, ann, bob, _, room = trio("replayed edit")
    mid = say(bob, room, "one")
    world.run(2)
    inner = room_inner(bob, change(bob, Type.EDIT, [ids.parse(mid), "two", [], None]))
    first = post(bob, sending(bob).channel, inner)
    send(bob, change(bob, Type.EDIT, [ids.parse(mid), "three", [], None], lamport=100))
    world.run(2)
    seen = ann.attach()
    give(ann, [first])
    post(bob, sending(bob).channel, inner)
    world.run(2)
    assert [m.message for m in history(ann, room)] == ["three"]
    assert not seen.of(events.MessageEdited)


def test_what_a_removed_member_changes_counts_for_nobody() -> None:
    world, ann, bob, _, room = trio("removed")
    mid = say(bob, room, "before")
    world.run(2)
    held = sending(bob)
    bob.effects_left = None
    world.cut("bob")
    ann.call(c.MemberRemove(room=room, username="bob"))
    for kind, body in (
        (Type.EDIT, [ids.parse(mid), "after", [], None]),
        (Type.DELETE, [ids.parse(mid), account(bob)]),
        (Type.REACTION, [ids.parse(mid), account(bob), LIKE, 1]),
    ):
        post(bob, held.channel, room_inner(bob, change(bob, kind, body)))
    world.run(30)
    (kept,) = history(ann, room)
    assert (kept.message, kept.edited is True, kept.deleted is True) == ("before", False, False)
    assert not isinstance(kept.reactions, list)


def test_an_edit_in_another_room_does_not_reach_the_message() -> None:
    world, ann, bob, _, room = trio("another room")
    mid = say(bob, room, "here")
    dm = ann.call(c.DmOpen(username="bob"))["room"]
    world.run(2)
    direct(bob, ann, Type.EDIT, [ids.parse(mid), "there", [], None])
    direct(bob, ann, Type.DELETE, [ids.parse(mid), account(bob)])
    world.run(2)
    assert [m.message for m in history(ann, room)] == ["here"] and history(ann, dm) == []
    assert waiting(ann) == 2


def test_between_two_people_nobody_deletes_or_edits_what_the_other_said() -> None:
    world, ann, bob, cat, _ = trio("hostile direct")
    room = ann.call(c.DmOpen(username="bob"))["room"]
    mid = ids.parse(say(ann, room, "ann's"))
    world.run(2)
    direct(bob, ann, Type.DELETE, [mid, account(ann)])
    direct(bob, ann, Type.DELETE, [mid, account(bob)])
    direct(bob, ann, Type.EDIT, [mid, "bob's", [], None])
    direct(bob, ann, Type.REACTION, [mid, account(cat), LIKE, 1])
    world.run(2)
    (kept,) = history(ann, room)
    assert kept.message == "ann's" and kept.deleted is not True and not kept.reactions


def test_ten_thousand_changes_of_nothing_stay_bounded_and_push_out_nobody_elses() -> None:
    world, ann, bob, cat, room = trio("nothing to change")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(5)
    honest = change(cat, Type.REACTION, [b"h" * 16, account(ann), LIKE, 1])
    changing, turn = engine_of(ann).state.changing, turn_of(ann)
    room_id = room_of(ann).room_id
    changing.take(turn, room_id, account(cat), honest)
    for number in range(10_000):
        body: list[object] = [number.to_bytes(16, "big"), "x" * 200, [], None]
        changing.take(turn, room_id, account(bob), change(bob, Type.EDIT, body))
    assert len(turn.reads) == 1 and len(turn.reads[0][1]) == 2
    assert waiting(ann) == MAX_WAITING
    assert honest.mid + account(cat) in changing._rooms[room_id].changes
    rows = [key for (_, key), value in turn.rows.items() if key[:1] == b"m" and value is not None]
    assert len(rows) == MAX_WAITING
    assert len(changing._rooms[room_id].of) <= 2 * MAX_WAITING
    assert len(changing._fresh[room_id]) <= 2 * MAX_WAITING


def test_who_copies_the_id_of_a_change_that_waits_does_not_hide_it() -> None:
    world, ann, bob, cat, room = trio("copied id of a change")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(5)
    late = change(cat, Type.TEXT, ["late", "text", None])
    theirs = change(cat, Type.EDIT, [late.mid, "mended", [], None])
    send(bob, change(bob, Type.EDIT, [b"n" * 16, "junk", [], None], mid=theirs.mid))
    world.run(3)
    send(cat, theirs)
    send(cat, late)
    world.run(3)
    assert [m.message for m in history(ann, room)] == ["mended"]


def test_changes_of_nothing_wait_through_a_restart_and_one_a_day_too_late_is_forgotten() -> None:
    world, ann, bob, _, room = trio("waits")
    late = change(bob, Type.TEXT, ["late", "text", None])
    send(bob, change(bob, Type.EDIT, [late.mid, "mended", [], None]))
    send(bob, change(bob, Type.REACTION, [late.mid, account(bob), LIKE, 1]))
    send(bob, change(bob, Type.REACTION, [b"n" * 16, account(bob), LIKE, 1]))
    world.run(3)
    assert waiting(ann) == 3
    ann.crash()
    ann.start()
    world.run(3)
    assert waiting(ann) == 3
    seen = ann.attach()
    send(bob, late)
    world.run(3)
    (told,) = seen.of(events.UserMessage)
    assert (told.message, told.edited, len(told.reactions or ())) == ("mended", True, 1)
    assert waiting(ann) == 1
    turn = turn_of(ann)
    turn.now = turn.now.__class__(turn.now.mono, turn.now.wall_ms + 36 * 86_400_000)
    engine_of(ann).state.changing.expire(turn)
    assert waiting(ann) == 0


def test_a_deletion_that_comes_first_lets_nothing_be_seen() -> None:
    world, ann, bob, _, room = trio("deleted first")
    late = change(bob, Type.TEXT, ["secret", "text", None])
    send(bob, change(bob, Type.DELETE, [late.mid, account(bob)]))
    world.run(3)
    seen = ann.attach()
    send(bob, late)
    world.run(3)
    (told,) = seen.of(events.UserMessage)
    assert told.message == "" and told.deleted is True
    assert b"secret" not in b"".join(body for _, body in ann.store.events_after(0, 1000))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Type.EDIT, [bytes(16), "x" * 20_000, [], None]),
        (Type.EDIT, [bytes(16), "x", [bytes(32)] * 33, None]),
        (Type.REACTION, [bytes(16), bytes(32), "letters", 1]),
        (Type.REACTION, [bytes(16), bytes(32), "\N{CAT}" * 17, 1]),
        (Type.REACTION, [bytes(16), bytes(32), "\N{CAT}\x1b[31m", 1]),
        (Type.REACTION, [bytes(16), bytes(32), "\N{RIGHT-TO-LEFT OVERRIDE}\N{CAT}", 1]),
        (Type.REACTION, [bytes(16), bytes(32), LIKE, 2]),
        (Type.DELETE, [bytes(16)]),
        (Type.RESENT, [bytes(16), 1, 1, ["x", "text", None]]),
        (Type.RESENT, [bytes(16), 1, int(Type.EDIT), [bytes(16)]]),
    ],
)
def test_malformed_changes_change_nothing_and_the_room_goes_on(kind: Type, body: list[object]) -> None:
    world, ann, bob, _, room = trio(f"malformed {kind} {len(str(body))}")
    send(bob, change(bob, kind, body))
    world.run(2)
    assert waiting(ann) == 0 and inbox_of(ann).parked == {}
    still_talk(world, ann, bob, room)


def test_a_deletion_without_right_is_not_taken_when_it_is_given_again_either() -> None:
    world, ann, bob, _, room = trio("given again without right")
    mid = say(ann, room, "ann's")
    world.run(2)
    held = sending(bob)
    room_inner(bob, change(bob, Type.DELETE, [ids.parse(mid), account(bob)]))
    assert held.send is not None
    place, body = [held.epoch16, held.send.index - 1], [ids.parse(mid), account(ann)]
    send(bob, change(bob, Type.TEXT, ["after a hole", "text", None]))
    send(bob, change(bob, Type.RESENT, [*place, int(Type.DELETE), body]))
    world.run(3)
    assert [m.message for m in history(ann, room)] == ["ann's", "after a hole"]
    send(bob, change(bob, Type.RESENT, [*place, int(Type.EDIT), [ids.parse(mid), "bob's", [], None]]))
    world.run(3)
    assert [m.message for m in history(ann, room)] == ["ann's", "after a hole"]
    no_late_faults(ann)


def test_a_change_given_again_where_nothing_was_missing_is_not_taken() -> None:
    world, ann, bob, _, room = trio("given again")
    mid = say(bob, room, "one")
    world.run(2)
    held = sending(bob)
    assert held.send is not None
    place = [held.epoch16, held.send.index - 1]
    send(bob, change(bob, Type.RESENT, [*place, int(Type.EDIT), [ids.parse(mid), "two", [], None]]))
    world.run(3)
    assert [m.message for m in history(ann, room)] == ["one"]
