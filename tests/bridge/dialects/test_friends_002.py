"""What the friends protocol is told: every event has its place, or a reason to have none."""

from __future__ import annotations

import msgspec
import pytest

from node.bridge import adapted as a
from node.bridge.dialects.adapter import Setting
from node.bridge.dialects.friends_002 import showing
from node.bridge.dialects.friends_002.page import Page
from node.chat import commands as c, events
from tests.bridge.dialects.friends_bench import (
    ANN,
    BOB,
    DIRECT,
    ID,
    NOW,
    OLD,
    ROOM,
    Bench,
    Node,
    hello,
    message,
    presence,
    stored,
)


def test_every_event_of_the_vocabulary_is_shown_or_has_a_reason_not_to_be() -> None:
    shown = {events.snake(kind.__name__) for kind in showing.Showing(Page(Setting())).kinds}
    assert events.BY_NAME.keys() - shown <= showing.UNSAID.keys()
    assert not shown & showing.UNSAID.keys()


def test_a_live_message_asks_the_node_nothing() -> None:
    bench = Bench()
    before = len(bench.node.asked)
    [(name, (told,))] = bench.told(message())
    assert (name, told["content"], told["sender"], told["chat_id"]) == ("new message", "hello", "bob", ROOM)
    assert len(bench.node.asked) == before


def test_friends_who_come_and_go_are_told_once_each() -> None:
    bench = Bench()
    assert bench.told(presence("online")) == [("user connect", ("bob",)), ("set status", ("online", ["bob"]))]
    assert bench.told(presence("online")) == []
    assert bench.told(presence("away")) == [("set status", ("away", ["bob"]))]
    profile = events.Profile(username="bob", user_id=BOB, status="lunch", seq=1)
    assert bench.told(presence("online", "at tea")) == [("set status", ("at tea", ["bob"]))]
    assert bench.told(profile) == [("set status", ("lunch", ["bob"]))]
    assert bench.told(presence("offline", "lunch")) == [("set status", ("offline", ["bob"]))]
    assert bench.told(events.Profile(username="bob", user_id=BOB, status="back", seq=2)) == []


def test_whoever_comes_and_goes_without_end_fills_nobodys_queue() -> None:
    bench = Bench()
    written: list[a.Effect] = []
    for _ in range(100):
        for state in ("online", "offline"):
            written += bench.machine.handle(a.Shown(presence(state)), now=NOW)
    frames = [one.frame for one in written if isinstance(one, a.Write)]
    assert len(frames) == 300 and {frame.key for frame in frames} == {f"connect {BOB}", f"status {BOB}"}


def test_ones_own_status_is_told_by_ones_own_name_and_is_no_coming() -> None:
    bench = Bench()
    bench.say("user connect", "Ann!")
    assert bench.told(presence("away", "tea", (ANN, "ann"))) == [("set status", ("tea", ["Ann!"]))]


@pytest.mark.parametrize(
    ("event", "chat", "words"),
    [
        (
            events.Warning(code="clock_skew", message="set the clock"),
            "[node]",
            "[warning] set the clock",
        ),
        (
            events.KeyChanged(username="bob", user_id=BOB, seq=1),
            DIRECT,
            "[keys changed] of bob: compare safety numbers before you go on",
        ),
        (
            events.MessageStatus(id=ID, status="failed", by="bob", why="removed", room=ROOM, seq=1),
            ROOM,
            "[not delivered] to bob: removed",
        ),
        (
            events.Attachment(id=ID, room=ROOM, name="a.png", state="ready", received=1, size=1, url="/x"),
            ROOM,
            "[file] a.png is here now http://here/x",
        ),
        (
            events.Attachment(id=ID, room=ROOM, name="a.png", state="failed", received=0, size=1, why="gone"),
            ROOM,
            "[file] a.png did not come: gone",
        ),
        (
            events.UserLeave(username="bob", room=ROOM, user_id=BOB, reason="removed", seq=1),
            ROOM,
            "[removed] bob",
        ),
        (
            events.ContactUpdated(username="bob", user_id=BOB, state="none", seq=1),
            DIRECT,
            "[friend request] between you and bob is over",
        ),
        (
            events.InviteResult(invite=ID, room=ROOM, target="bob", response="cancelled", kind="game",
                                why="busy", seq=1),
            DIRECT,
            "[invite] to a game: taken back (busy)",
        ),
        (
            events.RoomUpdated(room=ROOM, name="tea", history="none", seq=1),
            ROOM,
            "[room] newcomers read of the history: none",
        ),
    ],
)  # fmt: skip
def test_what_has_no_event_is_a_message_in_its_place(event: events.Event, chat: str, words: str) -> None:
    assert Bench().text(event) == (chat, words)


@pytest.mark.parametrize(
    "event",
    [
        events.MessageStatus(id=ID, status="delivered", by="bob", room=ROOM, seq=1),
        events.Typing(username="bob", room=ROOM, user_id=BOB, typing=True),
        events.UserJoin(username="bob", room=ROOM, user_id=BOB, reason="reconnect"),
        events.UserLeave(username="bob", room=ROOM, user_id=BOB, reason="disconnect"),
        events.RoomUpdated(room=ROOM, name="tea", muted=True, seq=1),
        events.InviteResult(invite=ID, room=ROOM, target="bob", response="delivered", seq=1),
        events.ContactUpdated(username="bob", user_id=BOB, seq=1),
        events.Attachment(id=ID, room=ROOM, name="a.png", state="progress", received=0, size=1),
    ],
)
def test_what_nobody_wants_as_a_text_is_not_told(event: events.Event) -> None:
    assert Bench().told(event) == []


