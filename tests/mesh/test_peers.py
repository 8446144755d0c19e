"""When which address is dialled."""

from __future__ import annotations

import pytest

from node.mesh.peers import MAX_ADDRESSES, MAX_FRIENDS, Book
from node.mesh.ports import Source

KEY = b"k" * 32
SOURCES: tuple[Source, Source] = ("px", "room")


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


def live(known: Book, address: str, key: bytes, now: float) -> None:
    known.opened(address)
    known.link_up(address, key, now=now)


def test_a_node_that_names_four_addresses_is_one_of_the_eldest_and_not_four() -> None:
    """N13: the 8 known longest are nodes: two with many addresses do not push the others out."""
    known = book()
    known.target = 8
    for number in range(9):
        for spot in range(4):
            known.add(
                f"ws://a{number}.b{spot}:1", "px", now=100.0, key=bytes([number]) * 32, first=float(number)
            )
    assert {int(address[6]) for _, address in known._oldest()} == set(range(8))
    live(known, "ws://a7.b0:1", bytes([7]) * 32, 100.0)
    live(known, "ws://a8.b0:1", bytes([8]) * 32, 100.0)
    assert known.elders() == [bytes([7]) * 32]


def test_the_eldest_are_dialled_first_until_two_are_linked() -> None:
    known = book()
    known.target = 6
    for number in range(20):
        known.add(f"ws://a{number}.x:1", "px", now=9.0, key=bytes([number]) * 32, first=float(number))
    assert known.due(now=9.0)[:2] == ["ws://a0.x:1", "ws://a1.x:1"]
    for number in range(2):
        live(known, f"ws://a{number}.x:1", bytes([number]) * 32, 9.0)
    later = known.due(now=20.0)
    assert later and not {"ws://a2.x:1", "ws://a3.x:1"} & set(later), "the others at random"


@pytest.mark.mesh_attack("N13")
def test_whoever_announces_on_the_local_network_leaves_two_links_to_the_eldest() -> None:
    known = book()
    known.target = 8
    for number in range(10):
        known.add(f"ws://a{number}.x:1", "px", now=9.0, key=bytes([number]) * 32, first=float(number))
    for number in range(1, 200):
        known.add(f"ws://192.168.1.{number}:1", "lan", now=9.0)
    assert {"ws://a0.x:1", "ws://a1.x:1"} <= set(known.due(now=9.0))


@pytest.mark.mesh_attack("N21")
@pytest.mark.parametrize("source", ["contact", "room", "lan", "px"])
@pytest.mark.parametrize(
    "address",
    ["ws://a.b:1/\x1b[2J", "ws://a.b:1\r\nX: y", "ws://bücher.example:1", "ws://u:p@a.b:1", "ws://a.b:99999",
     "ws://a.b:0", "http://a.b", "file:///etc/passwd", "ws://192.168.1.1/reboot", "ws://127.0.0.1:80/?go",
     "ws://a.b:1/vote?for=me", "ws://", "", "ws://" + "a" * 255],
)  # fmt: skip
def test_what_others_name_is_an_address_and_no_more(source: Source, address: str) -> None:
    known = book()
    known.add(address, source, now=0.0)
    assert len(known) == 0


def test_of_a_full_book_strangers_make_way_for_friends_and_nobody_for_strangers() -> None:
    known = book()
    for number in range(MAX_ADDRESSES):
        known.add(
            f"ws://a{number}.x:1", "room" if number % 2 else "px", now=0.0, key=number.to_bytes(32, "big")
        )
    known.add("ws://new.x:1", "px", now=0.0, key=KEY)
    assert known.source_of("ws://new.x:1") is None
    known.add("ws://10.0.0.9:1", "contact", now=0.0)
    assert len(known) == MAX_ADDRESSES and known.source_of("ws://10.0.0.9:1") == "contact"
    assert (
        sum(known.source_of(f"ws://a{n}.x:1") == "px" for n in range(MAX_ADDRESSES)) == MAX_ADDRESSES / 2 - 1
    )


