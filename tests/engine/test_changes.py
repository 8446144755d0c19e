"""Edits, deletions and reactions between whole nodes: what everybody sees, and what nobody sees any more."""

from __future__ import annotations

from typing import Any

import pytest

from node import ids
from node.chat import commands as c, events
from node.sim import CallError, SimNode, SimSession
from tests.engine.worlds import trio


def say(node: SimNode, room: str, text: str, **more: Any) -> str:
    """Send a message and return its id."""
    return str(node.call(c.UserMessage(room=room, message=text, **more))["id"])


def history(node: SimNode, room: str) -> list[events.UserMessage]:
    """Return what a node's store has of a room."""
    found, _ = node.store.history(ids.parse(room), None, None, 200)
    told = [events.decode_json(body) for body in found]
    return [one for one in told if isinstance(one, events.UserMessage)]


def last(session: SimSession, kind: Any) -> Any:
    """Return the newest event of a kind."""
    return session.of(kind)[-1]


def test_an_edit_is_shown_to_everybody_at_every_frontend_and_stands_in_the_history() -> None:
    world, ann, bob, _, room = trio()
    mine, other, theirs = ann.attach(), ann.attach(), bob.attach()
    mid = say(ann, room, "teh tea")
    world.run(2)
    done = ann.call(c.MessageEdit(room=room, id=mid, message="the tea"), mine)
    world.run(2)
    assert done["id"] == mid and done["edited_ms"] > 0
    for session, own in ((mine, True), (other, True), (theirs, False)):
        told = last(session, events.MessageEdited)
        assert (told.id, told.message, told.username, told.mine) == (mid, "the tea", "ann", own)
    for node in (ann, bob):
        (kept,) = history(node, room)
        assert (kept.message, kept.edited, kept.edited_ms) == ("the tea", True, done["edited_ms"])


def test_only_its_author_edits_a_message() -> None:
    world, ann, bob, _, room = trio()
    mid = say(ann, room, "mine")
    world.run(2)
    with pytest.raises(CallError, match="forbidden"):
        bob.call(c.MessageEdit(room=room, id=mid, message="yours"))
    world.run(2)
    assert [m.message for m in history(ann, room)] == ["mine"]


def test_a_deleted_message_is_erased_from_every_store_and_no_replay_brings_it_back() -> None:
    world, ann, bob, _, room = trio()
    theirs = bob.attach()
    mid = say(ann, room, "a slip of the tongue")
    ann.call(c.MessageEdit(room=room, id=mid, message="another slip of the tongue"))
    world.run(2)
    ann.call(c.MessageDelete(room=room, id=mid))
    world.run(2)
    told = last(theirs, events.MessageDeleted)
    assert (told.id, told.reason, told.username) == (mid, "deleted", "ann")
    for node in (ann, bob):
        (kept,) = history(node, room)
        assert kept.deleted is True and kept.message == "" and kept.edited is not True
        log = b"".join(body for _, body in node.store.events_after(0, 1000))
        log += b"".join(event.body or b"" for event in node.store._state.events.values())
        rows = b"".join(node.store.load().rows["pending"].values())
        rows += b"".join(node.store.load().rows["rooms"].values())
        assert b"slip" not in log + rows
        assert node.call(c.RoomList())["rooms"][0]["last_message"] == ""


def test_an_admin_deletes_what_somebody_else_said_and_a_member_does_not() -> None:
    world, ann, bob, _, room = trio()
    mine = bob.attach()
    first = say(bob, room, "rude")
    world.run(2)
    second = say(ann, room, "polite")
    world.run(2)
    with pytest.raises(CallError, match="forbidden"):
        bob.call(c.MessageDelete(room=room, id=second))
    ann.call(c.MessageDelete(room=room, id=first))
    world.run(2)
    assert last(mine, events.MessageDeleted).reason == "moderated"
    for node in (ann, bob):
        assert [m.message for m in history(node, room)] == ["", "polite"]


