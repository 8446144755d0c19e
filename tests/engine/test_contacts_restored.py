"""What a backup keeps of whom we asked and whom we blocked."""

from __future__ import annotations

from node.chat import commands as c, events
from tests.engine.hostile import no_late_faults
from tests.engine.test_contact_requests import club, state_of
from tests.engine.worlds import texts


def test_a_restored_home_still_asks_and_still_blocks() -> None:
    world, ann, bob, cat, room = club("restored")
    ann.call(c.ContactBlock(username="cat"))
    cat.call(c.UserMessage(room=room, message="hidden"))
    world.run(3)
    bob.crash()
    ann.call(c.ContactRequest(username="bob", message="still?"))
    world.run(2)
    records = ann.backup()
    ann.crash()
    again = world.restore("ann2", records, peers=["cat"])
    again.start()
    bob.start()
    at_bob, seen = bob.attach(plain=False), again.attach(plain=False)
    world.run(3700)
    assert {state_of(again, "bob"), state_of(bob, "ann")} == {"requested", "incoming"}
    assert at_bob.of(events.ContactRequested)[-1].message == "still?"
    bob.call(c.ContactAccept(username="ann"))
    cat.call(c.UserMessage(room=room, message="hidden too"))
    world.run(20)
    assert (state_of(again, "bob"), state_of(bob, "ann")) == ("contact", "contact")
    bob.call(c.UserMessage(room=bob.call(c.DmOpen(username="ann"))["room"], message="welcome back"))
    bob.call(c.UserMessage(room=room, message="to all"))
    world.run(120)
    assert sorted(texts(seen)) == ["to all", "welcome back"]
    no_late_faults(again, bob)