def test_what_friends_say_no_more_is_forgotten_and_a_link_that_stands_is_a_strangers() -> None:
    known = book()
    known.add("ws://old.x:1", "contact", now=0.0, key=KEY)
    known.add("ws://linked.x:1", "room", now=0.0, key=KEY)
    known.add("ws://mine.x:1", "configured", now=0.0)
    live(known, "ws://linked.x:1", KEY, 1.0)
    assert known.trust("", KEY) == "contact"
    known.retire(["ws://old.x:1", "ws://linked.x:1", "ws://mine.x:1"], [KEY])
    assert [known.source_of(f"ws://{a}.x:1") for a in ("old", "linked", "mine")] == [None, "px", "configured"]
    assert known.trust("ws://linked.x:1", KEY) == "px" and known.trust("", KEY) is None


def test_links_that_break_at_once_are_dialled_anew_ever_later() -> None:
    known = book()
    known.add("ws://host:1", "configured", now=0.0)
    now, dials = 0.0, 0
    while now < 600.0:
        assert known.due(now=now) == ["ws://host:1"]
        dials += 1
        live(known, "ws://host:1", KEY, now + 0.1)
        known.link_down("ws://host:1", KEY, now=now + 0.3)
        at = known.deadline
        assert at is not None
        now = at
    assert dials <= 50, "600 seconds at one each 15"
    live(known, "ws://host:1", KEY, now)
    known.link_down("ws://host:1", KEY, now=now + 60)
    assert known.deadline is not None and known.deadline <= now + 61, "a link that lasted is back soon"


def test_what_was_ourselves_may_be_another_in_another_network() -> None:
    known = book()
    known.add("ws://192.168.1.5:1", "contact", now=0.0)
    known.due(now=0.0)
    known.opened("ws://192.168.1.5:1")
    known.is_ourselves("ws://192.168.1.5:1")
    known.failed("ws://192.168.1.5:1", now=0.0)
    assert known.due(now=100.0) == []
    known.afresh(now=100.0)
    assert known.due(now=100.0) == ["ws://192.168.1.5:1"]


def test_co_members_without_end_push_out_no_contact() -> None:
    known = book()
    known.add("ws://contact.x:1", "contact", now=0.0, key=KEY)
    for number in range(MAX_FRIENDS + 50):
        known.add(f"ws://a{number}.x:1", "room", now=0.0, key=number.to_bytes(32, "big"))
    assert known.trust("", KEY) == "contact" and len(known._friends) == MAX_FRIENDS


def test_it_is_told_when_an_address_is_dialled_again_who_was_there_and_why_not() -> None:
    known = book()
    known.add("ws://host:1", "configured", now=0.0)
    known.add("ws://host:2", "contact", now=0.0)
    assert known.due(now=0.0) == ["ws://host:1", "ws://host:2"]
    known.opened("ws://host:2")
    known.link_up("ws://host:2", KEY, now=0.0)
    known.failed("ws://host:1", now=0.0, why="refused")
    assert [(a.address, a.source, a.peer, a.retry_s) for a in known.dialled(now=0.25)] == [
        ("ws://host:1", "configured", None, 0.75),
        ("ws://host:2", "contact", KEY.hex(), None),
    ]
    assert [a.last_error for a in known.dialled(now=0.25)] == ["refused", None]
    known.target = 0
    known.link_down("ws://host:2", KEY, now=100.0)
    assert [a.retry_s is None for a in known.dialled(now=100.0)] == [False, True], "no link is missing"
    known.target = 2
    assert [a.retry_s is None for a in known.dialled(now=100.0)] == [False, False]


def test_who_wants_more_links_dials_at_once() -> None:
    known = book()
    known.target = 0
    known.add("ws://host:1", "room", now=0.0)
    assert known.deadline is None
    known.target = 2
    assert known.deadline == 0.0
    known.target = 0
    assert known.deadline is None


def test_who_needs_a_relay_looks_for_one_more_link_at_once() -> None:
    known = book()
    known.target = 0
    known.add("ws://relay.example:1", "room", now=0.0)
    assert known.deadline is None and known.due(now=0.0) == []
    known.sought = frozenset({"ws://relay.example:1"})
    assert known.deadline == 0.0 and known.due(now=0.0) == ["ws://relay.example:1"]
