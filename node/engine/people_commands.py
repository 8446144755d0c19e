"""Commands about people: contacts, profiles, direct rooms (docs/bridge.md section 2)."""

from __future__ import annotations

from node.chat import commands as c, events
from node.chat.direct import direct_id
from node.chat.people import CONTACT
from node.chat.turn import Turn
from node.crypto import links
from node.engine.desk import Answer, Desk
from node.errors import DecodeError, Refused


def contact_add(desk: Desk, turn: Turn, _session: int, command: c.ContactAdd) -> Answer:
    """Add the person whose link this is; their node answers by itself while the link is live."""
    try:
        link = links.decode_contact(command.link)
    except DecodeError as fault:
        raise Refused("bad_link", str(fault), field="link") from fault
    person = desk.state.contacts.add(turn, link)
    return {
        "user_id": desk.state.people.user_id(person.account),
        "state": desk.state.contacts.requests.state_of(person),
    }


def contact_rename(desk: Desk, turn: Turn, _session: int, command: c.ContactRename) -> Answer:
    """Give somebody another name on this node."""
    people = desk.state.people
    account = people.find(command.username)
    if account == desk.state.me.account:
        raise Refused("invalid", "your own name is changed by profile_set", field="username")
    try:
        person = people.rename(turn, people.by_account[account], command.name)
    except Refused as fault:
        fault.field = "name"
        raise
    user_id = people.user_id(account)
    turn.log(events.ContactUpdated(username=person.username, user_id=user_id))
    return {"username": person.username, "user_id": user_id}


def contact_link_create(desk: Desk, turn: Turn, _session: int, command: c.ContactLinkCreate) -> Answer:
    """Give out a contact link with the addresses this node can be reached at."""
    expires_ms = None if command.expires_in is None else turn.now.wall_ms + command.expires_in * 1000
    addresses = desk.addresses()
    link = desk.state.contacts.links.give(turn, addresses, once=bool(command.once), expires_ms=expires_ms)
    return {"link": links.encode_contact(link), "addresses": list(addresses), "once": bool(command.once)}


def contact_link_reset(desk: Desk, turn: Turn, session: int, _command: c.ContactLinkReset) -> Answer:
    """Close every link given out so far: who still has one is a stranger who asks. The answer has another."""
    closed = desk.state.contacts.links.reset(turn)
    made = contact_link_create(desk, turn, session, c.ContactLinkCreate())
    assert isinstance(made, dict)
    return {**made, "revoked": closed}


def dm_open(desk: Desk, turn: Turn, _session: int, command: c.DmOpen) -> Answer:
    """Open the direct room with a contact or co-member."""
    state = desk.state
    account = state.people.find(command.username)
    if account == state.me.account:
        raise Refused("invalid", "you cannot talk to yourself here", field="username")
    person = state.people.by_account[account]
    known = direct_id(state.me.account, account) in state.rooms.direct
    if person.state != CONTACT and not state.rooms.shared(account) and not known:
        raise Refused("not_a_contact", f"add {person.username} as a contact first", field="username")
    return state.rooms.describe(desk.inbox.direct_with(turn, account))
