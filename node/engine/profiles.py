"""People in the directory: what others list, listing ourselves if we want to be found, and searching.

A profile is listed by choice alone, posted again daily, and taken back at once (docs/crypto.md 3.10). What
comes is judged as an open room's listing is: cheaply first, signatures at a limited rate.
"""

from __future__ import annotations

from typing import Any

from node.chat import avatars
from node.chat.channels import Route
from node.chat.directory import GAP_MS, TTL_DAYS
from node.chat.listed_people import ListedPerson, match
from node.chat.people import CONTACT, Person
from node.chat.turn import Turn
from node.crypto.keys import parse_cert, parse_list
from node.crypto.profile_listing import make_profile, parse_profile, verify_profile
from node.engine.state import State
from node.errors import CryptoFault, DecodeError, Refused
from node.mesh.limits import TokenBucket
from node.wire.envelope import Envelope

CHECKS = 50.0
"""Listings whose signatures are checked in a second: 2 % of a core."""
BURST = 1_000.0
"""The same at once, after some quiet: what a whole directory has."""
SOON = 1.0
"""Seconds between a change of the profile and its listing: several changes go in one."""
RESULTS = 20
"""Results if no number is asked for."""


class Profiles:
    """The people of the directory channel, ourselves among them if the owner wants."""

    def __init__(self, state: State, route: Route, now: float) -> None:
        self.state, self.route = state, route
        self._checks = TokenBucket(CHECKS, now=now, burst=BURST)
        self.deadline: float | None = None
        """When our own listing is to be posted."""

    # -- what others list -------------------------------------------------------------------------

    def take(self, turn: Turn, envelope: Envelope, inner: bytes) -> None:
        """Take a listing; raises PeerFault with nothing changed if it is not to be kept."""
        if envelope.ttl_days > TTL_DAYS:
            raise DecodeError("a listing that is to be held for too long")
        listing = parse_profile(inner)
        if abs(envelope.ts_ms - listing.ts_ms) > TTL_DAYS * 86_400_000:
            raise DecodeError("a listing in an envelope of another time")
        if listing.account == self.state.me.account:
            raise CryptoFault("a listing of ourselves that came back, or is not ours")
        self.state.listed.judge(listing, turn.mesh_ms)
        if not self._checks.take(1, now=turn.now.mono):
            raise CryptoFault("more listings than are looked at")
        _, devices = verify_profile(listing)
        self.state.listed.keep(turn, listing, devices.seq)

    # -- listing ourselves ------------------------------------------------------------------------

    def look(self, turn: Turn) -> None:
        """Look, hourly and when our profile changes, whether we are to be listed again, or no more."""
        self.state.listed.expire(turn)
        self.state.found.expire(turn)
        if not self.state.listed.is_due(self._own(), turn.mesh_ms):
            self.deadline = None
        elif not self.state.me.profile.listed:
            self._post(turn)
        elif self.deadline is None:
            held = self.state.listed.people.get(self.state.me.account)
            gap = 0.0 if held is None else max(0, held.ts_ms + GAP_MS - turn.mesh_ms) / 1000
            self.deadline = turn.now.mono + SOON + gap

    def due(self, turn: Turn) -> None:
        """Post our listing, if it is time."""
        if self.deadline is not None and turn.now.mono >= self.deadline:
            self.deadline = None
            if self.state.listed.is_due(self._own(), turn.mesh_ms):
                self._post(turn)

    def _own(self) -> ListedPerson:
        """Return what a listing of ours would say now."""
        me, profile = self.state.me, self.state.me.profile
        said = (profile.nickname, avatars.as_letters(profile.avatar), profile.status)
        shown = said if profile.listed else ("", None, None)
        return ListedPerson(
            me.account, *shown, me.cert.raw, me.devices.raw, me.devices.seq, profile.listed, 0, 0
        )

    def _post(self, turn: Turn) -> None:
        me, own = self.state.me, self._own()
        held = self.state.listed.people.get(me.account)
        self.deadline = None
        inner = make_profile(
            me.identity,
            cert=me.cert,
            devices=me.devices,
            nickname=own.nickname,
            avatar=own.avatar,
            status=own.status,
            listed=own.listed,
            ts_ms=turn.mesh_ms if held is None else max(turn.mesh_ms, held.ts_ms + 1),
        )
        self.state.listed.keep(turn, parse_profile(inner), me.devices.seq)
        turn.post(self.route.channel, inner, ttl_days=TTL_DAYS)

    # -- searching --------------------------------------------------------------------------------

    def search(self, turn: Turn, text: str, limit: int | None) -> list[dict[str, Any]]:
        """Return who is called so: contacts and co-members, and those who want to be found."""
        state, ranked = self.state, list[tuple[int, bool, str, bytes]]()
        near = state.to_do_with().union(one.account for one in state.people.contacts()) - {state.me.account}
        for person in [p for p in state.people.by_account.values() if p.account in near]:
            rank = match(text, person.username, person.nickname)
            if rank is not None and not state.people.is_blocked_by(person.account):
                ranked.append((rank, False, person.username, person.account))
        for one in state.listed.shown(turn.mesh_ms):
            rank = None if one.account in near else match(text, one.nickname)
            if (
                rank is not None
                and one.account != state.me.account
                and not state.people.is_blocked_by(one.account)
            ):
                ranked.append((rank, True, one.nickname, one.account))
        best = sorted(ranked)[: limit or RESULTS]
        return [self._row(turn, account, stranger=stranger) for _, stranger, _, account in best]

    def meet(self, turn: Turn, name: str) -> Person:
        """Return whom a name means, search results of the last 24 hours included, so that they can be asked.

        Somebody who was only found is somebody we know from here on, by the username that was shown, with
        the device that they listed.

        Raises:
            Refused: `unknown_user` or `ambiguous_user`; `invalid` if it is ourselves.
        """
        people, account = self.state.people, self.state.found.find(name)
        if account == self.state.me.account:
            raise Refused("invalid", "this is you", field="username")
        person, found = people.get(account), self.state.found.get(account)
        if found is None or (person is not None and person.intro_pub is not None):
            return people.by_account[account]
        cert, devices = parse_cert(found.cert), parse_list(found.devices)
        person = people.meet(turn, account, found.nickname, found.username)
        return people.pin(turn, person, cert, devices, past=True)

    def _row(self, turn: Turn, account: bytes, *, stranger: bool) -> dict[str, Any]:
        """Return a result; of whoever is no contact yet, remember what is needed to ask them."""
        state, person, listed = self.state, self.state.people.get(account), None
        if state.listed.has(account) and (person is None or person.state != CONTACT):
            listed = state.listed.people[account]
        username = person.username if person is not None else ""
        if listed is not None:
            username = state.found.remember(turn, listed).username
        shown = listed if stranger or person is None else person
        assert shown is not None
        return {
            "user_id": state.people.user_id(account),
            "username": username,
            "nickname": shown.nickname,
            "avatar": avatars.of_peer(shown.avatar),
            "status": shown.status,
            "presence": state.shown_presence(account),
            "state": "none" if person is None else state.contacts.requests.state_of(person),
        }
