"""Small simulated worlds that the engine's tests begin with."""

from __future__ import annotations

from node.chat import commands as c, events
from node.sim import SimNode, SimSession, Simulation


def befriend(world: Simulation, one: SimNode, other: SimNode) -> None:
    """Make two nodes contacts by a contact link, over the simulated mesh."""
    link = other.call(c.ContactLinkCreate())["link"]
    one.call(c.ContactAdd(link=link))

    def done() -> bool:
        pairs = ((one, other), (other, one))
        return all((peer.name, "contact") in _states(node) for node, peer in pairs)

    assert world.run_until(done, 10), "contacts did not answer"


def _states(node: SimNode) -> set[tuple[str, str]]:
    return {(row["username"], row["state"]) for row in node.call(c.ContactList())["contacts"]}


def invite(world: Simulation, host: SimNode, guest: SimNode, room: str) -> SimSession:
    """Invite a contact, accept at its frontend, and wait until it is in."""
    session = guest.attach()
    host.call(c.UserInvite(target=guest.name, room=room))
    assert world.run_until(lambda: bool(session.of(events.UserInvite)), 10), "no invite came"
    guest.call(c.UserInviteResponse(response="accept"), session)
    assert world.run_until(lambda: joined(session, room, guest.name), 10), "no join came"
    return session


def joined(session: SimSession, room: str, name: str) -> bool:
    """Say whether a session was shown that somebody joined."""
    return any(e.username == name and e.room == room for e in session.of(events.UserJoin))


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
