"""One turn in which a message, what is with it and what becomes of it meet: log, notices and replay agree."""

from __future__ import annotations

from typing import Any

import pytest

from node import ids
from node.chat import commands as c, events, expiring
from node.chat.turn import Turn
from node.engine.effects import FetchMessages
from node.mesh.ports import Arrived
from node.sim import SimNode
from node.sim_shell import fetched
from node.tables import Table
from node.wire.envelope import Envelope
from node.wire.payload import Type, Words
from tests.engine.healing_worlds import PATIENCE, lost as unheard
from tests.engine.hostile import engine_of, give, no_late_faults, post, room_inner, room_of, sending, text
from tests.engine.test_attachments import content, upload
from tests.engine.test_lost_changes import made, one_change
from tests.engine.test_mention_notices import listed, mentions
from tests.engine.worlds import trio


def mention(
    node: SimNode, of: SimNode, words: str, *, ttl: int | None = None
) -> tuple[bytes, list[Envelope]]:
    """Let a node mention another and send it a file, unheard; returns the message's id and its envelopes."""
    mids: list[bytes] = []
    _, record = engine_of(node).state.attachments.find(upload(node, content(70_000))["attachment"], field="")

    def speak(turn: Turn) -> None:
        said = Words(words, "text", None, ttl, (of.setup.identity.account,), record.manifest)
        mids.append(room_of(node).say(turn, said).mid)

    sealed = made(node, speak)
    return mids[0], sealed


def stored_words(node: SimNode, word: bytes) -> list[str]:
    """Return where a node's store still has a word."""
    found = [
        table for table, rows in node.store.load().rows.items() if any(word in row for row in rows.values())
    ]
    found += ["messages" for kept in node.store.messages() if word in kept.body]
    found += ["events" for event in node.store._state.events.values() if word in (event.body or b"")]
    return found


def replay_is_what_was_seen(node: SimNode, seen: list[Any]) -> None:
    """The log gives the logged events again, in their order; of texts that went since, what is left."""
    live = [event.seq for event in seen if events.name_of(event) in events.LOGGED and event.seq]
    assert live == sorted(live) and len(set(live)) == len(live)
    logged = [seq for seq, _ in node.store.events_after(0, 10_000)]
    assert logged == list(range(1, len(logged) + 1)) and set(live) <= set(logged)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_mention_that_was_deleted_before_it_came_notifies_nobody_and_leaves_no_words(at_once: bool) -> None:
    _, ann, bob, _, room = trio("deleted first")
    seen = bob.attach(plain=False)
    mid, said = mention(ann, bob, "the word is swordfish, @bob")
    gone = one_change(ann, Type.DELETE, [mid, ann.setup.identity.account])
    for some in [gone + said] if at_once else [gone, said]:
        give(bob, some)
    (shown,) = seen.of(events.UserMessage)
    assert shown.deleted is True and shown.message == ""
    assert mentions(seen) == [] and listed(bob) == []
    assert stored_words(bob, b"swordfish") == []
    assert engine_of(bob).state.attachments.records == {}
    replay_is_what_was_seen(bob, seen.seen)
    no_late_faults(bob)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_notice_has_the_words_of_an_edit_that_came_with_or_before_its_message(
    order: tuple[int, int],
) -> None:
    _, ann, bob, _, room = trio(f"edited first {order}")
    seen = bob.attach(plain=False)
    mid, said = mention(ann, bob, "teh word, @bob")
    account = bob.setup.identity.account
    parts = [said, one_change(ann, Type.EDIT, [mid, "the word, @bob", [account], None])]
    give(bob, [one for at in order for one in parts[at]])
    assert [row["data"]["text"] for row in listed(bob)] == ["the word, @bob"]
    (told,) = mentions(seen)
    (shown,) = seen.of(events.UserMessage)
    assert told.seq > shown.seq and (shown.message, shown.edited) == ("the word, @bob", True)
    replay_is_what_was_seen(bob, seen.seen)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_a_message_with_everything_that_becomes_of_it_in_one_batch_ends_the_same(
    order: tuple[int, ...],
) -> None:
    _, ann, bob, _, room = trio(f"everything {order}")
    seen = bob.attach(plain=False)
    mid, said = mention(ann, bob, "the word is swordfish, @bob")
    account = ann.setup.identity.account
    parts = [
        said,
        one_change(ann, Type.EDIT, [mid, "another swordfish, @bob", [bob.setup.identity.account], None]),
        one_change(ann, Type.DELETE, [mid, account]),
    ]
    give(bob, [one for at in order for one in parts[at]])
    assert stored_words(bob, b"swordfish") == []
    assert [(row["data"]["text"], row["withdrawn"]) for row in listed(bob)] in ([], [("", True)])
    assert engine_of(bob).state.attachments.records == {}
    assert all(row["is_read"] for row in listed(bob))
    replay_is_what_was_seen(bob, seen.seen)
    before = [body for _, body in bob.store.events_after(0, 10_000)]
    bob.crash()
    bob.start()
    assert [body for _, body in bob.store.events_after(0, 10_000)] == before
    no_late_faults(bob)


