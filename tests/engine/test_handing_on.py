"""What was said beside an add is handed on to the newcomer, and not without end."""

from __future__ import annotations

import pytest

from node.chat.room import HANDED
from node.crypto import ops
from node.crypto.channel import Inner
from node.crypto.ops import Invite, Op, Role
from node.sim import SimNode
from node.wire.payload import Payload, Type
from tests.engine.hostile import no_late_faults, post, room_inner, room_of, sending, still_talk, turn_of
from tests.engine.test_missing_ops import Posted
from tests.engine.test_ruling import quartet
from tests.engine.worlds import befriend, invite


def beside(author: SimNode, parent: Op, count: int) -> list[Op]:
    """Sign ops in a line on top of one op, beside whatever followed it."""
    line, turn = [parent], turn_of(author)
    log = room_of(author).log
    first = 1 + max((op.author_seq for op in log.ops_of(author.setup.identity.account)), default=0)
    for number in range(count):
        made = ops.make_op(
            author.setup.identity,
            room_id=room_of(author).room_id,
            author_seq=first + number,
            parents=(line[-1].op_id,),
            lamport=line[-1].lamport + 1,
            ts_ms=turn.mesh_ms,
            body=Invite(turn.new_id(), bytes(32), bytes(32), 1, 0, Role.MEMBER),
        )
        line.append(made)
    return line[1:]


@pytest.mark.attack("A36")
def test_ops_made_beside_an_old_add_do_not_make_its_author_send_each(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("amplified")
    parent = room_of(cat).log.ops_in_order()[-1]
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    befriend(world, ann, dan)
    invite(world, ann, dan, room)
    world.run(30)
    line, count = beside(cat, parent, 3 * HANDED), room_of(dan).log.size
    posted = Posted(monkeypatch)
    for op in line:
        carrier = Payload(turn_of(cat).new_id(), turn_of(cat).mesh_ms, 0, Type.OP, op.raw)
        post(cat, sending(cat).channel, room_inner(cat, carrier))
        world.run(0.01)
    world.run(60)
    assert all(room_of(node).log.knows(op.op_id) for op in line for node in (ann, bob, dan))
    assert room_of(dan).log.size > count
    sent = len(posted.of(Inner.ROOM_MESSAGE)) - len(line)
    assert 0 < sent <= HANDED + 10
    still_talk(world, ann, dan, room)
    no_late_faults(ann, bob, dan)
