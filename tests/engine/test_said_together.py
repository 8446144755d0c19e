"""Messages that frontends send one after the other are done in one turn, each answered as if alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from node.bridge.ports import CommandReceived, Deliver
from node.chat import commands as c, events
from node.engine.effects import Effect, Persist
from node.mesh.ports import SendBytes
from node.sim import SimNode
from node.store.records import AppendEvent, PutEnvelope, PutMessage
from tests.engine.worlds import texts, trio


def say(room: str, *words: str, **more: Any) -> list[CommandReceived]:
    return [
        CommandReceived(1, c.UserMessage(room=room, message=text, req=at, **more))
        for at, text in enumerate(words)
    ]


def done(node: SimNode, said: list[CommandReceived]) -> list[Effect]:
    assert node.engine is not None
    effects = node.engine.handle_said(said, now=node.now())
    node.perform(effects)
    return effects


def answers(effects: list[Effect]) -> list[tuple[Any, str]]:
    """Return (req, name) of what was answered, in its order."""
    replies = [one.event for one in effects if isinstance(one, Deliver)]
    return [(one.req, type(one).__name__) for one in replies if isinstance(one, events.Ok | events.Error)]


def test_each_is_answered_and_shown_in_its_order_and_one_commit_has_them_all() -> None:
    world, ann, bob, _, room = trio("together")
    seen = bob.attach()
    own = ann.attach()
    done(ann, say(room, "warm up"))
    words = [f"word {number}" for number in range(20)]
    effects = done(ann, say(room, *words))
    assert answers(effects) == [(number, "Ok") for number in range(20)]
    assert isinstance(effects[0], Persist) and not any(isinstance(one, Persist) for one in effects[1:])
    kinds = Counter(type(write) for write in effects[0].writes)
    assert kinds[PutMessage] == kinds[AppendEvent] == kinds[PutEnvelope] == 20
    assert len(effects[0].writes) == 62  # and one row of the chain and one of the room for all of them
    assert any(isinstance(one, SendBytes) for one in effects[1:])
    shown = [one for one in effects if isinstance(one, Deliver) and isinstance(one.event, events.UserMessage)]
    assert [one.encoded for one in shown] == [events.encode_json(one.event) for one in shown]
    world.run(2)
    assert texts(seen) == texts(own) == ["warm up", *words]
    assert len({event.id for event in seen.of(events.UserMessage)}) == 21


def test_one_that_is_refused_takes_nothing_from_the_others() -> None:
    world, ann, bob, _, room = trio("refused together")
    seen = bob.attach()
    said = say(room, "one", "two", "three")
    nowhere = c.UserMessage(room="00000000-0000-4000-8000-000000000000", message="", req=1)
    said[1] = CommandReceived(1, nowhere)
    assert answers(done(ann, said)) == [(0, "Ok"), (1, "Error"), (2, "Ok")]
    world.run(2)
    assert texts(seen) == ["one", "three"]


def test_what_is_sent_twice_with_one_nonce_is_said_once() -> None:
    world, ann, bob, _, room = trio("twice together")
    seen = bob.attach()
    effects = done(ann, say(room, "once", "once", nonce="n1"))
    assert answers(effects) == [(0, "Ok"), (1, "Ok")]
    replies = [one.event for one in effects if isinstance(one, Deliver) and isinstance(one.event, events.Ok)]
    assert replies[0].fields["id"] == replies[1].fields["id"]
    world.run(2)
    assert texts(seen) == ["once"]


@pytest.mark.parametrize("together", [False, True])
def test_what_was_said_together_is_held_by_a_peer_like_all_else(together: bool) -> None:
    world, ann, _, _, room = trio("held together")
    mine = ann.attach()
    said = [CommandReceived(mine.number, one.command) for one in say(room, *"abcdef")]
    for some in [said] if together else [[one] for one in said]:
        done(ann, some)
    world.run(30)
    assert ann.engine is not None
    assert not ann.engine.desk.inbox.receipts.ledger.following
