"""That nothing is missing is believed when two peers have said so, or one if there is only one."""

from __future__ import annotations

import pytest

from node.chat.behind import Key
from node.mesh.ports import SyncFinished
from node.sim import SimNode, Simulation

KEY: Key = (1, b"o" * 16, b"p" * 32)


def waiting(peers: int) -> SimNode:
    """A node with so many peers, and a message in the store that others come before."""
    world = Simulation(f"peers {peers}")
    for number in range(peers):
        world.add(f"peer{number}")
    node = world.add("bob", peers=[f"peer{number}" for number in range(peers)])
    world.run(3)
    assert len(node.engine.mesh.peers(node.now())) == peers
    node.engine.state.behind.note(KEY, 500, node.now().mono)
    return node


@pytest.mark.parametrize(("peers", "enough"), [(1, 1), (2, 2), (3, 2)])
def test_as_many_peers_as_there_are_up_to_two_have_to_say_it(peers: int, enough: int) -> None:
    node = waiting(peers)
    lag = node.engine.state.behind._lags[KEY]
    for number in range(1, enough + 1):
        assert len(lag.synced) == number - 1
        node.engine.state.behind._lags[KEY].reading = False
        read = node.engine.state.behind.peer_finished(
            number, linked=len(node.engine.mesh.peers(node.now())), now=node.now().mono
        )
        assert [reading.final for reading in read] == [number == enough]


def test_a_round_that_was_not_answered_says_nothing() -> None:
    node = waiting(2)
    lag = node.engine.state.behind._lags[KEY]
    engine = node.engine
    for link in (71, 72, 73):
        engine.meshing.take(engine._turn(node.now()), SyncFinished(link, missing_answered=False), [], [])
    assert lag.synced == set() and not lag.reading
    engine.meshing.take(engine._turn(node.now()), SyncFinished(74, missing_answered=True), [], [])
    assert lag.synced == {74}
