"""Named consumers: where each stands, and how one is forgotten."""

from __future__ import annotations

import pytest

from node.bridge.ports import Resume
from node.chat import commands as c, events
from node.chat.turn import pack_row
from node.sim import CallError, SimNode, Simulation
from node.store.records import Put


def lone() -> tuple[Simulation, SimNode, str]:
    world = Simulation("consumers")
    ann = world.add("ann")
    return world, ann, ann.call(c.RoomCreate(name="tea"))["room"]


def listed(node: SimNode) -> list[dict[str, object]]:
    return list(node.call(c.ConsumerList())["consumers"])


def test_a_consumer_is_listed_with_its_place_and_when_it_was_last_here() -> None:
    world, ann, room = lone()
    bot = ann.attach(plain=False, consumer="bot")
    start = bot.of(events.Hello)[0].seq
    for _ in range(3):
        ann.call(c.UserMessage(room=room, message="x"))
    ann.call(c.Ack(seq=start + 1), bot)
    world.run(100)
    here = ann.now().wall_ms // 1000
    assert listed(ann) == [{"name": "bot", "seq": start + 1, "behind": 2, "last_seen": here}]
    ann.detach(bot)
    world.run(1000)
    for _ in range(2):
        assert listed(ann) == [{"name": "bot", "seq": start + 1, "behind": 2, "last_seen": here}]
        ann.crash()
        ann.start()


def test_a_consumer_that_was_removed_begins_anew() -> None:
    _, ann, room = lone()
    bot = ann.attach(plain=False, consumer="bot")
    ann.call(c.UserMessage(room=room, message="x"))
    assert ann.call(c.ConsumerRemove(name="bot")) == {"name": "bot"}
    assert listed(ann) == []
    with pytest.raises(CallError) as refused:
        ann.call(c.Ack(seq=1), bot)
    assert refused.value.code == "consumer_not_found"
    ann.detach(bot)
    assert listed(ann) == []
    with pytest.raises(CallError) as refused:
        ann.call(c.ConsumerRemove(name="bot"))
    assert refused.value.code == "consumer_not_found"
    again = ann.attach(plain=False, consumer="bot")
    assert not again.of(events.UserMessage)
    assert listed(ann)[0]["behind"] == 0


def test_a_consumer_whose_place_was_compacted_away_is_told_to_begin_again() -> None:
    _, ann, room = lone()
    ann.detach(ann.attach(plain=False, consumer="bot"))
    for _ in range(5):
        ann.call(c.UserMessage(room=room, message="x"))
    assert ann.engine is not None
    ann.engine.state.first_seq = ann.engine.state.seq - 1
    bot = ann.attach(plain=False, consumer="bot")
    (lost,) = bot.of(events.Error)
    assert lost.code == "resync_required"
    assert lost.extra == {"log_epoch": ann.engine.state.log_epoch, "seq": ann.engine.state.seq}
    ann.call(c.UserMessage(room=room, message="live"))
    assert [m.message for m in bot.of(events.UserMessage)] == ["live"]
    assert ann.call(c.Ack(seq=ann.engine.state.seq), bot)["seq"] == ann.engine.state.seq


@pytest.mark.parametrize("where", [Resume("another epoch", 1), Resume("", 1)])
def test_an_unknown_epoch_is_told_the_true_one(where: Resume) -> None:
    _, ann, _ = lone()
    assert ann.engine is not None
    (lost,) = ann.attach(plain=False, resume=where).of(events.Error)
    assert lost.code == "resync_required"
    assert lost.extra == {"log_epoch": ann.engine.state.log_epoch, "seq": ann.engine.state.seq}


def test_a_cursor_kept_by_the_version_before_still_stands() -> None:
    _, ann, room = lone()
    seq = ann.engine.state.seq if ann.engine is not None else 0
    ann.store.commit([Put("consumers", b"old", pack_row(seq))])
    ann.crash()
    ann.start()
    ann.call(c.UserMessage(room=room, message="since"))
    assert listed(ann) == [{"name": "old", "seq": seq, "behind": 1, "last_seen": 0}]
    assert [m.message for m in ann.attach(plain=False, consumer="old").of(events.UserMessage)] == ["since"]
