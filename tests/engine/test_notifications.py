"""Notifications in simulated nodes: one a cause, at every frontend, through crashes and redeliveries."""

from __future__ import annotations

import pytest

from node.bridge.ports import Resume
from node.chat import commands as c, events
from node.sim import CallError, SimNode, SimSession, Simulation
from tests.engine.worlds import befriend, trio


def pair(seed: str) -> tuple[Simulation, SimNode, SimNode, str]:
    world = Simulation(seed)
    ann = world.add("ann")
    bob = world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    return world, ann, bob, ann.call(c.RoomCreate(name="club"))["room"]


def notices(session: SimSession, kind: str) -> list[events.Notification]:
    return [event for event in session.of(events.Notification) if event.kind == kind]


def listed(node: SimNode, **keys: object) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = node.call(c.NotificationList(**keys))["notifications"]  # type: ignore[arg-type]
    return rows


def test_a_new_contact_is_notified_once_on_both_sides() -> None:
    _, ann, bob, _ = pair("contact")
    for node, other in ((ann, "bob"), (bob, "ann")):
        rows = listed(node, kind="contact")
        assert [(row["data"]["username"], row["data"]["state"]) for row in rows] == [(other, "added")]  # type: ignore[index]
        assert [row["is_read"] for row in rows] == [False]


def test_a_renamed_person_is_called_by_the_new_name_in_old_notifications() -> None:
    _, ann, _, _ = pair("renamed")
    ann.call(c.ContactRename(username="bob", name="robert"))
    (row,) = listed(ann)
    assert row["data"]["username"] == "robert"  # type: ignore[index]


def test_an_invite_is_notified_once_however_often_it_is_shown_and_says_how_it_ended() -> None:
    world, ann, bob, room = pair("invite")
    first, second = bob.attach(), bob.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(2)
    bob.attach()
    bob.crash()
    bob.start()
    third = bob.attach()
    world.run(2)
    assert len(third.of(events.UserInvite)) == 1
    for session in (first, second):
        (told,) = notices(session, "invite")
        assert (told.data["room_name"], told.data["username"], told.data["state"]) == ("club", "ann", "open")
        assert (told.is_read, told.withdrawn) == (False, False)
    (row,) = listed(bob, kind="invite")
    bob.call(c.UserInviteResponse(response="decline"), third)
    (told,) = notices(third, "invite")
    assert (told.id, told.is_read, told.data["state"]) == (row["id"], True, "decline")
    assert listed(ann, kind="invite") == []


def test_an_invite_to_a_game_that_was_accepted_has_its_game_in_the_notification() -> None:
    world, ann, bob, _ = pair("game")
    guest = bob.attach()
    ann.call(c.UserInvite(target="bob", room=ann.call(c.DmOpen(username="bob"))["room"], kind="game"))
    world.run(2)
    answer = bob.call(c.UserInviteResponse(response="accept"), guest)
    (row,) = listed(bob, kind="invite")
    assert row["data"]["state"] == "accept" and row["data"]["game_id"] == answer["game_id"]  # type: ignore[index]


def test_a_cancelled_invite_is_marked_withdrawn_and_a_missed_one_stays_unread() -> None:
    world, ann, bob, room = pair("withdrawn")
    guest = bob.attach()
    invite = ann.call(c.UserInvite(target="bob", room=room))["invite"]
    world.run(2)
    ann.call(c.InviteCancel(invite=invite))
    world.run(2)
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(130)
    missed, taken_back = listed(bob, kind="invite")
    assert [taken_back[key] for key in ("is_read", "withdrawn")] == [True, True]
    assert [missed[key] for key in ("is_read", "withdrawn")] == [False, False]
    assert missed["data"]["state"] == "ignore"  # type: ignore[index]
    assert [event.data["state"] for event in notices(guest, "invite")] == [
        "open",
        "cancelled",
        "open",
        "ignore",
    ]


def test_reading_one_or_all_is_told_to_every_frontend_of_ours_and_to_nobody_else() -> None:
    world, ann, bob, room = (*trio("reading")[:3], trio("reading")[4])
    one, two, others = bob.attach(plain=False), bob.attach(plain=False), ann.attach(plain=False)
    unread = bob.call(c.NotificationList())["unread"]
    first = listed(bob, is_read=False)[0]["id"]
    assert bob.call(c.NotificationRead(id=str(first)), one) == {"id": first, "unread": unread - 1}
    for session in (one, two):
        told = session.of(events.Notification)[-1]
        assert (told.id, told.is_read, told.unread) == (first, True, unread - 1)
    bob.call(c.NotificationRead(id=str(first)), two)
    assert len(one.of(events.Notification)) == 1
    assert bob.call(c.NotificationReadAll(), two) == {"count": unread - 1, "unread": 0}
    assert bob.call(c.NotificationReadAll(), two) == {"count": 0, "unread": 0}
    world.run(5)
    assert [len(s.of(events.NotificationsRead)) for s in (one, two, others)] == [min(1, unread - 1)] * 2 + [0]
    assert others.of(events.Notification) == []
    assert listed(bob, is_read=False) == []
    with pytest.raises(CallError, match="notification_not_found"):
        bob.call(c.NotificationRead(id=room))
    with pytest.raises(CallError, match="notification_not_found"):
        bob.call(c.NotificationList(before="no uuid at all, but of this length."[:36].ljust(36)))


def test_a_resumed_frontend_gets_each_notification_after_its_cause_and_no_second_time() -> None:
    world, ann, bob, room = pair("resume")
    seq = bob.attach(plain=False).of(events.Hello)[0].seq
    ann.call(c.UserInvite(target="bob", room=room))
    guest = bob.attach()
    world.run(2)
    bob.call(c.UserInviteResponse(response="accept"), guest)
    world.run(5)
    epoch = bob.attach(plain=False).of(events.Hello)[0].log_epoch
    replayed = bob.attach(plain=False, resume=Resume(epoch, seq))
    about = {"user_invite", "notification", "invite_result"}
    names = [name for event in replayed.seen if (name := events.name_of(event)) in about]
    assert names == ["user_invite", "notification", "invite_result", "notification"]
    told = replayed.of(events.Notification)
    assert [(event.is_read, event.data["state"]) for event in told] == [(False, "open"), (True, "accept")]


@pytest.mark.parametrize("step", range(10))
def test_a_crash_at_any_effect_leaves_one_notification_for_one_invite(step: int) -> None:
    world, ann, bob, room = pair(f"crash {step}")
    bob.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    bob.effects_left = step
    world.run(3)
    bob.effects_left = None
    if not bob.up:
        bob.start()
    guest = bob.attach()
    world.run(5)
    (row,) = listed(bob, kind="invite")
    bob.effects_left = step % 5
    try:
        bob.call(c.NotificationRead(id=str(row["id"])), guest)
        answered = True
    except CallError:
        answered = False
    bob.effects_left = None
    if not bob.up:
        bob.start()
    (after,) = listed(bob, kind="invite")
    assert after["id"] == row["id"] and (after["is_read"] or not answered)


def test_what_a_backup_restores_has_the_notifications_too() -> None:
    world, ann, bob, room = pair("backup")
    bob.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(2)
    before = listed(bob)
    records = bob.backup()
    bob.crash()
    again = world.restore("bob2", records, peers=["ann"])
    again.start()
    assert [row["id"] for row in listed(again)] == [row["id"] for row in before]