def test_a_file_stands_in_the_words_with_where_it_is() -> None:
    file = {
        "id": OLD,
        "name": "cat.png",
        "type": "image/png",
        "size": 9,
        "state": "ready",
        "url": "/api/a?cap=c",
    }
    [(_, (told,))] = Bench().told(message(kind="image", attachment=file))
    assert told["content"] == "hello\n[image] cat.png http://here/api/a?cap=c"
    assert told["attachment"] == file


def test_an_edit_of_a_message_with_a_file_is_read_again_so_that_the_file_stays() -> None:
    bench = Bench()
    file = {"id": OLD, "name": "cat.png", "url": "/c"}
    bench.show(message(kind="image", attachment=file))
    bench.node.history = [stored(ID, "changed", kind="image", attachment=file, edited=True)]
    edited = events.MessageEdited(
        room=ROOM, id=ID, username="bob", user_id=BOB, message="changed", edited_ms=5, seq=1
    )
    [(name, (told,))] = bench.told(edited)
    assert (name, told["content"], told["edited"]) == (
        "edit message",
        "changed\n[image] cat.png http://here/c",
        True,
    )


def test_an_edit_of_an_old_message_that_was_not_told_is_read_from_among_the_others() -> None:
    bench = Bench()
    later = [stored(f"{n:08}{ID[8:]}", "later") for n in range(3)]
    bench.node.history = [stored(OLD, "changed", edited=True), *later]
    edited = events.MessageEdited(
        room=ROOM, id=OLD, username="bob", user_id=BOB, message="changed", edited_ms=5, seq=1
    )
    [(_, (told,))] = bench.told(edited)
    assert (told["id"], told["content"]) == (OLD, "changed")
    assert told["created_at"] == "2023-11-14T22:13:20.000Z"


def test_what_became_of_an_own_message_stands_in_what_is_told_of_it_later() -> None:
    bench = Bench()
    bench.show(message(self=True))
    bench.show(events.MessageStatus(id=ID, status="delivered", by="bob", room=ROOM, seq=10))
    edited = events.MessageEdited(
        room=ROOM, id=ID, username="ann", user_id=ANN, message="new", edited_ms=5, mine=True, seq=11
    )
    assert bench.told(edited)[0][1][0]["status"] == "delivered"
    bench.node.history = [stored(ID, self=True)]
    assert bench.say("join room", ROOM)["messages"][0]["status"] == "delivered"


def test_an_edit_is_shown_though_the_message_cannot_be_read() -> None:
    bench = Bench()
    bench.node.refusals[c.HistoryGet] = "locked"
    edited = events.MessageEdited(
        room=ROOM, id=OLD, username="bob", user_id=BOB, message="new", edited_ms=5, seq=1
    )
    [(name, (told,))] = bench.told(edited)
    assert (name, told["content"], told["created_at"], told["sender"]) == ("edit message", "new", None, "bob")


def test_a_placeholder_stands_for_fewer_and_goes_in_the_end() -> None:
    bench = Bench()
    bench.node.history = [stored(OLD, "", kind="unreadable", missing=2)]
    given = stored(ID, "found", placeholder=OLD, missing=1, seq=3)
    del given["event"]
    first, last = bench.told(msgspec.convert({"event": "message_healed", **given}, events.MessageHealed))
    assert (first[0], first[1][0]["content"]) == ("new message", "found")
    assert last[1][0]["content"] == "[unreadable] 1 message cannot be read here yet"
    gone = events.MessageHealed(room=ROOM, placeholder=OLD, missing=0, seq=4)
    assert bench.told(gone) == [("delete message", (OLD, ROOM))]


def test_times_that_no_calendar_has_are_no_times() -> None:
    bench = Bench()
    [(_, (told,))] = bench.told(message(ts_ms=2**62))
    assert told["created_at"] is None
    invite = events.UserInvite(
        sender="bob", room=ROOM, invite=ID, target="ann", room_name="x", kind="room", expires_at=2**60, seq=1
    )
    assert bench.text(invite)[1] == f"[invite] to the room x: to accept, join room {ID}"


def test_a_page_that_was_opened_while_the_vault_was_locked_comes_right_by_itself() -> None:
    node = Node()
    node.refusals[c.ProfileGet] = "locked"
    bench = Bench(node=node)
    assert not bench.unshown
    assert bench.say("user connect", "ann") == {"ok": False, "error": "locked", "message": "no"}
    node.refusals.clear()
    bench.show(events.Connectivity(state="meshed"))
    assert bench.told(presence("away", "tea", (ANN, "ann"))) == [("set status", ("tea", ["ann"]))]
    [(_, (told,))] = bench.told(message())
    assert told["content"] == "hello"
    assert bench.say("new message", {"chat_id": "bob", "content": "hi"})["ok"] is True


@pytest.mark.parametrize("event", [events.Connectivity(state="alone"), hello()])
def test_whoever_connects_while_the_vault_is_locked_is_greeted_by_their_name_when_it_opens(
    event: events.Event,
) -> None:
    node = Node()
    node.refusals = {c.ProfileGet: "locked"}
    node.contacts[0]["presence"], node.presence = "online", "offline"
    bench = Bench(node=node)
    assert bench.say("user connect", "Ann!")["error"] == "locked"
    node.refusals.clear()
    told = bench.told(event)
    assert told == [("set status", ("online", ["bob"]))]
    assert [one.state for one in node.asked if isinstance(one, c.PresenceSet)] == ["online"]
    [(_, (said,))] = bench.told(message(OLD, self=True))
    assert said["sender"] == "Ann!"
    assert bench.told(events.Connectivity(state="meshed")) == []
