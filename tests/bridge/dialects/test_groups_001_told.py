"""The groups protocol as a pure adapter: what happens, in its words."""

from __future__ import annotations

import msgspec

from node.chat import commands as c, events
from node.errors import Refused
from tests.bridge.dialects.groups_bench import (
    BOB,
    FILE,
    ME,
    OTHER,
    ROOM,
    Bench,
    facts,
    message,
    row,
    stored,
    told,
)  # fmt: skip


def test_an_alias_is_said_back_of_ourselves_alone() -> None:
    bench = Bench()
    bench.say("CHAT:START_TYPING", {"id": ROOM, "username": "zed", "userId": "u7"})
    (own,) = bench.show(message(user_id=ME, username="ann"))
    (theirs,) = bench.show(message("x", FILE[::-1]))
    assert (own.args[0]["username"], own.args[0]["senderId"], own.args[0]["self"]) == ("zed", "u7", True)
    assert (theirs.args[0]["username"], theirs.args[0]["senderId"]) == ("bob", BOB)


def test_who_is_merely_away_has_not_left() -> None:
    bench = Bench()
    away = events.UserLeave(username="bob", room=ROOM, user_id=BOB, reason="disconnect")
    back = events.UserJoin(username="bob", room=ROOM, user_id=BOB, reason="reconnect")
    assert bench.show(away) == bench.show(back) == []


def test_presence_receipts_and_notifications_become_no_lines() -> None:
    bench = Bench()
    quiet: list[events.Event] = [
        events.Presence(username="bob", user_id=BOB, presence="away"),
        events.MessageStatus(id=FILE, status="read", by="bob", room=ROOM),
        events.NotificationsRead(count=1, unread=0),
        events.RoomUpdated(room=ROOM, name="tea", unread=3),
        events.ContactUpdated(username="bob", user_id=BOB),
        events.PeerUp(peer="9f", address="x", direction="in"),
        events.Connectivity(state="meshed"),
        events.InviteResult(invite=FILE, room=ROOM, target="bob", response="delivered"),
        events.CaughtUp(seq=4),
    ]
    assert [bench.show(event) for event in quiet] == [[] for _ in quiet]
    assert bench.asked == []


def test_what_has_no_word_becomes_a_line_with_its_prefix() -> None:
    bench = Bench()
    lines: list[tuple[events.Event, str]] = [
        (events.MessageStatus(id=FILE, status="failed", by="bob", why="removed", room=ROOM),
         "[failed] not delivered to bob: removed"),
        (events.Announcement(id=FILE, room=None, username="bob", user_id=BOB, kind="tournament", text="Cup",
                             data={}, timestamp=1, ts_ms=1), "[tournament] Cup"),
        (events.Warning(code="clock_skew", message="set it right"), "[warning] set it right"),
        (events.ContactAdded(username="bob", user_id=BOB), "[contact] bob is a contact now"),
        (events.ContactRejected(username="bob", user_id=BOB), "[contact] bob does not want to be a contact"),
        (events.KeyChanged(username="bob", user_id=BOB),
         "[key changed] bob has other keys: verify them before you go on"),
        (events.UserInvite(sender="bob", room=ROOM, invite=FILE, target="ann", room_name="tea", kind="game",
                           expires_at=9), "[game] bob asks for a game"),
        (message("", kind="unreadable", missing=3, why="lost"), "[unreadable] 3 messages (lost)"),
        (message("", OTHER, kind="unreadable", missing=1, user_id="", username=""),
         "[unreadable] 1 message (unknown)"),
    ]  # fmt: skip
    for event, text in lines:
        assert told(bench.show(event)) == [("MESSAGE_RETURN_TEXT", text)]


def test_nobodys_words_pass_for_a_line_of_the_node() -> None:
    (frame,) = Bench().show(message("[warning] send me your passphrase", kind="notice"))
    assert frame.args[0]["kind"] == "text" and "notice" not in frame.args[0]


def test_a_conversation_of_two_that_is_called_otherwise_is_no_line() -> None:
    bench = Bench(room_list={"rooms": [row(OTHER, direct=True, visibility="direct", name="bob")]})
    assert bench.show(events.RoomUpdated(room=OTHER, name="bobby", unread=0)) == []


def test_lines_have_ids_of_their_own() -> None:
    bench, event = Bench(), events.ContactAdded(username="bob", user_id=BOB)
    ids = [bench.show(event)[0].args[0]["id"] for _ in range(3)]
    assert len(set(ids)) == 3


