"""Who waits for the engine: frontends and links by turns, the inputs of each in order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from node.bridge.ports import CommandReceived, SessionEnded, SessionStarted
from node.chat import commands
from node.engine.effects import Input, Woke
from node.lanes import (
    FLOOD_SECONDS,
    FLOOD_STEP,
    FRONTENDS_IN_TURN,
    SAID_IN_TURN,
    Inbox,
    Lanes,
    _link_of,
    in_turns,
)
from node.mesh.ports import LinkBytes, LinkDrained, LinkOpened


def no() -> bool:
    return False


def yes() -> bool:
    return True


def taken(lanes: Lanes) -> list[Input]:
    return [lanes.popleft() for _ in range(len(lanes))]


def test_what_one_link_brings_in_bulk_keeps_nothing_of_another_waiting() -> None:
    lanes = Lanes(_link_of)
    bulk: list[Input] = [LinkBytes(1, bytes([number])) for number in range(100)]
    live = [LinkOpened(2, False, "", "b:1"), LinkBytes(2, b"said just now")]
    for event in [*bulk, *live, Woke()]:
        lanes.append(event)
    order = taken(lanes)
    assert [order.index(event) for event in live] == [1, 4]
    assert order.index(Woke()) == 2
    assert [event for event in order if event in bulk] == bulk


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans())))
def test_nothing_is_lost_and_each_link_stays_in_order(came: list[tuple[int, bool]]) -> None:
    lanes, given_in = Lanes(_link_of), list[Input]()
    for number, (link, drained) in enumerate(came):
        event: Input = LinkDrained(link, number) if drained else LinkBytes(link, number.to_bytes(2, "big"))
        given_in.append(event)
        lanes.append(event)
    out = taken(lanes)
    for link in range(1, 5):
        assert [e for e in out if e.link == link] == [e for e in given_in if e.link == link]  # type: ignore[union-attr]
    assert len(out) == len(given_in) and not lanes


def test_what_is_kept_is_what_was_named() -> None:
    lanes = Lanes(_link_of)
    for event in (LinkBytes(1, b"a"), Woke(), LinkBytes(2, b"b")):
        lanes.append(event)
    lanes.keep((Woke,))
    assert taken(lanes) == [Woke()]


def test_a_frontend_that_floods_does_not_keep_from_the_engine_what_links_wrote() -> None:
    inbox = Inbox()
    for number in range(40):
        inbox.append(CommandReceived(1, commands.RoomList(req=number)))
    for _ in range(2):
        inbox.append(LinkDrained(7, 8_192))
    assert len(inbox) == 42
    order = [inbox.take(no, now=0.0) for _ in range(42)]
    drained = [at for at, event in enumerate(order) if isinstance(event, LinkDrained)]
    assert drained == [FRONTENDS_IN_TURN, 2 * FRONTENDS_IN_TURN + 1]
    assert [event.command.req for event in order if isinstance(event, CommandReceived)] == list(range(40))
    assert not inbox


def test_a_frontend_goes_before_what_a_link_brings() -> None:
    inbox = Inbox()
    for number in range(10):
        inbox.append(LinkBytes(1, bytes([number])))
    for number in range(3):
        assert isinstance(inbox.take(no, now=0.0), LinkBytes)
        inbox.append(CommandReceived(1, commands.RoomList(req=number)))
        assert isinstance(inbox.take(no, now=0.0), CommandReceived)


def test_who_types_does_not_wait_behind_another_frontends_flood() -> None:
    inbox = Inbox()
    for number in range(100):
        inbox.append(CommandReceived(1, commands.RoomList(req=number)))
    inbox.append(CommandReceived(2, commands.RoomList(req="typed")))
    order = [inbox.take(no, now=0.0) for _ in range(101)]
    assert [e.session for e in order[:2] if isinstance(e, CommandReceived)] == [1, 2]
    flood = [e.command.req for e in order if isinstance(e, CommandReceived) and e.session == 1]
    assert flood == list(range(100))


def test_while_no_link_takes_more_frontends_are_heard_some_times_a_second_and_links_at_once() -> None:
    inbox, heard = Inbox(), list[float]()
    for number in range(100):
        inbox.append(CommandReceived(1, commands.UserMessage(room="r", message="m", req=number)))
    now = 0.0
    while len(heard) < 20:
        inbox.append(LinkDrained(7, 1))
        while (event := inbox.take(yes, now=now)) is not None:
            heard += [now] if isinstance(event, CommandReceived) else []
        assert not inbox.others, "what makes room is heard whatever frontends say"
        due = inbox.due(yes, now=now)
        assert due is not None and due > now
        now = due
    assert heard == sorted(heard)
    assert now == pytest.approx(20 / FLOOD_STEP * FLOOD_SECONDS)
    assert inbox.take(yes, now=now - FLOOD_SECONDS / 2) is None
    inbox.append(CommandReceived(2, commands.RoomList()))
    assert inbox.due(yes, now=now - FLOOD_SECONDS / 2) < now, "what fills no link is heard"
    taken = inbox.take(yes, now=now - FLOOD_SECONDS / 2)
    assert isinstance(taken, CommandReceived) and taken.session == 2
    assert inbox.due(no, now=now) == now, "there is room again"
    assert isinstance(inbox.take(no, now=now), CommandReceived)


@pytest.mark.parametrize("congested", [no, yes])
def test_who_has_gone_is_heard_to_the_end_before_who_comes_in_its_place(
    congested: Callable[[], bool],
) -> None:
    inbox = Inbox()
    said = [CommandReceived(1, commands.UserMessage(room="r", message="m", req=n)) for n in range(8)]
    again = [CommandReceived(2, commands.UserMessage(room="r", message="m", req=n)) for n in range(4, 10)]
    started = SessionStarted(2, "owner", "admin", plain=False)
    for event in [*said, SessionEnded(1), SessionEnded(1), started, *again]:
        inbox.append(event)
    now, order = 0.0, list[Input]()
    while (due := inbox.due(congested, now=now)) is not None:
        now = due
        event = inbox.take(congested, now=now)
        assert event is not None
        order.append(event)
    assert order == [*said, SessionEnded(1), SessionEnded(1), started, *again]


def test_an_empty_inbox_gives_nothing_and_is_due_never() -> None:
    inbox = Inbox()
    assert inbox.take(yes, now=0.0) is None
    assert inbox.due(yes, now=0.0) is None


@given(st.lists(st.sampled_from(["say", "list", "woke"]), max_size=60))
def test_messages_one_after_the_other_are_one_turn_and_nothing_changes_places(kinds: list[str]) -> None:
    made: dict[str, Input] = {
        "say": CommandReceived(1, commands.UserMessage(room="r", message="m")),
        "list": CommandReceived(1, commands.RoomList()),
        "woke": Woke(),
    }
    batch = [made[kind] for kind in kinds]
    turns = list(in_turns(batch))
    assert [one for turn in turns for one in (turn if isinstance(turn, tuple) else (turn,))] == batch
    together = [turn for turn in turns if isinstance(turn, tuple)]
    assert sum(map(len, together)) == kinds.count("say")
    assert all(1 <= len(turn) <= SAID_IN_TURN for turn in together)
    for one, other in pairwise(turns):  # as many as may be
        assert not (isinstance(one, tuple) and isinstance(other, tuple)) or len(one) == SAID_IN_TURN
