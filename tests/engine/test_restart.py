"""What must survive a restart: messages that wait, references that the store knows, sessions' positions."""

from __future__ import annotations

from node import ids
from node.bridge.ports import Resume
from node.chat import commands as c, events
from node.chat.timeline import GAP_AFTER_LINK, Item
from node.sim import SimNode
from node.tables import Table
from tests.engine.worlds import texts, trio


def hand_in(node: SimNode, room: str, text: str, ref: bytes) -> None:
    """Let a node have a message that refers to `ref`, as if it had come and been opened."""
    engine = node.engine
    assert engine is not None
    inbox = engine.state.rooms.inboxes[ids.parse(room)]
    account = next(a for a in inbox.room.log.roster.members if a != engine.state.me.account)
    item = Item(node.setup.entropy(16), b"e" * 16, account, 1, 99, text, "text", None, (ref,))
    turn = engine._turn(node.now())
    inbox.offer(turn, item)
    node.perform(engine._release(turn, []))


def waiting(node: SimNode) -> list[bytes]:
    """Return the keys of the stored rows of messages that are held back."""
    return [key for key in node.store.load().rows[Table.PENDING] if key[:1] == b"t"]


def test_a_message_held_back_is_still_held_back_after_a_restart_and_then_shown_with_its_gap() -> None:
    world, ann, bob, _, room = trio("held back")
    hand_in(bob, room, "late", b"?" * 16)
    assert len(waiting(bob)) == 1
    seen = bob.attach()
    bob.crash()
    bob.start()
    seen = bob.attach()
    world.run(5)
    assert texts(seen) == []
    world.run(GAP_AFTER_LINK + 20)
    shown = [(m.kind, m.message, m.gap) for m in seen.of(events.UserMessage)]
    assert shown == [("unreadable", "", True), ("text", "late", True)]
    assert not waiting(bob)


def test_a_reference_that_the_store_knows_frees_what_waits_for_it_also_after_a_restart() -> None:
    world, ann, bob, _, room = trio("known")
    old = ids.parse(ann.call(c.UserMessage(room=room, message="old"))["id"])
    world.run(1)
    for number in range(3):
        ann.call(c.UserMessage(room=room, message=f"m{number}"))
        world.run(1)
    bob.crash()
    bob.start()
    seen = bob.attach()
    world.run(1)
    hand_in(bob, room, "answer", old)
    world.run(0.5)
    assert texts(seen)[-1:] == ["answer"]
    assert not seen.of(events.UserMessage)[-1].gap
    assert not waiting(bob)


def test_a_frontend_resumes_where_it_stopped_with_nothing_twice() -> None:
    world, ann, bob, _, room = trio("resume")
    first = bob.attach(plain=False)
    ann.call(c.UserMessage(room=room, message="one"))
    world.run(2)
    last = first.of(events.UserMessage)[-1]
    assert bob.engine is not None
    epoch = bob.engine.state.log_epoch
    bob.crash()
    ann.call(c.UserMessage(room=room, message="two"))
    bob.start()
    world.run(10)
    again = bob.attach(plain=False, resume=Resume(epoch, last.seq))
    assert texts(again) == ["two"]
    assert again.of(events.CaughtUp)
    wrong = bob.attach(plain=False, resume=Resume("another", last.seq))
    assert [e.code for e in wrong.of(events.Error)] == ["resync_required"]
