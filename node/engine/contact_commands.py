"""Commands about who is a contact, and who is blocked (docs/bridge.md section 2)."""

from __future__ import annotations

from typing import Any

from node.chat import commands as c, trust
from node.chat.people import Person, check_wanted
from node.chat.turn import Turn
from node.engine import parting
from node.engine.desk import Answer, Desk
from node.engine.state import State
from node.errors import Refused


def row(state: State, person: Person) -> dict[str, Any]:
    """Return the row of `contact_list` that describes somebody; `message` is that of their request."""
    waiting = state.contacts.requests.incoming.of(person)
    return {
        "user_id": state.people.user_id(person.account),
        "username": person.username,
        "nickname": person.nickname,
        "state": state.contacts.requests.state_of(person),
        "verified": person.trust,
        "blocked": bool(person.blocked),
        "blocked_by": person.blocked_by,
        "message": "" if waiting is None else waiting.message,
        "presence": state.shown_presence(person.account),
        "status": person.status,
        "busy": state.seen(person.account).busy,
    }


def contact_list(desk: Desk, _turn: Turn, _session: int, _command: c.ContactList) -> Answer:
    """List contacts, those who were asked or ask, and those who are blocked."""
    people, requests = desk.state.people, desk.state.contacts.requests
    asking = requests.incoming.waiting
    others = [account for account in (*asking, *people.blocked) if account in people.by_account]
    listed = {person.account: person for person in people.contacts()}
    for person in (people.by_account[account] for account in others):
        if person.blocked or requests.incoming.of(person) is not None:
            listed[person.account] = person
    chosen = sorted(listed.values(), key=lambda person: person.username)
    return {"contacts": [row(desk.state, person) for person in chosen]}


def somebody(state: State, name: str) -> Person:
    """Return whom a command means, who is somebody else than the owner."""
    account = state.people.find(name)
    if account == state.me.account:
        raise Refused("invalid", "this is you", field="username")
    return state.people.by_account[account]


def askable(desk: Desk, turn: Turn, name: str) -> Person:
    """Return whom a request may go to: whoever is known here, or was found, with the key of their inbox."""
    return desk.inbox.profiles.meet(turn, name)


def _standing(state: State, person: Person) -> dict[str, Any]:
    return {
        "user_id": state.people.user_id(person.account),
        "username": person.username,
        "state": state.contacts.requests.state_of(person),
    }


def _check_open(person: Person) -> None:
    """Refuse what would be told to somebody to whom nothing may be told."""
    check_wanted(person, "username")
    if trust.blocked(person):
        raise trust.refusal(person, "username")


def contact_request(desk: Desk, turn: Turn, _session: int, command: c.ContactRequest) -> Answer:
    """Ask somebody to be a contact."""
    person = askable(desk, turn, command.username)
    _check_open(person)
    return _standing(desk.state, desk.state.contacts.requests.ask(turn, person, command.message or ""))


def contact_accept(desk: Desk, turn: Turn, _session: int, command: c.ContactAccept) -> Answer:
    """Be a contact of somebody who asks."""
    person = somebody(desk.state, command.username)
    _check_open(person)
    return _standing(desk.state, desk.state.contacts.requests.accept(turn, person))


def contact_reject(desk: Desk, turn: Turn, _session: int, command: c.ContactReject) -> Answer:
    """Do not be a contact of somebody who asks."""
    person = somebody(desk.state, command.username)
    return _standing(desk.state, desk.state.contacts.requests.reject(turn, person))


def contact_cancel(desk: Desk, turn: Turn, _session: int, command: c.ContactCancel) -> Answer:
    """Ask somebody no more."""
    person = somebody(desk.state, command.username)
    return _standing(desk.state, desk.state.contacts.requests.cancel(turn, person))


def contact_remove(desk: Desk, turn: Turn, _session: int, command: c.ContactRemove) -> Answer:
    """Be no contact of somebody any more."""
    person = somebody(desk.state, command.username)
    return _standing(desk.state, desk.state.contacts.requests.remove(turn, person))


def contact_block(desk: Desk, turn: Turn, _session: int, command: c.ContactBlock) -> Answer:
    """Hear nothing of somebody any more; open invites between us end."""
    person = somebody(desk.state, command.username)
    person = desk.state.contacts.requests.block(turn, person, silent=bool(command.silent))
    desk.inviting.blocked(turn, person.account)
    return {**_standing(desk.state, person), "blocked": True, "blocked_by": person.blocked_by}


def contact_unblock(desk: Desk, turn: Turn, _session: int, command: c.ContactUnblock) -> Answer:
    """Hear somebody again."""
    person = somebody(desk.state, command.username)
    hidden = bool(person.blocked)
    person = desk.state.contacts.requests.unblock(turn, person)
    if hidden:
        parting.heard_again(desk.inbox, turn, person.account)
    return {**_standing(desk.state, person), "blocked": False, "blocked_by": person.blocked_by}