def hold_back_reads(node: SimNode, envelopes: list[Envelope]) -> list[Any]:
    """Give a node envelopes; return what its store answered, as on a thread that is not done yet."""
    engine, answers = engine_of(node), list[Any]()
    for sealed in envelopes:
        for effect in engine._release(engine._turn(node.now()), [Arrived(sealed, None)]):
            if isinstance(effect, FetchMessages) and effect.to_change:
                answers.append(fetched(node.store, effect))
            else:
                node._one(effect)
    return answers


def test_a_message_that_comes_while_it_is_looked_for_goes_when_its_time_is_over() -> None:
    world, ann, bob, _, room = trio("while looked for")
    mid, said = mention(ann, bob, "swordfish, @bob", ttl=60)
    reaction = one_change(ann, Type.REACTION, [mid, ann.setup.identity.account, "\N{CAT}", 1])
    (answer,) = hold_back_reads(bob, reaction)
    assert (mid, None) in answer.found
    give(bob, said)
    bob.feed(answer)
    (shown,) = bob.call(c.HistoryGet(room=room))["messages"]
    assert shown["message"] == "swordfish, @bob"
    world.run(130)
    (shown,) = bob.call(c.HistoryGet(room=room))["messages"]
    assert shown["deleted"] is True and stored_words(bob, b"swordfish") == []


def test_of_too_many_that_expire_those_that_go_at_once_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiring, "MAX_EXPIRING", 2)
    world, ann, bob, _, room = trio("too many")
    for number in range(5):
        ann.call(c.UserMessage(room=room, message=f"words {number}", ttl=1000 + number))
    world.run(5)
    for node in (ann, bob):
        kept = [m["message"] for m in node.call(c.HistoryGet(room=room))["messages"]]
        assert kept == ["", "", "", "words 3", "words 4"]
        rows = node.store.load().rows[Table.PENDING]
        assert sum(key.startswith(expiring.ROW) for key in rows) == 2


def test_what_somebody_blocked_said_for_a_while_ends_without_a_word_about_a_room_that_is_none() -> None:
    world, ann, bob, _, room = trio("blocked for a while")
    bob.call(c.ContactBlock(username="ann", silent=True))
    world.run(5)
    seen = bob.attach(plain=False)
    data = upload(ann, content(3_000), name="swordfish.pdf")["attachment"]
    ann.call(c.UserMessage(room=room, message="@bob swordfish", ttl=60, attachment=data))
    ann.call(c.UserMessage(room=room, message="@bob swordfish too", mentions=["bob"], attachment=data))
    world.run(200)
    assert stored_words(bob, b"swordfish") == []
    assert not any(b"manifest" in kept.body for kept in bob.store.messages())
    rooms = {getattr(event, "room", room) for event in seen.seen}
    assert rooms <= {room, None}
    assert not seen.of(events.MessageDeleted)
    assert not any(key.startswith(expiring.ROW) for key in bob.store.load().rows[Table.PENDING])


def test_a_link_that_is_given_up_when_something_is_published_is_told_like_any_other() -> None:
    world, ann, _, _, room = trio("deaf")
    seen = ann.attach(plain=False)
    for near in engine_of(ann).mesh._near.values():
        near.link.deaf = True
    ann.call(c.UserMessage(room=room, message="who hears?"), seen)
    assert len(seen.of(events.PeerDown)) == 2
    assert [told.state for told in seen.of(events.Connectivity)] == ["connecting"]


def test_a_copied_id_that_expires_takes_nothing_of_somebody_else_along() -> None:
    world, ann, bob, _, room = trio("copied")
    said = ann.call(c.UserMessage(room=room, message="mine and lasting"))["id"]
    world.run(2)
    room_of(bob).timeline.known.clear()  # as after many messages
    payload = text(ann, "copy", mid=ids.parse(said), body=["copy", "text", None, 5])
    post(ann, sending(ann).channel, room_inner(ann, payload))
    world.run(200)
    shown = [m["message"] for m in bob.call(c.HistoryGet(room=room))["messages"]]
    assert shown == ["mine and lasting"]
    assert not any(key.startswith(expiring.ROW) for key in bob.store.load().rows[Table.PENDING])


@pytest.mark.parametrize("gone", [False, True])
def test_a_mention_that_heals_after_its_change_came_is_told_as_it_is_by_then(gone: bool) -> None:
    world, ann, bob, _, room = trio(f"healed {gone}")
    made: list[str] = []

    def speak() -> None:
        file = upload(ann, content(3_000))["attachment"]
        made.append(ann.call(c.UserMessage(room=room, message="swordfish, @bob", attachment=file))["id"])

    unheard(world, ann, speak)
    seen = bob.attach(plain=False)
    if gone:
        ann.call(c.MessageDelete(room=room, id=made[0]))
    else:
        ann.call(c.MessageEdit(room=room, id=made[0], message="nobody in particular"))
    world.run(PATIENCE + 30)
    (healed,) = [told for told in seen.of(events.MessageHealed) if told.id == made[0]]
    assert (healed.message, healed.deleted is True) == (
        ("", True) if gone else ("nobody in particular", False)
    )
    assert mentions(seen) == [] and listed(bob) == []
    assert stored_words(bob, b"swordfish") == []
    records = engine_of(bob).state.attachments.records.values()
    assert [record.named for record in records] == ([] if gone else [1])
    (row,) = bob.call(c.RoomList())["rooms"]
    assert row["unread"] == (0 if gone else 1)
    replay_is_what_was_seen(bob, seen.seen)
    no_late_faults(ann, bob)
