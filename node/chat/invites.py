"""Invites: the offer, the 120 seconds, and how each ends exactly once (docs/bridge.md section 2).

The invitee's node keeps the clock. It starts when the invite first reaches a session that could answer,
at the latest 24 h after arrival, and runs on while the node is down: the deadline is stored on CLOCK_BOOTTIME
with the boot's id and on the wall clock, which decides only after a reboot.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from node import ids
from node.clock import Instant, earliest

ANSWER_SECONDS = 120.0
"""The seed's own figure."""
OFFER_MS = 7 * 86_400_000
"""An offer that is never delivered ends after a week."""
DELIVER_AT_LATEST = 24 * 3600.0
"""Seconds after arrival when the clock starts even if no frontend came."""

MAX_OFFERS = 20
"""Offers of one person that can be open at once; more are not kept."""
KEEP_ENDED = 1_000
"""Ended invites remembered, the newest: what `invite_list` shows, and what a late answer is told by."""

MAX_TAKEN_BACK = 256
"""Invites remembered that were taken back before they came; their sender sends none again that is over."""

ROOM, GAME = "room", "game"
"""What somebody is invited to: to come into a room, or to a game, for which nobody comes or goes."""
OFFERED = "offered"
OPEN = "open"
ENDS = frozenset({"accept", "decline", "ignore", "cancelled", "expired"})
BUSY = "busy"
"""Answers an invite to a game where somebody plays or is asked to already: it is `cancelled`."""
RESPONSES = ("delivered", "accept", "decline", "ignore", "cancelled", "expired", BUSY)
"""Wire numbers of INVITE_RESULT are 1 and up, in this order."""


@dataclass(frozen=True)
class Clock:
    """A deadline that survives restarts: by `mono` within one boot, by `wall_ms` across a reboot."""

    boot_id: str
    mono: float
    wall_ms: int

    def remaining(self, now: Instant, boot_id: str, *, most: float) -> float:
        """Return the seconds left, 0 to `most`."""
        if boot_id == self.boot_id:
            left = self.mono - now.mono
        else:
            left = (self.wall_ms - now.wall_ms) / 1000
        return min(max(left, 0.0), most)


@dataclass(frozen=True)
class Invite:
    """One invite as this node knows it; `state` is `offered`, `open`, or how it ended.

    `seq` is the number of its `user_invite` in the event log, 0 before. `client_id` is what the frontend that
    sent it calls it by; `opened_ms`: when we heard that it is delivered. Of a game, `seed` makes its id. By
    `deliver_by` the clock of one that came starts, and one of ours is over if it has not (None: in a week).
    """

    invite_id: bytes
    room_id: bytes
    seed: bytes = field(repr=False)
    incoming: bool
    account: bytes
    room_name: str
    kind: str
    options: str
    expires_ms: int
    state: str
    deliver_by: Clock | None = None
    answer_by: Clock | None = None
    ended_ms: int | None = None
    seq: int = 0
    client_id: str | None = None
    opened_ms: int = 0

    @property
    def live(self) -> bool:
        """Say whether it can still be answered or cancelled."""
        return self.state in {OFFERED, OPEN}

    @property
    def ends_ms(self) -> int:
        """When it ends by itself, as far as this node knows."""
        clock = self.deliver_by if self.answer_by is None and not self.incoming else self.answer_by
        return self.expires_ms if clock is None else clock.wall_ms


def game_id(invite: Invite) -> str | None:
    """Return the fresh id of the game that an invite is to, the same at both ends; None if it is to none."""
    return ids.text(ids.uuid4(invite.seed[:16])) if invite.kind == GAME else None


def start_clock(seconds: float, now: Instant, boot_id: str) -> Clock:
    """Return a deadline `seconds` from now."""
    return Clock(boot_id, now.mono + seconds, now.wall_ms + round(seconds * 1000))