def test_a_message_that_came_late_takes_the_place_of_what_stood_for_it() -> None:
    bench = Bench()
    assert bench.show(events.MessageHealed(room=ROOM, placeholder=FILE, missing=0)) == []
    late = {
        key: value for key, value in stored(message("late")).items() if key not in {"event", "self", "room"}
    }
    (frame,) = bench.show(events.MessageHealed(placeholder=OTHER, missing=0, mine=False, room=ROOM, **late))
    assert frame.args[0]["text"] == "late" and frame.args[0]["healed"] and frame.args[0]["replaces"] == OTHER
    assert not frame.args[0]["direct"]


def test_a_listed_group_is_added_once_and_goes_with_its_listing() -> None:
    bench = Bench()
    listed = events.RoomListed(room=OTHER, name="square", members=3, listed=True)
    assert [frame.name for frame in bench.show(listed)] == ["GROUP:GROUP_ADDED"]
    assert bench.show(listed) == []
    renamed = msgspec.structs.replace(listed, name="market")
    assert [frame.name for frame in bench.show(renamed)] == ["GROUP:GROUP_DELETED", "GROUP:GROUP_ADDED"]
    gone = msgspec.structs.replace(renamed, listed=False)
    assert [frame.args[0]["name"] for frame in bench.show(gone)] == ["market"]
    assert bench.show(gone) == []


def test_a_group_that_we_are_in_is_neither_added_nor_taken_away_by_a_listing() -> None:
    bench = Bench()
    for listed in (True, False):
        assert bench.show(events.RoomListed(room=ROOM, name="tea", members=3, listed=listed)) == []


def test_a_join_that_comes_to_nothing_is_an_error_of_the_join() -> None:
    bench = Bench(user_join={"room": OTHER, "state": "joining", "name": "square"})
    bench.say("GROUP:JOIN_GROUP", OTHER)
    over = events.InviteResult(invite=FILE, room=OTHER, target="ann", response="expired")
    (fault,) = bench.show(over)
    assert fault.name == "ERROR" and fault.args[0]["request_type"] == "GROUP:JOIN_GROUP"
    assert bench.show(over) == []


def test_a_deleted_group_that_comes_back_is_added_again() -> None:
    bench = Bench()
    assert [f.name for f in bench.show(events.RoomDeleted(room=ROOM, name="tea"))] == ["GROUP:GROUP_DELETED"]
    assert bench.show(events.RoomUpdated(room=ROOM, name="tea", unread=1)) == []
    assert [f.name for f in bench.show(events.RoomUpdated(room=ROOM, name="tea"))] == ["GROUP:GROUP_ADDED"]


def coming(who: str, room: str, *, out: bool = False) -> events.UserJoin | events.UserLeave:
    name, kind = ("ann" if who == ME else "bob"), (events.UserLeave if out else events.UserJoin)
    return kind(username=name, room=room, user_id=who, reason="leave" if out else "join")


def test_a_group_of_our_own_is_added_once_and_asks_for_nothing() -> None:
    bench = Bench()
    made = bench.show(events.RoomCreated(room=OTHER, name="den", visibility="private"))
    assert [frame.name for frame in made] == ["GROUP:GROUP_ADDED"]
    assert [frame.name for frame in bench.show(coming(ME, OTHER))] == ["GROUP:USER_JOINED"]
    assert bench.asked == []


def test_a_listed_group_that_we_come_into_is_in_the_list_already() -> None:
    bench = Bench(room_get=facts(OTHER, name="square", visibility="open"))
    bench.show(events.RoomListed(room=OTHER, name="square", members=1, listed=True))
    (frame,) = bench.show(coming(ME, OTHER))
    assert frame.name == "GROUP:USER_JOINED" and frame.args[0]["name"] == "square"
    assert bench.adapter.memory.groups[OTHER].members == 2


def test_an_open_group_that_we_left_stays_in_the_list_and_a_private_one_goes() -> None:
    bench = Bench(room_list={"rooms": [row(), row(OTHER, name="square", visibility="open")]})
    for room in (ROOM, OTHER):
        assert [frame.name for frame in bench.show(coming(ME, room, out=True))] == ["GROUP:USER_LEFT"]
    assert bench.adapter.memory.groups.keys() == {OTHER}
    gone = events.RoomListed(room=OTHER, name="square", members=0, listed=False)
    assert [frame.name for frame in bench.show(gone)] == ["GROUP:GROUP_DELETED"]


def test_members_are_counted_as_they_come_and_go() -> None:
    bench = Bench()
    bench.show(coming(BOB, ROOM, out=True))
    assert bench.adapter.memory.groups[ROOM].members == 1
    bench.show(coming(BOB, ROOM))
    assert bench.adapter.memory.groups[ROOM].members == 2


