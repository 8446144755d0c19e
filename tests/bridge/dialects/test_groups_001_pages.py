"""The groups protocol: what a page holds, what changes while it is read, and how large a frame becomes."""

from __future__ import annotations

from typing import Any

import pytest

from node.bridge.dialects.groups_001 import Spelling
from node.bridge.outbox import MAX_BYTES
from node.chat import commands as c, events
from node.chat.commands import MAX_INLINE_BYTES
from node.errors import Refused
from tests.bridge.dialects.groups_bench import BOB, FILE, ME, OTHER, ROOM, Bench, facts, message, stored

PNG = "data:image/png;base64,AAAA"
FAR = "https://example.org/a.gif"


@pytest.mark.parametrize("name", ["GROUP:GET_INIT_DATA", "CHAT:GET_INIT_MESSAGES"])
def test_what_changes_while_a_page_is_read_is_told_again_after_it(name: str) -> None:
    bench = Bench()
    by_bob = {"room": ROOM, "username": "bob", "user_id": BOB}
    edited = events.MessageEdited(**by_bob, id=FILE, message="new", edited_ms=8_000)
    deleted = events.MessageDeleted(**by_bob, id=OTHER, reason="deleted")
    healed = events.MessageHealed(
        **by_bob, placeholder="p", missing=0, id=ME, message="late", timestamp=1, ts_ms=1
    )

    def history(_asked: c.Command) -> dict[str, Any]:
        for event in (edited, deleted, healed):  # after the page was read, before it is given
            assert len(bench.show(event)) == 1
        return {"messages": [stored(message("old"))], "more": False}

    bench.answers["history_get"] = history
    page, *after = bench.say(name, ROOM)
    assert [one["text"] for one in page.args[0]["messages"]] == ["old"]
    assert [frame.args[0]["text"] for frame in after] == ["[edited] new", "[deleted]", "late"]
    bench.answers["history_get"] = {"messages": [], "more": False}
    assert len(bench.say(name, ROOM)) == 1


@pytest.mark.parametrize("name", ["GROUP:GET_INIT_DATA", "CHAT:GET_INIT_MESSAGES"])
def test_a_page_of_the_longest_messages_is_no_more_than_a_frontend_may_have_waiting(name: str) -> None:
    """Members write what they like; a page that closed the connection would shut the group to everybody."""
    long = [stored(message('"' * 16_384, f"{n:036}")) for n in range(50)]
    bench = Bench(history_get={"messages": long, "more": False})
    (frame,) = bench.say(name, ROOM)
    messages = frame.args[0]["messages"]
    assert len(Spelling().encode(frame)) < MAX_BYTES * 3 // 4
    assert frame.args[0]["more"] is True and messages[-1]["id"] == f"{49:036}" and len(messages) > 10
    assert len(bench.show(message("x", f"{0:036}"))) == 1, "what is not on the page is still told"


def test_a_single_message_is_a_page_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.bridge.dialects.groups_001.pages.MAX_PAGE_BYTES", 1)
    bench = Bench(history_get={"messages": [stored(message("a")), stored(message("b"))], "more": False})
    (frame,) = bench.say("CHAT:GET_INIT_MESSAGES", ROOM)
    assert [one["text"] for one in frame.args[0]["messages"]] == ["b"] and frame.args[0]["more"]


def test_a_thousand_members_with_pictures_are_a_frame_that_can_be_waited_for() -> None:
    rows = [
        {"user_id": f"{n:036}", "username": f"u{n}", "role": "member", "presence": "online", "blocked": False}
        for n in range(1_000)
    ]
    bench = Bench(room_get=facts(members=rows))
    for member in rows:
        bench.adapter.memory.know(member["user_id"], "N", "data:image/png;base64," + "A" * 4_000)
    (frame,) = bench.say("GROUP:GET_INIT_DATA", ROOM)
    members = frame.args[0]["members"]
    assert len(members) == 1_000 and members[0]["avatar"] and members[-1]["avatar"] is None
    assert len(Spelling().encode(frame)) < MAX_BYTES // 2


def test_every_group_has_the_keys_that_a_frontend_goes_through() -> None:
    bench = Bench()
    (listed,) = bench.say("GROUP:GET_ALL_GROUPS")
    (added,) = bench.show(events.RoomListed(room=OTHER, name="den", members=1, listed=True))
    for group in (listed.args[0]["groups"][0], added.args[0]):
        assert group["members"] == group["messages"] == []


