"""Reading up to a message while others come: nothing counts as read that nobody has seen."""

from __future__ import annotations

import pytest

from node.bridge.ports import CommandReceived
from node.chat import commands as c, events
from node.engine.effects import FetchAfter
from node.sim import SimNode
from node.sim_shell import fetched
from tests.engine.hostile import engine_of
from tests.engine.test_receipts import pair, say, statuses


@pytest.mark.parametrize("gone", [False, True])
def test_what_comes_while_the_store_is_asked_stays_unread(gone: bool) -> None:
    world, ann, bob, direct = pair()
    here = ann.attach()
    first, second = say(ann, direct, "first"), say(ann, direct, "second")
    world.run(7)
    session = bob.attach(plain=False)
    order = asked(bob, session.number, c.MessageRead(room=direct, id=second, req=1))
    came = fetched(bob.store, order)
    third = say(ann, direct, "third")
    if gone:
        ann.call(c.MessageDelete(room=direct, id=first))
    world.run(1)
    bob.feed(came)
    assert [ok.fields["unread"] for ok in session.of(events.Ok)] == [1]
    world.run(20)
    assert ("read", "bob") in statuses(here, second) and ("read", "bob") not in statuses(here, third)
    assert bob.call(c.RoomRead(room=direct))["unread"] == 0
    world.run(20)
    assert ("read", "bob") in statuses(here, third)


def asked(node: SimNode, session: int, command: c.MessageRead) -> FetchAfter:
    effects = engine_of(node).handle(CommandReceived(session, command), now=node.now())
    (order,) = [one for one in effects if isinstance(one, FetchAfter)]
    return order