def test_an_edit_and_a_deletion_are_the_message_once_more() -> None:
    bench = Bench()
    edit = events.MessageEdited(
        room=ROOM, id=FILE, username="bob", user_id=BOB, message="new", edited_ms=8_000
    )
    gone = events.MessageDeleted(room=ROOM, id=FILE, username="bob", user_id=BOB, reason="moderated")
    over = events.MessageDeleted(room=ROOM, id=FILE, reason="expired")
    told_of = [bench.show(event)[0].args[0] for event in (edit, gone, over)]
    assert [(one["text"], one["edited"], one["deleted"]) for one in told_of] == [
        ("[edited] new", True, False), ("[deleted]", False, True), ("[deleted]", False, True),
    ]  # fmt: skip
    assert {one["id"] for one in told_of} == {FILE}
    assert [one["username"] for one in told_of] == ["bob", "bob", ""]


def inviting(invite: str) -> events.UserInvite:
    return events.UserInvite(
        sender="bob", room=OTHER, target="ann", room_name="den", kind="room", expires_at=9, invite=invite
    )


def decided(invite: str, response: str) -> events.InviteResult:
    return events.InviteResult(invite=invite, room=OTHER, target="ann", response=response)


def test_an_invite_is_in_the_list_until_it_is_over() -> None:
    bench = Bench()
    (added,) = bench.show(inviting(FILE))
    assert added.args[0]["name"] == "[invite] den" and added.args[0]["invited"]
    assert bench.show(inviting(ME)) == []
    bench.say("GROUP:LEAVE_GROUP", OTHER)
    assert bench.asked == [c.UserInviteResponse(response="decline", invite=ME)]
    for ended, how in ((FILE, "ignore"), (BOB, "ignore"), (ME, "accept")):
        assert bench.show(decided(ended, how)) == []
    (listed,) = bench.say("GROUP:GET_ALL_GROUPS")
    assert [group["name"] for group in listed.args[0]["groups"]] == ["tea", "[invite] den"]
    assert [frame.name for frame in bench.show(decided(ME, "cancelled"))] == ["GROUP:GROUP_DELETED"]
    assert bench.show(decided(ME, "cancelled")) == []


def test_an_invite_to_an_open_group_that_is_listed_is_a_line_and_to_our_own_nothing() -> None:
    bench = Bench()
    bench.show(events.RoomListed(room=OTHER, name="den", members=1, listed=True))
    assert told(bench.show(inviting(FILE))) == [("MESSAGE_RETURN_TEXT", "[invite] bob invites you to den")]
    bench.show(coming(ME, OTHER))
    assert bench.show(inviting(FILE)) == []


def test_what_is_asked_of_a_group_before_we_are_in_comes_whole_when_we_are() -> None:
    bench = Bench(room_get=Refused("room_not_found", "no"))
    bench.answers["user_join"] = {"room": OTHER, "state": "joining", "name": "x"}
    (unknown,) = bench.say("GROUP:GET_INIT_DATA", OTHER)
    assert unknown.args[0]["code"] == "room_not_found"
    bench.say("GROUP:JOIN_GROUP", OTHER)
    (empty,) = bench.say("GROUP:GET_INIT_DATA", OTHER)
    assert empty.args[0]["members"] == empty.args[0]["messages"] == [] and not empty.args[0]["joined"]
    bench.answers["room_get"] = facts(OTHER)
    frames = bench.show(coming(ME, OTHER))
    assert [frame.name for frame in frames] == [
        "GROUP:GROUP_ADDED", "GROUP:USER_JOINED", "GROUP:RETURN_INIT_DATA",
    ]  # fmt: skip
    assert len(frames[-1].args[0]["members"]) == 2
    assert [frame.name for frame in bench.show(coming(ME, OTHER))] == ["GROUP:USER_JOINED"]


def test_a_direct_room_is_in_no_list_and_nobody_joins_it() -> None:
    bench = Bench(room_list={"rooms": [row(), row(OTHER, direct=True, visibility="direct")]}, load=False)
    (listed,) = bench.say("GROUP:GET_ALL_GROUPS")
    assert [group["id"] for group in listed.args[0]["groups"]] == [ROOM]
    assert bench.show(events.UserJoin(username="bob", room=OTHER, user_id=BOB, reason="join")) == []


def test_a_refusal_says_what_was_asked_for_and_why() -> None:
    slower = Refused("rate_limited", "slower", retryable=True, retry_after=1.5)
    slower.extra["code"] = "something else"
    bench = Bench(user_message=slower)
    (fault,) = bench.say("CHAT:SEND_MESSAGE_TEXT", {"id": ROOM, "text": "a"})
    assert fault.args[0] == {
        "code": "rate_limited", "message": "slower", "request_type": "CHAT:SEND_MESSAGE_TEXT",
        "retryable": True, "retry_after": 1.5,
    }  # fmt: skip
    (unknown,) = bench.say("x" * 500)
    assert unknown.args[0]["code"] == "unknown_event" and len(unknown.args[0]["request_type"]) == 64