def test_a_reaction_is_counted_once_a_person_and_emoji_and_taken_back() -> None:
    world, ann, bob, _, room = trio()
    seen = ann.attach()
    mid = say(ann, room, "cake")
    world.run(2)
    assert bob.call(c.ReactionSet(room=room, id=mid, emoji="like"))["emoji"] == "\N{THUMBS UP SIGN}"
    bob.call(c.ReactionSet(room=room, id=mid, emoji="\N{THUMBS UP SIGN}"))
    ann.call(c.ReactionSet(room=room, id=mid, emoji="\N{THUMBS UP SIGN}"))
    bob.call(c.ReactionSet(room=room, id=mid, emoji="\N{SHORTCAKE}"))
    world.run(2)
    assert [(e.username, e.emoji, e.on, e.mine) for e in seen.of(events.Reaction)] == [
        ("ann", "\N{THUMBS UP SIGN}", True, True),
        ("bob", "\N{THUMBS UP SIGN}", True, False),
        ("bob", "\N{SHORTCAKE}", True, False),
    ]
    for node in (ann, bob):
        (kept,) = history(node, room)
        assert [(r.emoji, r.count, r.mine) for r in kept.reactions or ()] == [
            ("\N{THUMBS UP SIGN}", 2, True),
            ("\N{SHORTCAKE}", 1, node is bob),
        ]
    bob.call(c.ReactionSet(room=room, id=mid, emoji="\N{SHORTCAKE}", on=False))
    world.run(2)
    assert last(seen, events.Reaction).on is False
    assert [r.emoji for r in history(ann, room)[0].reactions or ()] == ["\N{THUMBS UP SIGN}"]


def test_all_of_it_works_in_a_conversation_of_two() -> None:
    world, ann, bob, _, _ = trio()
    room = ann.call(c.DmOpen(username="bob"))["room"]
    mid, answer = say(ann, room, "psst"), ""
    world.run(2)
    answer = say(bob, room, "what?", reply_to=mid)
    world.run(2)
    ann.call(c.MessageEdit(room=room, id=mid, message="hello"))
    bob.call(c.ReactionSet(room=room, id=mid, emoji="\N{EYES}"))
    world.run(2)
    for node in (ann, bob):
        first, second = history(node, room)
        assert (first.message, second.reply_to, len(first.reactions or ())) == ("hello", mid, 1)
    with pytest.raises(CallError, match="forbidden"):
        ann.call(c.MessageDelete(room=room, id=answer))
    bob.call(c.MessageDelete(room=room, id=answer))
    world.run(2)
    assert [m.message for m in history(ann, room)] == ["hello", ""]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (c.MessageEdit, "message_not_found"),
        (c.MessageDelete, "message_not_found"),
        (c.ReactionSet, "message_not_found"),
    ],
)
def test_what_is_not_there_cannot_be_changed(command: Any, code: str) -> None:
    _, ann, _, _, room = trio()
    more = {c.MessageEdit: {"message": "x"}, c.ReactionSet: {"emoji": "like"}}.get(command, {})
    with pytest.raises(CallError, match=code):
        ann.call(command(room=room, id=ids.text(ids.uuid4(bytes(16))), **more))


def test_a_reply_is_to_a_message_of_that_room() -> None:
    _, ann, _, _, room = trio()
    other = ann.call(c.RoomCreate(name="elsewhere"))["room"]
    there, here = say(ann, other, "there"), say(ann, room, "here")
    with pytest.raises(CallError, match="message_not_found"):
        say(ann, room, "to what?", reply_to=there)
    ann.crash()
    ann.start()
    mine = ann.attach()
    say(ann, room, "to that", reply_to=here)
    assert last(mine, events.UserMessage).reply_to == here


def test_a_deleted_message_is_no_longer_edited_nor_reacted_to() -> None:
    _, ann, _, _, room = trio()
    mid = say(ann, room, "gone")
    ann.call(c.MessageDelete(room=room, id=mid))
    ann.call(c.MessageDelete(room=room, id=mid))
    with pytest.raises(CallError, match="message_deleted"):
        ann.call(c.MessageEdit(room=room, id=mid, message="back"))
    with pytest.raises(CallError, match="message_deleted"):
        ann.call(c.ReactionSet(room=room, id=mid, emoji="like"))


