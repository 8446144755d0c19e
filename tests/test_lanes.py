"""Who waits for the engine: links by turns, each link's inputs in order."""

from __future__ import annotations

from hypothesis import given, strategies as st

from node.engine.effects import Input, Woke
from node.lanes import Lanes
from node.mesh.ports import LinkBytes, LinkDrained, LinkOpened


def taken(lanes: Lanes) -> list[Input]:
    return [lanes.popleft() for _ in range(len(lanes))]


def test_what_one_link_brings_in_bulk_keeps_nothing_of_another_waiting() -> None:
    lanes = Lanes()
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
    lanes, given_in = Lanes(), list[Input]()
    for number, (link, drained) in enumerate(came):
        event: Input = LinkDrained(link, number) if drained else LinkBytes(link, number.to_bytes(2, "big"))
        given_in.append(event)
        lanes.append(event)
    out = taken(lanes)
    for link in range(1, 5):
        assert [e for e in out if e.link == link] == [e for e in given_in if e.link == link]  # type: ignore[union-attr]
    assert len(out) == len(given_in) and not lanes


def test_what_is_kept_is_what_was_named() -> None:
    lanes = Lanes()
    for event in (LinkBytes(1, b"a"), Woke(), LinkBytes(2, b"b")):
        lanes.append(event)
    lanes.keep((Woke,))
    assert taken(lanes) == [Woke()]
