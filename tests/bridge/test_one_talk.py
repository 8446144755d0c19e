"""The machine that runs the talk of one request: scope, struct, rate, and answers that are not for it."""

from __future__ import annotations

import pytest

from node.bridge.dialects.adapter import Frame, Last, Part, Reply, Talk
from node.bridge.guard import Grant
from node.bridge.one_talk import NOTHING, Asker, OneTalk
from node.bridge.ports import BridgeInput, CommandReceived, Scope, SessionStarted
from node.bridge.session import Allowance
from node.chat import commands as c, events
from node.clock import Instant
from node.errors import Refused

NOW = Instant(100.0, 1_700_000_000_000)
ROOM = "fc3667cb-fe5b-4685-8ef7-f780deaa322e"


def two() -> Talk[Reply]:
    first = yield c.ProfileGet()
    yield Frame("nobody is told this")
    yield Part(3100, "there is nothing to close")
    second = yield Last(c.RoomGet(room=ROOM))
    return Reply(200, [first["username"], second["name"]])


def guarded(command: c.Command) -> Talk[Reply]:
    try:
        found = yield command
    except Refused as fault:
        return Reply(422, fault.code)
    return Reply(200, found)


def made(talk: Talk[Reply], scope: Scope = "owner", rate: Allowance | None = None) -> OneTalk:
    return OneTalk(7, talk, Asker(Grant(scope, "page"), "003"), rate)


def command(inputs: list[BridgeInput]) -> c.Command:
    (received,) = [one for one in inputs if isinstance(one, CommandReceived)]
    assert received.session == 7
    return received.command


def test_a_request_opens_a_session_that_is_shown_nothing_and_asks_one_thing_after_the_other() -> None:
    one = made(two())
    started, *asked = one.begin(NOW)
    assert started == SessionStarted(
        7, "owner", "page", plain=False, client="003", subscribe=NOTHING, req=0, passing=True
    )
    assert isinstance(started, SessionStarted) and not started.listens and not started.can_answer
    assert command(asked) == c.ProfileGet(req=1)
    assert command(one.answered(events.Ok(req=1, fields={"username": "ann"}), NOW)) == c.RoomGet(
        room=ROOM, req=2
    )
    assert one.reply is None
    assert one.answered(events.Ok(req=2, fields={"name": "tea"}), NOW) == []
    assert one.reply == Reply(200, ["ann", "tea"])


def test_what_is_no_answer_to_it_changes_nothing() -> None:
    one = made(two())
    early = [events.Ok(req=1, fields={}), events.Ok(req=None)]
    assert [one.answered(event, NOW) for event in early] == [[], []]
    one.begin(NOW)
    others: list[events.Event] = [
        events.Ok(req=0), events.Ok(req="1"), events.Ok(req=2), events.Error(code="x", message="", req=9),
        events.CaughtUp(seq=3),
    ]  # fmt: skip
    assert [one.answered(event, NOW) for event in others] == [[]] * 5 and one.reply is None
    one.answered(events.Ok(req=1, fields={"username": "ann"}), NOW)
    assert one.answered(events.Ok(req=1, fields={}), NOW) == [], "nothing is answered twice"


@pytest.mark.parametrize(
    ("asked", "scope", "code"),
    [
        (c.RoomGet(room="no id"), "owner", "invalid"),
        (c.UserSearch(text="\ud800"), "owner", "invalid"),
        (c.DmOpen(username="bob"), "read", "forbidden"),
        (c.NodeStop(), "chat", "forbidden"),
    ],
)
def test_what_may_not_be_asked_never_reaches_the_engine(asked: c.Command, scope: Scope, code: str) -> None:
    one = made(guarded(asked), scope)
    assert len(one.begin(NOW)) == 1 and one.reply == Reply(422, code)
    assert one.denied == [(c.name_of(asked), code)]


def test_a_refusal_of_the_node_reaches_the_talk_with_its_code() -> None:
    one = made(guarded(c.ProfileGet()))
    one.begin(NOW)
    one.answered(events.Error(code="locked", message="the vault is locked", req=1), NOW)
    assert one.reply == Reply(422, "locked")


def test_a_batch_costs_as_much_as_what_is_in_it() -> None:
    rate = Allowance(1.0, 5.0, NOW.mono)
    commands = [{"event": "profile_get"}] * 3
    assert len(made(guarded(c.Batch(commands=commands)), rate=rate).begin(NOW)) == 2
    late = made(guarded(c.Batch(commands=commands)), rate=rate)
    assert len(late.begin(NOW)) == 1 and late.reply == Reply(422, "rate_limited")
    assert len(made(guarded(c.ProfileGet()), rate=rate).begin(NOW)) == 2
    assert len(made(guarded(c.Batch(commands=commands)), rate=rate).begin(NOW.after(3.0))) == 2


def test_one_that_is_given_up_says_so_and_is_over() -> None:
    one = made(guarded(c.ProfileGet()))
    one.begin(NOW)
    assert one.give_up(Refused("timeout", "too late"), NOW) == [] and one.reply == Reply(422, "timeout")
    assert one.give_up(Refused("timeout", "again"), NOW) == []
    one.close()
    assert one.answered(events.Ok(req=1), NOW) == []