def test_changes_reach_who_was_away_and_survive_crashes_on_both_sides() -> None:
    world, ann, bob, _, room = trio()
    first, second, third = (say(ann, room, text) for text in ("one", "two", "three"))
    world.run(2)
    bob.crash()
    ann.call(c.MessageEdit(room=room, id=first, message="one, mended"))
    ann.call(c.MessageDelete(room=room, id=second))
    ann.call(c.ReactionSet(room=room, id=third, emoji="like"))
    late = say(ann, room, "four")
    ann.call(c.MessageEdit(room=room, id=late, message="four, mended"))
    world.run(2)
    ann.crash()
    ann.start()
    bob.start()
    world.run(10)
    for node in (ann, bob):
        kept = history(node, room)
        assert [m.message for m in kept] == ["one, mended", "", "three", "four, mended"]
        assert len(kept[2].reactions or ()) == 1


def test_a_nonce_edits_once() -> None:
    _, ann, _, _, room = trio()
    mine = ann.attach()
    mid = say(ann, room, "a")
    first = ann.call(c.MessageEdit(room=room, id=mid, message="b", nonce="n"))
    ann.call(c.MessageEdit(room=room, id=mid, message="c"))
    assert ann.call(c.MessageEdit(room=room, id=mid, message="b", nonce="n")) == first
    assert len(mine.of(events.MessageEdited)) == 2
    assert history(ann, room)[0].message == "c"


def test_a_replay_tells_an_edit_with_the_words_of_now() -> None:
    _, ann, _, _, room = trio()
    mid = say(ann, room, "a")
    ann.call(c.MessageEdit(room=room, id=mid, message="b"))
    ann.call(c.MessageEdit(room=room, id=mid, message="c"))
    told = [events.decode_json(body) for _, body in ann.store.events_after(0, 1000)]
    assert [e.message for e in told if isinstance(e, events.UserMessage)] == ["c"]
    assert [e.message for e in told if isinstance(e, events.MessageEdited)] == ["c", "c"]


def test_a_mention_is_told_to_who_is_meant_under_each_nodes_own_names() -> None:
    world, ann, bob, _, room = trio()
    mine, theirs = ann.attach(), bob.attach()
    ann.call(c.ContactRename(username="bob", name="bobby"))
    say(ann, room, "ask @bobby")
    world.run(2)
    for session, name, meant in ((mine, "bobby", False), (theirs, "bob", True)):
        told = last(session, events.UserMessage)
        assert [one.username for one in told.mentions] == [name]
        assert (told.mentioned is True) is meant
    with pytest.raises(CallError, match="unknown_user"):
        say(ann, room, "hello", mentions=["nobody"])
    mid = say(ann, room, "hello", mentions=["bobby"])
    world.run(2)
    assert last(theirs, events.UserMessage).mentioned is True
    ann.call(c.MessageEdit(room=room, id=mid, message="never mind"))
    world.run(2)
    assert last(theirs, events.MessageEdited).mentioned is not True
    assert history(bob, room)[-1].mentioned is not True


def test_a_picture_at_an_address_travels_as_text_and_is_marked() -> None:
    world, ann, bob, _, room = trio()
    theirs = bob.attach()
    say(ann, room, "https://example.org/cat.gif", kind="gif")
    say(ann, room, "http://example.org/cat.png", kind="image")
    say(ann, room, "a sound", kind="audio")
    say(ann, room, "https://example.org/", kind="text")
    world.run(2)
    told = theirs.of(events.UserMessage)
    marked = [("gif", True), ("image", True), ("audio", False), ("text", False)]
    assert [(e.kind, e.remote is True) for e in told] == marked


def test_in_a_conversation_of_two_deleted_words_are_not_kept_to_be_sent_again_either() -> None:
    world, ann, bob, _, _ = trio()
    room = ann.call(c.DmOpen(username="bob"))["room"]
    mid = say(ann, room, "a slip of the tongue")
    ann.call(c.MessageEdit(room=room, id=mid, message="another slip of the tongue"))
    world.run(2)
    assert b"slip" in b"".join(ann.store.load().rows["pending"].values())
    ann.call(c.MessageDelete(room=room, id=mid))
    world.run(2)
    for node in (ann, bob):
        assert b"slip" not in b"".join(node.store.load().rows["pending"].values())
        assert b"slip" not in b"".join(event.body or b"" for event in node.store._state.events.values())
