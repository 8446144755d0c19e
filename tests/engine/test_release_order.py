"""One turn in which a message, what is with it and what becomes of it meet: log, notices and replay agree."""

from __future__ import annotations

from typing import Any

import pytest

from node.chat import commands as c, events, expiring
from node.chat.turn import Turn
from node.engine.effects import FetchMessages
from node.sim import SimNode
from node.tables import Table
from node.wire.envelope import Envelope
from node.wire.payload import Type, Words
from tests.engine.hostile import engine_of, give, no_late_faults, room_of
from tests.engine.test_attachments import content, upload
from tests.engine.test_lost_changes import made, one_change
from tests.engine.test_mention_notices import listed, mentions
from tests.engine.worlds import trio


def mention(node: SimNode, of: SimNode, words: str, *, ttl: int | None = None) -> tuple[bytes, list[Envelope]]:
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
    found = [table for table, rows in node.store.load().rows.items() if any(word in row for row in rows.values())]
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
def test_a_notice_has_the_words_of_an_edit_that_came_with_or_before_its_message(order: tuple[int, int]) -> None:
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
def test_a_message_with_everything_that_becomes_of_it_in_one_batch_ends_the_same(order: tuple[int, ...]) -> None:
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
