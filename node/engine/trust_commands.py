"""Commands about how far a person's keys are trusted (docs/bridge.md section 2, docs/crypto.md 3.2)."""

from __future__ import annotations

from dataclasses import replace

from node.chat import commands as c, events, trust
from node.chat.people import Person
from node.chat.turn import Turn
from node.crypto import safety
from node.engine.desk import Answer, Desk
from node.errors import Refused


def contact_verify(desk: Desk, turn: Turn, _session: int, command: c.ContactVerify) -> Answer:
    """Show what two people compare; mark a person as verified, or as not, or by the code of their screen."""
    person = _person(desk, command.username)
    own = desk.state.me.account
    if command.code is not None:
        _check_code(command, own, person)
    if command.verified or command.code is not None:
        person = _change(desk, turn, person, replace(person, trust=trust.VERIFIED))
    elif command.verified is False and person.trust == trust.VERIFIED:
        person = _change(desk, turn, person, replace(person, trust=trust.UNVERIFIED))
    return {
        **_standing(desk, person),
        "number": safety.safety_number(own, person.account),
        "code": safety.verification_code(own, person.account),
    }


def contact_policy(desk: Desk, turn: Turn, _session: int, command: c.ContactPolicy) -> Answer:
    """Choose what another device of a person does from now on."""
    person = _person(desk, command.username)
    return _standing(desk, _change(desk, turn, person, replace(person, policy=command.policy)))


def _person(desk: Desk, username: str) -> Person:
    account = desk.state.people.find(username)
    if account == desk.state.me.account:
        raise Refused("invalid", "these are your own keys", field="username")
    return desk.state.people.by_account[account]


def _check_code(command: c.ContactVerify, own: bytes, person: Person) -> None:
    code = command.code or ""
    if command.verified is False:
        raise Refused("invalid", "a code is there to verify somebody", field="verified")
    if not code.strip().startswith(safety.CODE_PREFIX):
        raise Refused("invalid", f"a code begins with {safety.CODE_PREFIX}", field="code")
    if code.strip() == safety.verification_code(own, person.account):
        raise Refused("invalid", "this is the code of your own screen: scan theirs", field="code")
    if not safety.matches(code, own, person.account):
        text = f"the code does not show the keys that {person.username} has here: do not trust them"
        raise Refused("code_mismatch", text, field="code")


def _change(desk: Desk, turn: Turn, before: Person, after: Person) -> Person:
    """Store a change of trust or policy, take a device that was kept back, let go what waited for it."""
    people = desk.state.people
    if after == before:
        return before
    people.save(turn, after)
    if not trust.blocked(after):
        after = people.take_withheld(turn, after)
        if trust.blocked(before):
            _go_on(desk, turn, after)
    turn.log(events.ContactUpdated(username=after.username, user_id=people.user_id(after.account)))
    return after


def _go_on(desk: Desk, turn: Turn, person: Person) -> None:
    dms = desk.state.dms
    if dms.sending(person.account) is None:
        desk.state.reach(turn, person.account)
    else:
        dms.flush(turn, person.account)


def _standing(desk: Desk, person: Person) -> dict[str, str]:
    return {
        "user_id": desk.state.people.user_id(person.account),
        "username": person.username,
        "verified": person.trust,
        "policy": person.policy,
    }
