"""Commands about how people are seen: profile, presence, looking for people (docs/bridge.md 2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from node import ids
from node.chat import avatars, commands as c, events, names
from node.chat.direct import direct_id
from node.chat.me import Profile
from node.chat.turn import Turn
from node.crypto import links
from node.engine.desk import Answer, Desk
from node.errors import Refused


def profile_get(desk: Desk, turn: Turn, session: int, command: c.ProfileGet) -> Answer:
    """Describe a person; the own profile carries the contact link."""
    state = desk.state
    account = state.me.account if command.username is None else state.found.find(command.username)
    if account == state.me.account:
        return _own(desk, turn, session)
    if account not in state.people.by_account:
        return _found(desk, account)
    person, seen = state.people.by_account[account], state.seen(account)
    return {
        "user_id": state.people.user_id(account),
        "username": person.username,
        "nickname": person.nickname,
        "avatar": person.avatar,
        "status": person.status,
        "presence": seen.state.value,
        "busy": seen.busy,
        "listed": state.listed.has(account),
        "blocked": bool(person.blocked),
        "blocked_by": person.blocked_by,
        "link": None,
        "room": _room_with(desk, account),
        "state": state.contacts.requests.state_of(person),
    }


def _room_with(desk: Desk, account: bytes) -> str | None:
    """Return the direct room with somebody, if there is one."""
    room_id = direct_id(desk.state.me.account, account)
    return ids.text(room_id) if room_id in desk.state.rooms.direct else None


def _found(desk: Desk, account: bytes) -> dict[str, Any]:
    """Describe somebody whom a search has shown, as they list themselves now."""
    state, found = desk.state, desk.state.found.by_account[account]
    listed = state.listed.people.get(account)
    shown = listed is not None and listed.listed
    return {
        "user_id": state.people.user_id(account),
        "username": found.username,
        "nickname": found.nickname,
        "avatar": avatars.of_peer(listed.avatar) if listed is not None else None,
        "status": listed.status if listed is not None else None,
        "presence": "offline",
        "busy": False,
        "listed": shown,
        "blocked": False,
        "blocked_by": False,
        "link": None,
        "room": None,
        "state": "none",
    }


def _own(desk: Desk, turn: Turn, session: int) -> dict[str, Any]:
    state, profile = desk.state, desk.state.me.profile
    shown = state.sessions.get(session)
    may_link = shown is None or shown.scope != "read"
    link = (
        state.contacts.links.give(turn, desk.addresses(), once=False, expires_ms=None) if may_link else None
    )
    return {
        "user_id": state.me.user_id,
        "username": profile.username,
        "nickname": profile.nickname,
        "avatar": state.remote_avatars.get(session, profile.avatar),
        "status": profile.status,
        "presence": state.shown_presence(state.me.account),
        "busy": profile.busy,
        "listed": profile.listed,
        "blocked": False,
        "blocked_by": False,
        "link": None if link is None else links.encode_contact(link),
        "room": None,
        "state": "none",
    }


def profile_set(desk: Desk, turn: Turn, session: int, command: c.ProfileSet) -> Answer:
    """Change name, avatar or status, and tell contacts and small rooms; be found by others, or not."""
    old = desk.state.me.profile
    remote = command.avatar is not None and avatars.is_remote(command.avatar)
    if command.avatar is not None and not remote:
        avatars.check(command.avatar)
    changed = replace(
        old,
        username=old.username if command.name is None else _username(desk, command.name),
        nickname=old.nickname if command.name is None else command.name,
        avatar=old.avatar if command.avatar is None else None if remote else command.avatar or None,
        status=old.status if command.status is None else command.status,
        listed=old.listed if command.listed is None else command.listed,
    )
    _take(desk, turn, changed)
    if command.avatar is not None:
        desk.state.remote_avatars.clear()
    if remote and command.avatar is not None and session in desk.state.sessions:
        desk.state.remote_avatars[session] = command.avatar
    return _own(desk, turn, session)


def _username(desk: Desk, name: str) -> str:
    people, username = desk.state.people, names.clean(name)
    if not username:
        raise Refused("invalid", "nothing of this name is left as a username", field="name")
    if people.owner_of(username) not in {None, desk.state.me.account}:
        raise Refused("name_taken", f"{username} is already the name of somebody else", field="name")
    return username


def _take(desk: Desk, turn: Turn, changed: Profile) -> None:
    """Take a changed profile; others hear of what they are shown, and only if it is another."""
    me, old = desk.state.me, desk.state.me.profile
    if changed == old:
        return
    me.set_profile(turn, changed)
    desk.state.people.rename_self(old.username, changed.username)
    shown = [(one.username, one.nickname, one.avatar, one.status) for one in (old, changed)]
    if shown[0] != shown[1]:
        desk.inbox.spread_profile(turn)
        turn.log(
            events.Profile(
                username=changed.username,
                user_id=me.user_id,
                nickname=changed.nickname,
                avatar=changed.avatar,
                status=changed.status,
            )
        )
    desk.inbox.profiles.look(turn)


def presence_set(desk: Desk, turn: Turn, _session: int, command: c.PresenceSet) -> Answer:
    """Say how to be seen, with a line beside it, and whether games are welcome; it outlives a start."""
    if command.leaving and command.state != "offline":
        raise Refused("invalid", "who is leaving is `offline`", field="leaving")
    old, attendance = desk.state.me.profile, desk.state.attendance
    changed = replace(
        old,
        chosen=old.chosen if command.state is None or command.leaving else command.state,
        busy=old.busy if command.busy is None else command.busy,
        status=old.status if command.status is None else command.status,
    )
    _take(desk, turn, changed)
    if command.state is not None:
        attendance.stay()
    if (changed.chosen, changed.busy, changed.status) != (old.chosen, old.busy, old.status):
        desk.inbox.beats.choose(turn)
    if command.leaving:
        desk.inbox.beats.leave(turn)
    return {
        "state": desk.state.shown_presence(desk.state.me.account),
        "status": changed.status,
        "busy": changed.busy,
    }


def presence_sweep(desk: Desk, turn: Turn, _session: int, _command: c.PresenceSweep) -> Answer:
    """Look who is gone, and how we are seen, before the moment at which it would be done anyhow."""
    gone = desk.inbox.beats.sweep(turn)
    state = desk.state
    return {
        "state": state.shown_presence(state.me.account),
        "gone": [state.people.username(account) for account in gone],
    }


def user_search(desk: Desk, turn: Turn, _session: int, command: c.UserSearch) -> Answer:
    """Look for people among those we know and those who want to be found."""
    return {"users": desk.inbox.profiles.search(turn, command.text, command.limit)}
