"""What is announced on a network, and what of the announcements of others is dialled."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given, strategies as st

from node.mesh.mesh import Mesh
from node.mesh.nearby import MAX_AT_HOST, MAX_FOUND, SERVICE, Found, announced, dialled, record
from node.mesh.peers import Book
from node.mesh.ports import AddAddress, AddressGone
from tests.mesh.meshnet import Net

OWN = (ip_network("192.168.1.0/24"), ip_network("fd00::/64"))


def test_what_is_announced_is_a_random_name_and_where_the_mesh_listens_and_nothing_else() -> None:
    said = record(7118, ["192.168.1.5", "fd00::5"], token="0123456789abcdef")
    assert said == {
        "type_": SERVICE,
        "name": f"0123456789abcdef.{SERVICE}",
        "server": "0123456789abcdef.local.",
        "port": 7118,
        "parsed_addresses": ["192.168.1.5", "fd00::5"],
        "properties": {},
    }


def test_a_listener_that_only_this_machine_can_reach_is_not_announced() -> None:
    interfaces = ["192.168.1.5", "10.0.0.5", "fd00::5"]  # loopback is never among them
    assert announced("127.0.0.1", interfaces) == []
    assert announced("10.0.0.5", interfaces) == ["10.0.0.5"]
    assert announced("0.0.0.0", interfaces) == ["192.168.1.5", "10.0.0.5"]
    assert announced("::", interfaces) == interfaces


def test_only_addresses_on_a_network_of_ours_are_dialled() -> None:
    found = ["192.168.1.7", "192.168.2.7", "8.8.8.8", "127.0.0.1", "fd00::7", "fe80::7%eth0", "nonsense", ""]
    assert dialled(found, 7118, own=OWN) == ["ws://192.168.1.7:7118", "ws://[fd00::7]:7118"]


def test_our_own_announcement_is_not_dialled() -> None:
    found = Found()
    found.own.add(f"me.{SERVICE}")
    assert found.came(f"me.{SERVICE}", ["ws://192.168.1.5:7118"]) == []


def test_what_moved_is_dialled_at_its_new_place_and_what_went_no_more() -> None:
    found = Found()
    assert found.came("a", ["ws://192.168.1.5:1"]) == [AddAddress("ws://192.168.1.5:1", "lan")]
    assert found.came("a", ["ws://192.168.1.5:1"]) == []
    assert found.came("a", ["ws://192.168.1.6:1"]) == [
        AddressGone("ws://192.168.1.5:1"),
        AddAddress("ws://192.168.1.6:1", "lan"),
    ]
    assert found.came("b", ["ws://192.168.1.6:1"]) == []  # known already, by the other name
    assert found.went("a") == []
    assert found.went("b") == [AddressGone("ws://192.168.1.6:1")] and found.went("b") == []


def test_another_network_makes_everything_that_was_found_worthless() -> None:
    found = Found()
    found.came("a", ["ws://192.168.1.5:1"])
    found.came("b", ["ws://192.168.1.6:1"])
    assert set(found.all_gone()) == {AddressGone("ws://192.168.1.5:1"), AddressGone("ws://192.168.1.6:1")}
    assert found.all_gone() == []


NAMES = st.integers(0, 200).map(str)
ADDRESSES = st.lists(
    st.builds("ws://192.168.1.{}:{}".format, st.integers(1, 4), st.integers(1, 40)), max_size=12
)


@given(st.lists(st.tuples(NAMES, ADDRESSES), max_size=200))
def test_whatever_is_announced_little_is_dialled_and_all_of_it_can_be_taken_back(
    said: list[tuple[str, list[str]]],
) -> None:
    found, now = Found(), set()
    for name, addresses in said:
        for fact in found.came(name, addresses):
            if isinstance(fact, AddAddress):
                assert fact.address not in now
                now.add(fact.address)
            else:
                now.remove(fact.address)
        hosts = [address.rpartition(":")[0] for address in now]
        assert len(now) <= MAX_FOUND * MAX_AT_HOST
        assert all(hosts.count(host) <= MAX_AT_HOST for host in hosts)
    assert {fact.address for fact in found.all_gone()} == now


def test_an_address_that_is_announced_no_more_is_dialled_no_more_but_its_link_stays() -> None:
    book = Book(lambda: 0.5)
    book.add("ws://192.168.1.5:1", "lan", now=0.0)
    book.add("ws://192.168.1.6:1", "lan", now=0.0)
    book.add("ws://192.168.1.7:1", "configured", now=0.0)
    book.due(now=0.0)
    book.opened("ws://192.168.1.6:1")
    for last in (5, 6, 7):
        book.gone(f"ws://192.168.1.{last}:1")
    assert book.addresses() == ["ws://192.168.1.7:1", "ws://192.168.1.6:1"]


def test_a_node_that_was_found_on_the_network_is_linked_and_shown_with_its_source() -> None:
    net = Net()
    one, two = net.node("one"), net.node("two")
    one.add(two.address, "lan")
    net.run(1.0)
    assert [peer.source for peer in one.mesh.peers(one.now)] == ["lan"]
    assert [peer.source for peer in two.mesh.peers(two.now)] == [None]
    one.put(AddressGone(two.address))
    net.run(1.0)
    assert isinstance(one.mesh, Mesh) and len(one.mesh.peers(one.now)) == 1
