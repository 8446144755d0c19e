"""Small simulated worlds that the engine's tests begin with."""

from __future__ import annotations

from node.chat import commands as c, events
from node.sim import SimNode, SimSession, Simulation
from node.sim_friends import befriend, invite, joined

__all__ = ["befriend", "invite", "joined", "texts", "trio"]


def texts(session: SimSession) -> list[str]:
    """Return the messages a session was shown, in order."""
    return [event.message for event in session.of(events.UserMessage)]


def trio(seed: str = "trio") -> tuple[Simulation, SimNode, SimNode, SimNode, str]:
    """Three nodes, ann, bob and cat, linked in a line; ann and bob in one room, cat only relaying."""
    world = Simulation(seed)
    cat = world.add("cat")
    ann = world.add("ann", peers=["cat"])
    bob = world.add("bob", peers=["cat"])
    world.run(2)
    befriend(world, ann, bob)
    room = ann.call(c.RoomCreate(name="club"))["room"]
    invite(world, ann, bob, room)
    world.run(4)
    return world, ann, bob, cat, room
