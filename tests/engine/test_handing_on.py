"""What was said beside an add is handed on to the newcomer, and not without end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chat import commands as c
from node.chat.branches import HANDED
from node.chat.membership import RoomLog
from node.chat.turn import Turn
from node.crypto import ops
from node.crypto.channel import Inner
from node.crypto.ops import Add, Invite, Leave, Op, OpBody, Role
from node.sim import SimNode
from node.wire.payload import Payload, Type
from tests.engine.hostile import (
    inbox_of,
    no_late_faults,
    post,
    release,
    room_inner,
    room_of,
    sending,
    still_talk,
    turn_of,
)
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


@pytest.mark.attack("A20")
def test_an_add_that_is_void_the_moment_it_is_made_stops_no_greeter() -> None:
    """More heads than an op can name: what it does not follow, a leave of the newcomer, takes it back."""
    world, ann, bob, cat, room = quartet("void at once")
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    link = ann.call(c.RoomLinkCreate(room=room, uses=50))["link"]
    dan.call(c.RoomLinkUse(link=link))
    world.run(5)
    dan.call(c.UserLeave(room=room))
    world.run(3)
    log, turn = room_of(ann).log, turn_of(ann)
    left = log.ops_in_order()[-1]
    added = next(op for op in log.ops_in_order() if isinstance(op.body, Add) and _is(dan, op.body.account))
    again = signed(bob, log, left, replace(added.body, join_req_hash=b"z" * 32))
    gone = signed(dan, log, again, Leave(), seq=2)
    line = [signed(cat, log, left, an_invite(turn))]
    for _ in range(4):
        line.append(signed(cat, log, line[-1], an_invite(turn), seq=line[-1].author_seq + 1))
    forks = [signed(cat, log, line[-1], an_invite(turn), seq=line[-1].author_seq + 1) for _ in range(17)]
    inbox_of(ann).learn_ops(turn, [again, gone, *line, *forks])
    release(ann, turn)
    assert all(log.knows(op.op_id) for op in [again, gone, *line, *forks])
    for node in (bob, cat):
        node.crash()
    dan.call(c.RoomLinkUse(link=link))
    world.run(20)
    assert ann.call(c.RoomGet(room=room))


def _is(node: SimNode, account: bytes) -> bool:
    return node.setup.identity.account == account


def an_invite(turn: Turn) -> Invite:
    return Invite(turn.new_id(), bytes(32), bytes(32), 1, 0, Role.MEMBER)


def signed(author: SimNode, log: RoomLog, parent: Op, body: OpBody, seq: int = 0) -> Op:
    """Sign an op on top of one other."""
    identity = author.setup.identity
    seq = seq or 1 + max((op.author_seq for op in log.ops_of(identity.account)), default=0)
    place = {"room_id": log.room_id, "author_seq": seq, "lamport": parent.lamport + 1, "ts_ms": parent.ts_ms}
    return ops.make_op(identity, parents=(parent.op_id,), body=body, **place)  # type: ignore[arg-type]
