"""Why there is no link to an address: kept, told in plain words, and forgotten when it is over."""

from __future__ import annotations

import pytest

from node.crypto.channel import network_id
from node.mesh.ports import OTHER_NETWORK, AddressInfo, CloseLink, Dial, RemoveAddress
from node.mesh.troubles import MAX_TEXT, MAX_TROUBLES, OTHER_NETWORK_RETRY, Troubles
from node.wire import codec, frame_bytes
from node.wire.frames import Goodbye, Hello, Leave
from tests.mesh.meshnet import Net, Node
from tests.mesh.test_hostile import Hostile

SECRET, OTHER = b"s" * 32, b"o" * 32


def trouble(node: Node, address: str) -> str | None:
    [row] = [row for row in node.mesh.dialled(node.now) if row.address == address]
    return row.last_error


def private(net: Net, name: str, secret: bytes | None) -> Node:
    return net.node(name, network=network_id(secret), psk=secret)


def test_only_so_many_troubles_are_remembered_and_none_is_long() -> None:
    troubles = Troubles()
    for number in range(MAX_TROUBLES + 10):
        troubles.note(f"ws://{number}:1", "x" * 10_000)
    assert len(troubles) == MAX_TROUBLES and troubles.why("ws://9:1") is None
    assert len(troubles.why("ws://10:1") or "") == MAX_TEXT
    troubles.note("", "an inbound link has no address")
    assert len(troubles) == MAX_TROUBLES


def test_why_a_dial_failed_is_kept_until_a_link_stands() -> None:
    net = Net()
    one, two = net.node("one"), net.node("two")
    two.stop()
    one.add(two.address)
    net.run(0.5)
    assert trouble(one, two.address) == "refused"
    [row] = one.mesh.dialled(one.now)
    assert isinstance(row, AddressInfo) and row.retry_s is not None and 0 < row.retry_s < 1.3
    two.start()
    net.run(30)
    assert trouble(one, two.address) is None
    [row] = one.mesh.dialled(one.now)
    assert row.peer == two.key.hex() and row.retry_s is None


def test_why_a_link_ended_is_kept_as_well() -> None:
    net = Net()
    one, two = net.node("one"), net.node("two")
    one.add(two.address)
    net.run(1)
    two.stop()
    net.run(0.1)
    assert trouble(one, two.address) == "the link ended: crash"


def test_an_address_that_was_removed_leaves_no_trouble_behind() -> None:
    net = Net()
    one = net.node("one")
    one.add("ws://nobody:1")
    net.run(0.5)
    one.put(RemoveAddress("ws://nobody:1"))
    one.add("ws://nobody:1")
    assert trouble(one, "ws://nobody:1") is None


@pytest.mark.parametrize(("ours", "theirs"), [(None, SECRET), (SECRET, None), (SECRET, OTHER)])
def test_nodes_of_different_networks_say_so_and_do_not_try_again_for_a_minute(
    ours: bytes | None, theirs: bytes | None
) -> None:
    net = Net()
    one, two = private(net, "one", ours), private(net, "two", theirs)
    told: list[str] = []
    real = net.close

    def close(wire: object, reason: str) -> None:
        told.append(reason)
        real(wire, reason)  # type: ignore[arg-type]

    net.close = close  # type: ignore[method-assign]
    one.add(two.address)
    net.run(OTHER_NETWORK_RETRY * 5)
    assert trouble(one, two.address) == OTHER_NETWORK
    assert set(told) == {OTHER_NETWORK}
    assert sum(isinstance(effect, Dial) for effect in one.effects) <= 7
    assert not one.mesh.peers(one.now) and not two.mesh.peers(two.now)
    assert not [
        effect for effect in one.effects if isinstance(effect, CloseLink) and "secret" not in effect.reason
    ]


def test_nodes_with_the_same_secret_link_and_one_that_was_put_right_does_within_a_minute() -> None:
    net = Net()
    one, two, three = (
        private(net, name, secret) for name, secret in (("a", SECRET), ("b", SECRET), ("c", None))
    )
    one.add(two.address)
    three.add(two.address)
    net.run(5)
    assert len(two.mesh.peers(two.now)) == 1
    three.stop()
    three.options |= {"network": network_id(SECRET), "psk": SECRET}
    three.start()
    three.add(two.address)
    net.run(5)
    assert len(two.mesh.peers(two.now)) == 2


def test_a_peer_of_another_version_is_taken_leave_of_at_once_and_told_why() -> None:
    node = Net().node("a")
    stranger = Hostile(node, hello=False)
    newer = codec.unpack(frame_bytes.encode(stranger_hello(node)))
    newer[1] += 1
    stranger.say_bytes(codec.pack(newer))
    assert stranger.closed == "malformed frames" and node.mesh.peers(node.now) == []
    assert [frame.code for frame in stranger.of(Goodbye)] == [Leave.PROTOCOL]


def stranger_hello(node: Node) -> Hello:
    return Hello(0, b"stranger", (), frozenset(), 65_519, 0, node.now.wall_ms, 10_000)
