"""When which address is dialled."""

from __future__ import annotations

from node.mesh.peers import Book

KEY = b"k" * 32


def book() -> Book:
    return Book(lambda: 0.5)


def wait_for_dial(addresses: Book, now: float) -> float:
    """Return when the next dial is due."""
    assert addresses.due(now=now) == []
    at = addresses.deadline
    assert at is not None and addresses.due(now=at)
    return at


def test_failures_are_retried_after_one_two_four_eight_and_at_most_fifteen_seconds() -> None:
    known = book()
    known.add("ws://host:1", "configured", now=0.0)
    assert known.due(now=0.0) == ["ws://host:1"] and known.due(now=0.0) == []
    now, waits = 0.0, []
    for _ in range(7):
        known.failed("ws://host:1", now=now)
        at = wait_for_dial(known, now)
        waits.append(round(at - now, 3))
        now = at
    assert waits == [1, 2, 4, 8, 15, 15, 15]


def test_on_this_machine_the_wait_is_never_longer_than_a_second() -> None:
    for address in ("ws://127.0.0.1:5", "ws://[::1]:5"):
        known = book()
        known.add(address, "configured", now=0.0)
        known.due(now=0.0)
        for _ in range(9):
            known.failed(address, now=0.0)
        assert known.deadline == 1.0


def test_an_inbound_link_from_a_known_node_ends_the_waiting() -> None:
    known = book()
    known.add("ws://host:1", "configured", now=0.0)
    known.due(now=0.0)
    known.opened("ws://host:1")
    known.link_up("ws://host:1", KEY, now=0.0)
    known.link_down("ws://host:1", KEY, now=1.0)
    for _ in range(6):
        known.failed("ws://host:1", now=2.0)
    known.link_up("", KEY, now=3.0)
    assert known.due(now=100.0) == [], "linked already, the other way round"
    known.link_down("", KEY, now=100.0)
    assert known.deadline is not None and known.deadline <= 101.0


def test_a_node_with_a_link_is_not_dialled_by_its_other_address() -> None:
    known = book()
    for address in ("ws://one:1", "ws://two:1"):
        known.add(address, "configured", now=0.0)
        known.due(now=0.0)
        known.opened(address)
        known.link_up(address, KEY, now=0.0)
    known.link_down("ws://two:1", KEY, now=0.0)
    assert known.due(now=50.0) == []
    known.link_down("ws://one:1", KEY, now=50.0)
    assert set(known.due(now=51.0)) == {"ws://one:1", "ws://two:1"}


def test_the_owners_addresses_come_first_and_others_only_while_links_are_few() -> None:
    known = book()
    for number in range(20):
        known.add(f"ws://room{number}:1", "room", now=0.0)
    known.add("ws://mine:1", "configured", now=0.0)
    first = known.due(now=0.0)
    assert first[0] == "ws://mine:1" and len(first) == 8
    for number in range(8):
        known.link_up(f"ws://else{number}:1", bytes([number]) * 32, now=0.0)
    for address in first:
        known.failed(address, now=0.0)
    assert known.due(now=100.0) == ["ws://mine:1"]


def test_strangers_do_not_send_us_to_private_addresses_or_fill_the_book() -> None:
    known = book()
    for address in ("ws://127.0.0.1:1", "ws://192.168.1.9:1", "ws://[fd00::1]:1", "ws://" + "x" * 300):
        known.add(address, "px", now=0.0)
    assert len(known) == 0
    known.add("ws://192.168.1.9:1", "contact", now=0.0)
    for number in range(1_000):
        known.add(f"ws://a.host{number}:1", "px", now=0.0)
    assert len(known) == 512
    known.add("ws://mine:1", "configured", now=0.0)
    assert known.addresses()[0] == "ws://mine:1"


def test_a_dial_that_is_never_answered_is_given_up() -> None:
    known = book()
    known.add("ws://host:1", "configured", now=0.0)
    known.due(now=0.0)
    assert known.deadline == 30.0
    known.give_up_stuck(now=30.0)
    assert known.deadline == 31.0


def test_a_goodbye_puts_a_peer_off_for_five_minutes_at_most() -> None:
    known = book()
    known.add("ws://host:1", "configured", now=0.0)
    known.put_off("ws://host:1", 1e9, now=0.0)
    assert known.due(now=299.0) == [] and known.due(now=300.0) == ["ws://host:1"]