class InviteBook:
    """Every invite of this node, and which moment is next; the engine stores and tells what changes."""

    def __init__(self, boot_id: str) -> None:
        self.boot_id = boot_id
        self.all: dict[bytes, Invite] = {}
        self._taken_back: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()

    def restore(self, invite: Invite, now: Instant) -> None:
        """Take a stored invite back, its clocks set to this boot."""
        answer = self._rebase(invite.answer_by, now, ANSWER_SECONDS)
        deliver = self._rebase(invite.deliver_by, now, DELIVER_AT_LATEST)
        self.all[invite.invite_id] = replace(invite, answer_by=answer, deliver_by=deliver)

    def _rebase(self, clock: Clock | None, now: Instant, most: float) -> Clock | None:
        if clock is None or clock.boot_id == self.boot_id:
            return clock
        return start_clock(clock.remaining(now, self.boot_id, most=most), now, self.boot_id)

    @property
    def deadline(self) -> float | None:
        """The next monotonic moment at which `due` has something to say."""
        return earliest(*(self._moment(invite) for invite in self.all.values()))

    def _moment(self, invite: Invite) -> float | None:
        if not invite.live or (not invite.incoming and invite.state == OPEN):
            return None
        clock = invite.answer_by if invite.state == OPEN else invite.deliver_by
        return None if clock is None else clock.mono

    def arrived(self, invite: Invite, now: Instant) -> Invite:
        """A new offer came in: it waits for a session that could answer."""
        offer = replace(invite, deliver_by=start_clock(DELIVER_AT_LATEST, now, self.boot_id))
        self.all[offer.invite_id] = offer
        return offer

    def delivered(self, invite_id: bytes, now: Instant) -> Invite | None:
        """The offer reached a session: start the 120 s; None if they run already or it has ended."""
        invite = self.all[invite_id]
        if invite.state != OFFERED:
            return None
        opened = replace(invite, state=OPEN, answer_by=start_clock(ANSWER_SECONDS, now, self.boot_id))
        self.all[invite_id] = opened
        return opened

    def ended(self, invite_id: bytes, how: str, now: Instant) -> Invite | None:
        """End an invite; None if it had ended already, so that every end is told once."""
        assert how in ENDS
        invite = self.all.get(invite_id)
        if invite is None or not invite.live:
            return None
        over = replace(invite, state=how, ended_ms=now.wall_ms)
        self.all[invite_id] = over
        return over

    def due(self, now: Instant) -> list[tuple[Invite, str]]:
        """Return what is due: (invite, `deliver` | `ignore` | `expired` | `unheard`)."""
        moments: list[tuple[Invite, str]] = []
        for invite in self.all.values():
            if not invite.live:
                continue
            moment = self._moment(invite)
            if (invite.state == OFFERED or not invite.incoming) and now.wall_ms >= invite.expires_ms:
                moments.append((invite, "expired"))
            elif moment is not None and now.mono >= moment:
                what = "deliver" if invite.incoming else "unheard"
                moments.append((invite, "ignore" if invite.state == OPEN else what))
        return moments

    def taken_back(self, account: bytes, invite_id: bytes) -> None:
        """Somebody takes an invite back that has not come yet."""
        self._taken_back[account, invite_id] = None
        while len(self._taken_back) > MAX_TAKEN_BACK:
            self._taken_back.popitem(last=False)

    def was_taken_back(self, account: bytes, invite_id: bytes) -> bool:
        """Say whether an invite was over before it came."""
        return (account, invite_id) in self._taken_back

    def has_room_for(self, account: bytes) -> bool:
        """Say whether one more offer of this person is kept."""
        return sum(i.account == account for i in self.open_incoming()) < MAX_OFFERS

    def crowded_out(self) -> list[Invite]:
        """Return and forget the longest ended invites beyond those remembered."""
        over = sorted((i for i in self.all.values() if not i.live), key=lambda i: i.ended_ms or 0)
        going = over[: max(0, len(over) - KEEP_ENDED)]
        for invite in going:
            del self.all[invite.invite_id]
        return going

    def open_incoming(self) -> list[Invite]:
        """Return the incoming invites that still wait for an answer, oldest first."""
        return [i for i in self.all.values() if i.incoming and i.live]

    def open_outgoing(self, room_id: bytes, account: bytes, kind: str) -> Invite | None:
        """Return the open invite of this person to this room, or to a game there, if there is one."""
        for invite in self.all.values():
            same = (invite.room_id, invite.account, invite.kind) == (room_id, account, kind)
            if not invite.incoming and invite.live and same:
                return invite
        return None

    def games(self) -> list[Invite]:
        """Return the invites to games that have not ended, ours and others', oldest first."""
        return [invite for invite in self.all.values() if invite.kind == GAME and invite.live]

    def open_for_room(self, room_id: bytes) -> Invite | None:
        """Return the newest open incoming invite into a room."""
        into = (i for i in reversed(self.open_incoming()) if i.room_id == room_id and i.kind != GAME)
        return next(into, None)
