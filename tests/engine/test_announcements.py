"""Announcements over the simulated mesh: to a room, to contacts, to who is away, and from who should not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chat import commands as c, events
from node.chat.announcements import A_DAY, EVERY_MS, TAKEN_A_DAY
from node.engine.announcing import AT_ONCE, BETWEEN
from node.sim import CallError, SimNode, SimSession, Simulation
from node.wire.payload import Payload, Type
from tests.engine.hostile import (
    direct,
    engine_of,
    later_on,
    lost,
    no_late_faults,
    post,
    release,
    room_inner,
    room_of,
    sending,
    still_talk,
    turn_of,
)
from tests.engine.worlds import befriend, trio

EVERY = EVERY_MS / 1000


def heard(session: SimSession) -> list[str]:
    return [event.text for event in session.of(events.Announcement)]


def notified(session: SimSession) -> list[tuple[str, str]]:
    told = [
        event for event in session.of(events.Notification) if event.kind in {"announcement", "tournament"}
    ]
    return [(event.kind, event.data["text"]) for event in told]


def announce(node: SimNode, room: str, text: str, **keys: object) -> dict[str, object]:
    return node.call(c.AnnouncementSend(room=room, text=text, **keys))  # type: ignore[arg-type]


def payload(node: SimNode, text: str, **changes: object) -> Payload:
    turn = turn_of(node)
    fields: dict[str, object] = {"mid": turn.new_id(), "ts_ms": turn.mesh_ms, "lamport": 0}
    body = [text, 1, "{}"]
    return Payload(**{**fields, "type": Type.ANNOUNCEMENT, "body": body, **changes})  # type: ignore[arg-type]


def test_an_announcement_in_a_room_reaches_every_frontend_of_everybody_once_with_a_notification() -> None:
    world, ann, bob, _, room = trio("room")
    ours, theirs = [ann.attach(), ann.attach()], [bob.attach(plain=False), bob.attach(plain=False)]
    data = {"tournament_id": "t1", "tournament_name": "spring"}
    sent = announce(ann, room, "Sign up now", kind="tournament", data=data)
    assert sent["recipients"] == 1
    world.run(3)
    for session in (*ours, *theirs):
        (told,) = session.of(events.Announcement)
        assert (told.id, told.room, told.kind, told.text) == (sent["id"], room, "tournament", "Sign up now")
        assert (told.username, told.data, told.mine) == ("ann", data, session in ours)
        assert told.ts_ms == sent["ts_ms"]
    for session in theirs:
        (notice,) = session.of(events.Notification)
        assert (notice.kind, notice.data["announcement"], notice.data["data"]) == (
            "tournament",
            told.id,
            data,
        )
    assert notified(ours[0]) == []
    assert bob.call(c.NotificationList(kind="tournament"))["notifications"][0]["id"] == notice.id
    assert bob.call(c.RoomList())["rooms"][0]["unread"] == 0


def test_contacts_hear_it_and_co_members_who_are_none_do_not() -> None:
    world, ann, bob, cat, _ = trio("contacts")
    sessions = {node.name: node.attach() for node in (ann, bob, cat)}
    assert ann.call(c.AnnouncementSend(contacts=True, text="I moved"))["recipients"] == 1
    world.run(3)
    assert {name: heard(session) for name, session in sessions.items()} == {
        "ann": ["I moved"],
        "bob": ["I moved"],
        "cat": [],
    }
    assert notified(sessions["bob"]) == [("announcement", "I moved")]
    assert sessions["bob"].of(events.Announcement)[0].room is None


def test_who_is_away_hears_it_later_and_a_crash_at_any_effect_neither_loses_nor_doubles_it() -> None:
    for step in range(8):
        world, ann, bob, _, room = trio(f"away {step}")
        bob.crash()
        announce(ann, room, "to the room")
        ann.effects_left = step
        try:
            ann.call(c.AnnouncementSend(contacts=True, text="to contacts"))
            acknowledged = True
        except CallError:
            acknowledged = False
        ann.effects_left = None
        if not ann.up:
            ann.start()
        world.run(30)
        bob.start()
        bob.effects_left = 40 + step
        world.run(20)
        bob.effects_left = None
        if not bob.up:
            bob.start()
        world.run(90)
        rows = bob.call(c.NotificationList(kind="announcement"))["notifications"]
        texts = [row["data"]["text"] for row in rows]
        assert texts.count("to the room") == 1
        assert texts.count("to contacts") == 1 or (texts.count("to contacts") == 0 and not acknowledged)
        no_late_faults(ann, bob)


@pytest.mark.parametrize("to_room", [True, False])
def test_one_that_nobody_holds_any_more_is_given_again_by_its_author_and_shown_once(to_room: bool) -> None:
    world, ann, bob, cat, room = trio("lost")
    direct_room = ann.call(c.DmOpen(username="bob"))["room"]
    where: dict[str, object] = {"room": room} if to_room else {"contacts": True}
    lost(world, lambda: ann.call(c.AnnouncementSend(text="hear", **where)), ann, bob, cat)  # type: ignore[arg-type]
    seen = bob.attach()
    world.run(5)
    ann.call(c.UserMessage(room=room if to_room else direct_room, message="and this"))
    world.run(700)
    assert heard(seen) == ["hear"] and notified(seen) == [("announcement", "hear")]
    assert all(event.missing == 0 for event in seen.of(events.MessageHealed))
    still_talk(world, ann, bob, room)


def test_many_contacts_are_sent_it_a_handful_at_a_time_also_across_a_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.engine.announcing.AT_ONCE", 1)
    world = Simulation("many")
    ann = world.add("ann")
    others = [world.add(name, peers=["ann"]) for name in ("bob", "cat", "dan")]
    world.run(2)
    for other in others:
        befriend(world, ann, other)
    ann.call(c.AnnouncementSend(contacts=True, text="hello"))
    book = engine_of(ann).state.announcements
    assert [len(own.left) for own in book.own.values()] == [2]
    world.run(BETWEEN * 1.2)
    assert [len(own.left) for own in book.own.values()] == [1]
    ann.crash()
    ann.start()
    world.run(60)
    for other in others:
        assert len(other.call(c.NotificationList(kind="announcement"))["notifications"]) == 1
    assert engine_of(ann).state.announcements.unsent == {} and AT_ONCE > 1


def test_only_admins_announce_in_a_room_at_our_end_and_at_theirs() -> None:
    world, ann, bob, _, room = trio("admins")
    seen = ann.attach()
    with pytest.raises(CallError, match="forbidden"):
        announce(bob, room, "listen")
    post(bob, sending(bob).channel, room_inner(bob, payload(bob, "listen all the same")))
    world.run(3)
    assert heard(seen) == [] and notified(seen) == []
    ann.call(c.MemberRole(room=room, username="bob", role="admin"))
    world.run(3)
    announce(bob, room, "now I may")
    world.run(3)
    assert heard(seen) == ["now I may"]
    assert seen.of(events.MessageHealed) == [] and [m.kind for m in seen.of(events.UserMessage)] == []
    still_talk(world, ann, bob, room)


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({}, "invalid"),
        ({"room": "here", "contacts": True}, "invalid"),
        ({"room": "00000000-0000-4000-8000-000000000000"}, "room_not_found"),
        ({"room": "direct"}, "direct_room"),
        ({"contacts": True, "data": {"a": [[]] * 300}}, "invalid"),
    ],
)
def test_what_cannot_be_announced_is_refused_and_nothing_is_kept(keys: dict[str, object], code: str) -> None:
    _, ann, _, _, room = trio("refused")
    seen = ann.attach()
    named = {"here": room, "direct": ann.call(c.DmOpen(username="bob"))["room"]}
    if "room" in keys:
        keys = {**keys, "room": named.get(str(keys["room"]), keys["room"])}
    before = len(engine_of(ann).state.announcements.own)
    with pytest.raises(CallError, match=code):
        ann.call(c.AnnouncementSend(text="hello", **keys))  # type: ignore[arg-type]
    assert len(engine_of(ann).state.announcements.own) == before and heard(seen) == []


def test_there_are_so_many_a_day_and_one_each_few_seconds_for_each_place_also_after_a_start() -> None:
    world, ann, _, _, room = trio("rate")
    announce(ann, room, "first")
    with pytest.raises(CallError, match="rate_limited"):
        announce(ann, room, "at once")
    ann.call(c.AnnouncementSend(contacts=True, text="elsewhere"))
    for n in range(A_DAY - 1):
        world.run(EVERY + 1)
        announce(ann, room, f"{n}")
    world.run(EVERY + 1)
    ann.crash()
    ann.start()
    world.run(5)
    with pytest.raises(CallError, match="rate_limited"):
        announce(ann, room, "too many")
    later_on(world, 1, ann)
    announce(ann, room, "the next day")


def test_a_flood_of_an_admin_is_shown_in_part_and_costs_no_memory_without_end() -> None:
    world, ann, bob, _, room = trio("flood")
    ann.call(c.MemberRole(room=room, username="bob", role="admin"))
    world.run(3)
    seen = ann.attach()
    for n in range(TAKEN_A_DAY * 3):
        post(bob, sending(bob).channel, room_inner(bob, payload(bob, f"{n}")))
    far = turn_of(bob).mesh_ms - 40 * 86_400_000
    post(bob, sending(bob).channel, room_inner(bob, payload(bob, "of long ago", ts_ms=far)))
    world.run(5)
    assert heard(seen) == [str(n) for n in range(TAKEN_A_DAY)]
    assert len(engine_of(ann).state.announcements._heard) == 1
    no_late_faults(ann, bob)
    later_on(world, 36, ann)
    world.run(5)
    assert engine_of(ann).state.announcements._heard == {}


def test_the_same_one_again_is_shown_once_in_a_room_and_directly_and_a_stranger_s_never() -> None:
    world, ann, bob, _, _ = trio("again")
    seen = bob.attach()
    same = payload(ann, "once")
    for _ in range(3):
        post(ann, sending(ann).channel, room_inner(ann, same))
    for _ in range(3):
        turn = turn_of(ann)
        assert engine_of(ann).state.dms.send(
            turn, bob.setup.identity.account, payload(ann, "too", mid=same.mid)
        )
        release(ann, turn)
    world.run(3)
    assert heard(seen) == ["once", "too"]
    person = engine_of(ann).state.people.by_account[bob.setup.identity.account]
    engine_of(ann).state.people.by_account[person.account] = replace(person, state="known")
    listens = ann.attach()
    direct(bob, ann, Type.ANNOUNCEMENT, ["psst", 1, "{}"])
    world.run(3)
    assert heard(listens) == []
    no_late_faults(ann, bob)


@pytest.mark.attack("A27")
@pytest.mark.parametrize("data", ["[" * 4000, '{"a":' * 600 + "1" + "}" * 600, "null", '"x"', ""])
def test_data_that_a_parser_falls_over_is_announced_to_nobody(data: str) -> None:
    world, ann, bob, _, room = trio("data")
    seen = bob.attach()
    post(ann, sending(ann).channel, room_inner(ann, payload(ann, "trap", body=["trap", 1, data])))
    direct(ann, bob, Type.ANNOUNCEMENT, ["trap", 200, data])
    direct(ann, bob, Type.ANNOUNCEMENT, ["fine", 200, "{}"])
    world.run(2)
    assert heard(seen) == ["fine"] and seen.of(events.Announcement)[0].kind == "notice"
    still_talk(world, ann, bob, room)


def test_who_left_hears_nothing_and_who_was_removed_announces_nothing() -> None:
    world, ann, bob, _, room = trio("gone")
    ann.call(c.MemberRole(room=room, username="bob", role="admin"))
    world.run(3)
    seen, gone = ann.attach(), bob.attach()
    old, inner = sending(bob).channel, room_inner(bob, payload(bob, "from outside"))
    ann.call(c.MemberRemove(room=room, username="bob"))
    world.run(3)
    post(bob, old, inner)
    announce(ann, room, "among us")
    world.run(3)
    assert heard(seen) == ["among us"] and heard(gone) == []
    assert room_of(ann).open


def test_who_has_blocked_us_is_announced_nothing() -> None:
    world, ann, bob, cat, _ = trio("blocked by")
    befriend(world, ann, cat)
    bob.call(c.ContactBlock(username="ann"))
    world.run(5)
    sent = ann.call(c.AnnouncementSend(contacts=True, text="hear, hear"))
    assert sent["recipients"] == 1
    world.run(5)
    rows = [node.call(c.NotificationList(kind="announcement"))["notifications"] for node in (bob, cat)]
    assert [len(some) for some in rows] == [
        0,
        1,
    ]
