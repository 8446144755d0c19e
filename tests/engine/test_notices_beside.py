"""What mutes, being busy, and answers to contact requests mean for notifications and games."""

from __future__ import annotations

from typing import Any

import pytest

from node.chat import commands as c, events
from node.sim import CallError, SimNode, SimSession
from tests.engine.test_games import ask, last, players
from tests.engine.test_mention_notices import listed, mentions, say
from tests.engine.worlds import trio


def command(name: str, **keys: Any) -> Any:
    """Return a command that a part of the node brings which may not be there."""
    if name not in c.BY_NAME:
        pytest.skip(f"there is no {name} yet")
    return c.BY_NAME[name](**keys)


def contact_notices(node: SimNode) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = node.call(c.NotificationList(kind="contact"))["notifications"]
    return rows


def told(session: SimSession, kind: str) -> list[events.Notification]:
    return [event for event in session.of(events.Notification) if event.kind == kind]


def test_a_muted_room_raises_no_mention_and_its_announcements_all_the_same() -> None:
    world, ann, bob, _, room = trio("muted")
    mute, hear = command("room_mute", room=room), command("room_mute", room=room, muted=False)
    seen = bob.attach()
    bob.call(mute)
    say(ann, room, "@bob are you there?")
    ann.call(c.AnnouncementSend(room=room, text="the room closes"))
    world.run(3)
    assert mentions(seen) == [] and len(told(seen, "announcement")) == 1
    bob.call(hear)
    say(ann, room, "@bob now?")
    world.run(3)
    assert [row["data"]["text"] for row in listed(bob)] == ["@bob now?"]


def test_who_has_said_to_be_busy_is_asked_by_nobody_and_asks_nobody() -> None:
    world, (ann, bob) = players("said busy")
    busy, free = command("presence_set", busy=True), command("presence_set", busy=False)
    host, guest = ann.attach(), bob.attach()
    world.run(5)
    bob.call(busy, guest)
    with pytest.raises(CallError, match="busy"):
        ask(bob, ann)
    world.run(10)
    with pytest.raises(CallError, match="busy"):
        ask(ann, bob)
    bob.call(free, guest)
    world.run(10)
    world.partition(["ann"], ["bob"])
    world.run(1)
    bob.call(busy, guest)
    ask(ann, bob, client_id="tab")  # ann has not heard of it
    world.heal()
    world.run(30)
    assert (last(host).response, last(host).why, last(host).client_id) == ("cancelled", "busy", "tab")
    assert guest.of(events.UserInvite) == []
    bob.call(free, guest)
    world.run(10)
    ask(ann, bob)
    world.run(5)
    assert last(host).response == "delivered"


def test_a_request_that_is_taken_back_is_marked_and_a_new_one_is_told_again() -> None:
    world, ann, bob, cat, room = trio("requests")
    request, cancel = command("contact_request", username="cat"), command("contact_cancel", username="cat")
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    cat.call(c.RoomLinkUse(link=link))
    world.run(20)
    bob.call(request)
    world.run(5)
    (row,) = contact_notices(cat)
    assert (row["data"]["state"], row["data"]["username"], row["is_read"]) == ("requested", "bob", False)
    bob.call(cancel)
    world.run(5)
    (row,) = contact_notices(cat)
    assert (row["withdrawn"], row["is_read"]) == (True, True)
    bob.call(request)
    world.run(5)
    assert [row["withdrawn"] for row in contact_notices(cat)] == [False, True]
    cat.call(command("contact_accept", username="bob"))
    world.run(5)
    states = [(row["data"]["state"], row["is_read"]) for row in contact_notices(cat)]
    assert states == [("added", False), ("requested", True), ("requested", True)]
    assert [row["data"]["state"] for row in contact_notices(bob)] == ["added", "added"]


def test_a_request_that_the_owner_rejects_is_read_by_that() -> None:
    world, ann, bob, cat, room = trio("rejects")
    request = command("contact_request", username="cat")
    cat.call(c.RoomLinkUse(link=ann.call(c.RoomLinkCreate(room=room))["link"]))
    world.run(20)
    bob.call(request)
    world.run(5)
    cat.call(command("contact_reject", username="bob"))
    (row,) = contact_notices(cat)
    assert (row["is_read"], row["withdrawn"]) == (True, False)


def test_nothing_is_announced_between_those_of_whom_one_has_blocked_the_other() -> None:
    world, ann, bob, _, room = trio("blocks")
    block = command("contact_block", username="ann", silent=True)
    seen = bob.attach()
    bob.call(block)
    ann.call(c.AnnouncementSend(contacts=True, text="hello all"))
    ann.call(c.AnnouncementSend(room=room, text="hello room"))
    assert bob.call(c.AnnouncementSend(contacts=True, text="not to ann"))["recipients"] == 0
    with pytest.raises(CallError, match="blocked"):
        ask(bob, ann)
    ask(ann, bob)
    world.run(5)
    assert seen.of(events.UserInvite) == []
    assert [event.text for event in seen.of(events.Announcement)] == ["not to ann"]