def test_an_open_group_that_somebody_invites_to_stays_in_the_list_after_the_invite() -> None:
    """The invite may come before the listing does."""
    bench = Bench()
    bench.show(
        events.UserInvite(
            sender="bob", room=OTHER, target="ann", room_name="den", kind="room", expires_at=9, invite=FILE
        )
    )
    assert bench.show(events.RoomListed(room=OTHER, name="den", members=3, listed=True)) == []
    over = events.InviteResult(invite=FILE, room=OTHER, target="ann", response="expired")
    frames = bench.show(over)
    assert [frame.name for frame in frames] == ["GROUP:GROUP_DELETED", "GROUP:GROUP_ADDED"]
    assert frames[1].args[0]["name"] == "den" and frames[1].args[0]["visibility"] == "open"
    (gone,) = bench.show(events.RoomListed(room=OTHER, name="den", members=3, listed=False))
    assert gone.name == "GROUP:GROUP_DELETED"


def test_who_we_are_is_asked_again_with_the_next_event_if_the_start_failed() -> None:
    bench = Bench(profile_get=Refused("busy", "later"))
    bench.show(events.Connectivity(state="locked"))
    assert bench.asked == []
    bench.answers["profile_get"] = Bench().answers["profile_get"]
    (frame,) = bench.show(message(user_id=ME, username="ann", mine=True))
    assert frame.args[0]["self"] is True


@pytest.mark.parametrize(
    "data",
    [
        {"gif": {"id": "xT9IgzoKnwFNmISR8I", "url": FAR, "title": "cat"}},
        {"gifUrl": FAR},
        {"gif_url": FAR},
        {"message": {"gif": FAR}},
    ],
)
def test_a_gif_is_found_where_a_search_for_one_leaves_it(data: dict[str, Any]) -> None:
    bench = Bench()
    bench.say("CHAT:SEND_MESSAGE_GIF", {"groupId": ROOM, **data})
    assert bench.asked == [c.UserMessage(room=ROOM, message=FAR, kind="gif")]


def test_words_inside_a_message_are_said_beside_its_picture() -> None:
    bench = Bench(attachment_put={"attachment": FILE})
    bench.say("CHAT:SEND_MESSAGE_IMAGE", {"groupId": ROOM, "message": {"image": PNG, "text": "look"}})
    assert bench.asked[1] == c.UserMessage(room=ROOM, message="look", kind="image", attachment=FILE)
    assert len(PNG) < MAX_INLINE_BYTES


@pytest.mark.parametrize("nonce", [None, "n", "n" * 128])
def test_words_beside_an_address_follow_it_as_a_message_of_their_own(nonce: str | None) -> None:
    bench = Bench()
    said = {"groupId": ROOM, "gif": FAR, "text": "look", "nonce": nonce}
    assert bench.say("CHAT:SEND_MESSAGE_GIF", said) == []
    first, second = bench.asked
    assert first == c.UserMessage(room=ROOM, message=FAR, kind="gif", nonce=nonce)
    assert isinstance(second, c.UserMessage) and second.message == "look" and bench.lasts == 1
    assert second.nonce != nonce or nonce is None
    assert (second.nonce is None) is (nonce is None) and len(second.nonce or "") <= 128


def test_an_open_group_that_we_were_let_into_and_put_out_of_at_once_stays_in_the_list() -> None:
    """A page that is told late asks for a group that its node is in no more."""
    bench = Bench()
    bench.show(events.RoomListed(room=OTHER, name="den", members=1, listed=True))
    bench.answers["room_get"] = Refused("room_not_found", "no")
    by_us = {"username": "ann", "room": OTHER, "user_id": ME}
    (came,) = bench.show(events.UserJoin(**by_us, reason="join"))
    (left,) = bench.show(events.UserLeave(**by_us, reason="removed"))
    assert came.args[0]["name"] == left.args[0]["name"] == "den"
    (gone,) = bench.show(events.RoomListed(room=OTHER, name="den", members=1, listed=False))
    assert gone.name == "GROUP:GROUP_DELETED"


def test_an_id_that_is_nought_is_said_back() -> None:
    bench = Bench()
    (shown,) = bench.say("USER:REFRESH_PROFILE", {"userId": 0})
    assert shown.args[0]["userId"] == 0 and shown.args[0]["user"]["id"] == 0
